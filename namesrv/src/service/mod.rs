//! The name service as both doors call it: typed calls that any replica accepts.
//!
//! Reads are answered here ([`NameService::reads`]). What only the leader can do is executed here
//! when this replica leads, and is forwarded to the leader otherwise: one hop, with the time that
//! is left. A forwarded call is never forwarded again.
//!
//! | file | holds |
//! | --- | --- |
//! | [`crate::answers`] | what calls take and answer |
//! | `call` | how they cross the hop |
//! | `execute` | what the leader does with them |
//! | `stock` | what the door of stock brokers needs beside the rest |
//! | `departures` | brokers that closed all their connections: asking every member about them |
//! | `members` | membership, leadership, snapshots, alarms |

mod call;
mod departures;
mod execute;
mod members;
mod stock;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use signpost_raft::machine::Index;
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::call::{Answer, Envelope, Reply, Request, decode, encode, milliseconds};
pub use self::execute::Forwarded;
pub(crate) use self::stock::Witness;
use crate::alarms::Alarms;
pub use crate::answers::{Alarm, Heartbeat, Patched, Registered, Renewed, Written};
use crate::config::NodeConfig;
use crate::errors::{ServiceError, Unavailable};
use crate::gate::Gate;
use crate::lessor::Lessor;
use crate::log::{CallError, Log, Status};
use crate::proposals::Proposals;
use crate::reads::Reads;
use crate::reads::freshness::{Freshness, removed};
use crate::registrar::Registrar;
use crate::routes::changes::RegistrationChange;
use crate::routes::command::{
    BrokerName, ClusterName, Patch, QueueConfig, Register, Topic, Unregister,
};
use crate::tally::Tally;

/// One replica's name service. Made by [`crate::node`]; shared by the doors.
pub struct NameService {
    pub(crate) config: NodeConfig,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) reads: Reads,
    pub(crate) lessor: Arc<Lessor>,
    pub(crate) registrar: Registrar,
    pub(crate) proposals: Arc<Proposals>,
    pub(crate) alarms: Arc<Alarms>,
    /// Registrations that began and ended on this replica's tables.
    pub(crate) registrations: broadcast::Sender<RegistrationChange>,
    pub(crate) forwards: Gate,
    pub(crate) forwarded: Gate,
    pub(crate) counters: ServiceCounters,
    /// What knows of brokers' connections to this replica, once there is a door for them.
    pub(crate) witness: OnceLock<Arc<dyn Witness>>,
    /// What the door for RocketMQ's protocol has answered.
    pub(crate) tally: Arc<Tally>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// Counted since start.
#[derive(Debug, Default)]
pub(crate) struct ServiceCounters {
    pub(crate) forwards: AtomicU64,
    pub(crate) forwards_failed: AtomicU64,
    pub(crate) forwarded: AtomicU64,
    pub(crate) expired_silent: AtomicU64,
    pub(crate) expired_closed: AtomicU64,
    pub(crate) unregistered: AtomicU64,
    pub(crate) registered: AtomicU64,
    pub(crate) superseded: AtomicU64,
}

/// What a replica's name service has done and has under way, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Leases that this replica knows of; of meaning on the leader only.
    pub leases: usize,
    /// Does the mass-expiry brake hold? On the leader only.
    pub brake_holds: bool,
    /// Leases renewed here.
    pub renewed: u64,
    /// Scans that judged leases here.
    pub scans: u64,
    /// Expiries proposed here.
    pub proposed_expiries: u64,
    /// Times that no quorum confirmed this leader for too long.
    pub runs_broken: u64,
    /// Registrations that began, on any replica.
    pub registered: u64,
    /// Registrations that a newer process replaced.
    pub superseded: u64,
    /// Registrations taken away by their owners or an operator.
    pub unregistered: u64,
    /// Registrations expired because of silence.
    pub expired_silent: u64,
    /// Registrations expired because all their connections were closed.
    pub expired_closed: u64,
    /// Read-index rounds confirmed for calls and tasks here.
    pub rounds_confirmed: u64,
    /// Rounds that were not.
    pub rounds_failed: u64,
    /// Calls forwarded to a leader.
    pub forwards: u64,
    /// Of these, not answered.
    pub forwards_failed: u64,
    /// Calls answered for other replicas.
    pub forwarded: u64,
    /// Writes that are in flight now.
    pub proposals_in_flight: usize,
    /// Topics that are waited for now.
    pub waiters: usize,
    /// Bytes of encoded answers that are kept now.
    pub answer_cache_bytes: usize,
}

impl NameService {
    /// This replica's settings.
    #[must_use]
    pub fn config(&self) -> &NodeConfig {
        &self.config
    }

    /// What it is at the moment, and what it knows of its cluster.
    #[must_use]
    pub fn status(&self) -> Status {
        self.log.status()
    }

    /// Reads, and what every answer says about its freshness.
    #[must_use]
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// The deadline of a call that asks for `asked`, within the limits.
    #[must_use]
    pub fn deadline(&self, asked: Option<Duration>) -> Instant {
        let timings = &self.config.timings;
        Instant::now() + asked.unwrap_or(timings.call_timeout).min(timings.call_timeout_max)
    }

    /// Freshness of an answer to a write that took effect at `index`.
    #[must_use]
    pub fn freshness(&self, index: Index) -> Freshness {
        self.reads.freshness(index)
    }

    /// Registrations that begin and end from now on, with cause and index, as this replica's
    /// tables see it: what holds brokers' connections closes those of the expired. A listener that
    /// falls behind by more than the limit is told so by an error, and looks at the tables instead.
    #[must_use]
    pub fn registration_changes(&self) -> broadcast::Receiver<RegistrationChange> {
        self.registrations.subscribe()
    }

    /// Registers a broker with its whole content (`register.base` must be None).
    ///
    /// # Errors
    /// Superseded, LiveElsewhere, Stale, NameInOtherCluster, Expired (a retry of a registration
    /// that was removed since), Invalid, and what any forwarded write can meet.
    pub async fn register(
        &self,
        register: Register,
        deadline: Instant,
    ) -> Result<Registered, ServiceError> {
        match self.call(Request::Register(register), deadline).await? {
            Answer::Registered(registered) => Ok(registered),
            other => Err(mismatch(&other)),
        }
    }

    /// Changes topics of a live registration.
    ///
    /// # Errors
    /// Superseded, Stale, Moved, Expired, and what any forwarded write can meet.
    pub async fn patch(&self, patch: Patch, deadline: Instant) -> Result<Patched, ServiceError> {
        match self.call(Request::Patch(patch), deadline).await? {
            Answer::Patched(patched) => Ok(patched),
            other => Err(mismatch(&other)),
        }
    }

    /// Renews a lease. Writes nothing to the log.
    ///
    /// # Errors
    /// Expired, Superseded, Moved, and what any forwarded call can meet.
    pub async fn heartbeat(
        &self,
        heartbeat: Heartbeat,
        deadline: Instant,
    ) -> Result<Renewed, ServiceError> {
        match self.call(Request::Heartbeat(heartbeat), deadline).await? {
            Answer::Renewed(renewed) => Ok(renewed),
            other => Err(mismatch(&other)),
        }
    }

    /// Takes a registration away. Also ok when it is gone already; `changed` tells.
    ///
    /// # Errors
    /// Superseded, Stale, Moved, and what any forwarded write can meet.
    pub async fn unregister(
        &self,
        unregister: Unregister,
        deadline: Instant,
    ) -> Result<Written, ServiceError> {
        self.write(Request::Unregister(unregister), deadline).await
    }

    /// Wipes or restores the write permission of a broker name on all its topics.
    ///
    /// # Errors
    /// NotFound when no such broker is known, and what any forwarded write can meet.
    pub async fn set_write_permission(
        &self,
        cluster: Option<ClusterName>,
        broker_name: BrokerName,
        writable: bool,
        deadline: Instant,
    ) -> Result<Written, ServiceError> {
        self.write(Request::SetWritePermission { cluster, broker_name, writable }, deadline).await
    }

    /// Creates or changes a topic on named brokers.
    ///
    /// # Errors
    /// NotFound when one of them is not known; then nothing is changed.
    pub async fn put_topic(
        &self,
        topic: Topic,
        brokers: BTreeMap<BrokerName, QueueConfig>,
        deadline: Instant,
    ) -> Result<Written, ServiceError> {
        self.write(Request::PutTopic { topic, brokers }, deadline).await
    }

    /// Deletes a topic everywhere, or from one cluster's brokers. Also ok when there is none.
    ///
    /// # Errors
    /// What any forwarded write can meet.
    pub async fn delete_topic(
        &self,
        topic: Topic,
        cluster: Option<ClusterName>,
        deadline: Instant,
    ) -> Result<Written, ServiceError> {
        self.write(Request::DeleteTopic { topic, cluster }, deadline).await
    }

    /// Sets a KV configuration.
    ///
    /// # Errors
    /// IndexMismatch, and what any forwarded write can meet.
    pub async fn put_kv(
        &self,
        namespace: String,
        key: String,
        value: String,
        if_index: Option<Index>,
        deadline: Instant,
    ) -> Result<Written, ServiceError> {
        self.write(Request::PutKv { namespace, key, value, if_index }, deadline).await
    }

    /// Deletes a KV configuration. Also ok when there is none.
    ///
    /// # Errors
    /// IndexMismatch, and what any forwarded write can meet.
    pub async fn delete_kv(
        &self,
        namespace: String,
        key: String,
        if_index: Option<Index>,
        deadline: Instant,
    ) -> Result<Written, ServiceError> {
        self.write(Request::DeleteKv { namespace, key, if_index }, deadline).await
    }

    /// What it has done and has under way.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let (leases, brake_holds) = self.lessor.gauges();
        let (rounds_confirmed, rounds_failed) = self.reads.rounds().counts();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (lessor, own) = (&self.lessor.counters, &self.counters);
        Counters {
            leases,
            brake_holds,
            renewed: read(&lessor.renewed),
            scans: read(&lessor.scans),
            proposed_expiries: read(&lessor.proposed_expiries),
            runs_broken: read(&lessor.runs_broken),
            registered: read(&own.registered),
            superseded: read(&own.superseded),
            unregistered: read(&own.unregistered),
            expired_silent: read(&own.expired_silent),
            expired_closed: read(&own.expired_closed),
            rounds_confirmed,
            rounds_failed,
            forwards: read(&own.forwards),
            forwards_failed: read(&own.forwards_failed),
            forwarded: read(&own.forwarded),
            proposals_in_flight: self.proposals.in_flight(),
            waiters: self.reads.waiters(),
            answer_cache_bytes: self.reads.answer_cache_bytes(),
        }
    }

    /// Stops the tasks and ends waiting reads; calls are answered "stopping" from now on.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn write(&self, request: Request, deadline: Instant) -> Result<Written, ServiceError> {
        match self.call(request, deadline).await? {
            Answer::Written(written) => Ok(written),
            other => Err(mismatch(&other)),
        }
    }

    /// Executes a call here, or has the leader do it.
    async fn call(&self, request: Request, deadline: Instant) -> Reply {
        if self.stop.is_cancelled() {
            return Err(Unavailable::Stopping.into());
        }
        match self.reads.rounds().leader()? {
            Some(leader) if leader == self.config.node_id => self.execute(request, deadline).await,
            Some(leader) => self.forward(leader, request, deadline).await,
            None => Err(Unavailable::NoLeader.into()),
        }
    }

    async fn forward(&self, leader: u64, request: Request, deadline: Instant) -> Reply {
        let _place = self.forwards.enter()?;
        let remaining = deadline.saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            return Err(Unavailable::NoQuorum.into());
        }
        self.counters.forwards.fetch_add(1, Ordering::Relaxed);
        let name = request.name();
        let envelope = Envelope { remaining_ms: milliseconds(remaining), request };
        let bytes = encode(&envelope).map_err(|_| ServiceError::TooLarge {
            what: "bytes of a forwarded call".into(),
            limit: signpost_raft::codec::RECORD_BYTES_MAX,
        })?;
        drop(envelope);
        match self.log.call(leader, bytes, deadline).await {
            Ok(reply) => decode::<Reply>(&reply).unwrap_or_else(|error| {
                tracing::warn!(leader, call = name, error, "the leader's answer cannot be read");
                Err(ServiceError::unknown("the leader's answer could not be read"))
            }),
            Err(error) => {
                self.counters.forwards_failed.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(leader, call = name, ?error, "a forwarded call was not answered");
                Err(match error {
                    CallError::NotSent(why) => Unavailable::LeaderUnreachable(why).into(),
                    CallError::Unknown(why) => {
                        ServiceError::unknown(format!("the leader did not answer: {why}"))
                    }
                    CallError::Removed { .. } => removed(&self.log.status()),
                })
            }
        }
    }
}

/// The leader answered another call than the one that was made: a fault of that program.
fn mismatch(answer: &Answer) -> ServiceError {
    tracing::error!(?answer, "a call was answered with the answer to another");
    ServiceError::unknown("the leader's answer makes no sense")
}

#[cfg(test)]
mod tests;
