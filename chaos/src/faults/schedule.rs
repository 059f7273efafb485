//! Which fault when, how long, and with which choices: a pure function of the seed, so that a seed
//! names a run. Whom a fault strikes is decided by its choices and by who leads at that moment.

use std::time::Duration;

use super::kind::{Kind, Lane};
use crate::random::Random;

/// A fault to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// What.
    pub kind: Kind,
    /// How long after the end of the one before in its lane.
    pub gap: Duration,
    /// How long it lasts.
    pub hold: Duration,
    /// Decides among several replicas or brokers.
    pub choice: u64,
}

/// The faults of one lane, without end.
#[derive(Debug, Clone)]
pub struct Schedule {
    random: Random,
    kinds: Vec<Kind>,
    /// Kinds still to come before any comes again.
    deck: Vec<Kind>,
    gap_ms: (u64, u64),
}

impl Schedule {
    /// The faults of one lane, of these kinds; one that is listed twice comes twice as often. So many
    /// milliseconds, from and to, lie between two of them.
    #[must_use]
    pub fn new(seed: u64, lane: Lane, kinds: &[Kind], gap_ms: (u64, u64)) -> Schedule {
        let random = Random::fork(seed, 10 + lane as u64);
        let kinds: Vec<Kind> = kinds.iter().copied().filter(|kind| kind.lane() == lane).collect();
        Schedule { random, kinds, deck: Vec::new(), gap_ms }
    }
}

impl Iterator for Schedule {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        if self.deck.is_empty() {
            self.deck.clone_from(&self.kinds);
            self.random.shuffle(&mut self.deck);
        }
        let kind = self.deck.pop()?;
        let gap = self.random.millis(self.gap_ms.0, self.gap_ms.1);
        let (from, to) = kind.hold_ms();
        let hold = self.random.millis(from, to);
        Some(Planned { kind, gap, hold, choice: self.random.next() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const GAP_MS: (u64, u64) = (100, 900);

    #[test]
    fn a_seed_names_a_schedule() {
        let first = |seed| {
            Schedule::new(seed, Lane::Cluster, Kind::ALL, GAP_MS)
                .take(100)
                .collect::<Vec<Planned>>()
        };
        assert_eq!(first(7), first(7));
        assert_ne!(first(7), first(8));
    }

    #[test]
    fn every_kind_comes_before_any_comes_again() {
        for lane in Lane::ALL {
            let of_lane: BTreeSet<Kind> =
                Kind::ALL.iter().copied().filter(|kind| kind.lane() == lane).collect();
            let schedule = Schedule::new(1, lane, Kind::ALL, GAP_MS);
            let first: BTreeSet<Kind> =
                schedule.take(of_lane.len()).map(|planned| planned.kind).collect();
            assert_eq!(first, of_lane);
        }
    }

    #[test]
    fn lanes_do_not_move_each_other_and_an_empty_one_ends() {
        let with = Schedule::new(3, Lane::Brokers, Kind::ALL, GAP_MS).take(20).collect::<Vec<_>>();
        let without = Schedule::new(3, Lane::Brokers, &[Kind::KillAll, Kind::BrokerChurn], GAP_MS);
        assert_eq!(with, without.take(20).collect::<Vec<_>>());
        assert_eq!(Schedule::new(3, Lane::Members, &[Kind::KillAll], GAP_MS).next(), None);
    }

    #[test]
    fn times_are_within_their_bounds() {
        for planned in Schedule::new(9, Lane::Cluster, Kind::ALL, GAP_MS).take(500) {
            let (from, to) = planned.kind.hold_ms();
            let bounds = Duration::from_millis(from)..Duration::from_millis(to);
            assert!(bounds.contains(&planned.hold), "{planned:?}");
            let gap = Duration::from_millis(GAP_MS.0)..Duration::from_millis(GAP_MS.1);
            assert!(gap.contains(&planned.gap), "{planned:?}");
        }
    }
}
