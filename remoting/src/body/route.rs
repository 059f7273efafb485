//! The answer to "where is this topic?" (105), and the body of 217.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json::{self, Allowance, Text, list, scalar, table};
use super::{
    ADDRESSES_MAX, BROKERS_MAX, BodyError, FILTER_SERVERS_MAX, STANDARD_JSON_VERSION, Table,
    TopicQueueMappingInfo, lenient,
};

/// RocketMQ's `TopicRouteData`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicRouteData {
    /// Brokers of the topic. Clients need no order of them.
    pub broker_datas: Vec<BrokerData>,
    /// Address → filter servers.
    pub filter_server_table: Table<String, Vec<String>>,
    /// `broker:queues;…`. Absent rather than empty: 5.x clients take an empty one for a setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_topic_conf: Option<String>,
    /// Queues of the topic, one entry a broker.
    pub queue_datas: Vec<QueueData>,
    /// 5.x, static topics: broker name → what it owns. Absent when empty.
    #[serde(skip_serializing_if = "Table::is_empty")]
    pub topic_queue_mapping_by_broker: Table<String, TopicQueueMappingInfo>,
}

/// RocketMQ's `QueueData`: a broker's share of a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueData {
    /// The broker name.
    pub broker_name: String,
    /// 4 read, 2 write, 1 inherit.
    pub perm: i32,
    /// Queues that consumers read.
    pub read_queue_nums: i32,
    /// RocketMQ's topic system flag. Java before 4.9 and Go write it as `topicSynFlag`.
    pub topic_sys_flag: i32,
    /// Queues that producers write.
    pub write_queue_nums: i32,
}

/// RocketMQ's `BrokerData`: the addresses of a broker name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokerData {
    /// Broker id → address; 0 is the master.
    pub broker_addrs: Table<u64, String>,
    /// The broker name.
    pub broker_name: String,
    /// Its cluster.
    pub cluster: String,
    /// 5.x: may the smallest slave act as master.
    pub enable_acting_master: bool,
    /// 5.x: its zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_name: Option<String>,
}

impl TopicRouteData {
    /// Whether a client of this version, with or without `acceptStandardJsonOnly`, is answered in
    /// standard JSON.
    #[must_use]
    pub fn is_standard_for(version: i32, accept_standard_json_only: bool) -> bool {
        version >= STANDARD_JSON_VERSION || accept_standard_json_only
    }

    /// Standard JSON: what every client reads.
    #[must_use]
    pub fn standard_json(&self) -> Vec<u8> {
        json::standard(self)
    }

    /// What a stock name server answers to versions before 4.9.4: broker ids and queue ids that
    /// are keys are bare.
    #[must_use]
    pub fn legacy_json(&self) -> Vec<u8> {
        json::legacy(self)
    }

    /// Reads either form.
    ///
    /// # Errors
    /// Not a JSON object, or one whose fields have other types; more entries than any route has.
    pub fn from_json(body: &[u8]) -> Result<Self, BodyError> {
        json::read(body, Self::read)
    }
}

impl TopicRouteData {
    fn read(text: &RawValue, allowance: &Allowance) -> serde_json::Result<Self> {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Wire<'a> {
            #[serde(borrow)]
            broker_datas: Text<'a>,
            #[serde(borrow)]
            filter_server_table: Text<'a>,
            #[serde(deserialize_with = "lenient::text")]
            order_topic_conf: Option<String>,
            #[serde(borrow)]
            queue_datas: Text<'a>,
            #[serde(borrow)]
            topic_queue_mapping_by_broker: Text<'a>,
        }
        let wire: Wire<'_> = scalar(text)?;
        let brokers = list(wire.broker_datas, BROKERS_MAX, allowance, |text| {
            BrokerData::read(text, allowance)
        })?;
        let filter_server_table =
            table(wire.filter_server_table, BROKERS_MAX, allowance, |text| {
                let servers = list(Some(text), FILTER_SERVERS_MAX, allowance, scalar)?;
                Ok(servers.unwrap_or_default())
            })?;
        let queues = list(wire.queue_datas, BROKERS_MAX, allowance, scalar)?;
        let mappings = wire.topic_queue_mapping_by_broker;
        Ok(Self {
            broker_datas: brokers.unwrap_or_default(),
            filter_server_table,
            order_topic_conf: wire.order_topic_conf,
            queue_datas: queues.unwrap_or_default(),
            topic_queue_mapping_by_broker: table(mappings, BROKERS_MAX, allowance, |text| {
                TopicQueueMappingInfo::read(text, allowance)
            })?,
        })
    }
}

impl<'de> Deserialize<'de> for QueueData {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Wire {
            #[serde(deserialize_with = "lenient::text")]
            broker_name: Option<String>,
            #[serde(deserialize_with = "lenient::integer")]
            perm: Option<i32>,
            #[serde(deserialize_with = "lenient::integer")]
            read_queue_nums: Option<i32>,
            #[serde(deserialize_with = "lenient::integer")]
            topic_sys_flag: Option<i32>,
            #[serde(deserialize_with = "lenient::integer")]
            topic_syn_flag: Option<i32>,
            #[serde(deserialize_with = "lenient::integer")]
            write_queue_nums: Option<i32>,
        }
        let wire = Wire::deserialize(deserializer)?;
        Ok(Self {
            broker_name: wire.broker_name.unwrap_or_default(),
            perm: wire.perm.unwrap_or_default(),
            read_queue_nums: wire.read_queue_nums.unwrap_or_default(),
            topic_sys_flag: wire.topic_sys_flag.or(wire.topic_syn_flag).unwrap_or_default(),
            write_queue_nums: wire.write_queue_nums.unwrap_or_default(),
        })
    }
}

impl BrokerData {
    pub(super) fn read(text: &RawValue, allowance: &Allowance) -> serde_json::Result<Self> {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Wire<'a> {
            #[serde(borrow)]
            broker_addrs: Text<'a>,
            #[serde(deserialize_with = "lenient::text")]
            broker_name: Option<String>,
            #[serde(deserialize_with = "lenient::text")]
            cluster: Option<String>,
            #[serde(deserialize_with = "lenient::boolean")]
            enable_acting_master: Option<bool>,
            #[serde(deserialize_with = "lenient::text")]
            zone_name: Option<String>,
        }
        let wire: Wire<'_> = scalar(text)?;
        Ok(Self {
            broker_addrs: table(wire.broker_addrs, ADDRESSES_MAX, allowance, scalar)?,
            broker_name: wire.broker_name.unwrap_or_default(),
            cluster: wire.cluster.unwrap_or_default(),
            enable_acting_master: wire.enable_acting_master.unwrap_or_default(),
            zone_name: wire.zone_name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_of_former_clients_and_servers_are_read() {
        // As 4.9 writes it, the flag spelt as before 4.9, white space, nulls, fields of nobody.
        let json = br#" { "orderTopicConf" : null, "queueDatas":[{"brokerName":"b","topicSynFlag":"2","perm":6}],
            "brokerDatas":[{"brokerAddrs":{0:"h:1", "1" : "h:2"},"brokerName":"b","cluster":"C"},{"brokerAddrs":null}],
            "filterServerTable":{"h:1":["f:1"],"h:2":null}, "other":{} }"#;
        let route = TopicRouteData::from_json(json).unwrap();
        let queues = QueueData {
            broker_name: "b".to_owned(),
            perm: 6,
            topic_sys_flag: 2,
            ..QueueData::default()
        };
        assert_eq!(route.queue_datas, [queues]);
        let addresses = Table::from([(0, "h:1".to_owned()), (1, "h:2".to_owned())]);
        assert_eq!(route.broker_datas[0].broker_addrs, addresses);
        assert_eq!(route.broker_datas[1], BrokerData::default());
        assert_eq!(route.filter_server_table["h:1"], ["f:1"]);
        assert!(route.filter_server_table["h:2"].is_empty());
        assert!(route.order_topic_conf.is_none() && route.topic_queue_mapping_by_broker.is_empty());
        assert_eq!(TopicRouteData::from_json(b"{}"), Ok(TopicRouteData::default()));
        let wrong = br#"{"brokerDatas":[{"brokerAddrs":{"master":"h:1"}}]}"#;
        assert!(matches!(TopicRouteData::from_json(wrong), Err(BodyError::Json(_))));
    }

    #[test]
    fn what_is_not_there_is_left_out() {
        let route = TopicRouteData {
            order_topic_conf: Some("b:4".to_owned()),
            broker_datas: vec![BrokerData::default()],
            ..TopicRouteData::default()
        };
        let json = r#"{"brokerDatas":[{"brokerAddrs":{},"brokerName":"","cluster":"","enableActingMaster":false}],"filterServerTable":{},"orderTopicConf":"b:4","queueDatas":[]}"#;
        assert_eq!(route.standard_json(), json.as_bytes());
        assert_eq!(route.legacy_json(), json.as_bytes());
    }

    #[test]
    fn the_version_or_the_client_s_wish_decides_the_form() {
        assert!(TopicRouteData::is_standard_for(401, false));
        assert!(TopicRouteData::is_standard_for(317, true));
        assert!(!TopicRouteData::is_standard_for(400, false));
    }

    #[test]
    fn more_brokers_than_any_route_has_are_refused() {
        let queues = vec![QueueData::default(); BROKERS_MAX + 1];
        let mut route = TopicRouteData { queue_datas: queues, ..TopicRouteData::default() };
        let error = TopicRouteData::from_json(&route.standard_json()).unwrap_err().to_string();
        assert!(error.contains("more than 65536 entries"), "{error}");
        route.queue_datas.pop();
        assert_eq!(TopicRouteData::from_json(&route.standard_json()), Ok(route));
    }
}
