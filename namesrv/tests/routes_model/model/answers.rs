//! What the model answers.

use serde_json::{Value, json};
use signpost_namesrv::routes::command::*;

use super::Model;

impl Model {
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
