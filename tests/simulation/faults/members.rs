//! A replica is lost for ever, or sent away while it lives, and another one takes its place; while
//! other faults go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signpost_raft::disk::simulated::Loss;
use signpost_raft::machine::NodeId;

use super::Stage;
use crate::logs;
use crate::operator;
use crate::run::CLIENTS_HOST;
use crate::world::Death;
use signpost_chaos::random::Random;

/// So many of a hundred runs have one.
const RUNS_PERCENT: u64 = 50;

/// When it begins.
const BEGINS_MS: (u64, u64) = (4_000, 40_000);

/// How long a replica on a torn disk may take to refuse it.
const OPENING: Duration = Duration::from_millis(100);

/// The change of members of a run.
pub(super) struct Replacement {
    random: Random,
    stage: Progress,
}

enum Progress {
    Due(Duration),
    /// It was started on a torn disk.
    Opening {
        old: NodeId,
        until: Duration,
    },
    Working {
        old: NodeId,
        lost: bool,
        done: Arc<AtomicBool>,
    },
    Over,
}

/// What came of a step.
#[derive(Default)]
pub(super) struct Told {
    pub(super) began: Option<&'static str>,
    pub(super) done: Option<&'static str>,
}

impl Replacement {
    pub(super) fn new(mut random: Random) -> Replacement {
        let stage = if random.percent(RUNS_PERCENT) {
            Progress::Due(random.millis(BEGINS_MS.0, BEGINS_MS.1))
        } else {
            Progress::Over
        };
        Replacement { random, stage }
    }

    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.stage, Progress::Opening { .. } | Progress::Working { .. })
    }

    pub(super) fn step(&mut self, stage: &mut Stage<'_>, may_begin: bool) -> Told {
        let now = stage.world.now();
        match &self.stage {
            Progress::Due(at) if *at <= now && may_begin => self.begin(stage),
            Progress::Opening { old, until } if *until <= now => {
                let old = *old;
                // Whether it has noticed or not: nobody trusts that disk again.
                stage.cluster.bury(stage.world, old, Death::Killed);
                self.work(stage, old, true);
                Told::default()
            }
            Progress::Working { old, lost, done } if done.load(Ordering::Relaxed) => {
                let (old, lost) = (*old, *lost);
                stage.cluster.bury(stage.world, old, Death::Killed);
                stage.cluster.forget(old);
                self.stage = Progress::Over;
                let done = if lost { "lost members replaced" } else { "live members replaced" };
                Told { done: Some(done), ..Told::default() }
            }
            _ => Told::default(),
        }
    }

    fn begin(&mut self, stage: &mut Stage<'_>) -> Told {
        let leader = stage.cluster.leader().map(|(_, leader)| leader);
        let any = *self.random.pick(&stage.cluster.present());
        let old = if self.random.percent(40) { leader.unwrap_or(any) } else { any };
        let began = match self.random.below(3) {
            0 => {
                stage.cluster.bury(stage.world, old, Death::PowerCut);
                self.work(stage, old, true);
                "member lost"
            }
            1 => {
                logs::excuse(old);
                stage.cluster.crash(stage.world, old, Death::PowerCut, Loss::Torn);
                stage.cluster.restart(stage.world, old);
                let until = stage.world.now() + OPENING;
                self.stage = Progress::Opening { old, until };
                "torn disk"
            }
            _ => {
                self.work(stage, old, false);
                "member sent away"
            }
        };
        tracing::info!(replica = old, what = began, "fault begins");
        Told { began: Some(began), ..Told::default() }
    }

    fn work(&mut self, stage: &mut Stage<'_>, old: NodeId, lost: bool) {
        let new = stage.cluster.join(stage.world);
        let done = Arc::new(AtomicBool::new(false));
        let work = operator::replace(stage.clients.clone(), old, new, Arc::clone(&done));
        stage.world.spawn(CLIENTS_HOST, work);
        self.stage = Progress::Working { old, lost, done };
    }
}
