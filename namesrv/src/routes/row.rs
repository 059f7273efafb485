//! The rows of the tables, as they lie in memory, in digests and in snapshots.
//!
//! [`Row`] is the canonical form of each: the digest is a sum over their encodings, and a snapshot
//! is a list of them. Variants and fields are only ever appended.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use signpost_raft::machine::Index;

use super::command::{BrokerKey, Claim, DataVersion, Door, QueueConfig, QueueMapping};
use super::content::Content;

/// A topic's, broker's, cluster's or namespace's name, shared between the tables.
pub type Name = Arc<str>;

/// A broker's share of a topic, in `topicQueueTable`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRow {
    /// What clients see of it.
    pub queues: QueueConfig,
    /// Listed by the broker itself. A row that an operator made is not, and outlives a
    /// registration that does not list it.
    pub registered: bool,
    /// What the broker owns of it, if it is a static topic.
    pub mapping: Option<Arc<QueueMapping>>,
}

/// One topic of `topicQueueTable`. A topic without queues does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRow {
    /// By broker name, sorted by it. A vector, since copying it on write costs least.
    pub queues: Vec<(Name, QueueRow)>,
    /// When its queues last changed.
    pub modified: Index,
    /// When its order configuration last changed while the topic existed; 0: never.
    pub order_conf_modified: Index,
}

impl TopicRow {
    /// Its queues on this broker.
    #[must_use]
    pub fn queue(&self, broker: &str) -> Option<&QueueRow> {
        let place = self.queues.binary_search_by(|(name, _)| (**name).cmp(broker)).ok()?;
        Some(&self.queues[place].1)
    }
}

/// An address in `brokerAddrTable`, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// `host:port` that clients dial.
    pub address: Name,
    /// The cluster of the registration that holds it: on 9876 two clusters may share a name.
    pub cluster: Name,
}

/// One broker name of `brokerAddrTable`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerRow {
    /// The cluster that used this name first.
    pub cluster: Name,
    /// By broker id; never empty.
    pub addresses: BTreeMap<u64, Slot>,
    /// 5.x: may its smallest slave act as master in answers. The latest registration decides.
    pub enable_acting_master: bool,
    /// 5.x: its zone. The latest registration decides.
    pub zone: Option<Name>,
    /// When this row, or a filter server of one of its addresses, last changed as clients see it.
    pub modified: Index,
}

/// One live broker, in `brokerLiveTable`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Who.
    pub key: Arc<BrokerKey>,
    /// The process and its latest write.
    pub claim: Claim,
    /// The log index at which this registration began.
    pub epoch: Index,
    /// `host:port` that clients dial.
    pub address: Name,
    /// `host:port` for replication; empty: none.
    pub ha_address: Name,
    /// As the broker said last.
    pub data_version: DataVersion,
    /// How long it lives without a heartbeat.
    pub lease_ttl_ms: u64,
    /// The door that its latest registration came in by.
    pub door: Door,
    /// 5.x; None: not said, as brokers before 5.x do.
    pub enable_acting_master: Option<bool>,
    /// 5.x: its zone.
    pub zone: Option<Name>,
    /// Hash of all of its content but the topics.
    pub rest_hash: u64,
    /// Digest of all of its content: what a `Base` holds.
    pub content_digest: u64,
    /// What it last registered, by topic. In a snapshot it follows in rows of its own, since it
    /// has no bound of its own; `content_digest` vouches for it.
    #[serde(skip)]
    pub content: Content,
}

/// A KV configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvRow {
    /// Its value.
    pub value: Name,
    /// When it last changed.
    pub modified: Index,
}

/// What is remembered of a broker that is gone (docs/GUARANTEES.md, claim 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// The highest incarnation and seq that it ever claimed.
    pub claim: Claim,
    /// When it was removed, or this fence was raised last.
    pub removed: Index,
}

/// One row of the replicated tables in canonical form. Derived tables have none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Row {
    ClusterVersion(u32),
    Topic { topic: Name, modified: Index, order_conf_modified: Index },
    Queue { topic: Name, broker: Name, row: QueueRow },
    Broker { name: Name, row: Arc<BrokerRow> },
    ClusterMember { cluster: Name, broker: Name },
    Live(Arc<Registration>),
    FilterServers { key: Arc<BrokerKey>, servers: Arc<Vec<String>> },
    KvNamespace(Name),
    Kv { namespace: Name, key: Name, row: Arc<KvRow> },
    Fence { key: Arc<BrokerKey>, fence: Fence },
}

impl Row {
    /// This row's share of the digest, which is the wrapping sum of all shares.
    pub(super) fn share(&self) -> u128 {
        let bytes = signpost_raft::codec::encode(self)
            .expect("a row is smaller than the log record that carried its values");
        xxhash_rust::xxh3::xxh3_128(&bytes)
    }
}
