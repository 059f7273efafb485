//! A naive model of the route tables: plain maps, whole contents instead of hashes, and `modified`
//! found by comparing what was before with what is after. It shares no code with the tables.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
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
                let rows = self.kv.get(namespace);
                let before = rows.and_then(|rows| rows.get(key)).cloned();
                let modified = before.as_ref().map_or(0, |(_, modified)| *modified);
                if if_index.is_some_and(|expected| expected != modified) {
                    return RouteOutcome::Refused(Refusal::IndexMismatch { modified });
                }
                if before.is_some_and(|(before, _)| before == *value) {
                    return RouteOutcome::Written { changed: 0 };
                }
                let rows = self.kv.entry(namespace.clone()).or_default();
                rows.insert(key.clone(), (value.clone(), index));
                RouteOutcome::Written { changed: 1 }
            }
            RouteCommand::DeleteKv { namespace, key, if_index } => {
                let rows = self.kv.get_mut(namespace);
                let modified = rows.as_ref().and_then(|rows| rows.get(key)).map_or(0, |row| row.1);
                if if_index.is_some_and(|expected| expected != modified) {
                    return RouteOutcome::Refused(Refusal::IndexMismatch { modified });
                }
                let gone = rows.and_then(|rows| rows.remove(key)).is_some();
                RouteOutcome::Written { changed: u32::from(gone) }
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

    fn ok(&self, key: &BrokerKey, new_epoch: bool, changed: bool) -> RouteOutcome {
        let mut master = None;
        if key.id != 0
            && let Some((_, cluster)) = self.brokers[&key.name].addresses.get(&0)
        {
            let key = BrokerKey { cluster: cluster.clone(), name: key.name.clone(), id: 0 };
            let live = &self.live[&key];
            master = Some((live.address.clone(), live.ha_address.clone()));
        }
        RouteOutcome::Registered { epoch: self.live[key].epoch, new_epoch, changed, master }
    }

    fn register(&mut self, index: u64, r: &Register) -> RouteOutcome {
        let refused = RouteOutcome::Refused;
        let live = self.live.get(&r.key).cloned();
        let highest = self.highest(&r.key);
        let claim = r.claim.unwrap_or_else(|| match &live {
            Some(live) if live.address == r.address => {
                Claim { incarnation: live.claim.incarnation, seq: live.claim.seq + 1 }
            }
            _ => Claim { incarnation: highest.map_or(1, |h| h.incarnation + 1), seq: 1 },
        });
        if let Some(highest) = highest.filter(|highest| claim.incarnation < highest.incarnation) {
            return refused(Refusal::Superseded { highest });
        }
        let is_same_process = highest.is_some_and(|h| h.incarnation == claim.incarnation);
        let mut after = Living {
            claim,
            epoch: index,
            address: r.address.clone(),
            ha_address: r.ha_address.clone(),
            version: r.data_version,
            ttl_ms: r.lease_ttl_ms,
            door: r.door,
            acting: r.enable_acting_master,
            zone: r.zone.clone(),
            topics: r.topics.clone(),
        };
        let filters_before = self.filters.get(&r.key).cloned().unwrap_or_default();
        let filters = r.filter_servers.clone().unwrap_or(filters_before.clone());
        match live {
            Some(live) if is_same_process => {
                if claim.seq < live.claim.seq {
                    return refused(Refusal::Stale { highest: live.claim });
                }
                after.epoch = live.epoch;
                if r.base.is_some() || r.door == Door::Remoting {
                    after.topics = live.topics.clone();
                    after.topics.retain(|t, _| r.topics.contains_key(t) || !r.gone.contains(t));
                    for (topic, config) in &r.topics {
                        let same_version =
                            r.door == Door::Remoting && r.data_version == live.version;
                        if !(same_version && live.topics.contains_key(topic)) {
                            after.topics.insert(topic.clone(), config.clone());
                        }
                    }
                }
                let like_before = Living { claim: live.claim, ..after.clone() };
                let is_same = like_before == live && filters == filters_before;
                if claim.seq == live.claim.seq {
                    return if is_same {
                        self.ok(&r.key, false, false)
                    } else {
                        refused(Refusal::Stale { highest: live.claim })
                    };
                }
                if r.base.is_some_and(|base| !self.base_holds(&r.key, base)) {
                    return refused(Refusal::Moved { epoch: live.epoch });
                }
                let (old, new) = (live.version, r.data_version);
                let older = new.state_version < old.state_version
                    || (new.state_version == old.state_version
                        && new != old
                        && new.timestamp <= old.timestamp
                        && new.counter <= old.counter);
                if (r.door == Door::Remoting && older) || (r.claim.is_none() && is_same) {
                    return self.ok(&r.key, false, false);
                }
                let mut before = live.topics.clone();
                if r.door == Door::Remoting && new != old {
                    // A topic that is gone was made anew, though it may be just what it was.
                    let row = |topic: &String| self.topics.get(topic)?.get(&r.key.name);
                    let is_its = |topic: &String| row(topic).is_some_and(|row| row.1);
                    before.retain(|t, _| !r.topics.contains_key(t) || is_its(t));
                }
                self.settle(index, r, after, &before);
                self.ok(&r.key, false, true)
            }
            live => {
                if live.is_none() && is_same_process {
                    let highest = highest.unwrap();
                    if claim.seq < highest.seq {
                        return refused(Refusal::Stale { highest });
                    }
                    if claim.seq == highest.seq {
                        return refused(Refusal::NotRegistered);
                    }
                }
                if r.base.is_some() {
                    return refused(match live {
                        Some(live) => Refusal::Moved { epoch: live.epoch },
                        None => Refusal::NotRegistered,
                    });
                }
                if let Some(live) = live {
                    let stays = match r.door {
                        Door::Http => !r.takeover,
                        Door::Remoting => live.version.state_version > r.data_version.state_version,
                    };
                    if stays && live.address != r.address {
                        return refused(Refusal::LiveElsewhere { address: live.address });
                    }
                } else if r.door == Door::Http {
                    let mut others = self.live.keys().filter(|key| key.name == r.key.name);
                    if let Some(other) = others.find(|key| key.cluster != r.key.cluster) {
                        let cluster = other.cluster.clone();
                        return refused(Refusal::NameInOtherCluster { cluster });
                    }
                } else if r.topics.len() == 1 {
                    let broker = self.brokers.get(&r.key.name);
                    if !broker.is_some_and(|broker| broker.addresses.contains_key(&r.key.id)) {
                        return refused(Refusal::NotRegistered);
                    }
                }
                self.fences.remove(&r.key);
                // Nothing was registered under this epoch: all topics are new, and over HTTP the
                // ones that stand there as registered go unless listed.
                let mut stand = BTreeMap::new();
                if r.door == Door::Http {
                    for topic in self.topics.keys().filter(|t| !r.topics.contains_key(*t)) {
                        stand.insert(topic.clone(), any_config());
                    }
                }
                self.settle(index, r, after, &stand);
                self.ok(&r.key, true, true)
            }
        }
    }

    fn settle(
        &mut self,
        index: u64,
        r: &Register,
        after: Living,
        before: &BTreeMap<String, QueueConfig>,
    ) {
        match &r.filter_servers {
            Some(servers) if servers.is_empty() => drop(self.filters.remove(&r.key)),
            Some(servers) => drop(self.filters.insert(r.key.clone(), servers.clone())),
            None => {}
        }
        let broker = self.brokers.entry(r.key.name.clone()).or_insert(Broker {
            cluster: r.key.cluster.clone(),
            addresses: BTreeMap::new(),
            acting: false,
            zone: None,
        });
        broker.acting = r.enable_acting_master == Some(true);
        broker.zone = r.zone.clone();
        broker.addresses.insert(r.key.id, (r.address.clone(), r.key.cluster.clone()));
        self.live.insert(r.key.clone(), after.clone());
        let reused: Vec<BrokerKey> = self
            .live
            .iter()
            .filter(|(k, l)| **k != r.key && k.name == r.key.name && l.address == r.address)
            .map(|(key, _)| key.clone())
            .collect();
        for key in reused {
            self.remove(index, &key, None);
        }
        self.contribute(&r.key, &after, before);
    }

    /// Brings the step from `before` to what is registered now into the topic table.
    fn contribute(
        &mut self,
        key: &BrokerKey,
        after: &Living,
        before: &BTreeMap<String, QueueConfig>,
    ) {
        let ids: Vec<u64> = self.brokers[&key.name].addresses.keys().copied().collect();
        let is_prime = after.door == Door::Remoting && after.acting.is_some() && ids[0] == key.id;
        if key.id != 0 && !is_prime {
            return;
        }
        let all: BTreeSet<&String> = before.keys().chain(after.topics.keys()).collect();
        for topic in all {
            let queues = self.topics.entry(topic.clone()).or_default();
            match after.topics.get(topic) {
                Some(config) if before.get(topic) != Some(config) => {
                    let mut config = config.clone();
                    if key.id != 0 && after.acting == Some(true) {
                        config.perm &= !2;
                    }
                    queues.insert(key.name.clone(), (config, true));
                }
                Some(_) => {}
                None => {
                    if queues.get(&key.name).is_some_and(|(_, registered)| *registered) {
                        queues.remove(&key.name);
                    }
                }
            }
        }
        self.topics.retain(|_, queues| !queues.is_empty());
    }

    fn patch(&mut self, p: &Patch) -> RouteOutcome {
        let refused = RouteOutcome::Refused;
        let highest = self.highest(&p.key);
        if let Some(highest) = highest.filter(|h| p.claim.incarnation < h.incarnation) {
            return refused(Refusal::Superseded { highest });
        }
        let Some(live) = self.live.get(&p.key).cloned() else {
            return refused(Refusal::NotRegistered);
        };
        if p.claim.incarnation > live.claim.incarnation {
            return refused(Refusal::NotRegistered);
        }
        if p.epoch != live.epoch {
            return refused(Refusal::Moved { epoch: live.epoch });
        }
        let mut after = live.clone();
        after.version = p.data_version.unwrap_or(live.version);
        for (topic, config) in &p.topics {
            match config {
                Some(config) => drop(after.topics.insert(topic.clone(), config.clone())),
                None => drop(after.topics.remove(topic)),
            }
        }
        if p.claim.seq > live.claim.seq {
            after.claim = p.claim;
            self.live.insert(p.key.clone(), after.clone());
            self.contribute(&p.key, &after, &live.topics);
            return self.ok(&p.key, false, true);
        }
        if p.claim.seq == live.claim.seq && after == live {
            return self.ok(&p.key, false, false);
        }
        refused(Refusal::Stale { highest: live.claim })
    }

    fn unregister(&mut self, index: u64, u: &Unregister) -> RouteOutcome {
        let Some(live) = self.live.get(&u.key) else {
            let known = self.fences.get(&u.key).map(|fence| fence.0);
            if let Some(claim) = u.claim
                && known.is_none_or(|known| known < claim)
            {
                self.fence(&u.key, claim, index);
            }
            return RouteOutcome::Unregistered { removed: false };
        };
        if let Some(claim) = u.claim
            && claim.incarnation < live.claim.incarnation
        {
            return RouteOutcome::Refused(Refusal::Superseded { highest: live.claim });
        }
        if u.epoch.is_some_and(|epoch| epoch != live.epoch) {
            return RouteOutcome::Refused(Refusal::Moved { epoch: live.epoch });
        }
        if u.claim.is_some_and(|claim| claim <= live.claim) {
            return RouteOutcome::Refused(Refusal::Stale { highest: live.claim });
        }
        self.remove(index, &u.key, u.claim);
        RouteOutcome::Unregistered { removed: true }
    }

    fn fence(&mut self, key: &BrokerKey, claim: Claim, index: u64) {
        self.fences.insert(key.clone(), (claim, index));
        while self.fences.len() > self.fences_max {
            let oldest = self.fences.iter().min_by_key(|(key, (_, at))| (*at, (*key).clone()));
            let oldest = oldest.unwrap().0.clone();
            self.fences.remove(&oldest);
        }
    }

    fn remove(&mut self, index: u64, key: &BrokerKey, claim: Option<Claim>) {
        let gone = self.live.remove(key).unwrap();
        self.filters.remove(key);
        self.fence(key, claim.unwrap_or(gone.claim).max(gone.claim), index);
        let broker = self.brokers.get_mut(&key.name).unwrap();
        if broker.addresses[&key.id].1 != key.cluster {
            return;
        }
        broker.addresses.remove(&key.id);
        let twins = self.live.iter().filter(|(k, _)| k.name == key.name && k.id == key.id);
        if let Some((twin, live)) = twins.max_by_key(|(_, live)| live.epoch) {
            broker.addresses.insert(key.id, (live.address.clone(), twin.cluster.clone()));
        }
        if broker.addresses.is_empty() {
            self.brokers.remove(&key.name);
            for queues in self.topics.values_mut() {
                queues.remove(&key.name);
            }
            self.topics.retain(|_, queues| !queues.is_empty());
        } else if broker.acting && !broker.addresses.contains_key(&0) {
            self.set_writable(&key.name, false);
        }
    }

    fn set_writable(&mut self, name: &str, writable: bool) -> u32 {
        let mut changed = 0;
        for queues in self.topics.values_mut() {
            if let Some((config, _)) = queues.get_mut(name) {
                let perm = if writable { 6 } else { config.perm & !2 };
                changed += u32::from(perm != config.perm);
                config.perm = perm;
            }
        }
        changed
    }

    fn put_topic(&mut self, topic: &str, on: &BTreeMap<String, QueueConfig>) -> RouteOutcome {
        if let Some(unknown) = on.keys().find(|name| !self.brokers.contains_key(*name)) {
            let broker_name = unknown.clone();
            return RouteOutcome::Refused(Refusal::UnknownBroker { broker_name });
        }
        let mut changed = 0;
        for (name, config) in on {
            let queues = self.topics.entry(topic.to_owned()).or_default();
            let before = queues.get(name).cloned();
            changed += u32::from(before.as_ref().map(|row| &row.0) != Some(config));
            queues.insert(name.clone(), (config.clone(), before.is_some_and(|row| row.1)));
        }
        RouteOutcome::Written { changed }
    }

    fn delete_topic(&mut self, topic: &str, cluster: Option<&String>) -> RouteOutcome {
        let Some(queues) = self.topics.get_mut(topic) else {
            return RouteOutcome::Written { changed: 0 };
        };
        let before = queues.len();
        let live = &self.live;
        let is_in = |name: &String, cluster: &String| {
            live.keys().any(|key| key.name == *name && key.cluster == *cluster)
        };
        queues.retain(|name, _| cluster.is_some_and(|cluster| !is_in(name, cluster)));
        let changed = (before - queues.len()) as u32;
        self.topics.retain(|_, queues| !queues.is_empty());
        RouteOutcome::Written { changed }
    }

    /// The route as JSON, and its `modified`.
    pub(crate) fn route(&self, topic: &str, with_order_conf: bool) -> Option<(Value, u64)> {
        let queues = self.topics.get(topic)?;
        let mut modified = self.topic_modified[topic];
        let (mut queue_datas, mut brokers, mut filters) = (vec![], vec![], json!({}));
        for (name, (config, _)) in queues {
            queue_datas.push(json!({
                "brokerName": name, "perm": config.perm, "readQueueNums": config.read_queues,
                "writeQueueNums": config.write_queues, "topicSysFlag": config.sys_flag,
            }));
            let broker = &self.brokers[name];
            modified = modified.max(self.broker_modified[name]);
            let mut addresses = json!({});
            for (id, (address, cluster)) in &broker.addresses {
                addresses[id.to_string()] = json!(address);
                let key = BrokerKey { cluster: cluster.clone(), name: name.clone(), id: *id };
                if let Some(servers) = self.filters.get(&key) {
                    filters[address] = json!(servers);
                }
            }
            let mut data = json!({
                "brokerName": name, "cluster": broker.cluster, "brokerAddrs": addresses,
                "enableActingMaster": broker.acting,
            });
            if let Some(zone) = &broker.zone {
                data["zoneName"] = json!(zone);
            }
            brokers.push(((broker.cluster.clone(), name.clone()), data));
        }
        brokers.sort_by(|a, b| a.0.cmp(&b.0));
        let broker_datas: Vec<Value> = brokers.into_iter().map(|(_, data)| data).collect();
        let mut route = json!({
            "brokerDatas": broker_datas, "queueDatas": queue_datas, "filterServerTable": filters,
        });
        if with_order_conf {
            modified = modified.max(self.order_modified.get(topic).copied().unwrap_or(0));
            let conf = self.kv.get("ORDER_TOPIC_CONFIG").and_then(|rows| rows.get(topic));
            if let Some((value, _)) = conf.filter(|(value, _)| !value.is_empty()) {
                route["orderTopicConf"] = json!(value);
            }
        }
        Some((route, modified))
    }
}

fn any_config() -> QueueConfig {
    QueueConfig { read_queues: 0, write_queues: 0, perm: 0, sys_flag: 0, order: false }
}
