//! A log for tests: one replica's, over the real route machine, that confirms, delays, refuses and
//! forgets as the test says. Built with the feature `fake-log` only.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use signpost_raft::machine::{Index, Machine, NodeId, Term};
use signpost_raft::replica::CallHandler;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use crate::config::NodeConfig;
use crate::log::{
    Applied, CallError, Log, LogFuture, Member, MemberError, MemberRole, ProposeError, ReadError,
    Role, Round, Status,
};
use crate::machine::RouteMachine;
use crate::node::Assembly;
use crate::routes::command::{
    BrokerKey, Claim, DataVersion, Door, QueueConfig, Register, RouteCommand, RouteOutcome,
};
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
        let member = |id| Member {
            id,
            role: MemberRole::Voter,
            peer: format!("peer-{id}:7876"),
            http: format!("http-{id}:8876"),
            disk_id: Uuid::from_u128(u128::from(id)),
        };
        let status = Status {
            node_id: config.node_id,
            cluster_name: config.cluster_name.clone(),
            cluster: Some(Uuid::from_u128(0xC1)),
            role: Role::Leader,
            term: 1,
            leader: Some(config.node_id),
            members: (1..=3).map(member).collect(),
            membership_index: 1,
            fed: true,
            caught_up: true,
            removed: false,
            disk_ok: true,
            stopped: false,
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

    async fn confirm(&self, deadline: Instant) -> Result<Round, ReadError> {
        let started = Instant::now();
        {
            let status = self.status.borrow();
            if status.removed {
                return Err(ReadError::Removed);
            }
            if status.leader.is_none() {
                return Err(ReadError::NoLeader);
            }
        }
        loop {
            let changed = self.changed.notified();
            let rounds = self.lock().rounds;
            match rounds {
                Rounds::Confirm => break,
                Rounds::Delay(delay) => {
                    if timeout_at(deadline, sleep(delay)).await.is_err() {
                        return Err(ReadError::NoQuorum);
                    }
                    break;
                }
                Rounds::Hold => {
                    if timeout_at(deadline, changed).await.is_err() {
                        return Err(ReadError::NoQuorum);
                    }
                }
            }
        }
        let status = self.status.borrow();
        let leader = status.leader.ok_or(ReadError::NoLeader)?;
        let index = self.lock().last_index;
        Ok(Round { index, term: status.term, leader, started, ended: Instant::now() })
    }

    fn begin(&self, command: RouteCommand) -> oneshot::Receiver<Proposed> {
        let (reply, proposed) = oneshot::channel();
        let leader = self.status.borrow().leader;
        if leader != Some(self.status.borrow().node_id) {
            reply.send(Err(ProposeError::NotLeader { leader })).ok();
            return proposed;
        }
        let mode = {
            let mut state = self.lock();
            state.proposed.push(command.clone());
            state.proposals
        };
        match mode {
            Proposals::Apply => {
                reply.send(Ok(self.apply(command))).ok();
            }
            Proposals::Hold => self.lock().held.push(Held { command, reply }),
            Proposals::Overload => {
                reply.send(Err(ProposeError::Overloaded)).ok();
            }
            Proposals::ApplyAndForget => {
                self.apply(command);
                reply.send(Err(ProposeError::Unknown)).ok();
            }
        }
        proposed
    }
}

impl Log for FakeLog {
    fn propose(
        &self,
        command: RouteCommand,
        deadline: Instant,
    ) -> LogFuture<'_, Result<Applied<RouteOutcome>, ProposeError>> {
        let proposed = self.begin(command);
        Box::pin(async move {
            match timeout_at(deadline, proposed).await {
                Ok(Ok(proposed)) => proposed,
                _ => Err(ProposeError::Unknown),
            }
        })
    }

    fn propose_until_known(
        &self,
        command: RouteCommand,
    ) -> LogFuture<'_, Result<Applied<RouteOutcome>, ProposeError>> {
        let proposed = self.begin(command);
        Box::pin(async move { proposed.await.unwrap_or(Err(ProposeError::Unknown)) })
    }

    fn read_index(&self, deadline: Instant) -> LogFuture<'_, Result<Round, ReadError>> {
        Box::pin(self.confirm(deadline))
    }

    fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    fn call(
        &self,
        to: NodeId,
        request: Vec<u8>,
        deadline: Instant,
    ) -> LogFuture<'_, Result<Vec<u8>, CallError>> {
        let from = self.status.borrow().node_id;
        let (calls, peer) = {
            let state = self.lock();
            (state.calls, state.peers.get(&to).or(state.peer.as_ref()).cloned())
        };
        Box::pin(async move {
            let unreachable = || CallError::NotSent("connection refused".into());
            let peer = peer.filter(|_| calls != Calls::Refuse).ok_or_else(unreachable)?;
            let lost = || CallError::Unknown("connection lost".into());
            let answer = timeout_at(deadline, peer.handle(from, request)).await;
            match (calls, answer) {
                (Calls::Deliver, Ok(answer)) => Ok(answer),
                _ => Err(lost()),
            }
        })
    }

    fn add_learner(
        &self,
        id: NodeId,
        peer: String,
        _deadline: Instant,
    ) -> LogFuture<'_, Result<Index, MemberError>> {
        let index = self.append_blank();
        self.status.send_modify(|status| {
            status.members.push(Member {
                id,
                role: MemberRole::Learner,
                peer,
                http: format!("http-{id}:8876"),
                disk_id: Uuid::from_u128(u128::from(id)),
            });
        });
        Box::pin(async move { Ok(index) })
    }

    fn promote(&self, id: NodeId, _deadline: Instant) -> LogFuture<'_, Result<Index, MemberError>> {
        let mut found = false;
        self.status.send_modify(|status| {
            for member in status.members.iter_mut().filter(|member| member.id == id) {
                member.role = MemberRole::Voter;
                found = true;
            }
        });
        let index = self.append_blank();
        Box::pin(async move {
            if found { Ok(index) } else { Err(MemberError::Refused(format!("no member {id}"))) }
        })
    }

    fn remove(&self, id: NodeId, _deadline: Instant) -> LogFuture<'_, Result<Index, MemberError>> {
        self.status.send_modify(|status| status.members.retain(|member| member.id != id));
        let index = self.append_blank();
        Box::pin(async move { Ok(index) })
    }

    fn transfer(&self, to: NodeId, _deadline: Instant) -> LogFuture<'_, Result<(), MemberError>> {
        let term = self.status.borrow().term + 1;
        self.begin_term(term, to);
        Box::pin(async { Ok(()) })
    }

    fn snapshot(&self, _deadline: Instant) -> LogFuture<'_, Result<Index, MemberError>> {
        let index = self.last_index();
        Box::pin(async move { Ok(index) })
    }
}

/// The master of this name.
#[must_use]
pub fn master(name: &str) -> BrokerKey {
    BrokerKey { cluster: "C".into(), name: name.into(), id: 0 }
}

/// RocketMQ's default queues.
#[must_use]
pub fn queues() -> QueueConfig {
    QueueConfig { read_queues: 16, write_queues: 16, perm: 6, sys_flag: 0, order: false }
}

/// A registration over HTTP by incarnation 1, with a ttl of 120 s.
#[must_use]
pub fn registration(name: &str, seq: u64, topics: &[&str]) -> Register {
    Register {
        key: master(name),
        door: Door::Http,
        claim: Some(Claim { incarnation: 1, seq }),
        address: format!("{name}:10911"),
        ha_address: String::new(),
        data_version: DataVersion::default(),
        lease_ttl_ms: 120_000,
        filter_servers: None,
        enable_acting_master: None,
        zone: None,
        base: None,
        topics: topics
            .iter()
            .map(|topic| ((*topic).to_owned(), queues()))
            .collect::<BTreeMap<_, _>>(),
        gone: Vec::new(),
        takeover: false,
        mappings: BTreeMap::new(),
    }
}
