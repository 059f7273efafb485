//! Read-index rounds as reads and heartbeats use them, and how fresh that makes this replica.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use signpost_raft::machine::{Index, NodeId, Term};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::errors::{ServiceError, Unavailable};
use crate::gate::Gate;
use crate::log::{Log, ReadError, Round, Status};

/// How an answer was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// After a read-index round begun when the call had arrived: as if there were one table only.
    Linearizable,
    /// From this replica's tables as they are.
    Local,
}

/// What every answer says about where, when and from what it was read (`Signpost-*` headers).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freshness {
    /// Applied log index that was read; of writes, the entry's own.
    pub index: Index,
    /// The leader, when known.
    pub leader: Option<NodeId>,
    /// The term.
    pub term: Term,
    /// The answering replica.
    pub node: NodeId,
    /// The cluster; None before founding.
    pub cluster: Option<Uuid>,
    /// Now − start of the latest read-index round whose index this replica has applied; None:
    /// there has been none since it started.
    pub quorum_age: Option<Duration>,
}

/// The replica's rounds: bounded, counted, and remembered for [`Freshness`].
pub(crate) struct Rounds {
    log: Arc<dyn Log>,
    status: watch::Receiver<Status>,
    waiting: Gate,
    /// What `latest_ns` counts from.
    origin: Instant,
    /// Start of the latest confirmed round, in ns after `origin`, plus 1; 0: there was none.
    latest_ns: AtomicU64,
    confirmed: AtomicU64,
    failed: AtomicU64,
}

impl Rounds {
    pub(crate) fn new(log: Arc<dyn Log>, waiting_max: usize) -> Self {
        let status = log.watch();
        Self {
            log,
            status,
            waiting: Gate::new(waiting_max, "reads and heartbeats waiting for a quorum"),
            origin: Instant::now(),
            latest_ns: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// A round begun after this call; the published tables then hold at least its index.
    pub(crate) async fn confirm(&self, deadline: Instant) -> Result<Round, ServiceError> {
        let _place = self.waiting.enter()?;
        self.confirm_first(deadline).await
    }

    /// The same for the leader's own rounds, which must not be crowded out by its callers.
    pub(crate) async fn confirm_first(&self, deadline: Instant) -> Result<Round, ServiceError> {
        match self.log.read_index(deadline).await {
            Ok(round) => {
                self.confirmed.fetch_add(1, Ordering::Relaxed);
                let since_origin = round.started.saturating_duration_since(self.origin);
                let ns = u64::try_from(since_origin.as_nanos()).unwrap_or(u64::MAX - 1) + 1;
                self.latest_ns.fetch_max(ns, Ordering::Relaxed);
                Ok(round)
            }
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                Err(match error {
                    ReadError::NoLeader => Unavailable::NoLeader.into(),
                    ReadError::NoQuorum => Unavailable::NoQuorum.into(),
                    ReadError::Overloaded => {
                        ServiceError::overloaded("reads and heartbeats waiting for a quorum")
                    }
                    ReadError::Stopped => Unavailable::Stopping.into(),
                    ReadError::Removed => removed(&self.status.borrow()),
                })
            }
        }
    }

    /// How fresh an answer read at `index` is.
    pub(crate) fn freshness(&self, index: Index) -> Freshness {
        let latest_ns = self.latest_ns.load(Ordering::Relaxed);
        let quorum_age = latest_ns.checked_sub(1).map(|ns| {
            Instant::now().saturating_duration_since(self.origin + Duration::from_nanos(ns))
        });
        let status = self.status.borrow();
        Freshness {
            index,
            leader: status.leader,
            term: status.term,
            node: status.node_id,
            cluster: status.cluster,
            quorum_age,
        }
    }

    /// May this replica answer from its tables at all? One that was removed sends elsewhere, and
    /// one that has never been fed must not say that something does not exist.
    pub(crate) fn may_answer(&self) -> Result<(), ServiceError> {
        let status = self.status.borrow();
        if status.removed {
            Err(removed(&status))
        } else if status.fed {
            Ok(())
        } else {
            Err(Unavailable::NotFed.into())
        }
    }

    /// The leader, as far as is known here.
    ///
    /// # Errors
    /// When this replica was removed: it knows of no leader that would matter to it.
    pub(crate) fn leader(&self) -> Result<Option<NodeId>, ServiceError> {
        let status = self.status.borrow();
        if status.removed { Err(removed(&status)) } else { Ok(status.leader) }
    }

    /// Rounds confirmed and failed since start.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.confirmed.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

/// The answer of a replica that was removed: where the others are.
pub(crate) fn removed(status: &Status) -> ServiceError {
    let others = status.members.iter().filter(|member| member.id != status.node_id);
    ServiceError::Removed { peers: others.map(|member| member.http.clone()).collect() }
}
