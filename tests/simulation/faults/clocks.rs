//! One replica's clock after the other is quick or slow for a while, or jumps ahead.
//!
//! A quick one may end leases early by what its rate is off (claim 7 is bound to it), and leases are
//! judged so.
//! A jump is no matter of rates: it breaks the leader's run of rounds, and all leases begin anew.

use std::time::Duration;

use signpost_raft::machine::NodeId;

use super::Stage;
use signpost_chaos::random::Random;

const USUAL: u64 = 1_000;
/// The quickest is so much too quick.
pub(crate) const QUICK_PERCENT: u32 = 10;
const RATES: [u64; 4] = [900, 990, 1_010, 1_100];

const GAP_MS: (u64, u64) = (1_000, 6_000);
const HOLD_MS: (u64, u64) = (1_000, 6_000);
const JUMP_MS: (u64, u64) = (1_000, 30_000);

pub(super) struct Clocks {
    random: Random,
    next: Duration,
    wrong: Option<(NodeId, Duration)>,
}

impl Clocks {
    pub(super) fn new(random: Random, first: Duration) -> Clocks {
        Clocks { random, next: first, wrong: None }
    }

    /// Answers what began, if anything did.
    pub(super) fn step(&mut self, stage: &mut Stage<'_>) -> Option<&'static str> {
        let now = stage.world.now();
        if self.wrong.is_some_and(|(_, until)| until <= now) {
            self.heal(stage);
            self.next = now + self.random.millis(GAP_MS.0, GAP_MS.1);
        }
        if self.wrong.is_some() || now < self.next {
            return None;
        }
        let leader = stage.cluster.leader().map(|(_, leader)| leader);
        let any = *self.random.pick(&stage.cluster.present());
        let victim = if self.random.percent(50) { leader.unwrap_or(any) } else { any };
        if self.random.percent(30) {
            stage.world.jump(victim, self.random.millis(JUMP_MS.0, JUMP_MS.1));
            self.next = now + self.random.millis(GAP_MS.0, GAP_MS.1);
            return Some("clock jump");
        }
        // Until it ends, or its process does.
        stage.world.set_rate(victim, *self.random.pick(&RATES));
        self.wrong = Some((victim, now + self.random.millis(HOLD_MS.0, HOLD_MS.1)));
        Some("clock rate")
    }

    pub(super) fn heal(&mut self, stage: &mut Stage<'_>) {
        if let Some((node, _)) = self.wrong.take() {
            stage.world.set_rate(node, USUAL);
        }
    }
}
