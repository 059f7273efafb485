//! A broker's registration and what keeps it: the bodies under `/v1/brokers` and `/v1/topics`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::null_is_default;

/// RocketMQ's `DataVersion`. Over HTTP it is kept and shown; `seq` orders, content decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DataVersion {
    /// Grows with each change of the broker's topics.
    pub counter: i64,
    /// Milliseconds since 1970, by the broker's clock.
    pub timestamp: i64,
    /// 5.x: the controller's epoch.
    pub state_version: i64,
}

/// A broker's share of a topic. Absent fields take the contract's defaults: 16 read and 16 write
/// queues, perm 6, flag 0, not ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TopicConfig {
    /// Queues that consumers read.
    pub read_queue_nums: u32,
    /// Queues that producers write.
    pub write_queue_nums: u32,
    /// 4 read, 2 write, 1 inherit.
    pub perm: u32,
    /// RocketMQ's `topicSysFlag`.
    pub topic_sys_flag: u32,
    /// Ordered, as its owner says.
    pub order: bool,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self { read_queue_nums: 16, write_queue_nums: 16, perm: 6, topic_sys_flag: 0, order: false }
    }
}

/// Body of `PUT /v1/brokers/{cluster}/{name}/{id}`. Replaces the topics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registration {
    /// The process (below 2^53, above its last). None: made by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
    /// Which write of that process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// `host:port` that clients dial.
    pub address: String,
    /// `host:port` for replication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ha_address: Option<String>,
    /// As the broker says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_version: Option<DataVersion>,
    /// All topics of the broker.
    #[serde(default, deserialize_with = "null_is_default")]
    pub topics: BTreeMap<String, TopicConfig>,
    /// Filter servers of this broker. None leaves them, empty removes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter_servers: Option<Vec<String>>,
    /// How long it lives without a heartbeat, in milliseconds. None: the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ttl_ms: Option<u64>,
}

/// Answer to a [`Registration`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registered {
    /// Log index at which the registration began; heartbeats, patches and unregisters carry it.
    pub epoch: u64,
    /// Log index at which this write took effect.
    pub index: u64,
    /// The ttl that holds, in milliseconds.
    pub lease_ttl_ms: u64,
    /// For slaves: the live master's address.
    #[serde(default)]
    pub master_address: Option<String>,
    /// For slaves: the live master's HA address.
    #[serde(default)]
    pub ha_address: Option<String>,
}

/// Body of `PATCH /v1/brokers/{cluster}/{name}/{id}/topics`. Merges; null deletes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Patch {
    /// The process.
    pub incarnation: u64,
    /// The registration that is meant.
    pub epoch: u64,
    /// Which write of that process.
    pub seq: u64,
    /// As the broker says; None leaves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_version: Option<DataVersion>,
    /// New or changed topics; None deletes one.
    #[serde(default, deserialize_with = "null_is_default")]
    pub topics: BTreeMap<String, Option<TopicConfig>>,
}

/// Answer to a [`Patch`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Patched {
    /// The registration's epoch, unchanged.
    pub epoch: u64,
    /// Log index at which this write took effect.
    pub index: u64,
}

/// Body of `POST /v1/brokers/{cluster}/{name}/{id}/heartbeat`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Heartbeat {
    /// The process. None: whichever made the registration (by hand).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
    /// The registration that is meant.
    pub epoch: u64,
}

/// Answer to a [`Heartbeat`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Renewed {
    /// The registration that was renewed.
    pub epoch: u64,
    /// From now on it lives this long without a heartbeat, in milliseconds.
    pub lease_ttl_ms: u64,
}

/// Body of `POST /v1/brokers/{cluster}/{name}/write-permission`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WritePermission {
    /// false wipes, true restores.
    pub writable: bool,
}

/// Answer to a [`WritePermission`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PermissionChanged {
    /// Log index at which this write took effect.
    pub index: u64,
    /// Topics whose permission changed.
    pub changed_topics: u64,
}

/// Body of `PUT /v1/topics/{topic}`: its queues on each named broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutTopic {
    /// By broker name. Unknown brokers are refused, all or none.
    pub brokers: BTreeMap<String, TopicConfig>,
}
