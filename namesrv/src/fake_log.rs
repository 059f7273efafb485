//! A log for tests: one replica's, over the real route machine, that confirms, delays, refuses and
//! forgets as the test says. Built with the feature `fake-log` only.

mod log;
mod samples;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use signpost_raft::machine::{Index, Machine, NodeId, Term};
use signpost_raft::replica::CallHandler;
use tokio::sync::{Notify, oneshot, watch};

#[cfg(test)]
pub(crate) use self::samples::status;
pub use self::samples::{master, queues, registration};
use crate::config::NodeConfig;
use crate::log::{Applied, Log, ProposeError, Role, Status};
use crate::machine::RouteMachine;
use crate::node::Assembly;
use crate::routes::command::{RouteCommand, RouteOutcome};
use crate::service::NameService;

/// What becomes of rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounds {
    /// Confirmed at once.
    Confirm,
    /// Confirmed after this long.
    Delay(Duration),
    /// None is confirmed; those that wait are when this changes.
    Hold,
}

/// What becomes of proposals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proposals {
    /// Applied at once.
    Apply,
    /// Kept until [`FakeLog::settle`].
    Hold,
    /// Refused: too many.
    Overload,
    /// Applied, and the answer lost.
    ApplyAndForget,
}

/// What becomes of a proposal that was held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is applied now.
    Apply,
    /// It fails.
    Fail(ProposeError),
}

/// What becomes of calls to another replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// They arrive, and are answered.
    Deliver,
    /// They never leave.
    Refuse,
    /// They arrive, and the answer is lost.
    LoseAnswer,
}

type Proposed = Result<Applied<RouteOutcome>, ProposeError>;

/// A proposal that is held.
pub struct Held {
    command: RouteCommand,
    reply: oneshot::Sender<Proposed>,
}

struct State {
    machine: RouteMachine,
    last_index: Index,
    rounds: Rounds,
    proposals: Proposals,
    held: Vec<Held>,
    proposed: Vec<RouteCommand>,
    calls: Calls,
    peer: Option<Arc<dyn CallHandler>>,
    peers: BTreeMap<NodeId, Arc<dyn CallHandler>>,
}

/// The log of one replica.
pub struct FakeLog {
    state: Mutex<State>,
    status: watch::Sender<Status>,
    changed: Notify,
}

impl FakeLog {
    /// The log of a replica that leads term 1 of three, and its name service.
    ///
    /// # Panics
    /// When the settings are invalid.
    #[must_use]
    pub fn lead(config: NodeConfig) -> (Arc<Self>, Arc<NameService>) {
        Self::lead_with(config, Vec::new())
    }

    /// The same with these commands in the log already when the service starts.
    ///
    /// # Panics
    /// When the settings are invalid.
    #[must_use]
    pub fn lead_with(
        config: NodeConfig,
        commands: Vec<RouteCommand>,
    ) -> (Arc<Self>, Arc<NameService>) {
        let (assembly, machine) = Assembly::new(config.clone()).expect("the test's settings");
        let status = Status {
            cluster_name: config.cluster_name.clone(),
            role: Role::Leader,
            leader: Some(config.node_id),
            ..samples::status(config.node_id, &["http-1:8876", "http-2:8876", "http-3:8876"])
        };
        let log = Arc::new(Self {
            state: Mutex::new(State {
                machine,
                last_index: 0,
                rounds: Rounds::Confirm,
                proposals: Proposals::Apply,
                held: Vec::new(),
                proposed: Vec::new(),
                calls: Calls::Deliver,
                peer: None,
                peers: BTreeMap::new(),
            }),
            status: watch::Sender::new(status),
            changed: Notify::new(),
        });
        // The membership, as a founded cluster has it.
        log.append_blank();
        for command in commands {
            log.apply(command);
        }
        let service = assembly.start(Arc::clone(&log) as Arc<dyn Log>);
        (log, service)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends and publishes an entry without a command.
    pub fn append_blank(&self) -> Index {
        let mut state = self.lock();
        state.last_index += 1;
        let index = state.last_index;
        state.machine.publish(index);
        index
    }

    /// Appends, applies and publishes a command, whoever proposed it.
    pub fn apply(&self, command: RouteCommand) -> Applied<RouteOutcome> {
        let mut state = self.lock();
        state.last_index += 1;
        let index = state.last_index;
        let outcome = state.machine.apply(index, command);
        state.machine.publish(index);
        Applied { index, outcome }
    }

    /// A leader, this replica or another, begins a term with its first entry.
    pub fn begin_term(&self, term: Term, leader: NodeId) {
        self.append_blank();
        self.status.send_modify(|status| {
            status.term = term;
            status.leader = Some(leader);
            status.role = if leader == status.node_id { Role::Leader } else { Role::Follower };
        });
    }

    /// Changes what the replica knows of itself.
    pub fn set_status(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(change);
    }

    /// From now on rounds do this.
    pub fn set_rounds(&self, rounds: Rounds) {
        self.lock().rounds = rounds;
        self.changed.notify_waiters();
    }

    /// From now on proposals do this.
    pub fn set_proposals(&self, proposals: Proposals) {
        self.lock().proposals = proposals;
    }

    /// From now on calls do this.
    pub fn set_calls(&self, calls: Calls) {
        self.lock().calls = calls;
    }

    /// Calls to other replicas go to this one.
    pub fn set_peer(&self, peer: Arc<dyn CallHandler>) {
        self.lock().peer = Some(peer);
    }

    /// Calls to this replica go to this one.
    pub fn set_peer_of(&self, to: NodeId, peer: Arc<dyn CallHandler>) {
        self.lock().peers.insert(to, peer);
    }

    /// How many proposals are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.lock().held.len()
    }

    /// Settles the proposal that has been held longest. False: there was none.
    pub fn settle(&self, fate: Fate) -> bool {
        if self.held() == 0 {
            return false;
        }
        let held = self.take_held(0);
        self.settle_taken(held, fate);
        true
    }

    /// Takes a held proposal out of its turn.
    ///
    /// # Panics
    /// When fewer are held.
    #[must_use]
    pub fn take_held(&self, place: usize) -> Held {
        self.lock().held.remove(place)
    }

    /// Settles a proposal that was taken out of its turn.
    pub fn settle_taken(&self, held: Held, fate: Fate) {
        let outcome = match fate {
            Fate::Apply => Ok(self.apply(held.command)),
            Fate::Fail(error) => Err(error),
        };
        // Who proposed it may have given up.
        held.reply.send(outcome).ok();
    }

    /// Everything that was proposed, in order.
    #[must_use]
    pub fn proposed(&self) -> Vec<RouteCommand> {
        self.lock().proposed.clone()
    }

    /// The last log index.
    #[must_use]
    pub fn last_index(&self) -> Index {
        self.lock().last_index
    }

    /// Digest of the tables.
    #[must_use]
    pub fn digest(&self) -> u128 {
        self.lock().machine.digest()
    }
}
