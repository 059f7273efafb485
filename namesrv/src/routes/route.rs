//! The answer to "where is this topic?", in RocketMQ's own shape (`TopicRouteData`).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use signpost_raft::machine::Index;

use super::command::{BrokerKey, QueueMapping};
use super::kv::ORDER_TOPIC_CONFIG;
use super::row::{BrokerRow, Name};
use super::tables::RouteTables;

/// A topic's route. Serialises to RocketMQ's JSON, keys sorted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteView {
    /// Brokers of the topic, sorted by cluster and name.
    pub broker_datas: Vec<BrokerData>,
    /// Address → filter servers.
    pub filter_server_table: BTreeMap<Name, Arc<Vec<String>>>,
    /// `broker:queues;…`; absent rather than empty, for clients take an empty one for a setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_topic_conf: Option<Name>,
    /// Queues, sorted by broker name.
    pub queue_datas: Vec<QueueData>,
    /// Static topics: which queues each broker owns; absent when the topic is none (5.x).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub topic_queue_mapping_by_broker: BTreeMap<Name, Arc<QueueMapping>>,
    /// Index of the route's last change.
    #[serde(skip)]
    pub modified: Index,
}

/// RocketMQ's `BrokerData`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokerData {
    /// Broker id → address.
    pub broker_addrs: BTreeMap<u64, Name>,
    /// The broker name.
    pub broker_name: Name,
    /// Its cluster.
    pub cluster: Name,
    /// 5.x: may the smallest slave act as master.
    pub enable_acting_master: bool,
    /// 5.x: its zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_name: Option<Name>,
}

/// RocketMQ's `QueueData`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueData {
    /// The broker name.
    pub broker_name: Name,
    /// 4 read, 2 write, 1 inherit.
    pub perm: u32,
    /// Queues that consumers read.
    pub read_queue_nums: u32,
    /// RocketMQ's topic system flag.
    pub topic_sys_flag: u32,
    /// Queues that producers write.
    pub write_queue_nums: u32,
}

impl RouteTables {
    /// The route of this topic; None when it does not exist. `with_order_conf`: RocketMQ's
    /// `orderMessageEnable`.
    ///
    /// RocketMQ resolves a topic that has queues, one of whose brokers is known. The tables never
    /// hold another one: the last address of a broker takes its queues along.
    #[must_use]
    pub fn route(&self, topic: &str, with_order_conf: bool) -> Option<RouteView> {
        let row = self.topic(topic)?;
        let mut view = RouteView {
            broker_datas: Vec::with_capacity(row.queues.len()),
            filter_server_table: BTreeMap::new(),
            order_topic_conf: None,
            queue_datas: Vec::with_capacity(row.queues.len()),
            topic_queue_mapping_by_broker: BTreeMap::new(),
            modified: row.modified,
        };
        for (name, queue) in &row.queues {
            view.queue_datas.push(QueueData {
                broker_name: name.clone(),
                perm: queue.queues.perm,
                read_queue_nums: queue.queues.read_queues,
                topic_sys_flag: queue.queues.sys_flag,
                write_queue_nums: queue.queues.write_queues,
            });
            if let Some(mapping) = &queue.mapping {
                view.topic_queue_mapping_by_broker.insert(name.clone(), mapping.clone());
            }
            let Some(broker) = self.broker(name) else { continue };
            view.modified = view.modified.max(broker.modified);
            view.broker_datas.push(broker_data(name, broker));
            self.collect_filter_servers(name, broker, &mut view.filter_server_table);
        }
        view.broker_datas
            .sort_by(|a, b| (&a.cluster, &a.broker_name).cmp(&(&b.cluster, &b.broker_name)));
        if with_order_conf {
            let conf = self.kv(ORDER_TOPIC_CONFIG, topic).filter(|row| !row.value.is_empty());
            view.order_topic_conf = conf.map(|row| row.value.clone());
            view.modified = view.modified.max(row.order_conf_modified);
        }
        Some(view)
    }

    fn collect_filter_servers(
        &self,
        name: &Name,
        broker: &BrokerRow,
        table: &mut BTreeMap<Name, Arc<Vec<String>>>,
    ) {
        if self.filter_servers.is_empty() {
            return;
        }
        for (id, slot) in &broker.addresses {
            let key =
                BrokerKey { cluster: slot.cluster.to_string(), name: name.to_string(), id: *id };
            if let Some(servers) = self.filter_servers.get(&key) {
                table.insert(slot.address.clone(), servers.clone());
            }
        }
    }
}

/// A broker name's addresses in RocketMQ's shape.
#[must_use]
pub fn broker_data(name: &Name, row: &BrokerRow) -> BrokerData {
    let addresses = row.addresses.iter();
    BrokerData {
        broker_addrs: addresses.map(|(id, slot)| (*id, slot.address.clone())).collect(),
        broker_name: name.clone(),
        cluster: row.cluster.clone(),
        enable_acting_master: row.enable_acting_master,
        zone_name: row.zone.clone(),
    }
}
