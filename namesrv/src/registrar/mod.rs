//! Registrations, compared at the leader with what the broker registered last
//! (docs/GUARANTEES.md, "Registrations"): only what differs is proposed, with the base that it was
//! compared with, and what says nothing new only renews the lease.

mod locks;

use std::borrow::Cow;
use std::sync::Arc;

use signpost_raft::machine::{Index, NodeId};
use tokio::time::Instant;

use self::locks::KeyedLocks;
use crate::alarms::{Alarms, NAME_IN_TWO_CLUSTERS};
use crate::answers::{Compared, Heartbeat, Patched, Registered};
use crate::config::NodeConfig;
use crate::errors::{ServiceError, Unavailable};
use crate::lessor::{Judged, Lessor, wait_for_fate};
use crate::log::{Applied, Round};
use crate::machine::Published;
use crate::proposals::Proposals;
use crate::reads::freshness::Rounds;
use crate::routes::admission::Admission;
use crate::routes::command::{
    BrokerKey, Claim, Patch, Refusal, Register, RouteCommand, RouteOutcome,
};
use crate::routes::tables::RouteTables;

/// How often a registration is compared anew when what it was compared with has moved, or when a
/// round is needed first.
const TRIES_MAX: usize = 16;

/// Compares and proposes the registrations of one leader.
pub(crate) struct Registrar {
    node_id: NodeId,
    rounds: Arc<Rounds>,
    published: Arc<Published>,
    proposals: Arc<Proposals>,
    lessor: Arc<Lessor>,
    alarms: Arc<Alarms>,
    locks: KeyedLocks,
}

impl Registrar {
    pub(crate) fn new(
        config: &NodeConfig,
        rounds: Arc<Rounds>,
        published: Arc<Published>,
        proposals: Arc<Proposals>,
        lessor: Arc<Lessor>,
        alarms: Arc<Alarms>,
    ) -> Self {
        Self {
            node_id: config.node_id,
            rounds,
            published,
            proposals,
            lessor,
            alarms,
            locks: KeyedLocks::new(config.limits.registrations_waiting),
        }
    }

    /// Registers a broker with its whole content.
    ///
    /// # Errors
    /// The tables' refusal, or that it could not be done in time.
    pub(crate) async fn register(
        &self,
        register: &Register,
        deadline: Instant,
    ) -> Result<Registered, ServiceError> {
        Ok(self.compare(register, None, deadline).await?.registered)
    }

    /// Registers a stock broker. `former` is the epoch that an earlier connection of this broker to
    /// the same replica renewed last, when this registration is the first on its connection: if
    /// that is the live one, another process has begun, or the same one anew, and so does an epoch.
    /// Otherwise the registration joins whatever is live, or else a broker's connections to several
    /// replicas would never stop superseding each other.
    ///
    /// # Errors
    /// As [`Registrar::register`].
    pub(crate) async fn register_stock(
        &self,
        register: &Register,
        former: Option<Index>,
        deadline: Instant,
    ) -> Result<Compared, ServiceError> {
        self.compare(register, former, deadline).await
    }

    async fn compare(
        &self,
        register: &Register,
        former: Option<Index>,
        deadline: Instant,
    ) -> Result<Compared, ServiceError> {
        let _turn = self.locks.turn(&register.key, deadline).await?;
        // What is proposed is judged again by apply, against the tables as they are then. Only what
        // is answered from here needs a round.
        let mut confirmed: Option<Round> = None;
        for _ in 0..TRIES_MAX {
            let serving = self.published.load();
            let register = &*successor(&serving.tables, register, former);
            let command = match (serving.tables.admit(register), confirmed.take()) {
                (Admission::Change(change), _) => change.narrow(register),
                (Admission::NewEpoch { .. }, _) => register.clone(),
                (Admission::Unchanged { .. } | Admission::Refused(_), None) => {
                    drop(serving);
                    confirmed = Some(self.confirm(deadline).await?);
                    continue;
                }
                (Admission::Unchanged { epoch }, Some(round)) => {
                    let live = serving.tables.registration(&register.key);
                    let content_digest = live.map(|live| live.content_digest);
                    match self.unchanged(&round, register, epoch, deadline).await? {
                        Some(registered) => return Ok(Compared { registered, content_digest }),
                        None => continue,
                    }
                }
                (Admission::Refused(refusal), Some(_)) => {
                    return Err(self.refused(&register.key, refusal));
                }
            };
            // Not kept alive across the wait: other versions of the tables share most of it.
            drop(serving);
            let is_narrow = command.base.is_some();
            let is_successor = former.is_some() && command.claim.is_some();
            let Applied { index, outcome } =
                self.proposals.propose(RouteCommand::Register(command), deadline).await?;
            match outcome {
                RouteOutcome::Registered { epoch, new_epoch, changed, master } => {
                    if !new_epoch {
                        self.lessor.renew_written(&register.key, epoch, deadline).await?;
                    }
                    let lease_ttl_ms = register.lease_ttl_ms;
                    let registered = Registered { epoch, index, lease_ttl_ms, changed, master };
                    return Ok(Compared { registered, content_digest: None });
                }
                RouteOutcome::Refused(Refusal::Moved { .. } | Refusal::NotRegistered)
                    if is_narrow => {}
                // These tables lagged behind: somebody else has begun this epoch's successor.
                RouteOutcome::Refused(Refusal::Superseded { .. } | Refusal::Stale { .. })
                    if is_successor => {}
                RouteOutcome::Refused(refusal) => return Err(self.refused(&register.key, refusal)),
                other => return Err(unexpected(&other)),
            }
        }
        Err(Unavailable::Contended.into())
    }

    /// Changes topics of a live registration.
    ///
    /// # Errors
    /// The tables' refusal, or that it could not be done in time.
    pub(crate) async fn patch(
        &self,
        patch: &Patch,
        deadline: Instant,
    ) -> Result<Patched, ServiceError> {
        let _turn = self.locks.turn(&patch.key, deadline).await?;
        for _ in 0..TRIES_MAX {
            let round = self.confirm(deadline).await?;
            let serving = self.published.load();
            match serving.tables.admit_patch(patch) {
                Admission::Unchanged { epoch } => {
                    let heartbeat = Heartbeat {
                        key: patch.key.clone(),
                        incarnation: Some(patch.claim.incarnation),
                        epoch,
                    };
                    match self.lessor.judge(&round, &heartbeat) {
                        Judged::Renewed(renewed) => {
                            return Ok(Patched { epoch, index: renewed.index });
                        }
                        Judged::Expiring(fate) => wait_for_fate(fate, deadline).await?,
                        Judged::Refused(_) | Judged::Outdated => {}
                    }
                    continue;
                }
                Admission::Change(_) | Admission::NewEpoch { .. } => {}
                Admission::Refused(refusal) => return Err(refusal.into()),
            }
            drop(serving);
            let Applied { index, outcome } =
                self.proposals.propose(RouteCommand::Patch(patch.clone()), deadline).await?;
            return match outcome {
                RouteOutcome::Registered { epoch, .. } => {
                    self.lessor.renew_written(&patch.key, epoch, deadline).await?;
                    Ok(Patched { epoch, index })
                }
                RouteOutcome::Refused(refusal) => Err(refusal.into()),
                other => Err(unexpected(&other)),
            };
        }
        Err(Unavailable::Contended.into())
    }

    /// A round that confirms that *this* replica leads: what its tables then say against a
    /// registration is the truth, and not what a deposed leader remembers.
    async fn confirm(&self, deadline: Instant) -> Result<Round, ServiceError> {
        let round = self.rounds.confirm(deadline).await?;
        if round.leader == self.node_id {
            Ok(round)
        } else {
            Err(Unavailable::NotLeader { leader: Some(round.leader) }.into())
        }
    }

    /// A registration that says nothing new is a heartbeat. None: it must be compared anew.
    async fn unchanged(
        &self,
        round: &Round,
        register: &Register,
        epoch: Index,
        deadline: Instant,
    ) -> Result<Option<Registered>, ServiceError> {
        let heartbeat = Heartbeat { key: register.key.clone(), incarnation: None, epoch };
        match self.lessor.judge(round, &heartbeat) {
            Judged::Renewed(renewed) => Ok(Some(Registered {
                epoch,
                index: renewed.index,
                lease_ttl_ms: renewed.lease_ttl_ms,
                changed: false,
                master: master_of(&self.published.load().tables, &register.key),
            })),
            Judged::Expiring(fate) => wait_for_fate(fate, deadline).await.map(|()| None),
            // It moved on since it was compared.
            Judged::Refused(_) | Judged::Outdated => Ok(None),
        }
    }

    fn refused(&self, key: &BrokerKey, refusal: Refusal) -> ServiceError {
        if let Refusal::NameInOtherCluster { cluster } = &refusal {
            let detail = format!(
                "broker name {} is registered in cluster {cluster} and was claimed for cluster {}; \
                 rename one of them",
                key.name, key.cluster
            );
            if self.alarms.raise(NAME_IN_TWO_CLUSTERS, detail) {
                tracing::warn!(
                    broker = %key.name, claimed_for = %key.cluster, registered_in = %cluster,
                    "a broker name was claimed from two clusters"
                );
            }
        }
        refusal.into()
    }
}

/// For slaves: the live master's address and HA address.
fn master_of(tables: &RouteTables, key: &BrokerKey) -> Option<(String, String)> {
    if key.id == 0 { None } else { tables.master(&key.name) }
}

/// The same registration as that of a process that follows the live one, if the live epoch is this
/// former one. A broker at another address is another process anyway.
fn successor<'a>(
    tables: &RouteTables,
    register: &'a Register,
    former: Option<Index>,
) -> Cow<'a, Register> {
    match tables.registration(&register.key) {
        Some(live) if former == Some(live.epoch) && *live.address == *register.address => {
            let incarnation = live.claim.incarnation.saturating_add(1);
            let claim = Some(Claim { incarnation, seq: 1 });
            Cow::Owned(Register { claim, ..register.clone() })
        }
        _ => Cow::Borrowed(register),
    }
}

/// Apply answered something that its command has no use for: a fault of this program.
pub(crate) fn unexpected(outcome: &RouteOutcome) -> ServiceError {
    tracing::error!(?outcome, "a command was answered with an outcome of another");
    ServiceError::unknown("the command was applied, but its outcome makes no sense")
}

#[cfg(test)]
mod tests;
