//! Brokers that have closed all their connections: who they may be, and when that is enough.
//!
//! A replica tells the leader that a broker has left its door. After a grace the leader asks every
//! member what it knows of that broker's connections now; only when none says a word against it is
//! the end of the registration proposed. Pure: `now` is an argument, and nobody is asked from here.
//!
//! Each word against it is a veto, and a veto does no harm, for the lease bounds it:
//! - a connection of that broker is open somewhere, whatever it has renewed;
//! - one ended otherwise than by the broker's own wish (we closed it, an answer was owed, the last
//!   answer was an error), and the broker has not been seen on another one there since;
//! - a replica does not answer, or began to watch only after this epoch had begun.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use signpost_raft::machine::Index;
use signpost_raft::planted::{Bug, planted};
use tokio::time::Instant;

use crate::routes::command::BrokerKey;

/// What one replica knows of one broker's connections to its door. Sent between replicas: variants
/// are only ever appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Standing {
    /// There was none since it began to watch.
    Unseen {
        /// It would know of connections that renewed an epoch begun after this index. None: it
        /// can't tell yet.
        since: Option<Index>,
    },
    /// One is open at least.
    Open,
    /// None is open; the broker itself closed the latest, which had renewed this epoch last.
    Left {
        /// That epoch.
        epoch: Index,
    },
    /// None is open; the latest, which had renewed this epoch last, ended in a way that says
    /// nothing about the broker.
    Lost {
        /// That epoch.
        epoch: Index,
    },
}

/// What all standings amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Every connection that renewed this epoch was closed by the broker.
    Left,
    /// It has a connection.
    Open,
    /// Somebody can't say.
    Vetoed,
}

/// Judges one epoch of one broker by what each member answered; None: it did not.
pub(crate) fn judge(
    epoch: Index,
    standings: impl IntoIterator<Item = Option<Standing>>,
) -> Judgement {
    let (mut left, mut vetoed) = (false, false);
    for standing in standings {
        match standing {
            Some(Standing::Left { epoch: of })
                if of == epoch && planted(Bug::OneClosedConnectionExpires) =>
            {
                return Judgement::Left;
            }
            Some(Standing::Open) if planted(Bug::OneClosedConnectionExpires) => {}
            Some(Standing::Open) => return Judgement::Open,
            Some(Standing::Left { epoch: of }) => {
                left |= of == epoch;
                // It knows of a later epoch than we judge.
                vetoed |= of > epoch;
            }
            Some(Standing::Lost { epoch: of }) => vetoed |= of >= epoch,
            Some(Standing::Unseen { since }) => vetoed |= since.is_none_or(|since| since >= epoch),
            None => vetoed = true,
        }
    }
    if left && !vetoed { Judgement::Left } else { Judgement::Vetoed }
}

/// One broker that has left one door at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Departure {
    epoch: Index,
    /// Not judged before.
    due: Instant,
}

/// The brokers that have left a door, as the leader was told in this term.
#[derive(Debug)]
pub(crate) struct Presence {
    grace: Duration,
    departures: BTreeMap<BrokerKey, Departure>,
}

impl Presence {
    /// Nobody has left. Who leaves has this long to come back; zero: leaving means nothing.
    pub(crate) fn new(grace: Duration) -> Self {
        Self { grace, departures: BTreeMap::new() }
    }

    /// A replica says that this broker, which had renewed this epoch, has left its door.
    pub(crate) fn left(&mut self, key: &BrokerKey, epoch: Index, now: Instant) {
        if self.grace.is_zero() || self.departures.get(key).is_some_and(|of| of.epoch > epoch) {
            return;
        }
        self.departures.insert(key.clone(), Departure { epoch, due: now + self.grace });
    }

    /// When somebody is to be judged next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.departures.values().map(|departure| departure.due).min()
    }

    /// Whom to ask about: all that have left, those who are due first, at most so many.
    pub(crate) fn pending(&self, max: usize) -> Vec<(BrokerKey, Index)> {
        let mut pending: Vec<_> = self.departures.iter().collect();
        pending.sort_by_key(|(_, departure)| departure.due);
        pending.into_iter().take(max).map(|(key, of)| (key.clone(), of.epoch)).collect()
    }

    /// Has its grace passed?
    pub(crate) fn is_due(&self, key: &BrokerKey, epoch: Index, now: Instant) -> bool {
        self.departures.get(key).is_some_and(|of| of.epoch == epoch && of.due <= now)
    }

    /// Not now: to be judged again after another grace.
    pub(crate) fn postpone(&mut self, key: &BrokerKey, epoch: Index, now: Instant) {
        if let Some(departure) = self.departures.get_mut(key)
            && departure.epoch == epoch
        {
            departure.due = departure.due.max(now + self.grace);
        }
    }

    /// It is back, or gone, or being taken away.
    pub(crate) fn settle(&mut self, key: &BrokerKey, epoch: Index) {
        if self.departures.get(key).is_some_and(|of| of.epoch <= epoch) {
            self.departures.remove(key);
        }
    }

    /// A new term: what was told in the former one is told again.
    pub(crate) fn clear(&mut self) {
        self.departures.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Index = 50;

    fn left(epoch: Index) -> Option<Standing> {
        Some(Standing::Left { epoch })
    }

    fn lost(epoch: Index) -> Option<Standing> {
        Some(Standing::Lost { epoch })
    }

    fn unseen(since: Option<Index>) -> Option<Standing> {
        Some(Standing::Unseen { since })
    }

    #[test]
    fn who_left_every_door_has_left() {
        for standings in [
            vec![left(EPOCH)],
            vec![left(EPOCH), left(EPOCH), left(EPOCH)],
            vec![left(EPOCH), unseen(Some(EPOCH - 1)), left(EPOCH)],
            vec![left(EPOCH), left(EPOCH - 7), lost(EPOCH - 1)],
        ] {
            assert_eq!(judge(EPOCH, standings.clone()), Judgement::Left, "{standings:?}");
        }
    }

    #[test]
    fn an_open_connection_anywhere_means_that_it_lives() {
        let standings = [left(EPOCH), None, Some(Standing::Open)];
        assert_eq!(judge(EPOCH, standings), Judgement::Open);
    }

    #[test]
    fn whoever_cannot_say_vetoes() {
        for (why, word) in [
            ("a silent replica", None),
            ("one that does not know yet how far it goes back", unseen(None)),
            ("one that began to watch after this epoch had begun", unseen(Some(EPOCH))),
            ("a connection that ended otherwise", lost(EPOCH)),
            ("one of a later epoch that did", lost(EPOCH + 1)),
            ("a later epoch", left(EPOCH + 1)),
        ] {
            assert_eq!(judge(EPOCH, [left(EPOCH), word]), Judgement::Vetoed, "{why}");
        }
        assert_eq!(judge(EPOCH, [left(EPOCH - 1)]), Judgement::Vetoed, "nobody renewed this one");
        assert_eq!(judge(EPOCH, []), Judgement::Vetoed);
    }

    fn key(name: &str) -> BrokerKey {
        BrokerKey { cluster: "c".into(), name: name.into(), id: 0 }
    }

    const GRACE: Duration = Duration::from_secs(1);

    #[test]
    fn nobody_is_judged_before_the_grace_of_the_last_departure() {
        let mut presence = Presence::new(GRACE);
        let start = Instant::now();
        presence.left(&key("a"), EPOCH, start);
        presence.left(&key("b"), EPOCH, start + GRACE / 2);
        assert_eq!(presence.next_due(), Some(start + GRACE));
        presence.left(&key("a"), EPOCH, start + GRACE * 3 / 4);
        assert_eq!(presence.next_due(), Some(start + GRACE * 3 / 2));
        assert_eq!(presence.pending(9), [(key("b"), EPOCH), (key("a"), EPOCH)]);
        assert_eq!(presence.pending(1), [(key("b"), EPOCH)]);
        let now = start + GRACE * 3 / 2;
        assert!(presence.is_due(&key("b"), EPOCH, now) && !presence.is_due(&key("a"), EPOCH, now));
        presence.postpone(&key("b"), EPOCH, now);
        assert!(!presence.is_due(&key("b"), EPOCH, now));
    }

    #[test]
    fn only_the_latest_epoch_counts_and_settling_an_older_one_leaves_it() {
        let mut presence = Presence::new(GRACE);
        let start = Instant::now();
        presence.left(&key("a"), EPOCH, start);
        presence.left(&key("a"), EPOCH - 1, start);
        presence.settle(&key("a"), EPOCH - 1);
        assert_eq!(presence.pending(9), [(key("a"), EPOCH)]);
        presence.settle(&key("a"), EPOCH);
        assert_eq!(presence.next_due(), None);
        presence.left(&key("a"), EPOCH, start);
        presence.clear();
        assert_eq!(presence.next_due(), None);
    }

    #[test]
    fn without_a_grace_leaving_means_nothing() {
        let mut presence = Presence::new(Duration::ZERO);
        presence.left(&key("a"), EPOCH, Instant::now());
        assert_eq!(presence.next_due(), None);
    }
}
