//! The owner of the leases: renews them, and proposes the end of those that ran out.
//!
//! It runs on every replica and acts only while its replica leads. Renewing a lease and marking it
//! as expiring are steps of one owner, under one lock that is never held across a wait. The rules
//! that keep claim 7 ("a lease never ends early") stand in docs/GUARANTEES.md, "How 7 is kept":
//!
//! | rule | kept in |
//! | --- | --- |
//! | a heartbeat is judged after a round begun after it arrived, in tables that hold the round's index | [`Lessor::heartbeat`] |
//! | the table belongs to one term and one unbroken run of rounds | [`Lessor::confirm`], [`crate::leases`] |
//! | nothing is acknowledged while an expiry is undecided | [`Lessor::judge`], [`expiry`] |
//! | the scanner proposes after a confirmed round only, and only what was overdue twice | [`scan`] |
//!
//! Beside the silent it ends the leases of brokers on 9876 that closed all their connections
//! ([`closures`], judged by the rules of [`presence`]).

mod closures;
mod expiry;
pub(crate) mod presence;
mod scan;
mod unchanged;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use signpost_raft::machine::{Index, NodeId};
use signpost_raft::planted::{Bug, planted};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use crate::alarms::{Alarms, MASS_EXPIRY};
use crate::answers::{Heartbeat, Renewed};
use crate::brake::Brake;
use crate::config::{NodeConfig, Timings};
use crate::errors::{ServiceError, Unavailable};
use crate::leases::{Confirmation, Leases, Renewal};
use crate::log::{Log, Role, Round};
use crate::machine::{Published, View};
use crate::reads::freshness::Rounds;
use crate::routes::admission::HeartbeatVerdict;
use crate::routes::changes::{Changes, RegistrationEvent};
use crate::routes::command::BrokerKey;
use crate::routes::tables::RouteTables;

use expiry::Fate;
use presence::Presence;

/// What only one may touch at a time.
struct Owner {
    leases: Leases,
    brake: Brake,
    presence: Presence,
    /// Expiries that this replica has proposed and whose fate it does not know yet. They outlast
    /// a change of term: as long as the proposal may still reach a log, the lease is expiring.
    pending: BTreeMap<(BrokerKey, Index), watch::Sender<Fate>>,
}

/// Counters for metrics.
#[derive(Debug, Default)]
pub(crate) struct LessorCounters {
    pub(crate) renewed: AtomicU64,
    pub(crate) proposed_expiries: AtomicU64,
    pub(crate) scans: AtomicU64,
    pub(crate) runs_broken: AtomicU64,
}

/// The owner of one replica's leases.
pub(crate) struct Lessor {
    node_id: NodeId,
    timings: Timings,
    log: Arc<dyn Log>,
    rounds: Arc<Rounds>,
    published: Arc<Published>,
    alarms: Arc<Alarms>,
    owner: Mutex<Owner>,
    /// Somebody has left: whoever waits for the next departure to be due looks again.
    departed: Notify,
    pub(crate) counters: LessorCounters,
}

/// What the owner says to a sign of life.
pub(crate) enum Judged {
    /// The lease has its full ttl again.
    Renewed(Renewed),
    /// It is refused.
    Refused(ServiceError),
    /// An expiry is being decided: wait for its fate.
    Expiring(watch::Receiver<Fate>),
    /// The round was of another term than the lease table, which has moved on: make a new one.
    Outdated,
}

impl Lessor {
    pub(crate) fn new(
        config: &NodeConfig,
        log: Arc<dyn Log>,
        rounds: Arc<Rounds>,
        published: Arc<Published>,
        alarms: Arc<Alarms>,
    ) -> Self {
        Self {
            node_id: config.node_id,
            timings: config.timings,
            log,
            rounds,
            published,
            alarms,
            owner: Mutex::new(Owner {
                // A follower waits for max plus a random time up to max before it stands.
                leases: Leases::new(2 * config.timings.election_timeout_max),
                brake: Brake::new(config.brake),
                presence: Presence::new(config.remoting.close_grace),
                pending: BTreeMap::new(),
            }),
            departed: Notify::new(),
            counters: LessorCounters::default(),
        }
    }

    /// A sign of life. Acknowledged only when the leadership was confirmed after it arrived, and
    /// the tables, as of that confirmation, hold the registration.
    ///
    /// # Errors
    /// What the tables say against it, or that nobody could be asked in time.
    pub(crate) async fn heartbeat(
        &self,
        heartbeat: &Heartbeat,
        deadline: Instant,
    ) -> Result<Renewed, ServiceError> {
        let arrived = planted(Bug::InheritedExpiryOvertakes).then(|| self.published.load());
        loop {
            let round = match self.assumed() {
                Some(round) => round,
                None => self.rounds.confirm(deadline).await?,
            };
            match self.judge_in(&round, heartbeat, arrived.as_ref()) {
                Judged::Renewed(renewed) => return Ok(renewed),
                Judged::Refused(error) => return Err(error),
                Judged::Expiring(fate) => wait_for_fate(fate, deadline).await?,
                Judged::Outdated if Instant::now() >= deadline => {
                    return Err(Unavailable::NoQuorum.into());
                }
                Judged::Outdated => {}
            }
        }
    }

    /// One step of the owner: judges a sign of life in the published tables, which hold at least
    /// the round's index, and renews the lease.
    pub(crate) fn judge(&self, round: &Round, heartbeat: &Heartbeat) -> Judged {
        self.judge_in(round, heartbeat, None)
    }

    /// The same in older tables, where that bug is planted.
    fn judge_in(&self, round: &Round, heartbeat: &Heartbeat, older: Option<&Arc<View>>) -> Judged {
        if round.leader != self.node_id {
            let leader = Some(round.leader);
            return Judged::Refused(Unavailable::NotLeader { leader }.into());
        }
        let mut owner = self.lock();
        let now = Instant::now();
        self.confirm_locked(&mut owner, round, now);
        if owner.leases.term() != round.term {
            return Judged::Outdated;
        }
        // Loaded under the lock: an expiry of ours that is not in these tables is still pending,
        // and an inherited one stands below the round's index.
        let serving = older.map_or_else(|| self.published.load(), Arc::clone);
        let Heartbeat { key, incarnation, epoch } = heartbeat;
        let ttl_ms = match serving.tables.judge_heartbeat(key, *incarnation, *epoch) {
            HeartbeatVerdict::Renewable { ttl_ms, .. } => ttl_ms,
            HeartbeatVerdict::NotRegistered => return Judged::Refused(ServiceError::Expired),
            HeartbeatVerdict::Superseded { highest } => {
                return Judged::Refused(ServiceError::Superseded { highest });
            }
            HeartbeatVerdict::Moved { epoch } => {
                return Judged::Refused(ServiceError::Moved { epoch });
            }
        };
        match owner.leases.renew(key, *epoch, ttl_of(ttl_ms), now) {
            Renewal::Renewed => {
                self.counters.renewed.fetch_add(1, Ordering::Relaxed);
                Judged::Renewed(Renewed {
                    epoch: *epoch,
                    lease_ttl_ms: ttl_ms,
                    index: serving.applied,
                })
            }
            Renewal::Expiring => Judged::Expiring(owner.fate_of(key, *epoch)),
        }
    }

    /// A write of this registration has been applied: as good as a heartbeat, unless an expiry
    /// that was proposed before or after it takes the registration away.
    ///
    /// # Errors
    /// [`ServiceError::Unknown`] when it is gone already, or may be: what was written was visible,
    /// so that it can't be called undone.
    pub(crate) async fn renew_written(
        &self,
        key: &BrokerKey,
        epoch: Index,
        deadline: Instant,
    ) -> Result<(), ServiceError> {
        loop {
            let fate = {
                let mut owner = self.lock();
                let serving = self.published.load();
                let live = serving.tables.registration(key).filter(|live| live.epoch >= epoch);
                let Some(live) = live else {
                    return Err(ServiceError::unknown("written, but the lease has ended since"));
                };
                if live.epoch > epoch {
                    // A newer process: the write stood in between.
                    return Ok(());
                }
                let ttl = ttl_of(live.lease_ttl_ms);
                match owner.leases.renew(key, epoch, ttl, Instant::now()) {
                    Renewal::Renewed => return Ok(()),
                    Renewal::Expiring => owner.fate_of(key, epoch),
                }
            };
            wait_for_fate(fate, deadline).await.map_err(|_| {
                ServiceError::unknown("written, but the end of the lease is being decided")
            })?;
        }
    }

    /// A confirmed round. Rounds of other leaders mean nothing to the leases.
    pub(crate) fn confirm(&self, round: &Round) {
        if round.leader == self.node_id {
            let mut owner = self.lock();
            self.confirm_locked(&mut owner, round, Instant::now());
        }
    }

    fn confirm_locked(&self, owner: &mut Owner, round: &Round, now: Instant) {
        match owner.leases.confirm(round.term, round.started, now) {
            Confirmation::Outdated | Confirmation::Continued => {}
            Confirmation::NewTerm => {
                let serving = self.published.load();
                if owner.brake.rearm() {
                    self.alarms.clear(MASS_EXPIRY);
                }
                owner.presence.clear();
                owner.reconcile(&serving.tables, now);
                for (key, epoch) in owner.pending.keys() {
                    owner.leases.mark_expiring(key, *epoch);
                }
                tracing::info!(
                    term = round.term,
                    leases = owner.leases.len(),
                    "leases begin anew under this leader: each broker has its full ttl"
                );
            }
            Confirmation::Broken { extended } => {
                self.counters.runs_broken.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    extended,
                    "no quorum confirmed this leader for a while: each broker has its full ttl again"
                );
            }
        }
    }

    /// What applies have changed; called as soon as it can be read. Keeps the leases in step, on
    /// followers too, so that a new leader knows who was removed lately.
    pub(crate) fn observe(&self, changes: &Changes, tables: &RouteTables) {
        if changes.registrations.is_empty() && !changes.everything {
            return;
        }
        let now = Instant::now();
        let mut owner = self.lock();
        let owner = &mut *owner;
        if changes.everything {
            owner.reconcile(tables, now);
        }
        for change in &changes.registrations {
            match change.what {
                RegistrationEvent::Began => {
                    // It may have ended again within the same batch.
                    if let Some(live) = tables.registration(&change.key)
                        && live.epoch == change.epoch
                    {
                        let ttl = ttl_of(live.lease_ttl_ms);
                        let alive_since = owner.brake.returned(&change.key, now);
                        owner.leases.grant(&change.key, change.epoch, ttl, alive_since, now);
                    }
                }
                RegistrationEvent::Superseded => {}
                RegistrationEvent::Unregistered
                | RegistrationEvent::AddressReused
                | RegistrationEvent::Expired(_) => {
                    owner.presence.settle(&change.key, change.epoch);
                    if let Some(ended) = owner.leases.end(&change.key, change.epoch) {
                        let own_request = !matches!(change.what, RegistrationEvent::Expired(_));
                        owner.brake.removed(ended, own_request, now);
                    }
                }
            }
        }
    }

    /// How often the leader's rounds begin: at least every min(1 s, ttl/8).
    pub(crate) fn round_interval(&self) -> Duration {
        let owner = self.lock();
        let ttl = owner.leases.ttl_min().unwrap_or(self.timings.lease_ttl);
        self.timings.round_interval.min(Duration::from_secs(1)).min(ttl / 8)
    }

    /// Leases, and whether the brake holds.
    pub(crate) fn gauges(&self) -> (usize, bool) {
        let owner = self.lock();
        (owner.leases.len(), owner.brake.holds())
    }

    /// The leadership taken for granted, where that bug is planted.
    fn assumed(&self) -> Option<Round> {
        if !planted(Bug::DeposedLeaderAcknowledges) {
            return None;
        }
        let (now, status) = (Instant::now(), self.log.status());
        let (term, leader) = (status.term, self.node_id);
        let leads = status.role == Role::Leader;
        leads.then_some(Round { index: 0, term, leader, started: now, ended: now })
    }

    fn lock(&self) -> MutexGuard<'_, Owner> {
        self.owner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Owner {
    fn reconcile(&mut self, tables: &RouteTables, now: Instant) {
        let alive =
            tables.registrations().map(|live| (&*live.key, live.epoch, ttl_of(live.lease_ttl_ms)));
        for ended in self.leases.reconcile(alive, now) {
            self.brake.removed(ended, false, now);
        }
    }

    fn fate_of(&self, key: &BrokerKey, epoch: Index) -> watch::Receiver<Fate> {
        match self.pending.get(&(key.clone(), epoch)) {
            Some(sender) => sender.subscribe(),
            // The outcome was hidden by a change of leadership, and no later round has settled it.
            None => watch::channel(Fate::Hidden).1,
        }
    }
}

/// A ttl as the tables hold it. Bounded, whatever an earlier version may have let into the log:
/// instants that far away can't be told.
fn ttl_of(ttl_ms: u64) -> Duration {
    Duration::from_millis(ttl_ms).min(Duration::from_secs(366 * 86_400))
}

/// Waits until an expiry's fate is known: then the sign of life is judged anew, after a new round.
/// Hidden fates are not waited out: the caller comes again.
pub(crate) async fn wait_for_fate(
    mut fate: watch::Receiver<Fate>,
    deadline: Instant,
) -> Result<(), ServiceError> {
    let undecided = || Unavailable::ExpiryUndecided.into();
    let known = timeout_at(deadline, fate.wait_for(|fate| *fate != Fate::Open)).await;
    match known {
        Ok(Ok(known)) if *known == Fate::Known => Ok(()),
        _ => Err(undecided()),
    }
}

#[cfg(test)]
mod tests;
