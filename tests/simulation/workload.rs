//! What the clients do: each owns a broker and shares topics and KV keys with the others, writes and
//! reads at any replica, and notes what it was told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use signpost_client::types::headers;
use signpost_namesrv::routes::command::{
    BrokerKey, Claim, DataVersion, Door, Patch, QueueConfig, Register, RouteCommand, Unregister,
};
use signpost_raft::machine::{Index, NodeId};
use tokio::time::{Instant, sleep};

use crate::caller::{Caller, Reply};
use crate::cluster::Members;
use crate::requests;
use crate::world::stream::Nic;
use signpost_chaos::history::{Answer, Call, Heartbeat, Operation, Outcome, Read, What};
use signpost_chaos::random::Random;

/// How long a replica may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// A run's clients are in a hurry or not, all of them.
const PAUSES_MS: [u64; 3] = [60, 150, 300];

/// Shared by all clients, so that they conflict.
const TOPICS: [&str; 5] = ["topic-a", "topic-b", "topic-c", "topic-d", "topic-e"];
const KEYS: [&str; 3] = ["key-a", "key-b", "key-c"];
const NAMESPACE: &str = "simulation";
const CLUSTER: &str = "C";

/// Short, so that leases end during a run though each change of leadership prolongs them.
const LEASE_TTL_MS: u64 = 600;

/// How long a broker is silent at times, while its client goes on.
const SILENCE: Duration = Duration::from_millis(2_500);

/// What all clients of a run share: what they were told, the time, and whom they may ask.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

struct Inner {
    members: Members,
    nic: Nic,
    began: Instant,
    latest: Mutex<Duration>,
    told: Mutex<Vec<Operation>>,
    silences: AtomicU64,
}

impl Shared {
    /// Called on the clients' host when its clock begins, with the world's.
    pub(crate) fn new(members: Members, nic: Nic, began: Instant) -> Shared {
        Shared(Arc::new(Inner {
            members,
            nic,
            began,
            latest: Mutex::default(),
            told: Mutex::default(),
            silences: AtomicU64::new(0),
        }))
    }

    pub(crate) fn nic(&self) -> Nic {
        self.0.nic.clone()
    }

    pub(crate) fn members(&self) -> Vec<NodeId> {
        self.0.members.all()
    }

    /// The virtual time. No two askers get the same: what one thread did in one millisecond is told
    /// apart by nanoseconds, so that the checkers know what came first.
    pub(crate) fn now(&self) -> Duration {
        let mut latest = self.0.latest.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = self.0.began.elapsed().max(*latest + Duration::from_nanos(1));
        *latest
    }

    fn add(&self, operation: Operation) {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner).push(operation);
    }

    pub(crate) fn take(&self) -> Vec<Operation> {
        std::mem::take(&mut *self.0.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How often a broker fell silent.
    pub(crate) fn silences(&self) -> u64 {
        self.0.silences.load(Ordering::Relaxed)
    }
}

/// One client.
pub(crate) struct Client {
    id: u64,
    random: Random,
    caller: Caller,
    shared: Shared,
    replica: NodeId,
    /// The broker's claim: of its latest write.
    claim: Claim,
    epoch: Option<Index>,
    /// A registration whose outcome is not known, to be tried again as it was.
    retry: Option<Register>,
    /// The highest index that it was ever told.
    seen: Index,
    /// `modified` of keys, as last known.
    modified: BTreeMap<String, Index>,
    values: u64,
    silent_until: Duration,
    /// Between two calls, at most.
    pause_ms: u64,
}

impl Client {
    pub(crate) fn new(id: u64, seed: u64, shared: Shared) -> Client {
        Client {
            id,
            random: Random::fork(seed, 100 + id),
            caller: Caller::new(shared.nic()),
            shared,
            replica: 1,
            claim: Claim { incarnation: 1, seq: 0 },
            epoch: None,
            retry: None,
            seen: 0,
            modified: BTreeMap::new(),
            values: 0,
            silent_until: Duration::ZERO,
            pause_ms: *Random::fork(seed, 6).pick(&PAUSES_MS),
        }
    }

    /// Works until this virtual time.
    pub(crate) async fn work(mut self, until: Duration) {
        while self.shared.now() < until {
            if self.random.percent(60) {
                self.replica = *self.random.pick(&self.shared.members());
            }
            let call = self.choose();
            self.call(call, PATIENCE).await;
            sleep(self.random.millis(0, self.pause_ms)).await;
        }
    }

    /// Registers anew until that is acknowledged, then reads everything at every replica; answers
    /// whether it got both done by these virtual times.
    pub(crate) async fn audit(mut self, registered_by: Duration, read_by: Duration) -> bool {
        self.claim.seq += 1;
        let register = self.register();
        let mut patience = 0;
        loop {
            if self.shared.now() >= registered_by {
                return false;
            }
            self.replica = *self.random.pick(&self.shared.members());
            // Idempotent: each try is the same write.
            let call = Call::Write(RouteCommand::Register(register.clone()));
            if self.call(call, Duration::from_millis(300)).await {
                break;
            }
            patience += 1;
            sleep(Duration::from_millis(10 * patience.min(10))).await;
        }
        for replica in self.shared.members() {
            self.replica = replica;
            let topics = TOPICS.map(|topic| What::Route(topic.into()));
            let keys = KEYS.map(|key| What::Kv(NAMESPACE.into(), key.into()));
            for what in topics.into_iter().chain(keys).chain([What::Brokers]) {
                let read = Read { what, linearizable: true, min_index: None, after: None };
                // A connection that a partition has stalled must be found out first.
                while !self.call(Call::Read(read.clone()), PATIENCE).await {
                    if self.shared.now() >= read_by {
                        return false;
                    }
                }
            }
        }
        true
    }

    fn choose(&mut self) -> Call {
        if let Some(register) = self.retry.take()
            && self.shared.now() >= self.silent_until
            && self.random.percent(50)
        {
            return Call::Write(RouteCommand::Register(register));
        }
        if self.random.percent(1) {
            self.silent_until = self.shared.now() + SILENCE;
            self.shared.0.silences.fetch_add(1, Ordering::Relaxed);
        }
        let silent = self.shared.now() < self.silent_until;
        match (self.random.below(100), self.epoch) {
            (0..35, _) => Call::Read(self.read(true)),
            (35..50, _) => Call::Read(self.read(false)),
            (50..80, _) => Call::Write(self.kv()),
            (80, _) => {
                let topic = (*self.random.pick(&TOPICS)).to_owned();
                Call::Write(RouteCommand::DeleteTopic { topic, cluster: None })
            }
            _ if silent => Call::Read(self.read(true)),
            (81, Some(_)) => {
                let (cluster, broker_name) = (Some(CLUSTER.to_owned()), self.key().name);
                let writable = self.random.percent(50);
                Call::Write(RouteCommand::SetWritePermission { cluster, broker_name, writable })
            }
            (82..84, Some(epoch)) => {
                self.claim.seq += 1;
                let (claim, epoch) = (Some(self.claim), Some(epoch));
                Call::Write(RouteCommand::Unregister(Unregister { key: self.key(), claim, epoch }))
            }
            (84..88, Some(epoch)) => Call::Write(RouteCommand::Patch(self.patch(epoch))),
            (88..94, Some(epoch)) => {
                let (key, incarnation) = (self.key(), self.claim.incarnation);
                Call::Heartbeat(Heartbeat { key, incarnation, epoch })
            }
            _ => {
                if self.random.percent(20) {
                    self.claim = Claim { incarnation: self.claim.incarnation + 1, seq: 0 };
                }
                self.claim.seq += 1;
                Call::Write(RouteCommand::Register(self.register()))
            }
        }
    }

    fn key(&self) -> BrokerKey {
        BrokerKey { cluster: CLUSTER.into(), name: format!("broker-{}", self.id), id: 0 }
    }

    fn read(&mut self, linearizable: bool) -> Read {
        let what = match self.random.below(10) {
            0..5 => What::Route((*self.random.pick(&TOPICS)).to_owned()),
            5 => What::Routes(TOPICS[..3].iter().map(|topic| (*topic).to_owned()).collect()),
            6..9 => What::Kv(NAMESPACE.into(), (*self.random.pick(&KEYS)).to_owned()),
            _ => What::Brokers,
        };
        let min_index =
            self.random.percent(if linearizable { 10 } else { 60 }).then_some(self.seen);
        Read { what, linearizable, min_index, after: None }
    }

    fn register(&mut self) -> Register {
        let mut topics = BTreeMap::new();
        for topic in TOPICS {
            if self.random.percent(60) {
                topics.insert(topic.to_owned(), self.queues());
            }
        }
        Register {
            key: self.key(),
            door: Door::Http,
            claim: Some(self.claim),
            address: format!("broker-{}:10911", self.id),
            ha_address: String::new(),
            data_version: DataVersion::default(),
            lease_ttl_ms: LEASE_TTL_MS,
            filter_servers: None,
            enable_acting_master: None,
            zone: None,
            base: None,
            topics,
            gone: Vec::new(),
            takeover: false,
            mappings: BTreeMap::new(),
        }
    }

    fn patch(&mut self, epoch: Index) -> Patch {
        self.claim.seq += 1;
        let topic = (*self.random.pick(&TOPICS)).to_owned();
        let queues = self.random.percent(75).then(|| self.queues());
        let topics = BTreeMap::from([(topic, queues)]);
        Patch { key: self.key(), claim: self.claim, epoch, data_version: None, topics }
    }

    fn queues(&mut self) -> QueueConfig {
        let read_queues = 1 + self.random.below(16) as u32;
        let write_queues = 1 + self.random.below(16) as u32;
        QueueConfig { read_queues, write_queues, perm: 6, sys_flag: 0, order: false }
    }

    fn kv(&mut self) -> RouteCommand {
        let key = *self.random.pick(&KEYS);
        let known = self.modified.get(key).copied();
        let if_index = known.filter(|_| self.random.percent(50));
        let (namespace, key) = (NAMESPACE.to_owned(), key.to_owned());
        if self.random.percent(15) {
            return RouteCommand::DeleteKv { namespace, key, if_index };
        }
        self.values += 1;
        let value = format!("{}-{}", self.id, self.values);
        RouteCommand::PutKv { namespace, key, value, if_index }
    }

    /// Makes a call and notes what came of it. Answers whether it was done.
    async fn call(&mut self, call: Call, patience: Duration) -> bool {
        let ask = requests::of(&call);
        let (replica, began) = (self.replica, self.shared.now());
        let reply = self.caller.ask(replica, &ask, patience).await;
        let outcome = judge(&call, reply);
        let operation =
            Operation { client: self.id, replica, began, ended: self.shared.now(), call, outcome };
        self.learn(&operation);
        let done = matches!(operation.outcome, Outcome::Answered(_));
        self.shared.add(operation);
        done
    }

    fn learn(&mut self, operation: &Operation) {
        if let Outcome::Answered(answer) = &operation.outcome {
            self.seen = self.seen.max(answer.index);
        }
        match (&operation.call, &operation.outcome) {
            (Call::Write(RouteCommand::Register(_)), Outcome::Answered(answer)) => {
                self.epoch = answer.epoch;
            }
            (Call::Write(RouteCommand::Register(register)), Outcome::Unknown(_)) => {
                self.retry = Some(register.clone());
            }
            (Call::Write(RouteCommand::Unregister(_)), Outcome::Answered(_)) => self.epoch = None,
            (Call::Heartbeat(_), Outcome::Refused(why)) if why.starts_with("410") => {
                self.epoch = None;
            }
            (Call::Write(RouteCommand::PutKv { key, .. }), Outcome::Answered(answer)) => {
                self.modified.insert(key.clone(), answer.index);
            }
            (
                Call::Write(RouteCommand::PutKv { key, .. } | RouteCommand::DeleteKv { key, .. }),
                _,
            ) => {
                self.modified.remove(key);
            }
            (Call::Read(Read { what: What::Kv(_, key), .. }), Outcome::Answered(answer)) => {
                let body: serde_json::Value =
                    serde_json::from_slice(&answer.body).unwrap_or_default();
                // An index of 0 asks that the key shall not exist.
                self.modified.insert(key.clone(), body["modified"].as_u64().unwrap_or(0));
            }
            _ => {}
        }
    }
}

fn judge(call: &Call, reply: Reply) -> Outcome {
    let (status, headers, body) = match reply {
        Reply::Answer { status, headers, body } => (status, headers, body),
        Reply::NotSent(why) => return Outcome::Refused(format!("not sent: {why}")),
        Reply::Lost(why) => return Outcome::Unknown(why),
    };
    let told = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
    let header = |name: &str| told(name)?.parse::<u64>().ok();
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let absent = matches!(call, Call::Read(_))
        && matches!(json["reason"].as_str(), Some("no-such-topic" | "no-such-key"));
    match status {
        504 => Outcome::Unknown(format!("504 {}", json["detail"])),
        200 | 404 if status == 200 || absent => {
            let Some(index) = header(headers::INDEX) else {
                return Outcome::Unknown("an answer without an index".into());
            };
            Outcome::Answered(Answer {
                index: json["index"].as_u64().filter(|_| status == 200).unwrap_or(index),
                modified: header(headers::MODIFIED),
                found: status == 200,
                epoch: json["epoch"].as_u64(),
                lease_ttl_ms: json["leaseTtlMs"].as_u64(),
                at_follower: header(headers::LEADER) != header(headers::NODE),
                linearizable: told(headers::CONSISTENCY).map(|told| told == "linearizable"),
                cluster: told(headers::CLUSTER),
                body,
            })
        }
        _ => Outcome::Refused(format!("{status} {} {}", json["reason"], json["detail"])),
    }
}
