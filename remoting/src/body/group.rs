//! [`SubscriptionGroup`]: the settings of a consumer group (200, 201, 352).
//! Source: RocketMQ `SubscriptionGroupConfig`, `SubscriptionGroupWrapper`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::{BodyError, DataVersion, json, lenient};

/// RocketMQ's `SubscriptionGroupConfig`, as far as a broker acts on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionGroup {
    /// The master's id.
    pub broker_id: i64,
    /// May the whole group read every message?
    pub consume_broadcast_enable: bool,
    /// May it consume at all?
    pub consume_enable: bool,
    /// Begins at the oldest message.
    pub consume_from_min_enable: bool,
    /// The group.
    pub group_name: String,
    /// Are members told when others come and go?
    pub notify_consumer_ids_changed_enable: bool,
    /// Retries until a message goes to the dead-letter topic.
    pub retry_max_times: i32,
    /// Queues of its retry topic.
    pub retry_queue_nums: i32,
    /// Which broker a slow one is sent to.
    pub which_broker_when_consume_slowly: i64,
}

impl Default for SubscriptionGroup {
    /// What RocketMQ's class has before anything is set.
    fn default() -> Self {
        Self {
            broker_id: 0,
            consume_broadcast_enable: true,
            consume_enable: true,
            consume_from_min_enable: true,
            group_name: String::new(),
            notify_consumer_ids_changed_enable: true,
            retry_max_times: 16,
            retry_queue_nums: 1,
            which_broker_when_consume_slowly: 1,
        }
    }
}

impl SubscriptionGroup {
    /// A group that nobody has configured.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { group_name: name.to_owned(), ..Self::default() }
    }

    /// As brokers and tools write it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::standard(self)
    }

    /// Reads it.
    ///
    /// # Errors
    /// Not a JSON object, or one whose fields have other types.
    pub fn from_json(body: &[u8]) -> Result<Self, BodyError> {
        json::read(body, |text, _| json::scalar(text))
    }
}

impl<'de> Deserialize<'de> for SubscriptionGroup {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Wire {
            #[serde(deserialize_with = "lenient::integer")]
            broker_id: Option<i64>,
            #[serde(deserialize_with = "lenient::boolean")]
            consume_broadcast_enable: Option<bool>,
            #[serde(deserialize_with = "lenient::boolean")]
            consume_enable: Option<bool>,
            #[serde(deserialize_with = "lenient::boolean")]
            consume_from_min_enable: Option<bool>,
            #[serde(deserialize_with = "lenient::text")]
            group_name: Option<String>,
            #[serde(deserialize_with = "lenient::boolean")]
            notify_consumer_ids_changed_enable: Option<bool>,
            #[serde(deserialize_with = "lenient::integer")]
            retry_max_times: Option<i32>,
            #[serde(deserialize_with = "lenient::integer")]
            retry_queue_nums: Option<i32>,
            #[serde(deserialize_with = "lenient::integer")]
            which_broker_when_consume_slowly: Option<i64>,
        }
        let wire = Wire::deserialize(deserializer)?;
        let default = Self::default();
        Ok(Self {
            broker_id: wire.broker_id.unwrap_or(default.broker_id),
            consume_broadcast_enable: wire.consume_broadcast_enable.unwrap_or(true),
            consume_enable: wire.consume_enable.unwrap_or(true),
            consume_from_min_enable: wire.consume_from_min_enable.unwrap_or(true),
            group_name: wire.group_name.unwrap_or_default(),
            notify_consumer_ids_changed_enable: wire
                .notify_consumer_ids_changed_enable
                .unwrap_or(true),
            retry_max_times: wire.retry_max_times.unwrap_or(default.retry_max_times),
            retry_queue_nums: wire.retry_queue_nums.unwrap_or(default.retry_queue_nums),
            which_broker_when_consume_slowly: wire
                .which_broker_when_consume_slowly
                .unwrap_or(default.which_broker_when_consume_slowly),
        })
    }
}

/// Answer of 201.
#[must_use]
pub fn all_groups(groups: &BTreeMap<String, SubscriptionGroup>, version: DataVersion) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Wrapper<'a> {
        data_version: DataVersion,
        subscription_group_table: &'a BTreeMap<String, SubscriptionGroup>,
    }
    json::standard(&Wrapper { data_version: version, subscription_group_table: groups })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_and_write_back_and_have_rocketmq_s_defaults() {
        let group = SubscriptionGroup { retry_max_times: 3, ..SubscriptionGroup::named("g") };
        assert_eq!(SubscriptionGroup::from_json(&group.to_json()), Ok(group));
        let stock = br#"{"groupName":"g","attributes":{},"groupRetryPolicy":{"type":"CUSTOMIZED"},"retryMaxTimes":"5"}"#;
        let read = SubscriptionGroup::from_json(stock).unwrap();
        assert_eq!((read.retry_max_times, read.consume_enable), (5, true));
        assert!(SubscriptionGroup::from_json(b"[]").is_err());
        let table = BTreeMap::from([("g".to_owned(), read)]);
        let text = String::from_utf8(all_groups(&table, DataVersion::default())).unwrap();
        assert!(text.starts_with(r#"{"dataVersion":{"counter":0,"#), "{text}");
    }
}
