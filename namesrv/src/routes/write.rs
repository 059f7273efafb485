//! One setter for each kind of row: it keeps digest, derived index and changes in step.
//!
//! The rules of RocketMQ are elsewhere; nothing here knows them. A setter that finds nothing to
//! change changes nothing, `modified` least of all.

use std::sync::Arc;

use signpost_raft::machine::Index;

use super::changes::{RegistrationChange, RegistrationEvent};
use super::command::BrokerKey;
use super::row::{BrokerRow, Fence, KvRow, Name, QueueRow, Registration, Row, TopicRow};
use super::tables::RouteTables;

impl RouteTables {
    fn credit(&mut self, row: &Row) {
        self.digest = self.digest.wrapping_add(row.share());
    }

    fn debit(&mut self, row: &Row) {
        self.digest = self.digest.wrapping_sub(row.share());
    }

    pub(super) fn set_cluster_version(&mut self, version: u32) {
        self.debit(&Row::ClusterVersion(self.cluster_version));
        self.cluster_version = version;
        self.credit(&Row::ClusterVersion(version));
    }

    /// Sets a broker's share of a topic. Answers whether clients see a change.
    pub(super) fn put_queue(
        &mut self,
        index: Index,
        topic: &Name,
        broker: &Name,
        row: QueueRow,
    ) -> bool {
        let Some((topic, existing)) = self.topics.get_key_value(topic) else {
            self.put_first_queue(index, topic.clone(), broker.clone(), row);
            return true;
        };
        let place = existing.queues.binary_search_by(|(name, _)| name.cmp(broker));
        let before = place.ok().map(|place| existing.queues[place].1.clone());
        if before.as_ref() == Some(&row) {
            return false;
        }
        let visible = before
            .as_ref()
            .is_none_or(|before| before.queues != row.queues || before.mapping != row.mapping);
        let topic = topic.clone();
        if let Some(before) = before {
            self.debit(&queue_row(&topic, broker, before));
        } else {
            self.names.entry(broker.clone()).or_default().topics.insert(topic.clone());
        }
        self.credit(&queue_row(&topic, broker, row.clone()));
        self.update_topic(index, &topic, visible, |queues| match place {
            Ok(place) => queues[place].1 = row,
            Err(place) => queues.insert(place, (broker.clone(), row)),
        });
        visible
    }

    fn put_first_queue(&mut self, index: Index, topic: Name, broker: Name, row: QueueRow) {
        let queues = vec![(broker.clone(), row.clone())];
        let topic_row = TopicRow { queues, modified: index, order_conf_modified: 0 };
        self.credit(&head_row(&topic, &topic_row));
        self.credit(&queue_row(&topic, &broker, row));
        self.topics.insert(topic.clone(), Arc::new(topic_row));
        self.names.entry(broker).or_default().topics.insert(topic.clone());
        self.deletions.forget(&topic);
        self.changes.topics.insert(topic);
    }

    /// Takes a broker's share out of a topic, and the topic with its last one. Answers whether
    /// there was one.
    pub(super) fn remove_queue(&mut self, index: Index, topic: &str, broker: &Name) -> bool {
        let Some((topic, existing)) = self.topics.get_key_value(topic) else { return false };
        let Ok(place) = existing.queues.binary_search_by(|(name, _)| name.cmp(broker)) else {
            return false;
        };
        let (topic, existing) = (topic.clone(), existing.clone());
        self.debit(&queue_row(&topic, broker, existing.queues[place].1.clone()));
        self.update_index(broker, |names| {
            names.topics.remove(&topic);
        });
        if existing.queues.len() > 1 {
            self.update_topic(index, &topic, true, |queues| {
                queues.remove(place);
            });
        } else {
            self.debit(&head_row(&topic, &existing));
            self.topics.remove(&topic);
            self.deletions.record(topic.clone(), index);
            self.changes.topics.insert(topic);
        }
        true
    }

    /// Stamps a topic whose order configuration has changed, if it exists.
    pub(super) fn stamp_order_conf(&mut self, index: Index, topic: &str) {
        let Some((topic, existing)) = self.topics.get_key_value(topic) else { return };
        let (topic, mut row) = (topic.clone(), TopicRow::clone(existing));
        self.debit(&head_row(&topic, &row));
        row.order_conf_modified = index;
        self.credit(&head_row(&topic, &row));
        self.topics.insert(topic, Arc::new(row));
    }

    fn update_topic(
        &mut self,
        index: Index,
        topic: &Name,
        visible: bool,
        update: impl FnOnce(&mut Vec<(Name, QueueRow)>),
    ) {
        let Some(row) = self.topics.get_mut(topic) else { return };
        let row = Arc::make_mut(row);
        let before = head_row(topic, row);
        update(&mut row.queues);
        if visible {
            row.modified = index;
            let after = head_row(topic, row);
            self.debit(&before);
            self.credit(&after);
            self.changes.topics.insert(topic.clone());
        }
    }

    /// Sets a broker name's addresses; stamps them when they change, or `stamp` says so.
    pub(super) fn put_broker(
        &mut self,
        index: Index,
        name: &Name,
        mut row: BrokerRow,
        stamp: bool,
    ) {
        let before = self.brokers.get(name).cloned();
        if before.as_deref() == Some(&row) && !stamp {
            return;
        }
        row.modified = index;
        if let Some(before) = before {
            self.debit(&Row::Broker { name: name.clone(), row: before });
        }
        let row = Arc::new(row);
        self.credit(&Row::Broker { name: name.clone(), row: row.clone() });
        self.brokers.insert(name.clone(), row);
        self.changes.brokers.insert(name.clone());
    }

    pub(super) fn remove_broker(&mut self, name: &str) {
        if let Some((name, row)) = self.brokers.remove_with_key(name) {
            self.changes.brokers.insert(name.clone());
            self.debit(&Row::Broker { name, row });
        }
    }

    /// Sets a live registration and its places in the cluster table and the derived index.
    pub(super) fn put_live(&mut self, registration: Registration) {
        let key = registration.key.clone();
        let registration = Arc::new(registration);
        if let Some(before) = self.live.get(&*key).cloned() {
            self.debit(&Row::Live(before));
        } else {
            let name = self.name(&key.name);
            self.put_cluster_member(&key.cluster, name.clone());
            self.names.entry(name).or_default().keys.insert(key.clone());
        }
        self.credit(&Row::Live(registration.clone()));
        self.live.insert(key, registration);
    }

    /// Takes it out again.
    pub(super) fn remove_live(&mut self, key: &BrokerKey) -> Option<Arc<Registration>> {
        let registration = self.live.remove(key)?;
        self.debit(&Row::Live(registration.clone()));
        self.update_index(&key.name, |names| {
            names.keys.remove(key);
        });
        if self.registrations_of(&key.name).all(|other| other.key.cluster != key.cluster) {
            self.remove_cluster_member(&key.cluster, &key.name);
        }
        Some(registration)
    }

    fn put_cluster_member(&mut self, cluster: &str, broker: Name) {
        let cluster = match self.clusters.get_key_value(cluster) {
            Some((_, names)) if names.contains(&broker) => return,
            Some((cluster, _)) => cluster.clone(),
            None => cluster.into(),
        };
        self.clusters.entry(cluster.clone()).or_default().insert(broker.clone());
        self.credit(&Row::ClusterMember { cluster, broker });
    }

    fn remove_cluster_member(&mut self, cluster: &str, broker: &str) {
        let Some((cluster, names)) = self.clusters.get_key_value(cluster) else { return };
        let (cluster, mut names) = (cluster.clone(), names.clone());
        let Some(broker) = names.remove(broker) else { return };
        if names.is_empty() {
            self.clusters.remove(&cluster);
        } else {
            self.clusters.insert(cluster.clone(), names);
        }
        self.debit(&Row::ClusterMember { cluster, broker });
    }

    /// Sets a broker's filter servers; empty takes them away. Answers whether they changed.
    pub(super) fn put_filter_servers(&mut self, key: &Arc<BrokerKey>, servers: &[String]) -> bool {
        if self.filter_servers(key) == servers {
            return false;
        }
        if let Some((key, servers)) = self.filter_servers.remove_with_key(&**key) {
            self.debit(&Row::FilterServers { key, servers });
        }
        if !servers.is_empty() {
            let (key, servers) = (key.clone(), Arc::new(servers.to_vec()));
            self.credit(&Row::FilterServers { key: key.clone(), servers: servers.clone() });
            self.filter_servers.insert(key, servers);
        }
        true
    }

    pub(super) fn put_fence(&mut self, key: Arc<BrokerKey>, fence: Fence) {
        let (went, came) = self.fences.set(key, fence);
        for row in went {
            self.debit(&row);
        }
        self.credit(&came);
    }

    pub(super) fn remove_fence(&mut self, key: &BrokerKey) {
        if let Some(row) = self.fences.remove(key) {
            self.debit(&row);
        }
    }

    pub(super) fn put_kv_row(&mut self, namespace: &str, key: &str, row: KvRow) {
        let namespace = self.kv_namespace(namespace);
        let rows = self.kv.entry(namespace.clone()).or_default();
        let (key, before) = match rows.get_key_value(key) {
            Some((key, before)) => (key.clone(), Some(before.clone())),
            None => (key.into(), None),
        };
        let row = Arc::new(row);
        rows.insert(key.clone(), row.clone());
        if let Some(row) = before {
            self.debit(&Row::Kv { namespace: namespace.clone(), key: key.clone(), row });
        }
        self.credit(&Row::Kv { namespace: namespace.clone(), key: key.clone(), row });
        self.changes.kv.insert((namespace, key));
    }

    /// The namespace as the table holds it; made when it does not exist.
    pub(super) fn kv_namespace(&mut self, namespace: &str) -> Name {
        if let Some((namespace, _)) = self.kv.get_key_value(namespace) {
            return namespace.clone();
        }
        let namespace: Name = namespace.into();
        self.kv.insert(namespace.clone(), imbl::OrdMap::new());
        self.credit(&Row::KvNamespace(namespace.clone()));
        namespace
    }

    pub(super) fn remove_kv_row(&mut self, namespace: &str, key: &str) -> bool {
        let Some((namespace, rows)) = self.kv.get_key_value(namespace) else { return false };
        let (namespace, mut rows) = (namespace.clone(), rows.clone());
        let Some((key, row)) = rows.remove_with_key(key) else { return false };
        self.kv.insert(namespace.clone(), rows);
        self.debit(&Row::Kv { namespace: namespace.clone(), key: key.clone(), row });
        self.changes.kv.insert((namespace, key));
        true
    }

    /// This topic's name as the tables hold it already, so that it is stored once.
    pub(super) fn topic_name(&self, topic: &str) -> Name {
        self.topics.get_key_value(topic).map_or_else(|| topic.into(), |(name, _)| name.clone())
    }

    /// The same for a broker name.
    pub(super) fn name(&self, broker: &str) -> Name {
        self.names.get_key_value(broker).map_or_else(|| broker.into(), |(name, _)| name.clone())
    }

    pub(super) fn note(
        &mut self,
        index: Index,
        registration: &Registration,
        what: RegistrationEvent,
    ) {
        self.changes.registrations.push(RegistrationChange {
            key: registration.key.clone(),
            epoch: registration.epoch,
            address: registration.address.clone(),
            index,
            what,
        });
    }

    fn update_index(&mut self, broker: &str, update: impl FnOnce(&mut super::tables::NameIndex)) {
        let Some(names) = self.names.get_mut(broker) else { return };
        update(names);
        if names.topics.is_empty() && names.keys.is_empty() {
            self.names.remove(broker);
        }
    }
}

fn head_row(topic: &Name, row: &TopicRow) -> Row {
    Row::Topic {
        topic: topic.clone(),
        modified: row.modified,
        order_conf_modified: row.order_conf_modified,
    }
}

fn queue_row(topic: &Name, broker: &Name, row: QueueRow) -> Row {
    Row::Queue { topic: topic.clone(), broker: broker.clone(), row }
}
