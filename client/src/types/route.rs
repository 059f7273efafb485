//! Routes, under RocketMQ's own field names (`TopicRouteData`), plain form.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::null_is_default;

/// A broker group that serves the topic: RocketMQ's `BrokerData`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokerData {
    /// Addresses by broker id; 0 is the master.
    #[serde(default, deserialize_with = "null_is_default")]
    pub broker_addrs: BTreeMap<u64, String>,
    /// The name that master and slaves share.
    pub broker_name: String,
    /// The RocketMQ cluster it belongs to.
    #[serde(default)]
    pub cluster: String,
    /// 5.x: a slave may act as master.
    #[serde(default)]
    pub enable_acting_master: bool,
}

impl BrokerData {
    /// Address of the master; sends go there only.
    #[must_use]
    pub fn master(&self) -> Option<&str> {
        self.broker_addrs.get(&0).map(String::as_str)
    }
}

/// One broker's queues of the topic: RocketMQ's `QueueData`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueData {
    /// Whose queues.
    pub broker_name: String,
    /// 4 read, 2 write, 1 inherit.
    pub perm: u32,
    /// Queues that consumers read.
    pub read_queue_nums: u32,
    /// RocketMQ's `topicSysFlag`.
    #[serde(default)]
    pub topic_sys_flag: u32,
    /// Queues that producers write.
    pub write_queue_nums: u32,
}

impl QueueData {
    /// May producers write to it (RocketMQ's `PermName.isWriteable`)?
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.perm & 2 != 0
    }
}

/// A topic's route: RocketMQ's `TopicRouteData`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Broker groups, sorted by name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub broker_datas: Vec<BrokerData>,
    /// Filter servers by broker address.
    #[serde(default, deserialize_with = "null_is_default")]
    pub filter_server_table: BTreeMap<String, Vec<String>>,
    /// Order configuration from KV, when the cluster has that switched on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_topic_conf: Option<String>,
    /// Queues, sorted by broker name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub queue_datas: Vec<QueueData>,
}

/// Answer to `GET /v1/routes?topics=…`: all at one index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Routes {
    /// By topic; None: it does not exist.
    pub routes: BTreeMap<String, Option<Route>>,
}
