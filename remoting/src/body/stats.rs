//! Offsets of queues (202) and progress of groups (208). fastjson writes maps whose keys are
//! objects, `{{"brokerName":…}:{…}}`, which no JSON serializer does and the tools expect.
//! Source: RocketMQ `TopicStatsTable`, `ConsumeStats`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{QueueRef, json};

/// A queue, as `mqadmin topicStatus` shows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueOffsets {
    /// When its last message was stored, in ms since 1970; 0: it has none.
    pub last_update_timestamp: i64,
    /// Next offset to be written.
    pub max_offset: i64,
    /// Oldest offset that can be read.
    pub min_offset: i64,
}

/// A group in a queue, as `mqadmin consumerProgress` shows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Next offset to be written.
    pub broker_offset: i64,
    /// Next offset that the group wants.
    pub consumer_offset: i64,
    /// When the last consumed message was stored, in ms since 1970; 0: not known.
    pub last_timestamp: i64,
    /// Next offset that the group has not been given yet.
    pub pull_offset: i64,
}

/// Answer of 202.
#[must_use]
pub fn topic_stats(queues: &BTreeMap<QueueRef, QueueOffsets>) -> Vec<u8> {
    table("{\"offsetTable\":{", queues, "},\"topicPutTps\":0.0}")
}

/// Answer of 208.
#[must_use]
pub fn consume_stats(queues: &BTreeMap<QueueRef, Progress>) -> Vec<u8> {
    table("{\"consumeTps\":0.0,\"offsetTable\":{", queues, "}}")
}

fn table<V: Serialize>(head: &str, queues: &BTreeMap<QueueRef, V>, tail: &str) -> Vec<u8> {
    let mut text = head.as_bytes().to_vec();
    for (at, (queue, value)) in queues.iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        text.extend(json::standard(queue));
        text.push(b':');
        text.extend(json::standard(value));
    }
    text.extend_from_slice(tail.as_bytes());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_objects() {
        let queue = |queue_id| QueueRef {
            broker_name: "broker-a".to_owned(),
            queue_id,
            topic: "TopicTest".to_owned(),
        };
        let offsets = QueueOffsets { last_update_timestamp: 9, max_offset: 1, min_offset: 0 };
        let text = topic_stats(&BTreeMap::from([(queue(0), offsets), (queue(3), offsets)]));
        assert_eq!(
            String::from_utf8(text).unwrap(),
            r#"{"offsetTable":{{"brokerName":"broker-a","queueId":0,"topic":"TopicTest"}:{"lastUpdateTimestamp":9,"maxOffset":1,"minOffset":0},{"brokerName":"broker-a","queueId":3,"topic":"TopicTest"}:{"lastUpdateTimestamp":9,"maxOffset":1,"minOffset":0}},"topicPutTps":0.0}"#
        );
        let empty = String::from_utf8(consume_stats(&BTreeMap::new())).unwrap();
        assert_eq!(empty, r#"{"consumeTps":0.0,"offsetTable":{}}"#);
    }
}
