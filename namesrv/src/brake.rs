//! The mass-expiry brake: when so many brokers go missing at once that it is likelier that *we*
//! are cut off, nobody is removed. Pure: `now` is an argument (docs/GUARANTEES.md, "Mass-expiry
//! brake").

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::BrakeConfig;
use crate::leases::{Ended, Leases};
use crate::routes::command::BrokerKey;

/// A broker that was removed lately.
#[derive(Debug, Clone, Copy)]
struct Removal {
    at: Instant,
    ttl: Duration,
    alive_since: Option<Instant>,
    own_request: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Fewer are missing than it takes.
    Armed,
    /// Nothing is removed.
    Holding { since: Instant },
    /// It let go although too many are missing; it does not hold again before that has passed.
    LetGo,
}

/// The share of brokers that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// Removed in the last ttl without their own request, or silent for more than half a ttl.
    pub missing: usize,
    /// Brokers that were alive a ttl ago.
    pub alive: usize,
}

/// What a look at the brake brought about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Removing is all right.
    Free,
    /// The brake has just begun to hold.
    Began(Missing),
    /// It still holds.
    Holds(Missing),
    /// It has just let go after its longest time: the alarm stands.
    TimedOut(Missing),
    /// The missing are few enough again.
    Recovered {
        /// It had let go before, so that an alarm that still stands has not been seen yet.
        standing: bool,
    },
}

impl Verdict {
    /// May brokers be removed?
    #[must_use]
    pub fn allows_removal(self) -> bool {
        !matches!(self, Self::Began(_) | Self::Holds(_))
    }
}

/// The brake of one leader.
#[derive(Debug)]
pub struct Brake {
    config: BrakeConfig,
    state: State,
    removed: BTreeMap<BrokerKey, Removal>,
}

impl Brake {
    /// A brake that does not hold.
    #[must_use]
    pub fn new(config: BrakeConfig) -> Self {
        Self { config, state: State::Armed, removed: BTreeMap::new() }
    }

    /// Does it hold?
    #[must_use]
    pub fn holds(&self) -> bool {
        matches!(self.state, State::Holding { .. })
    }

    /// A new term: every lease has its full ttl again, so nobody is silent. What was removed
    /// lately still counts. Answers whether it held.
    pub fn rearm(&mut self) -> bool {
        let held = self.holds();
        self.state = State::Armed;
        held
    }

    /// A broker was removed.
    pub fn removed(&mut self, ended: Ended, own_request: bool, now: Instant) {
        let Ended { key, ttl, alive_since } = ended;
        self.removed.insert(key, Removal { at: now, ttl, alive_since, own_request });
    }

    /// A broker is back; answers since when it counts as alive. Away for less than a ttl, it
    /// counts as having been there all the time.
    pub fn returned(&mut self, key: &BrokerKey, now: Instant) -> Option<Instant> {
        match self.removed.remove(key) {
            Some(removal) if removal.at + removal.ttl > now => removal.alive_since,
            _ => Some(now),
        }
    }

    /// Counts who is missing.
    pub fn count(&mut self, leases: &Leases, now: Instant) -> Missing {
        self.removed.retain(|_, removal| removal.at + removal.ttl > now);
        let was_alive =
            |removal: &&Removal| removal.alive_since.is_none_or(|since| since + removal.ttl <= now);
        let lost = self.removed.values().filter(|removal| !removal.own_request).count();
        let gone = self.removed.values().filter(was_alive).count();
        let missing = lost + leases.silent(now);
        // A young cluster's missing were not alive a ttl ago, but alive they were.
        Missing { missing, alive: (gone + leases.alive_a_ttl_ago(now)).max(missing) }
    }

    /// Looks at the leases before a removal.
    pub fn judge(&mut self, leases: &Leases, now: Instant) -> Verdict {
        let count = self.count(leases, now);
        let exceeded = self.is_exceeded_by(count);
        match self.state {
            State::Armed if exceeded => {
                self.state = State::Holding { since: now };
                Verdict::Began(count)
            }
            State::Armed => Verdict::Free,
            State::Holding { .. } | State::LetGo if !exceeded => {
                let standing = self.state == State::LetGo;
                self.state = State::Armed;
                Verdict::Recovered { standing }
            }
            State::Holding { since } if since + self.config.hold <= now => {
                self.state = State::LetGo;
                Verdict::TimedOut(count)
            }
            State::Holding { .. } => Verdict::Holds(count),
            State::LetGo => Verdict::Free,
        }
    }

    /// An operator confirms that those brokers are really gone. False: it did not hold.
    pub fn release(&mut self) -> bool {
        let held = self.holds();
        if held {
            self.state = State::LetGo;
        }
        held
    }

    fn is_exceeded_by(&self, count: Missing) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "brokers are far fewer than 2^52")]
        let share = self.config.share * count.alive as f64;
        #[expect(clippy::cast_precision_loss, reason = "brokers are far fewer than 2^52")]
        let missing = count.missing as f64;
        missing > share && count.missing >= self.config.missing_min
    }
}

#[cfg(test)]
mod tests;
