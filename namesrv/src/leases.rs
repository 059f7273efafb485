//! The lease table: who was heard of when, and since when a silence counts. Pure: `now` is an
//! argument, and nothing here decides more than "this one is overdue".
//!
//! The table belongs to one term and to one unbroken run of confirmed read-index rounds
//! (docs/GUARANTEES.md, "How 7 is kept"); it is memory of the leader only, and is worth nothing to
//! anybody else.

use std::collections::BTreeMap;
use std::time::Duration;

use signpost_raft::machine::{Index, Term};
use signpost_raft::planted::{Bug, planted};
use tokio::time::Instant;

use crate::routes::command::BrokerKey;

/// One registration's lease.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lease {
    epoch: Index,
    ttl: Duration,
    /// Last sign of life + ttl.
    deadline: Instant,
    /// Since when this leader knows the broker to be alive; None: it found it alive.
    alive_since: Option<Instant>,
    /// Was it overdue at the previous scan?
    suspected: bool,
    /// Has it closed all its connections? Then it is missing, for the brake, before it is silent.
    left: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Live,
    /// An expiry is in the log, or on its way there; nobody knows yet what will become of it.
    Expiring,
    /// As before, and since then a change of leadership has hidden the outcome. A round begun
    /// later settles it: whatever its term did not inherit never happens.
    Undecided {
        since: Instant,
    },
}

/// What a confirmed round meant to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// A round of a term that has passed: it says nothing.
    Outdated,
    /// The run goes on.
    Continued,
    /// A new term: every lease got its full ttl again, and what the table lacks must be filled
    /// in from the route tables.
    NewTerm,
    /// Too long since the last confirmed round: this many leases got their full ttl again.
    Broken {
        /// How many.
        extended: usize,
    },
}

/// What became of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The lease has its full ttl again.
    Renewed,
    /// Its expiry is being decided: no answer before the outcome is known.
    Expiring,
}

/// A broker whose lease is gone, as the brake wants to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Who.
    pub key: BrokerKey,
    /// Its ttl.
    pub ttl: Duration,
    /// See [`Leases::grant`].
    pub alive_since: Option<Instant>,
}

/// Leases by broker. One lease a broker: that of its live epoch.
#[derive(Debug)]
pub struct Leases {
    term: Term,
    /// Start of the latest confirmed round of this term.
    confirmed_from: Option<Instant>,
    /// A gap shorter than this never breaks the run.
    election_timeout_max: Duration,
    by_key: BTreeMap<BrokerKey, Lease>,
    /// How many leases are undecided: mostly none, and then nobody need look for them.
    undecided: usize,
}

impl Leases {
    /// An empty table of no term.
    #[must_use]
    pub fn new(election_timeout_max: Duration) -> Self {
        Self {
            term: 0,
            confirmed_from: None,
            election_timeout_max,
            by_key: BTreeMap::new(),
            undecided: 0,
        }
    }

    /// The term that the table belongs to; 0: none yet.
    #[must_use]
    pub fn term(&self) -> Term {
        self.term
    }

    /// How many leases there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// The shortest ttl of all leases: it sets the pace of the rounds.
    #[must_use]
    pub fn ttl_min(&self) -> Option<Duration> {
        self.by_key.values().map(|lease| lease.ttl).min()
    }

    /// A quorum confirmed `term` by a round that began at `started`; it is `now` that we learned
    /// of it. From the start of one to the end of the next at most max(longest election time,
    /// ttl/4) may pass: after a longer gap (we were paused, or cut off, or all followers were)
    /// heartbeats may have been lost on us, so every lease concerned gets its full ttl again.
    pub fn confirm(&mut self, term: Term, started: Instant, now: Instant) -> Confirmation {
        if term < self.term {
            return Confirmation::Outdated;
        }
        if term > self.term {
            // Compared as a number, not by notifications: those coalesce, and we may have lost
            // and won an election between two of them.
            self.term = term;
            self.undecided = 0;
            self.confirmed_from = Some(started);
            for lease in self.by_key.values_mut() {
                lease.left = false;
                lease.state = State::Live;
                if planted(Bug::NoFullTtlInNewTerm) {
                    continue;
                }
                lease.deadline = now + lease.ttl;
                lease.suspected = false;
            }
            return Confirmation::NewTerm;
        }
        let previous = self.confirmed_from.unwrap_or(started);
        let gap = now.saturating_duration_since(previous);
        self.confirmed_from = Some(previous.max(started));
        if self.undecided > 0 {
            self.settle_undecided(started);
        }
        let mut extended = 0;
        if gap > self.election_timeout_max && !planted(Bug::NoFullTtlAfterCutOff) {
            for lease in self.by_key.values_mut() {
                if gap > self.election_timeout_max.max(lease.ttl / 4) {
                    extended += usize::from(lease.state == State::Live);
                    lease.deadline = now + lease.ttl;
                    lease.suspected = false;
                }
            }
        }
        if extended > 0 { Confirmation::Broken { extended } } else { Confirmation::Continued }
    }

    fn settle_undecided(&mut self, round_started: Instant) {
        for lease in self.by_key.values_mut() {
            if let State::Undecided { since } = lease.state
                && since <= round_started
            {
                lease.state = State::Live;
                self.undecided -= 1;
            }
        }
    }

    /// A registration begins: a full ttl from `now`. `alive_since` is the time from which the
    /// broker counts as alive for the brake. A lease of a later epoch stays as it is.
    pub fn grant(
        &mut self,
        key: &BrokerKey,
        epoch: Index,
        ttl: Duration,
        alive_since: Option<Instant>,
        now: Instant,
    ) {
        let former = self.by_key.get(key);
        if former.is_some_and(|lease| lease.epoch > epoch) {
            return;
        }
        // A broker that begins a new epoch without having been away was alive all the time.
        let alive_since = former.map_or(alive_since, |lease| lease.alive_since);
        let lease = Lease {
            epoch,
            ttl,
            deadline: now + ttl,
            alive_since,
            suspected: false,
            left: false,
            state: State::Live,
        };
        let former = self.by_key.insert(key.clone(), lease);
        self.forget(former.as_ref());
    }

    /// A lease left the table.
    fn forget(&mut self, former: Option<&Lease>) {
        if former.is_some_and(|lease| matches!(lease.state, State::Undecided { .. })) {
            self.undecided -= 1;
        }
    }

    /// A sign of life of a registration that the tables hold alive. One that has no lease yet
    /// gets one.
    pub fn renew(&mut self, key: &BrokerKey, epoch: Index, ttl: Duration, now: Instant) -> Renewal {
        match self.by_key.get_mut(key) {
            Some(lease) if lease.epoch == epoch => {
                if lease.state != State::Live && !planted(Bug::AcknowledgedWhileExpiring) {
                    return Renewal::Expiring;
                }
                lease.ttl = ttl;
                lease.deadline = now + ttl;
                lease.suspected = false;
                lease.left = false;
            }
            _ => self.grant(key, epoch, ttl, Some(now), now),
        }
        Renewal::Renewed
    }

    /// Makes the table fit the published tables: what is alive there and has no lease, or another
    /// ttl, gets a full ttl, and leases of registrations that are gone end. Those are answered.
    pub fn reconcile<'a>(
        &mut self,
        alive: impl Iterator<Item = (&'a BrokerKey, Index, Duration)>,
        now: Instant,
    ) -> Vec<Ended> {
        let mut former = std::mem::take(&mut self.by_key);
        for (key, epoch, ttl) in alive {
            let lease = match former.remove(key) {
                Some(lease) if lease.epoch > epoch || lease.ttl == ttl && lease.epoch == epoch => {
                    lease
                }
                Some(lease) if lease.epoch == epoch => Lease { ttl, deadline: now + ttl, ..lease },
                other => {
                    self.forget(other.as_ref());
                    Lease {
                        epoch,
                        ttl,
                        deadline: now + ttl,
                        alive_since: other.and_then(|lease| lease.alive_since),
                        suspected: false,
                        left: false,
                        state: State::Live,
                    }
                }
            };
            self.by_key.insert(key.clone(), lease);
        }
        for lease in former.values() {
            self.forget(Some(lease));
        }
        former
            .into_iter()
            .map(|(key, lease)| Ended { key, ttl: lease.ttl, alive_since: lease.alive_since })
            .collect()
    }

    /// What was overdue at this scan and at the one before, with its epoch. Marks the others
    /// that are overdue as suspects.
    pub fn overdue(&mut self, now: Instant) -> Vec<(BrokerKey, Index)> {
        let mut overdue = Vec::new();
        for (key, lease) in &mut self.by_key {
            if lease.state != State::Live {
                continue;
            }
            let late = lease.deadline < now;
            if late && lease.suspected {
                overdue.push((key.clone(), lease.epoch));
            }
            lease.suspected = late;
        }
        overdue
    }

    /// A scan did not take place: the next one begins the succession anew.
    pub fn forget_suspects(&mut self) {
        for lease in self.by_key.values_mut() {
            lease.suspected = false;
        }
    }

    /// The expiry of this registration is being proposed. False: it is not there, or already is.
    pub fn mark_expiring(&mut self, key: &BrokerKey, epoch: Index) -> bool {
        match self.by_key.get_mut(key) {
            Some(lease) if lease.epoch == epoch && lease.state == State::Live => {
                lease.state = State::Expiring;
                true
            }
            _ => false,
        }
    }

    /// The same, unless it was heard of after this time.
    pub fn mark_expiring_if_quiet_since(
        &mut self,
        key: &BrokerKey,
        epoch: Index,
        since: Instant,
    ) -> bool {
        let heard_of = |lease: &Lease| lease.deadline > since + lease.ttl;
        !self.by_key.get(key).is_some_and(heard_of) && self.mark_expiring(key, epoch)
    }

    /// It has closed all its connections, or has not. False: there is no such lease, or its expiry
    /// is being decided.
    pub fn set_left(&mut self, key: &BrokerKey, epoch: Index, left: bool) -> bool {
        match self.by_key.get_mut(key) {
            Some(lease) if lease.epoch == epoch && lease.state == State::Live => {
                lease.left = left;
                true
            }
            _ => false,
        }
    }

    /// The expiry was proposed, and a change of leadership has hidden what became of it.
    pub fn mark_undecided(&mut self, key: &BrokerKey, epoch: Index, now: Instant) {
        if let Some(lease) = self.by_key.get_mut(key)
            && lease.epoch == epoch
            && lease.state == State::Expiring
        {
            lease.state = State::Undecided { since: now };
            self.undecided += 1;
        }
    }

    /// The expiry surely never happens: the lease goes on, overdue as it is.
    pub fn revive(&mut self, key: &BrokerKey, epoch: Index) {
        if let Some(lease) = self.by_key.get_mut(key)
            && lease.epoch == epoch
            && lease.state == State::Expiring
        {
            lease.state = State::Live;
        }
    }

    /// The registration is gone. None: this epoch had no lease.
    pub fn end(&mut self, key: &BrokerKey, epoch: Index) -> Option<Ended> {
        if self.by_key.get(key)?.epoch != epoch {
            return None;
        }
        let lease = self.by_key.remove(key)?;
        self.forget(Some(&lease));
        Some(Ended { key: key.clone(), ttl: lease.ttl, alive_since: lease.alive_since })
    }

    /// Brokers not heard of for more than half their ttl, and those that closed all their
    /// connections.
    #[must_use]
    pub fn silent(&self, now: Instant) -> usize {
        let is_silent = |lease: &&Lease| lease.left || lease.deadline < now + lease.ttl / 2;
        self.by_key.values().filter(is_silent).count()
    }

    /// Brokers that were alive a ttl ago and still have a lease.
    #[must_use]
    pub fn alive_a_ttl_ago(&self, now: Instant) -> usize {
        let old = |lease: &&Lease| lease.alive_since.is_none_or(|since| since + lease.ttl <= now);
        self.by_key.values().filter(old).count()
    }
}

#[cfg(test)]
mod tests;
