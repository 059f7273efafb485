//! The tables themselves, and what can be asked of them.
//!
//! Invariants (checked by `RouteTables::check`, which tests call after random commands):
//! each live registration has an address under its name and id, held by itself or by one of the
//! same name and id in another cluster; the cluster table names exactly the clusters and names of
//! live registrations; a topic has at least one queue row, and only of names in the address table;
//! a key is live or fenced, never both.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use signpost_raft::machine::Index;
use signpost_raft::planted::{Bug, planted};

use super::changes::Changes;
use super::command::{BrokerKey, Claim};
use super::deletions::{DELETIONS_MAX, Deletions};
use super::fences::{FENCES_MAX, Fences};
use super::row::{BrokerRow, Fence, KvRow, Name, Registration, Row, TopicRow};

/// RocketMQ's route tables and KV configuration at one log index.
///
/// Cloning takes constant time: versions share what they have in common. Only
/// [`RouteTables::apply`] and [`RouteTables::restore`] change them.
#[derive(Debug, Clone)]
pub struct RouteTables {
    pub(super) cluster_version: u32,
    /// `topicQueueTable`.
    pub(super) topics: OrdMap<Name, Arc<TopicRow>>,
    /// `brokerAddrTable`.
    pub(super) brokers: OrdMap<Name, Arc<BrokerRow>>,
    /// `clusterAddrTable`.
    pub(super) clusters: OrdMap<Name, OrdSet<Name>>,
    /// `brokerLiveTable`.
    pub(super) live: OrdMap<Arc<BrokerKey>, Arc<Registration>>,
    /// `filterServerTable`.
    pub(super) filter_servers: OrdMap<Arc<BrokerKey>, Arc<Vec<String>>>,
    /// Namespaces of KV configuration; one that was emptied stays, as in RocketMQ.
    pub(super) kv: OrdMap<Name, OrdMap<Name, Arc<KvRow>>>,
    pub(super) fences: Fences,
    /// Derived from `topics` and `live`.
    pub(super) names: OrdMap<Name, NameIndex>,
    /// Of this replica only.
    pub(super) deletions: Deletions,
    /// Of this replica only.
    pub(super) changes: Changes,
    pub(super) digest: u128,
}

/// What a broker name is part of. Derived, so neither in digests nor in snapshots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct NameIndex {
    /// Topics with queues on it.
    pub(super) topics: OrdSet<Name>,
    /// Live registrations of it.
    pub(super) keys: OrdSet<Arc<BrokerKey>>,
}

impl Default for RouteTables {
    fn default() -> Self {
        Self::new()
    }
}

impl RouteTables {
    /// Empty tables.
    #[must_use]
    pub fn new() -> Self {
        Self::with_fences_max(FENCES_MAX)
    }

    /// Empty tables that remember this many removed brokers. All replicas must agree on the
    /// number, so that only tests have a use for another one.
    #[must_use]
    pub fn with_fences_max(fences_max: usize) -> Self {
        let cluster_version = 1;
        Self {
            cluster_version,
            topics: OrdMap::new(),
            brokers: OrdMap::new(),
            clusters: OrdMap::new(),
            live: OrdMap::new(),
            filter_servers: OrdMap::new(),
            kv: OrdMap::new(),
            fences: Fences::new(fences_max),
            names: OrdMap::new(),
            deletions: Deletions::new(0, DELETIONS_MAX),
            changes: Changes::default(),
            digest: Row::ClusterVersion(cluster_version).share(),
        }
    }

    /// Equal for equal tables, on every replica. Kept up with each change.
    #[must_use]
    pub fn digest(&self) -> u128 {
        if planted(Bug::HashOrderInDigest) {
            let names: std::collections::HashSet<&Name> = self.topics.keys().collect();
            let length = |name: &&Name| name.bytes().map(u128::from).sum::<u128>();
            return names.iter().fold(self.digest, |sum, name| sum.rotate_left(1) ^ length(name));
        }
        self.digest
    }

    /// The version that gates new commands and rules.
    #[must_use]
    pub fn cluster_version(&self) -> u32 {
        self.cluster_version
    }

    /// What changed since this was last called.
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// The live registration of this broker.
    #[must_use]
    pub fn registration(&self, key: &BrokerKey) -> Option<&Arc<Registration>> {
        self.live.get(key)
    }

    /// All live registrations, sorted by key.
    pub fn registrations(&self) -> impl Iterator<Item = &Arc<Registration>> {
        self.live.values()
    }

    /// Live registrations of this broker name, in all clusters, sorted by key.
    pub fn registrations_of(&self, name: &str) -> impl Iterator<Item = &Arc<Registration>> {
        let keys = self.names.get(name).into_iter().flat_map(|index| index.keys.iter());
        keys.filter_map(|key| self.live.get(&**key))
    }

    /// Filter servers of this broker; empty when it has none.
    #[must_use]
    pub fn filter_servers(&self, key: &BrokerKey) -> &[String] {
        self.filter_servers.get(key).map_or(&[], |servers| servers.as_slice())
    }

    /// What is remembered of a broker that is gone.
    #[must_use]
    pub fn fence(&self, key: &BrokerKey) -> Option<Fence> {
        self.fences.get(key)
    }

    /// How many brokers that are gone are remembered.
    #[must_use]
    pub fn fences_len(&self) -> usize {
        self.fences.len()
    }

    /// The highest claim known for this identity, alive or gone.
    #[must_use]
    pub fn highest_claim(&self, key: &BrokerKey) -> Option<Claim> {
        let live = self.live.get(key).map(|live| live.claim);
        live.or_else(|| self.fences.get(key).map(|fence| fence.claim))
    }

    /// A topic and its name as the tables hold it.
    #[must_use]
    pub fn topic(&self, topic: &str) -> Option<&Arc<TopicRow>> {
        self.topics.get(topic)
    }

    /// All topics, sorted.
    pub fn topics(&self) -> impl Iterator<Item = (&Name, &Arc<TopicRow>)> {
        self.topics.iter()
    }

    /// Topics with queues on this broker name, sorted.
    pub fn topics_of(&self, broker: &str) -> impl Iterator<Item = &Name> {
        self.names.get(broker).into_iter().flat_map(|index| index.topics.iter())
    }

    /// A broker name's addresses.
    #[must_use]
    pub fn broker(&self, name: &str) -> Option<&Arc<BrokerRow>> {
        self.brokers.get(name)
    }

    /// All broker names and their addresses, sorted.
    pub fn brokers(&self) -> impl Iterator<Item = (&Name, &Arc<BrokerRow>)> {
        self.brokers.iter()
    }

    /// All clusters and their broker names, both sorted.
    pub fn clusters(&self) -> impl Iterator<Item = (&Name, impl Iterator<Item = &Name>)> {
        self.clusters.iter().map(|(cluster, names)| (cluster, names.iter()))
    }

    /// Has this cluster a live broker of this name?
    #[must_use]
    pub fn is_in_cluster(&self, cluster: &str, name: &str) -> bool {
        self.clusters.get(cluster).is_some_and(|names| names.contains(name))
    }

    /// The index at which a topic that does not exist was deleted, or below which nothing is known
    /// of deletions: this replica's start, its latest snapshot, or its oldest remembered deletion.
    #[must_use]
    pub fn absent_modified(&self, topic: &str) -> Index {
        self.deletions.get(topic)
    }

    /// Below this index this replica knows nothing of deletions.
    #[must_use]
    pub fn deletions_floor(&self) -> Index {
        self.deletions.floor()
    }
}
