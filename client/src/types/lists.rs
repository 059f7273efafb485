//! The tables as lists, each read at one index, sorted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::DataVersion;

/// One live registration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokerEntry {
    /// The RocketMQ cluster it belongs to.
    pub cluster: String,
    /// The name that it shares with its master or slaves.
    pub name: String,
    /// 0 is the master.
    pub id: u64,
    /// `host:port` that clients dial.
    pub address: String,
    /// `host:port` for replication.
    #[serde(default)]
    pub ha_address: Option<String>,
    /// Log index at which the registration began.
    pub epoch: u64,
    /// The process that holds it.
    pub incarnation: u64,
    /// The last write of that process.
    #[serde(default)]
    pub seq: Option<u64>,
    /// How long it lives without a heartbeat, in milliseconds.
    pub lease_ttl_ms: u64,
    /// As the broker says.
    #[serde(default)]
    pub data_version: Option<DataVersion>,
    /// Topics that it registered.
    #[serde(default)]
    pub topics: Option<u64>,
}

/// Answer to `GET /v1/brokers`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerList {
    /// Sorted by cluster, name, id.
    pub brokers: Vec<BrokerEntry>,
}

/// Answer to `GET /v1/clusters`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterList {
    /// Broker names by RocketMQ cluster.
    pub clusters: BTreeMap<String, Vec<String>>,
}

/// Answer to `GET /v1/topics`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicList {
    /// Sorted.
    pub topics: Vec<String>,
}
