//! One replica: the handle that the application holds.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use openraft::Raft;
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::{ClientWriteError, RaftError};
use tokio::sync::{Mutex, Notify, Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::TaskTracker;

use crate::codec;
use crate::compaction;
use crate::config::Config;
use crate::disk::Disk;
use crate::lifecycle;
use crate::machine::{Index, Machine, NodeId};
use crate::network::{Listener, Network};
pub use crate::peer::channel::CallError;
use crate::peer::channel::Channels;
use crate::peer::dial::{Dialer, Identity};
use crate::peer::message::{Answer, Ask};
use crate::peer::rpc::PeerRpcs;
use crate::peer::server;
use crate::planted::{Bug, planted};
use crate::rounds::Rounds;
pub use crate::rounds::{ReadError, Round};
use crate::shared::{Core, RaftOf, Shared};
use crate::status;
pub use crate::status::Status;
use crate::store::Store;
use crate::store::identity::Identity as OnDisk;
use crate::store::journal::{FileJournal, Journal};
pub use crate::store::log::LogCounters;
use crate::store::machine::MachineStore;
use crate::types::{Payload, Runtime, TypeConfig};

/// How long a stopping replica waits for calls of peers that it has begun.
const SERVING_END: Duration = Duration::from_secs(1);

/// A replica of a machine. Cheap to clone; all clones are one replica.
pub struct Replica<M: Machine> {
    core: Core<M>,
}

impl<M: Machine> Clone for Replica<M> {
    fn clone(&self) -> Self {
        Replica { core: self.core.clone() }
    }
}

/// Why a replica has stopped, in words for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StopReason {
    /// Its disk could not be written, or not be synchronised. It may be started again.
    #[error(
        "this replica has stopped, for its disk failed: {0}. What it has acknowledged is safe there; \
         make room, or mend the disk, and start it again"
    )]
    DiskFailed(String),
    /// It must not just be started again.
    #[error("{0}")]
    CannotGoOn(String),
}

/// An applied proposal: where it stands in the log, and what it answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied<O> {
    /// Its log index.
    pub index: Index,
    /// The machine's answer.
    pub outcome: O,
}

/// Why a proposal has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This replica does not lead, or no longer with a quorum. Surely not done.
    #[error("this replica does not lead")]
    NotLeader {
        /// Who does, if known.
        leader: Option<NodeId>,
    },
    /// Too many proposals are under way. Surely not done.
    #[error("too many proposals are under way")]
    Overloaded,
    /// The command is larger than a log entry may be. Surely not done.
    #[error("the command is too large: {0}")]
    TooLarge(String),
    /// It may be in the log, and may be applied, once, now or later.
    #[error("it is not known whether the proposal was or will be applied")]
    Unknown,
    /// This replica is stopping, and did not propose it.
    #[error("this replica is stopping")]
    Stopped,
}

impl ProposeError {
    /// Whether the command surely was not and will not be applied.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        !matches!(self, ProposeError::Unknown)
    }
}

/// Why a replica could not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration is wrong, or does not fit the disk.
    #[error("{0}")]
    Config(String),
    /// The disk cannot be read, or holds something damaged.
    #[error("{0}")]
    Disk(#[from] io::Error),
    /// The raft core refused its state.
    #[error("the log and the snapshot do not fit together: {0}")]
    Core(String),
}

/// A boxed answer to a call.
pub type CallFuture = Pin<Box<dyn Future<Output = Vec<u8>> + Send>>;

/// Answers the calls of other replicas.
pub trait CallHandler: Send + Sync + 'static {
    /// Answers one call of replica `from`.
    fn handle(&self, from: NodeId, request: Vec<u8>) -> CallFuture;
}

/// Whether a configuration fits what its disk says of itself.
fn fits(config: &Config, on_disk: &OnDisk) -> Result<(), String> {
    let Some(home) = &on_disk.home else { return Ok(()) };
    if home.node_id != config.node_id {
        return Err(format!(
            "node-id: this data directory is replica {}'s, not replica {}'s",
            home.node_id, config.node_id
        ));
    }
    if home.cluster_name != config.cluster_name {
        return Err(format!(
            "cluster-id: this data directory belongs to the cluster named {:?}, not {:?}",
            home.cluster_name, config.cluster_name
        ));
    }
    Ok(())
}

impl<M: Machine> Replica<M> {
    /// Opens a replica on its disk and starts it: it serves peers on `listener`, founds its cluster
    /// or waits to be fed, and takes part. `machine` must be empty; what the disk holds is restored
    /// into it, so that its tables can be read when this returns.
    ///
    /// # Errors
    /// When the configuration is wrong, or the disk's content is damaged or of another replica.
    pub async fn open(
        config: Config,
        disk: Arc<dyn Disk>,
        network: Arc<dyn Network>,
        listener: Box<dyn Listener>,
        machine: M,
    ) -> Result<Replica<M>, OpenError> {
        config.validate().map_err(OpenError::Config)?;
        let store = Store::open(disk, config.fresh_disk_id).await?;
        let on_disk = store.identity.get();
        fits(&config, &on_disk).map_err(OpenError::Config)?;
        let journal = match &config.journal {
            Some(path) => Some(Box::new(FileJournal::append_to(path)?) as Box<dyn Journal>),
            None => None,
        };
        let machine = MachineStore::new(machine, store.snapshots.clone(), journal);
        let identity = Identity::new(
            config.node_id,
            on_disk.disk_id,
            config.cluster_name.clone(),
            (config.http_advertise.clone(), config.remoting_advertise.clone()),
            on_disk.home.map(|home| home.cluster),
            on_disk.held_at.is_some(),
        );
        let dialer = Dialer::new(network, identity);
        let rpcs = PeerRpcs { dialer: dialer.clone(), silence_max: config.election_timeout_max };
        let openraft_config = config
            .openraft()
            .validate()
            .map_err(|error| OpenError::Config(format!("raft: {error}")))?;
        // Everything that openraft spawns descends from here, so all its randomness comes from
        // this seed.
        let raft: RaftOf<M> = Runtime::scope(config.seed, async {
            let config_of_raft = Arc::new(openraft_config);
            let raft =
                Raft::build(config.node_id, config_of_raft, rpcs, store.log.clone(), machine)
                    .await?;
            raft.run();
            // Answered by the core once it has started: its metrics are true from here on.
            raft.is_initialized().await?;
            Ok::<_, openraft::errors::Fatal<TypeConfig>>(raft)
        })
        .await
        .map_err(|error| match store.failure() {
            Some(error) => OpenError::Disk(error),
            None => OpenError::Core(error.to_string()),
        })?;

        let first = status::of(&config, &dialer.identity, &raft, on_disk.removed, false, false);
        let core = Core::new(Shared {
            channels: Channels::new(dialer.clone()),
            proposals: Arc::new(Semaphore::new(config.proposals_max)),
            config,
            raft,
            dialer,
            store,
            status: watch::Sender::new(first),
            failure: watch::Sender::new(None),
            stop: watch::Sender::new(false),
            serving: TaskTracker::new(),
            heard: std::sync::Mutex::new(None),
            heard_again: Notify::new(),
            refusals: server::Refusals::default(),
            membership_lock: Mutex::new(()),
            rounds: OnceLock::new(),
            handler: OnceLock::new(),
        });
        let rounds = Rounds::start(core.clone(), core.round_timeout());
        core.rounds.set(rounds).ok();
        tokio::spawn(status::observe(core.clone()));
        core.serving.spawn(server::serve(listener, core.clone(), core.stop.subscribe()));
        tokio::spawn(lifecycle::run(core.clone()));
        let replica = Replica { core };
        tokio::spawn(compaction::run(replica.clone()));
        Ok(replica)
    }

    /// Lets other replicas call this one. May be set once.
    pub fn set_call_handler(&self, handler: Arc<dyn CallHandler>) {
        self.core.handler.set(handler).ok();
    }

    /// Proposes a command. Answers once it is applied (and published) here.
    ///
    /// # Errors
    /// See [`ProposeError`]; a deadline that passes is [`ProposeError::Unknown`].
    pub async fn propose(
        &self,
        command: M::Command,
        deadline: Instant,
    ) -> Result<Applied<M::Outcome>, ProposeError> {
        match timeout_at(deadline, self.propose_until_known(command)).await {
            Ok(applied) => applied,
            Err(_) => Err(ProposeError::Unknown),
        }
    }

    /// Proposes a command and waits, however long, until it is applied or until a change of
    /// leadership has taken its fate out of this replica's hands.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose_until_known(
        &self,
        command: M::Command,
    ) -> Result<Applied<M::Outcome>, ProposeError> {
        let permit = self
            .core
            .proposals
            .clone()
            .try_acquire_owned()
            .map_err(|_| ProposeError::Overloaded)?;
        let encoded =
            codec::encode(&command).map_err(|error| ProposeError::TooLarge(error.to_string()))?;
        let written = self.core.raft.client_write(Payload(Bytes::from(encoded))).await;
        drop(permit);
        match written {
            Ok(response) => {
                let outcome = codec::decode(&response.data.0).map_err(|error| {
                    tracing::error!(%error, "an outcome cannot be decoded");
                    ProposeError::Unknown
                })?;
                Ok(Applied { index: response.log_id.index(), outcome })
            }
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => {
                Err(ProposeError::NotLeader { leader: forward.leader_id })
            }
            // Its entry was cut from this log, or this core stopped: another replica may have it.
            Err(_) => Err(ProposeError::Unknown),
        }
    }

    /// Waits for a read-index round that begins after this call, and until this replica has applied
    /// up to its index: what its tables say then is linearizable. Any replica can do it.
    ///
    /// # Errors
    /// See [`ReadError`]; nothing was read.
    pub async fn read_index(&self, deadline: Instant) -> Result<Round, ReadError> {
        if self.core.status.borrow().removed {
            return Err(ReadError::Removed);
        }
        let round = self.core.rounds().confirm(deadline).await?;
        if !planted(Bug::ReadWithoutWaiting) {
            self.applied(round.index, deadline).await?;
        }
        if !self.core.status.borrow().caught_up {
            self.core.status.send_modify(|status| status.caught_up = true);
        }
        Ok(round)
    }

    /// Waits until this replica has applied up to `index`.
    async fn applied(&self, index: Index, deadline: Instant) -> Result<(), ReadError> {
        let mut progress = self.core.raft.watch_apply_progress();
        let reached = async {
            loop {
                if progress.get().is_some_and(|applied| applied.index() >= index) {
                    return Ok(());
                }
                progress.changed().await.map_err(|_| ReadError::Stopped)?;
            }
        };
        match timeout_at(deadline, reached).await {
            Ok(reached) => reached,
            Err(_) => Err(ReadError::NoQuorum),
        }
    }

    /// How this replica stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.core.status.borrow().clone()
    }

    /// Follows how this replica stands: term, leader, members, life cycle.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.core.status.subscribe()
    }

    /// Resolves when this replica cannot go on.
    pub async fn failed(&self) -> StopReason {
        let mut failure = self.core.failure.subscribe();
        let reason = failure.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        match reason {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }

    /// What the log has done and holds, for metrics.
    #[must_use]
    pub fn log_counters(&self) -> LogCounters {
        self.core.store.log.counters()
    }

    /// Bytes in use on the disk.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.core.store.size_bytes()
    }

    /// Calls the application on another replica, over the peers' port.
    ///
    /// # Errors
    /// See [`CallError`]: whether it surely did not happen.
    pub async fn call(
        &self,
        to: NodeId,
        request: Vec<u8>,
        deadline: Instant,
    ) -> Result<Vec<u8>, CallError> {
        let peer = {
            let metrics = self.core.raft.server_metrics();
            let metrics = metrics.borrow_watched();
            metrics.membership_config.membership().get_node(&to).cloned()
        };
        let peer = peer.ok_or_else(|| CallError::NotSent(format!("replica {to} is no member")))?;
        let ask = Ask::Call(Bytes::from(request));
        match self.core.channels.ask(to, &peer, &ask, deadline).await? {
            Answer::Call(reply) => Ok(reply.into()),
            Answer::Overloaded => Err(CallError::NotSent("the other replica is overloaded".into())),
            Answer::Removed { membership_index } => {
                lifecycle::told_removed(&self.core, membership_index).await;
                Err(CallError::Removed { membership_index })
            }
            Answer::Failed(why) => Err(CallError::NotSent(why)),
            _ => Err(CallError::Unknown("the other replica answered something else".into())),
        }
    }

    /// Stops gracefully: hands leadership over first, then stops serving peers and writing.
    pub async fn shutdown(&self) {
        lifecycle::hand_over(&self.core).await;
        self.core.stop.send_replace(true);
        // What a peer asks of a core that has ended, openraft reports as an error.
        self.core.serving.close();
        if timeout(SERVING_END, self.core.serving.wait()).await.is_err() {
            tracing::debug!("calls of peers are still under way");
        }
        if let Err(error) = self.core.raft.shutdown().await {
            tracing::warn!(%error, "the raft core did not stop cleanly");
        }
        if let Err(error) = self.core.store.close().await {
            tracing::warn!(%error, "the last writes may not be on the disk");
        }
        self.core.status.send_modify(|status| status.stopped = true);
    }

    pub(crate) fn core(&self) -> &Core<M> {
        &self.core
    }
}
