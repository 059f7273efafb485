//! Who consumes: members of groups, groups of a topic, and the locks of ordered consumers.
//! Source: RocketMQ `GetConsumerListByGroupResponseBody`, `ConsumerConnection`, `GroupList`,
//! `LockBatchRequestBody`, `LockBatchResponseBody`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::json::{self, Text, list, scalar};
use super::{BodyError, Subscription, lenient};

/// Most queues of one call for locks.
pub const QUEUES_MAX: usize = 16_384;
/// Most members that an answer may list.
const MEMBERS_MAX: usize = 65_536;

/// Answer of 38: the members of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerIds {
    /// Client ids.
    pub consumer_id_list: Vec<String>,
}

impl ConsumerIds {
    /// As brokers write it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::standard(self)
    }

    /// Reads it.
    ///
    /// # Errors
    /// Not a JSON object, or one whose fields have other types; too many members.
    pub fn from_json(body: &[u8]) -> Result<Self, BodyError> {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Wire<'a> {
            #[serde(borrow)]
            consumer_id_list: Text<'a>,
        }
        json::read(body, |text, allowance| {
            let wire: Wire<'_> = scalar(text)?;
            let ids = list(wire.consumer_id_list, MEMBERS_MAX, allowance, scalar)?;
            Ok(Self { consumer_id_list: ids.unwrap_or_default() })
        })
    }
}

/// Answer of 300: the groups that consume a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupList {
    /// Their names.
    pub group_list: Vec<String>,
}

impl GroupList {
    /// As brokers write it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::standard(self)
    }
}

/// One client's connection, as tools are shown it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientConnection {
    /// Where it connects from.
    pub client_addr: String,
    /// Its id.
    pub client_id: String,
    /// RocketMQ's name of its language.
    pub language: String,
    /// Its protocol version.
    pub version: i32,
}

/// Answer of 203: a consumer group's connections and subscriptions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerConnections {
    /// Its members.
    pub connection_set: Vec<ClientConnection>,
    /// Where it begins without an offset.
    pub consume_from_where: String,
    /// Push or pull.
    pub consume_type: String,
    /// Clustering or broadcasting.
    pub message_model: String,
    /// By topic.
    pub subscription_table: BTreeMap<String, Subscription>,
}

impl ConsumerConnections {
    /// As brokers write it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::standard(self)
    }
}

/// Answer of 204: a producer group's connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProducerConnections {
    /// Its members.
    pub connection_set: Vec<ClientConnection>,
}

impl ProducerConnections {
    /// As brokers write it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::standard(self)
    }
}

/// RocketMQ's `MessageQueue`: a queue of a topic on a broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueRef {
    /// The broker.
    pub broker_name: String,
    /// The queue.
    pub queue_id: i32,
    /// The topic.
    pub topic: String,
}

impl<'de> Deserialize<'de> for QueueRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Wire {
            #[serde(deserialize_with = "lenient::text")]
            broker_name: Option<String>,
            #[serde(deserialize_with = "lenient::integer")]
            queue_id: Option<i32>,
            #[serde(deserialize_with = "lenient::text")]
            topic: Option<String>,
        }
        let wire = Wire::deserialize(deserializer)?;
        Ok(Self {
            broker_name: wire.broker_name.unwrap_or_default(),
            queue_id: wire.queue_id.unwrap_or_default(),
            topic: wire.topic.unwrap_or_default(),
        })
    }
}

/// Body of 41 and 42: queues that a client wants for itself, or gives back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LockBatch {
    /// The client.
    pub client_id: String,
    /// Its group.
    pub consumer_group: String,
    /// The queues.
    pub mq_set: Vec<QueueRef>,
}

impl LockBatch {
    /// As clients write it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::standard(self)
    }

    /// Reads it.
    ///
    /// # Errors
    /// Not a JSON object, or one whose fields have other types; too many queues.
    pub fn from_json(body: &[u8]) -> Result<Self, BodyError> {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Wire<'a> {
            #[serde(deserialize_with = "lenient::text")]
            client_id: Option<String>,
            #[serde(deserialize_with = "lenient::text")]
            consumer_group: Option<String>,
            #[serde(borrow)]
            mq_set: Text<'a>,
        }
        json::read(body, |text, allowance| {
            let wire: Wire<'_> = scalar(text)?;
            Ok(Self {
                client_id: wire.client_id.unwrap_or_default(),
                consumer_group: wire.consumer_group.unwrap_or_default(),
                mq_set: list(wire.mq_set, QUEUES_MAX, allowance, scalar)?.unwrap_or_default(),
            })
        })
    }
}

/// Answer of 41: the queues that the client now has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LockedQueues {
    /// Those of the request that nobody else has.
    #[serde(rename = "lockOKMQSet")]
    pub locked: Vec<QueueRef>,
}

impl LockedQueues {
    /// As brokers write it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::standard(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_form_that_stock_clients_use() {
        let ids = ConsumerIds { consumer_id_list: vec!["id1".to_owned(), "id2".to_owned()] };
        assert_eq!(ids.to_json(), br#"{"consumerIdList":["id1","id2"]}"#);
        assert_eq!(ConsumerIds::from_json(&ids.to_json()), Ok(ids));
        let stock = br#"{"clientId":"x","consumerGroup":"g","mqSet":[{"brokerName":"b","queueId":0,"topic":"T"}]}"#;
        let batch = LockBatch::from_json(stock).unwrap();
        assert_eq!(batch.to_json(), stock);
        let locked = LockedQueues { locked: batch.mq_set };
        assert_eq!(
            locked.to_json(),
            br#"{"lockOKMQSet":[{"brokerName":"b","queueId":0,"topic":"T"}]}"#
        );
        assert_eq!(LockBatch::from_json(b"{}"), Ok(LockBatch::default()));
        assert!(LockBatch::from_json(br#"{"mqSet":[7]}"#).is_err());
        let shown = ConsumerConnections::default().to_json();
        assert_eq!(
            String::from_utf8(shown).unwrap(),
            r#"{"connectionSet":[],"consumeFromWhere":"","consumeType":"","messageModel":"","subscriptionTable":{}}"#
        );
    }
}
