//! Registrations and changes of topics by their brokers.

use std::collections::{BTreeMap, BTreeSet};

use signpost_namesrv::routes::command::*;

use super::{Broker, Living, Model};

impl Model {
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

    pub(super) fn register(&mut self, index: u64, r: &Register) -> RouteOutcome {
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

    pub(super) fn patch(&mut self, p: &Patch) -> RouteOutcome {
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
}

fn any_config() -> QueueConfig {
    QueueConfig { read_queues: 0, write_queues: 0, perm: 0, sys_flag: 0, order: false }
}
