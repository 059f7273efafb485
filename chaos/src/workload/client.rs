//! One client: it owns a broker, shares topics and keys with the others, writes and reads at any
//! replica, and notes what it was told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use signpost_namesrv::routes::command::{
    BrokerKey, Claim, DataVersion, Door, Patch, QueueConfig, Register, RouteCommand, Unregister,
};
use signpost_raft::machine::{Index, NodeId};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::names::Names;
use super::requests;
use super::told::Told;
use crate::ask::Caller;
use crate::history::{Call, Heartbeat, Operation, Outcome, Read, What};
use crate::random::Random;

/// How long a replica may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// A broker's heartbeats come so often in its ttl.
const BEATS_PER_TTL: u32 = 4;
/// How long a broker stays silent after its lease has ended, at least: long enough to see it gone in time.
const SILENCE: Duration = Duration::from_secs(4);

/// The replicas that clients may ask, as they come and go.
pub trait Replicas: Send + Sync {
    /// Their numbers and addresses.
    fn replicas(&self) -> Vec<(NodeId, SocketAddr)>;
}

/// What all clients of a run share.
#[derive(Clone)]
pub struct Common {
    /// Whom to ask.
    pub replicas: Arc<dyn Replicas>,
    /// What they were told.
    pub told: Told,
    /// What they may call things.
    pub names: Names,
    /// The lease of each client's broker.
    pub lease_ttl: Duration,
    /// A client keeps a broker silent in so many of a thousand choices, until it has expired.
    pub silences_per_mille: u64,
    /// At most so long waits a client between two calls.
    pub pause_ms: u64,
}

/// One client.
pub struct Client {
    id: u64,
    common: Common,
    random: Random,
    caller: Caller,
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
    beat: Duration,
    silent_until: Duration,
}

impl Client {
    /// A client with a number of its own.
    #[must_use]
    pub fn new(id: u64, seed: u64, common: Common) -> Client {
        // Above that of any former run against the same cluster.
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let incarnation = clock.map_or(1, |since| since.as_millis() as u64);
        Client {
            id,
            common,
            random: Random::fork(seed, 100 + id),
            caller: Caller::default(),
            claim: Claim { incarnation, seq: 0 },
            epoch: None,
            retry: None,
            seen: 0,
            modified: BTreeMap::new(),
            values: 0,
            beat: Duration::ZERO,
            silent_until: Duration::ZERO,
        }
    }

    /// Works until it is stopped.
    pub async fn work(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let call = self.choose();
            self.call(call, PATIENCE).await;
            sleep(self.random.millis(0, self.common.pause_ms)).await;
        }
    }

    /// Registers anew until that is acknowledged, or time is up; answers whether it was.
    pub async fn register_by(mut self, deadline: Duration) -> bool {
        self.claim.seq += 1;
        let register = self.register();
        while self.common.told.now() < deadline {
            // Idempotent: each try is the same write.
            let call = Call::Write(RouteCommand::Register(register.clone()));
            if self.call(call, Duration::from_millis(300)).await {
                return true;
            }
            sleep(Duration::from_millis(20)).await;
        }
        false
    }

    /// Reads everything of the last chapter at every replica; answers whether all was answered by
    /// then.
    pub async fn audit(mut self, chapter: u64, deadline: Duration) -> bool {
        let names = self.common.names.clone();
        let topics = names.topics(chapter).into_iter().map(What::Route);
        let keys = names.keys(chapter).into_iter().map(|key| What::Kv(names.namespace(), key));
        let all: Vec<What> = topics.chain(keys).chain([What::Brokers]).collect();
        for (node, address) in self.common.replicas.replicas() {
            for what in &all {
                let read =
                    Read { what: what.clone(), linearizable: true, min_index: None, after: None };
                while !self.call_at(node, address, Call::Read(read.clone()), PATIENCE).await {
                    if self.common.told.now() >= deadline {
                        return false;
                    }
                    sleep(Duration::from_millis(20)).await;
                }
            }
        }
        true
    }

    fn choose(&mut self) -> Call {
        let now = self.common.told.now();
        if let Some(register) = self.retry.take()
            && now >= self.silent_until
            && self.random.percent(50)
        {
            return Call::Write(RouteCommand::Register(register));
        }
        if now >= self.silent_until
            && self.epoch.is_some()
            && self.random.below(1000) < self.common.silences_per_mille
        {
            let ttl = self.common.lease_ttl;
            self.silent_until = now + (ttl * 3).max(ttl + SILENCE);
        }
        let silent = now < self.silent_until;
        if let (false, Some(epoch)) = (silent, self.epoch)
            && now >= self.beat
        {
            self.beat = now + self.common.lease_ttl / BEATS_PER_TTL;
            let (key, incarnation) = (self.key(), self.claim.incarnation);
            return Call::Heartbeat(Heartbeat { key, incarnation, epoch });
        }
        match (self.random.below(100), self.epoch) {
            (0..42, _) => Call::Read(self.read(true)),
            (42..58, _) => Call::Read(self.read(false)),
            (58..85, _) => Call::Write(self.kv()),
            (85, _) => {
                let topic = self.topic();
                Call::Write(RouteCommand::DeleteTopic { topic, cluster: None })
            }
            // Is it still there?
            _ if silent => {
                let (min_index, after) = (None, None);
                Call::Read(Read { what: What::Brokers, linearizable: true, min_index, after })
            }
            (86, Some(_)) => {
                let cluster = Some(self.common.names.cluster());
                let broker_name = self.key().name;
                let writable = self.random.percent(50);
                Call::Write(RouteCommand::SetWritePermission { cluster, broker_name, writable })
            }
            (87, Some(epoch)) => {
                self.claim.seq += 1;
                let (claim, epoch) = (Some(self.claim), Some(epoch));
                Call::Write(RouteCommand::Unregister(Unregister { key: self.key(), claim, epoch }))
            }
            (88..93, Some(epoch)) => Call::Write(RouteCommand::Patch(self.patch(epoch))),
            (93..97, Some(_)) => Call::Read(self.read(true)),
            _ => {
                if self.random.percent(20) {
                    self.claim = Claim { incarnation: self.claim.incarnation + 1, seq: 0 };
                }
                self.claim.seq += 1;
                Call::Write(RouteCommand::Register(self.register()))
            }
        }
    }

    fn chapter(&self) -> u64 {
        Names::chapter(self.common.told.now())
    }

    fn topic(&mut self) -> String {
        let topics = self.common.names.topics(self.chapter());
        self.random.pick(&topics).clone()
    }

    fn kv_key(&mut self) -> String {
        let keys = self.common.names.keys(self.chapter());
        self.random.pick(&keys).clone()
    }

    fn key(&self) -> BrokerKey {
        let names = &self.common.names;
        BrokerKey { cluster: names.cluster(), name: names.broker(self.id), id: 0 }
    }

    fn read(&mut self, linearizable: bool) -> Read {
        let what = match self.random.below(50) {
            0..25 => What::Route(self.topic()),
            25..30 => {
                let mut topics = self.common.names.topics(self.chapter());
                topics.truncate(3);
                What::Routes(topics)
            }
            30..49 => What::Kv(self.common.names.namespace(), self.kv_key()),
            _ => What::Brokers,
        };
        let asks = self.random.percent(if linearizable { 10 } else { 60 });
        let waits = matches!(what, What::Route(_)) && self.seen > 0 && self.random.percent(3);
        let min_index = (asks && !waits).then_some(self.seen);
        Read { what, linearizable, min_index, after: waits.then_some(self.seen) }
    }

    fn register(&mut self) -> Register {
        let mut topics = BTreeMap::new();
        for topic in self.common.names.topics(self.chapter()) {
            if self.random.percent(60) {
                topics.insert(topic, self.queues());
            }
        }
        registration(self.key(), self.claim, self.common.lease_ttl, topics)
    }

    fn patch(&mut self, epoch: Index) -> Patch {
        self.claim.seq += 1;
        let topic = self.topic();
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
        let key = self.kv_key();
        let known = self.modified.get(&key).copied();
        let if_index = known.filter(|_| self.random.percent(50));
        let namespace = self.common.names.namespace();
        if self.random.percent(15) {
            return RouteCommand::DeleteKv { namespace, key, if_index };
        }
        self.values += 1;
        let value = format!("{}-{}", self.id, self.values);
        RouteCommand::PutKv { namespace, key, value, if_index }
    }

    /// Makes a call at any replica and notes what came of it. Answers whether it was done.
    async fn call(&mut self, call: Call, patience: Duration) -> bool {
        let replicas = self.common.replicas.replicas();
        if replicas.is_empty() {
            return false;
        }
        let (node, address) = *self.random.pick(&replicas);
        self.call_at(node, address, call, patience).await
    }

    async fn call_at(
        &mut self,
        replica: NodeId,
        address: SocketAddr,
        call: Call,
        patience: Duration,
    ) -> bool {
        let Some(ask) = requests::of(&call) else { return false };
        let began = self.common.told.now();
        let reply = self.caller.ask(address, &ask, patience).await;
        let outcome = requests::outcome(&call, reply);
        let ended = self.common.told.now();
        let operation = Operation { client: self.id, replica, began, ended, call, outcome };
        self.learn(&operation);
        let done = matches!(operation.outcome, Outcome::Answered(_));
        self.common.told.add(operation);
        done
    }

    fn learn(&mut self, operation: &Operation) {
        if let (Outcome::Answered(answer), Call::Write(_) | Call::Read(_)) =
            (&operation.outcome, &operation.call)
        {
            self.seen = self.seen.max(answer.index);
        }
        match (&operation.call, &operation.outcome) {
            (Call::Write(RouteCommand::Register(_)), Outcome::Answered(answer)) => {
                self.epoch = answer.epoch;
                self.beat = operation.began + self.common.lease_ttl / BEATS_PER_TTL;
            }
            (Call::Write(RouteCommand::Register(register)), Outcome::Unknown(_)) => {
                self.retry = Some(register.clone());
            }
            (Call::Write(RouteCommand::Unregister(_)), Outcome::Answered(_)) => self.epoch = None,
            (Call::Heartbeat(_), Outcome::Refused(why))
                if why.starts_with("410") || why.starts_with("409") =>
            {
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
        if self.modified.len() > 64 {
            self.modified.clear();
        }
    }
}

/// A registration as a client's broker sends it.
#[must_use]
pub fn registration(
    key: BrokerKey,
    claim: Claim,
    lease_ttl: Duration,
    topics: BTreeMap<String, QueueConfig>,
) -> Register {
    Register {
        address: format!("{}.chaos:10911", key.name),
        key,
        door: Door::Http,
        claim: Some(claim),
        ha_address: String::new(),
        data_version: DataVersion::default(),
        lease_ttl_ms: lease_ttl.as_millis() as u64,
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
