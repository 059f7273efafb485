//! What all parts of a replica share.

use std::io;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use openraft::Raft;
use openraft::async_runtime::WatchReceiver as _;
use tokio::sync::{Mutex, Notify, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::config::Config;
use crate::disk::may_pass;
use crate::machine::{Machine, NodeId};
use crate::peer::channel::Channels;
use crate::peer::dial::{Dialer, Identity};
use crate::peer::server;
use crate::replica::{CallHandler, StopReason};
use crate::rounds::Rounds;
use crate::status::{self, Status};
use crate::store::Store;
use crate::store::identity::Home;
use crate::store::machine::MachineStore;
use crate::types::{Peer, TypeConfig};

/// After so many election timeouts without a word from the leader, none is known.
const LEADER_SILENCE: u32 = 2;

/// openraft over our store.
pub(crate) type RaftOf<M> = Raft<TypeConfig, MachineStore<M>>;

/// What all parts of a replica share.
pub(crate) struct Core<M: Machine>(Arc<Shared<M>>);

impl<M: Machine> Core<M> {
    pub(crate) fn new(shared: Shared<M>) -> Self {
        Core(Arc::new(shared))
    }
}

impl<M: Machine> Clone for Core<M> {
    fn clone(&self) -> Self {
        Core(self.0.clone())
    }
}

impl<M: Machine> std::ops::Deref for Core<M> {
    type Target = Shared<M>;
    fn deref(&self) -> &Shared<M> {
        &self.0
    }
}

pub(crate) struct Shared<M: Machine> {
    pub(crate) config: Config,
    pub(crate) raft: RaftOf<M>,
    pub(crate) dialer: Dialer,
    pub(crate) channels: Arc<Channels>,
    pub(crate) store: Store,
    pub(crate) status: watch::Sender<Status>,
    /// Why this replica cannot go on, once it cannot.
    pub(crate) failure: watch::Sender<Option<StopReason>>,
    pub(crate) stop: watch::Sender<bool>,
    /// What serves peers.
    pub(crate) serving: TaskTracker,
    /// When a leader's entries or heartbeat came last, since this process began.
    pub(crate) heard: std::sync::Mutex<Option<Instant>>,
    /// Told when a leader is heard of again after a silence.
    pub(crate) heard_again: Notify,
    pub(crate) refusals: server::Refusals,
    /// One change of membership at a time: openraft's open issue 1544.
    pub(crate) membership_lock: Mutex<()>,
    pub(crate) proposals: Arc<Semaphore>,
    /// Set before anything is served.
    pub(crate) rounds: OnceLock<Rounds>,
    pub(crate) handler: OnceLock<Arc<dyn CallHandler>>,
}

impl<M: Machine> Shared<M> {
    pub(crate) fn node_id(&self) -> NodeId {
        self.config.node_id
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.dialer.identity
    }

    pub(crate) fn rounds(&self) -> &Rounds {
        self.rounds.get().expect("set before anything is served")
    }

    pub(crate) fn call_handler(&self) -> Option<Arc<dyn CallHandler>> {
        self.handler.get().cloned()
    }

    /// A round that no quorum confirms in this time has failed.
    pub(crate) fn round_timeout(&self) -> Duration {
        self.config.election_timeout_max
    }

    /// Who leads, as far as is known here, and how to reach it.
    pub(crate) fn leader(&self) -> Option<(NodeId, Peer)> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics.current_leader?;
        let peer = metrics.membership_config.membership().get_node(&leader)?.clone();
        Some((leader, peer))
    }

    /// A leader's word has come, just now.
    pub(crate) fn heard_of_leader(&self) {
        let now = Instant::now();
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let silence_max = self.config.election_timeout_max;
        if heard.replace(now).is_none_or(|before| now - before >= silence_max) {
            self.heard_again.notify_one();
        }
    }

    /// Whether a leader's word has come lately. What openraft names as the leader may be long dead:
    /// a restarted follower has the leader of its vote, and one that no majority answers keeps the
    /// one it had.
    pub(crate) fn hears_of_leader(&self) -> bool {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.is_some_and(|at| at.elapsed() < self.config.election_timeout_max * LEADER_SILENCE)
    }

    /// Makes a cluster's uuid this replica's own, durably.
    pub(crate) async fn adopt(&self, cluster: Uuid) -> io::Result<()> {
        let cluster_name = self.config.cluster_name.clone();
        let home = Home { cluster, cluster_name, node_id: self.node_id() };
        self.store.identity.set_home(home).await?;
        self.identity().set_cluster(cluster);
        Ok(())
    }

    /// Whether it has been told to stop: what the disk does not take any more, the log says again at
    /// the next start.
    pub(crate) fn stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Declares that this replica cannot go on, for this reason, unless its disk has failed, which is
    /// behind all that follows. The first reason stays.
    pub(crate) fn fail(&self, why: String) {
        let reason = match self.store.failure() {
            Some(error) if may_pass(&error) => StopReason::DiskFailed(error.to_string()),
            Some(error) => StopReason::CannotGoOn(status::untrusted(&error)),
            None => StopReason::CannotGoOn(why),
        };
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            if first {
                *failure = Some(reason);
            }
            first
        });
    }
}
