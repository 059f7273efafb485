//! The broker's topic table: which topics there are, with how many queues, and the data version
//! that grows with each change. Pure; `topic_file.rs` keeps it on disk.
//! Source: RocketMQ `TopicConfigManager`, `TopicValidator`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use signpost_client::types::{DataVersion, TopicConfig};
use signpost_remoting::message::MAX_TOPIC_BYTES;

use crate::config::BrokerConfig;
use crate::store::tags::SCHEDULE_TOPIC;
use crate::store::{COMMIT_MARK_TOPIC, DELETION_TOPIC, QUEUE_ENDS_TOPIC};

/// The topic whose configuration others take over when they are made at their first message.
pub const DEFAULT_TOPIC: &str = "TBW102";
/// Begins the topic of messages that a consumer group is to see again.
pub const RETRY_PREFIX: &str = "%RETRY%";
/// Begins the topic of messages that a consumer group could not consume.
pub const DEAD_LETTER_PREFIX: &str = "%DLQ%";
/// Most queues that a topic may be given.
pub const QUEUES_MAX: u32 = 4096;
/// Topics that clients may not send to.
const FORBIDDEN: [&str; 9] = [
    SCHEDULE_TOPIC,
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "TRANS_CHECK_MAX_TIME_TOPIC",
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
    COMMIT_MARK_TOPIC,
    DELETION_TOPIC,
    QUEUE_ENDS_TOPIC,
];

/// Permission bits of a topic.
pub mod perm {
    /// Others may take the configuration over.
    pub const INHERIT: u32 = 1;
    /// Producers may send.
    pub const WRITE: u32 = 2;
    /// Consumers may pull.
    pub const READ: u32 = 4;
}

/// All topics, as persisted: RocketMQ's `topics.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicTable {
    /// Grows with each change.
    pub data_version: DataVersion,
    /// By name.
    #[serde(rename = "topicConfigTable")]
    pub topics: BTreeMap<String, TopicConfig>,
}

/// Why there is no such topic and none is made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoTopic {
    /// It is unknown, and automatic creation is off or does not apply.
    #[error("topic[{0}] not exist, apply first please!")]
    Unknown(String),
    /// There are as many as may be.
    #[error("topic[{topic}] not made: there are {limit} topics, the limit")]
    TooMany {
        /// The topic asked for.
        topic: String,
        /// The limit.
        limit: usize,
    },
}

impl TopicTable {
    /// Adds the topics that every broker has, where they are missing, and sets the default
    /// topic and that of delayed messages as configured; says whether anything changed.
    pub fn add_system_topics(&mut self, config: &BrokerConfig, now_ms: i64) -> bool {
        let rw = perm::READ | perm::WRITE;
        let system = [
            ("SELF_TEST_TOPIC", 1, rw),
            (DEFAULT_TOPIC, config.default_topic_queue_nums, rw | perm::INHERIT),
            ("BenchmarkTest", 1024, rw),
            ("OFFSET_MOVED_EVENT", 1, rw),
            (SCHEDULE_TOPIC, config.delay_levels_ms.len() as u32, rw),
            (&config.cluster, 16, rw | perm::INHERIT),
            (&config.name, 1, rw | perm::INHERIT),
        ];
        let mut changed = false;
        for (name, queues, perm) in system {
            if name == DEFAULT_TOPIC && !config.auto_create_topics {
                // Whoever has it is sent the first messages of new topics.
                changed |= self.topics.remove(name).is_some();
                continue;
            }
            let topic = topic(queues, perm);
            let known = self.topics.get(name);
            let as_configured = [DEFAULT_TOPIC, SCHEDULE_TOPIC].contains(&name);
            if known.is_none() || (as_configured && known != Some(&topic)) {
                self.topics.insert(name.to_owned(), topic);
                changed = true;
            }
        }
        if changed {
            self.touch(now_ms);
        }
        changed
    }

    /// What a topic that does not exist yet gets when a message for it arrives: the queues asked
    /// for, at most those of the default topic; permission without the inherit bit.
    pub fn made_by_send(
        &self,
        name: &str,
        default_topic: &str,
        queues_asked: i32,
    ) -> Result<TopicConfig, NoTopic> {
        if name.starts_with(RETRY_PREFIX) {
            return Ok(rw_topic(1));
        }
        let default = self
            .topics
            .get(default_topic)
            .filter(|default| default.perm & perm::INHERIT != 0)
            .ok_or_else(|| NoTopic::Unknown(name.to_owned()))?;
        let asked = u32::try_from(queues_asked).unwrap_or(0);
        let queues = asked.clamp(1, default.write_queue_nums.max(1));
        Ok(topic(queues, default.perm & !perm::INHERIT))
    }

    /// Makes or changes a topic.
    pub fn put(
        &mut self,
        name: &str,
        topic: TopicConfig,
        limit: usize,
        now_ms: i64,
    ) -> Result<(), NoTopic> {
        if self.topics.len() >= limit && !self.topics.contains_key(name) {
            return Err(NoTopic::TooMany { topic: name.to_owned(), limit });
        }
        self.topics.insert(name.to_owned(), topic);
        self.touch(now_ms);
        Ok(())
    }

    /// Removes a topic; says whether it was there.
    pub fn remove(&mut self, name: &str, now_ms: i64) -> bool {
        let there = self.topics.remove(name).is_some();
        if there {
            self.touch(now_ms);
        }
        there
    }

    fn touch(&mut self, now_ms: i64) {
        self.data_version.counter += 1;
        self.data_version.timestamp = now_ms;
    }
}

fn topic(queues: u32, perm: u32) -> TopicConfig {
    TopicConfig { read_queue_nums: queues, write_queue_nums: queues, perm, ..Default::default() }
}

/// A topic of so many queues that may be read and written.
pub fn rw_topic(queues: u32) -> TopicConfig {
    topic(queues, perm::READ | perm::WRITE)
}

/// Whether a name can be a topic's: letters, digits, `%`, `|`, `-`, `_`, at most 127 bytes.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if name.len() > MAX_TOPIC_BYTES {
        return Err(format!("must have at most {MAX_TOPIC_BYTES} bytes, it has {}", name.len()));
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"%|-_".contains(&byte);
    match name.bytes().all(legal) {
        true => Ok(()),
        false => Err("may contain only letters, digits, %, |, - and _".to_owned()),
    }
}

/// Whether the broker itself needs a topic of that name, so that nobody may delete or change it.
pub fn is_system(name: &str, config: &BrokerConfig) -> bool {
    is_forbidden(name)
        || [DEFAULT_TOPIC, "BenchmarkTest", &config.cluster, &config.name].contains(&name)
}

/// Whether clients may send to a topic of that name.
pub fn is_forbidden(name: &str) -> bool {
    FORBIDDEN.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(config: &BrokerConfig) -> TopicTable {
        let mut table = TopicTable::default();
        assert!(table.add_system_topics(config, 1));
        table
    }

    #[test]
    fn a_broker_begins_with_rocketmq_s_system_topics() {
        let config = BrokerConfig::default();
        let mut table = table(&config);
        let names: Vec<_> = table.topics.keys().map(String::as_str).collect();
        let expected = [
            "BenchmarkTest",
            "DefaultCluster",
            "OFFSET_MOVED_EVENT",
            "SCHEDULE_TOPIC_XXXX",
            "SELF_TEST_TOPIC",
            "TBW102",
            "broker-a",
        ];
        assert_eq!(names, expected);
        assert_eq!(table.topics["SCHEDULE_TOPIC_XXXX"], topic(18, 6));
        assert_eq!(table.topics["TBW102"], topic(4, 7));
        assert_eq!(table.data_version, DataVersion { counter: 1, timestamp: 1, state_version: 0 });
        assert!(!table.add_system_topics(&config, 2), "a restart changes nothing");
        let off = BrokerConfig { auto_create_topics: false, ..config };
        assert!(table.add_system_topics(&off, 3), "but a changed switch does");
        assert!(!table.topics.contains_key("TBW102"));
    }

    #[test]
    fn a_topic_made_by_a_send_takes_the_default_over() {
        let table = table(&BrokerConfig::default());
        for (asked, queues) in [(4, 4), (2, 2), (16, 4), (0, 1), (-1, 1)] {
            assert_eq!(table.made_by_send("T", "TBW102", asked), Ok(topic(queues, 6)), "{asked}");
        }
        assert_eq!(table.made_by_send("%RETRY%g", "", 0), Ok(topic(1, 6)));
        for default in ["", "BenchmarkTest", "Nonsense"] {
            assert!(matches!(table.made_by_send("T", default, 4), Err(NoTopic::Unknown(_))));
        }
    }

    #[test]
    fn no_more_topics_than_the_limit() {
        let mut table = table(&BrokerConfig::default());
        assert_eq!(table.put("T", topic(1, 6), 8, 5), Ok(()));
        assert!(matches!(table.put("U", topic(1, 6), 8, 6), Err(NoTopic::TooMany { .. })));
        assert_eq!(table.put("T", topic(2, 6), 8, 7), Ok(()), "a change is always possible");
        assert_eq!(table.data_version.counter, 3);
    }

    #[test]
    fn names() {
        for good in ["T", "%RETRY%g-1", "a|b_C", &"t".repeat(127)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "a b", "é", "a/b", "a\u{0}", &"t".repeat(128)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert!(is_forbidden("SCHEDULE_TOPIC_XXXX") && !is_forbidden("T"));
    }
}
