//! [`Message`]: what is sent, its check (RocketMQ `Validators`) and its properties.

use bytes::Bytes;
use signpost_remoting::message::{MAX_PROPERTIES_BYTES, MAX_TOPIC_BYTES, properties};

/// Properties that the producer or the broker set themselves.
const RESERVED: &[&str] = &[
    properties::TAGS,
    properties::KEYS,
    properties::UNIQ_KEY,
    properties::WAIT,
    properties::CLUSTER,
    properties::RETRY_TOPIC,
    properties::REAL_TOPIC,
    properties::REAL_QUEUE_ID,
    properties::TRANSACTION_PREPARED,
    properties::DELAY,
    properties::SHARDING_KEY,
    "PGROUP",
    "MIN_OFFSET",
    "MAX_OFFSET",
    "ORIGIN_MESSAGE_ID",
];

/// Topics that only brokers write to (RocketMQ `TopicValidator.isNotAllowedSendTopic`).
const FORBIDDEN_TOPICS: &[&str] = &[
    "SCHEDULE_TOPIC_XXXX",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "TRANS_CHECK_MAX_TIME_TOPIC",
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
];

/// A message to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Its topic; created by its first message where brokers allow it.
    pub topic: String,
    /// Its content.
    pub body: Bytes,
    /// One tag, by which consumers may filter.
    pub tag: Option<String>,
    /// Keys, by which it can be found again. Without spaces: those stand between them.
    pub keys: Vec<String>,
    /// Messages of one topic with the same order key go to the same queue, in the order in which
    /// their sends end; see [`ByKey`](crate::ByKey).
    pub order_key: Option<String>,
    /// Consumers get it after this delay: 1 to 18 are 1 s, 5 s, 10 s, 30 s, 1 to 10 min, 20 min,
    /// 30 min, 1 h and 2 h on a stock broker, which takes higher ones for its highest.
    pub delay_level: Option<u32>,
    /// The application's own flag.
    pub flag: i32,
    /// The application's own properties, in order.
    pub properties: Vec<(String, String)>,
}

/// Why a message is not sent at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the message's {field}: {problem}")]
pub struct InvalidMessage {
    /// What part of it.
    pub field: &'static str,
    /// What is wrong, and what was expected.
    pub problem: String,
}

impl Message {
    /// A message with nothing but a topic and a body.
    #[must_use]
    pub fn new(topic: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { topic: topic.into(), body: body.into(), ..Self::default() }
    }

    /// With a tag.
    #[must_use]
    pub fn with_tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// With one more key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// With a key by which it is ordered.
    #[must_use]
    pub fn with_order_key(mut self, key: impl Into<String>) -> Self {
        self.order_key = Some(key.into());
        self
    }

    /// With a delay.
    #[must_use]
    pub fn with_delay_level(mut self, level: u32) -> Self {
        self.delay_level = Some(level);
        self
    }

    /// With one more property.
    #[must_use]
    pub fn with_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// Checks it, and answers its properties as they go over the wire.
    pub(crate) fn check(
        &self,
        max_body_bytes: usize,
        message_id: &str,
    ) -> Result<String, InvalidMessage> {
        let wrong = |field, problem: String| Err(InvalidMessage { field, problem });
        check_topic(&self.topic)?;
        if FORBIDDEN_TOPICS.contains(&self.topic.as_str()) {
            return wrong("topic", format!("{} is written by brokers only", self.topic));
        }
        if self.body.is_empty() {
            return wrong("body", "is empty; expected at least one byte".to_owned());
        }
        if self.body.len() > max_body_bytes {
            let bytes = self.body.len();
            return wrong("body", format!("has {bytes} bytes, more than {max_body_bytes}"));
        }
        let mut text = String::new();
        if !self.keys.is_empty() {
            if self.keys.iter().any(|key| key.contains(' ')) {
                return wrong("keys", "contain a space, which stands between keys".to_owned());
            }
            append(&mut text, "keys", properties::KEYS, &self.keys.join(" "))?;
        }
        append(&mut text, "id", properties::UNIQ_KEY, message_id)?;
        // The broker answers when the message is on disk.
        append(&mut text, "id", properties::WAIT, "true")?;
        if let Some(tag) = &self.tag {
            append(&mut text, "tag", properties::TAGS, tag)?;
        }
        if let Some(key) = &self.order_key {
            append(&mut text, "order_key", properties::SHARDING_KEY, key)?;
        }
        if let Some(level) = self.delay_level {
            if !(1..=i32::MAX.unsigned_abs()).contains(&level) {
                return wrong("delay_level", format!("is {level}; expected at least 1"));
            }
            append(&mut text, "delay_level", properties::DELAY, &level.to_string())?;
        }
        for (name, value) in &self.properties {
            append_own(&mut text, name, value)?;
        }
        Ok(text)
    }
}

/// Appends a property of the application's.
pub(crate) fn append_own(text: &mut String, name: &str, value: &str) -> Result<(), InvalidMessage> {
    if RESERVED.contains(&name) {
        let problem = format!("{name} is RocketMQ's own");
        return Err(InvalidMessage { field: "properties", problem });
    }
    append(text, "properties", name, value)
}

fn append(
    text: &mut String,
    field: &'static str,
    name: &str,
    value: &str,
) -> Result<(), InvalidMessage> {
    if !properties::is_legal(name) || !properties::is_legal(value) {
        let problem = format!("{name:?} or its value is empty or contains a separator (1 or 2)");
        return Err(InvalidMessage { field, problem });
    }
    let bytes = text.len() + name.len() + value.len() + 2;
    if bytes > MAX_PROPERTIES_BYTES {
        let problem =
            format!("makes properties of {bytes} bytes, more than {MAX_PROPERTIES_BYTES}");
        return Err(InvalidMessage { field, problem });
    }
    properties::append(text, name, value);
    Ok(())
}

/// RocketMQ's rule for topics (`TopicValidator`).
pub(crate) fn check_topic(topic: &str) -> Result<(), InvalidMessage> {
    let wrong = |problem| Err(InvalidMessage { field: "topic", problem });
    if topic.is_empty() || topic.len() > MAX_TOPIC_BYTES {
        let bytes = topic.len();
        return wrong(format!("has {bytes} bytes; expected 1 to {MAX_TOPIC_BYTES}"));
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"%|-_".contains(&byte);
    if !topic.bytes().all(legal) {
        return wrong("expected letters, digits, and any of % | - _".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_those_of_a_stock_producer() {
        let message = Message::new("T", "b").with_key("k1").with_key("k2").with_tag("TagA");
        let text = message.with_property("mine", "1").check(10, "ID").unwrap();
        assert_eq!(
            text,
            "KEYS\u{1}k1 k2\u{2}UNIQ_KEY\u{1}ID\u{2}WAIT\u{1}true\u{2}TAGS\u{1}TagA\u{2}mine\u{1}1\u{2}"
        );
        let message = Message::new("T", "b").with_order_key("k").with_delay_level(3);
        let text = message.check(10, "ID").unwrap();
        assert!(text.ends_with("__SHARDINGKEY\u{1}k\u{2}DELAY\u{1}3\u{2}"), "{text:?}");
    }

    #[test]
    fn what_no_broker_would_take_is_refused_with_its_field() {
        let message = || Message::new("T", "body");
        let long = "x".repeat(MAX_PROPERTIES_BYTES);
        let cases = [
            (Message::new("", "b"), "topic"),
            (Message::new("a b", "b"), "topic"),
            (Message::new("a/b", "b"), "topic"),
            (Message::new("ü", "b"), "topic"),
            (Message::new("x".repeat(128), "b"), "topic"),
            (Message::new("SCHEDULE_TOPIC_XXXX", "b"), "topic"),
            (Message::new("T", ""), "body"),
            (Message::new("T", "12345678901"), "body"),
            (message().with_key("a b"), "keys"),
            (message().with_key(""), "keys"),
            (message().with_tag(""), "tag"),
            (message().with_tag("a\u{1}b"), "tag"),
            (message().with_property("a\u{2}", "b"), "properties"),
            (message().with_property("a", ""), "properties"),
            (message().with_order_key(""), "order_key"),
            (message().with_delay_level(0), "delay_level"),
            (message().with_delay_level(u32::MAX), "delay_level"),
            (message().with_property("UNIQ_KEY", "b"), "properties"),
            (message().with_property("DELAY", "1"), "properties"),
            (message().with_property("__SHARDINGKEY", "b"), "properties"),
            (message().with_property("a", long), "properties"),
        ];
        for (message, field) in cases {
            assert_eq!(message.check(10, "ID").unwrap_err().field, field, "{message:?}");
        }
        assert!(Message::new("%RETRY%g|x-1_", "1234567890").check(10, "ID").is_ok());
    }
}
