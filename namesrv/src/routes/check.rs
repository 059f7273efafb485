//! Everything that must hold of the tables at any time, recomputed from scratch.
//!
//! Used when a snapshot is restored, and by tests after random commands.

use std::collections::BTreeSet;

use imbl::OrdMap;

use super::row::{Name, Row};
use super::tables::{NameIndex, RouteTables};

impl RouteTables {
    /// The digest, computed anew from all rows.
    #[must_use]
    pub fn recompute_digest(&self) -> u128 {
        self.clone().into_rows().fold(0, |sum, row| sum.wrapping_add(row.share()))
    }

    /// Checks that digest, content digests and derived tables are what they should be, and that the
    /// tables agree with each other (`tables.rs` says how).
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        self.check_live()?;
        self.check_addresses()?;
        self.check_topics()?;
        if self.names != self.derive_names() {
            return Err("the index of broker names is not what topics and live brokers say".into());
        }
        if self.digest != self.recompute_digest() {
            return Err("the digest is not that of the rows".into());
        }
        Ok(())
    }

    fn check_live(&self) -> Result<(), String> {
        let mut members = BTreeSet::new();
        for (key, live) in &self.live {
            let digest = live.content.recompute().wrapping_add(live.rest_hash);
            if *key != live.key {
                return Err(format!("{key:?} holds the registration of {:?}", live.key));
            }
            if live.content_digest != digest {
                return Err(format!("{key:?}: the content digest is not that of its topics"));
            }
            if self.fence(key).is_some() {
                return Err(format!("{key:?} is live and fenced"));
            }
            let slot = self.broker(&key.name).and_then(|row| row.addresses.get(&key.id));
            if slot.is_none() {
                return Err(format!("{key:?} is live and has no address"));
            }
            members.insert((key.cluster.as_str(), key.name.as_str()));
        }
        let clusters = self.clusters.iter();
        let listed: BTreeSet<(&str, &str)> = clusters
            .flat_map(|(cluster, names)| names.iter().map(|name| (&**cluster, &**name)))
            .collect();
        if listed != members || self.clusters.values().any(|names| names.is_empty()) {
            return Err("the cluster table is not that of the live brokers".into());
        }
        let without_owner = self.filter_servers.keys().find(|key| !self.live.contains_key(*key));
        without_owner.map_or(Ok(()), |key| Err(format!("{key:?} has filter servers, but is gone")))
    }

    fn check_addresses(&self) -> Result<(), String> {
        for (name, row) in &self.brokers {
            if row.addresses.is_empty() {
                return Err(format!("broker name {name} has no address"));
            }
            for (id, slot) in &row.addresses {
                let mut owners = self.registrations_of(name);
                let is_owner = |key: &super::command::BrokerKey| {
                    key.id == *id && *key.cluster == *slot.cluster
                };
                if !owners.any(|live| is_owner(&live.key) && live.address == slot.address) {
                    return Err(format!("nobody lives at {} of {name} {id}", slot.address));
                }
            }
        }
        Ok(())
    }

    fn check_topics(&self) -> Result<(), String> {
        for (topic, row) in &self.topics {
            if row.queues.is_empty() || !row.queues.is_sorted_by(|a, b| a.0 < b.0) {
                return Err(format!("topic {topic} has no queues, or unsorted ones"));
            }
            if let Some((name, _)) = row.queues.iter().find(|(name, _)| self.broker(name).is_none())
            {
                return Err(format!("topic {topic} has queues on {name}, which is not there"));
            }
        }
        Ok(())
    }

    /// The derived index, computed anew.
    pub(super) fn derive_names(&self) -> OrdMap<Name, NameIndex> {
        let mut names: OrdMap<Name, NameIndex> = OrdMap::new();
        for (name, _) in &self.brokers {
            names.insert(name.clone(), NameIndex::default());
        }
        for (topic, row) in &self.topics {
            for (name, _) in &row.queues {
                names.entry(name.clone()).or_default().topics.insert(topic.clone());
            }
        }
        for key in self.live.keys() {
            names.entry(key.name.as_str().into()).or_default().keys.insert(key.clone());
        }
        names
    }

    /// All rows of the replicated tables in canonical order.
    pub(super) fn into_rows(self) -> impl Iterator<Item = Row> + Send {
        std::iter::once(Row::ClusterVersion(self.cluster_version))
            .chain(self.topics.into_iter().flat_map(|(topic, row)| {
                let head = Row::Topic {
                    topic: topic.clone(),
                    modified: row.modified,
                    order_conf_modified: row.order_conf_modified,
                };
                let places = 0..row.queues.len();
                std::iter::once(head).chain(places.map(move |place| {
                    let (broker, queue) = row.queues[place].clone();
                    Row::Queue { topic: topic.clone(), broker, row: queue }
                }))
            }))
            .chain(self.brokers.into_iter().map(|(name, row)| Row::Broker { name, row }))
            .chain(self.clusters.into_iter().flat_map(|(cluster, names)| {
                let names = names.into_iter();
                names.map(move |broker| Row::ClusterMember { cluster: cluster.clone(), broker })
            }))
            .chain(self.live.into_iter().map(|(_, registration)| Row::Live(registration)))
            .chain(
                self.filter_servers
                    .into_iter()
                    .map(|(key, servers)| Row::FilterServers { key, servers }),
            )
            .chain(self.kv.into_iter().flat_map(|(namespace, rows)| {
                let head = Row::KvNamespace(namespace.clone());
                std::iter::once(head).chain(rows.into_iter().map(move |(key, row)| Row::Kv {
                    namespace: namespace.clone(),
                    key,
                    row,
                }))
            }))
            .chain(self.fences.into_rows())
    }
}
