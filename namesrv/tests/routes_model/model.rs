//! A naive model of the route tables: plain maps, whole contents instead of hashes, and `modified`
//! found by comparing what was before with what is after. It shares no code with the tables.

mod answers;
mod operators;
mod registrations;
mod removals;

use std::collections::BTreeMap;

use signpost_namesrv::routes::command::*;

/// Everything that a broker last registered, but its filter servers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Living {
    pub claim: Claim,
    pub epoch: u64,
    pub address: String,
    pub ha_address: String,
    pub version: DataVersion,
    pub ttl_ms: u64,
    pub door: Door,
    pub acting: Option<bool>,
    pub zone: Option<String>,
    pub topics: BTreeMap<String, QueueConfig>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Broker {
    pub cluster: String,
    /// id → (address, owner's cluster)
    pub addresses: BTreeMap<u64, (String, String)>,
    pub acting: bool,
    pub zone: Option<String>,
}

/// (what clients see, listed by the broker)
pub(crate) type Queues = BTreeMap<String, (QueueConfig, bool)>;

/// A registration's content as a digest stands for it: without claim and epoch.
pub(crate) type WholeContent = (Living, Vec<String>);

#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub version: u32,
    pub topics: BTreeMap<String, Queues>,
    pub brokers: BTreeMap<String, Broker>,
    pub live: BTreeMap<BrokerKey, Living>,
    pub filters: BTreeMap<BrokerKey, Vec<String>>,
    pub kv: BTreeMap<String, BTreeMap<String, (String, u64)>>,
    pub fences: BTreeMap<BrokerKey, (Claim, u64)>,
    pub topic_modified: BTreeMap<String, u64>,
    pub order_modified: BTreeMap<String, u64>,
    pub broker_modified: BTreeMap<String, u64>,
    pub deleted: BTreeMap<String, u64>,
    /// Which contents the digests seen so far stand for.
    pub digests: BTreeMap<u64, WholeContent>,
    pub fences_max: usize,
}

impl Model {
    pub(crate) fn new(fences_max: usize) -> Self {
        Self {
            version: 1,
            topics: BTreeMap::new(),
            brokers: BTreeMap::new(),
            live: BTreeMap::new(),
            filters: BTreeMap::new(),
            kv: BTreeMap::new(),
            fences: BTreeMap::new(),
            topic_modified: BTreeMap::new(),
            order_modified: BTreeMap::new(),
            broker_modified: BTreeMap::new(),
            deleted: BTreeMap::new(),
            digests: BTreeMap::new(),
            fences_max,
        }
    }

    pub(crate) fn apply(&mut self, index: u64, command: &RouteCommand) -> RouteOutcome {
        let (topics, brokers, kv) = (self.topics.clone(), self.seen_brokers(), self.kv.clone());
        let outcome = self.act(index, command);
        self.stamp(index, &topics, &brokers, &kv);
        outcome
    }

    /// What clients can tell of each broker name.
    fn seen_brokers(&self) -> BTreeMap<String, (Broker, Vec<Vec<String>>)> {
        let seen = |name: &String, broker: &Broker| {
            let keys = broker.addresses.iter().map(|(id, (_, cluster))| BrokerKey {
                cluster: cluster.clone(),
                name: name.clone(),
                id: *id,
            });
            keys.map(|key| self.filters.get(&key).cloned().unwrap_or_default()).collect()
        };
        self.brokers.iter().map(|(n, b)| (n.clone(), (b.clone(), seen(n, b)))).collect()
    }

    fn stamp(
        &mut self,
        index: u64,
        topics: &BTreeMap<String, Queues>,
        brokers: &BTreeMap<String, (Broker, Vec<Vec<String>>)>,
        kv: &BTreeMap<String, BTreeMap<String, (String, u64)>>,
    ) {
        let visible = |queues: &Queues| -> BTreeMap<String, QueueConfig> {
            queues.iter().map(|(broker, (config, _))| (broker.clone(), config.clone())).collect()
        };
        for (topic, queues) in &self.topics {
            if topics.get(topic).map(visible) != Some(visible(queues)) {
                self.topic_modified.insert(topic.clone(), index);
                self.deleted.remove(topic);
            }
        }
        for topic in topics.keys().filter(|topic| !self.topics.contains_key(*topic)) {
            self.topic_modified.remove(topic);
            self.order_modified.remove(topic);
            self.deleted.insert(topic.clone(), index);
        }
        let now = self.seen_brokers();
        for (name, seen) in &now {
            if brokers.get(name) != Some(seen) {
                self.broker_modified.insert(name.clone(), index);
            }
        }
        self.broker_modified.retain(|name, _| now.contains_key(name));
        let none = BTreeMap::new();
        let before = kv.get("ORDER_TOPIC_CONFIG").unwrap_or(&none);
        let after = self.kv.get("ORDER_TOPIC_CONFIG").unwrap_or(&none);
        for topic in self.topics.keys() {
            if before.get(topic) != after.get(topic) {
                self.order_modified.insert(topic.clone(), index);
            }
        }
    }

    fn act(&mut self, index: u64, command: &RouteCommand) -> RouteOutcome {
        match command {
            RouteCommand::Register(register) => self.register(index, register),
            RouteCommand::Patch(patch) => self.patch(patch),
            RouteCommand::Unregister(unregister) => self.unregister(index, unregister),
            RouteCommand::Expire(expire) => match self.live.get(&expire.key) {
                None => RouteOutcome::Refused(Refusal::NotRegistered),
                Some(live) if live.epoch != expire.epoch => {
                    RouteOutcome::Refused(Refusal::Moved { epoch: live.epoch })
                }
                Some(_) => {
                    self.remove(index, &expire.key, None);
                    RouteOutcome::Expired
                }
            },
            RouteCommand::SetWritePermission { cluster, broker_name, writable } => {
                let is_there = |cluster: &String| {
                    self.live.keys().any(|key| key.name == *broker_name && key.cluster == *cluster)
                };
                if cluster.as_ref().is_some_and(|cluster| !is_there(cluster)) {
                    let broker_name = broker_name.clone();
                    return RouteOutcome::Refused(Refusal::UnknownBroker { broker_name });
                }
                RouteOutcome::Written { changed: self.set_writable(broker_name, *writable) }
            }
            RouteCommand::PutTopic { topic, brokers } => self.put_topic(topic, brokers),
            RouteCommand::DeleteTopic { topic, cluster } => {
                self.delete_topic(topic, cluster.as_ref())
            }
            RouteCommand::PutKv { namespace, key, value, if_index } => {
                self.put_kv(index, (namespace, key), value, *if_index)
            }
            RouteCommand::DeleteKv { namespace, key, if_index } => {
                self.delete_kv(namespace, key, *if_index)
            }
            RouteCommand::SetClusterVersion(version) => {
                let changed = u32::from(*version > self.version);
                self.version = self.version.max(*version);
                RouteOutcome::Written { changed }
            }
        }
    }

    fn highest(&self, key: &BrokerKey) -> Option<Claim> {
        match self.live.get(key) {
            Some(live) => Some(live.claim),
            None => self.fences.get(key).map(|fence| fence.0),
        }
    }

    pub(crate) fn whole_content(&self, key: &BrokerKey) -> Option<WholeContent> {
        let mut living = self.live.get(key)?.clone();
        living.claim = Claim { incarnation: 0, seq: 0 };
        living.epoch = 0;
        Some((living, self.filters.get(key).cloned().unwrap_or_default()))
    }

    fn base_holds(&self, key: &BrokerKey, base: Base) -> bool {
        let live = &self.live[key];
        base.epoch == live.epoch
            && self.digests.get(&base.content_digest) == self.whole_content(key).as_ref()
    }
}
