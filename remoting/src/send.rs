//! Headers of a send: code 10 with long field names, 310 and 320 with one-letter ones, and the
//! response that all share (RocketMQ `SendMessageRequestHeader`, `…V2`, `SendMessageResponseHeader`).

use crate::{ExtFields, request};

/// The header of a send, whatever the names of its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendHeader {
    /// Group of the producer.
    pub producer_group: String,
    /// Topic to store to.
    pub topic: String,
    /// Topic whose configuration a new topic takes over, `TBW102`.
    pub default_topic: String,
    /// Queues that the producer wishes a new topic to have.
    pub default_topic_queue_nums: i32,
    /// Queue to store to; negative: the broker chooses.
    pub queue_id: i32,
    /// See [`crate::message::sys_flag`].
    pub sys_flag: i32,
    /// When the producer made the message, in ms since 1970.
    pub born_timestamp_ms: i64,
    /// The application's own flag.
    pub flag: i32,
    /// Properties as text, see [`crate::message::properties`].
    pub properties: String,
    /// How often it has been consumed in vain.
    pub reconsume_times: i32,
    /// Whether the producer belongs to a unit.
    pub unit_mode: bool,
    /// Bound on consumption attempts, only for retry topics.
    pub max_reconsume_times: Option<i32>,
    /// Whether the body is a batch.
    pub batch: bool,
    /// Name of the broker meant, from 4.9.5 on.
    pub broker_name: Option<String>,
}

/// Names of the fields, long and one-letter, in the order of [`SendHeader`].
const NAMES: [(&str, &str); 14] = [
    ("producerGroup", "a"),
    ("topic", "b"),
    ("defaultTopic", "c"),
    ("defaultTopicQueueNums", "d"),
    ("queueId", "e"),
    ("sysFlag", "f"),
    ("bornTimestamp", "g"),
    ("flag", "h"),
    ("properties", "i"),
    ("reconsumeTimes", "j"),
    ("unitMode", "k"),
    ("maxReconsumeTimes", "l"),
    ("batch", "m"),
    ("bname", "n"),
];

/// A field that is missing or has no such value; the sender is told so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the header field `{name}` {problem}")]
pub struct FieldError {
    /// Name as it is, or would be, on the wire.
    pub name: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl SendHeader {
    /// Reads the header of a request with this code: long names for 10, one-letter names for 310 and 320.
    pub fn decode(code: i32, ext: &ExtFields) -> Result<Self, FieldError> {
        let fields = Fields { short: code != request::SEND_MESSAGE, ext };
        Ok(Self {
            producer_group: fields.required(0)?.to_owned(),
            topic: fields.required(1)?.to_owned(),
            default_topic: fields.text(2).unwrap_or_default().to_owned(),
            default_topic_queue_nums: fields.number(3)?,
            queue_id: fields.number(4)?,
            sys_flag: fields.number(5)?,
            born_timestamp_ms: fields.number(6)?,
            flag: fields.number(7)?,
            properties: fields.text(8).unwrap_or_default().to_owned(),
            reconsume_times: fields.optional(9)?.unwrap_or_default(),
            unit_mode: fields.switch(10),
            max_reconsume_times: fields.optional(11)?,
            batch: fields.switch(12),
            broker_name: fields.text(13).map(str::to_owned),
        })
    }

    /// The fields for a request with this code.
    pub fn encode(&self, code: i32) -> ExtFields {
        let short = code != request::SEND_MESSAGE;
        let name = |at: usize| if short { NAMES[at].1 } else { NAMES[at].0 };
        let mut ext = ExtFields::new();
        ext.insert(name(0), &self.producer_group);
        ext.insert(name(1), &self.topic);
        ext.insert(name(2), &self.default_topic);
        ext.insert_display(name(3), self.default_topic_queue_nums);
        ext.insert_display(name(4), self.queue_id);
        ext.insert_display(name(5), self.sys_flag);
        ext.insert_display(name(6), self.born_timestamp_ms);
        ext.insert_display(name(7), self.flag);
        ext.insert(name(8), &self.properties);
        ext.insert_display(name(9), self.reconsume_times);
        ext.insert_display(name(10), self.unit_mode);
        if let Some(times) = self.max_reconsume_times {
            ext.insert_display(name(11), times);
        }
        ext.insert_display(name(12), self.batch);
        if let Some(broker) = &self.broker_name {
            ext.insert(name(13), broker);
        }
        ext
    }
}

struct Fields<'a> {
    short: bool,
    ext: &'a ExtFields,
}

impl<'a> Fields<'a> {
    fn name(&self, at: usize) -> &'static str {
        if self.short { NAMES[at].1 } else { NAMES[at].0 }
    }

    fn text(&self, at: usize) -> Option<&'a str> {
        self.ext.get(self.name(at))
    }

    fn required(&self, at: usize) -> Result<&'a str, FieldError> {
        self.text(at).ok_or_else(|| self.error(at, "is missing".to_owned()))
    }

    fn number<N: std::str::FromStr>(&self, at: usize) -> Result<N, FieldError> {
        self.parse(at, self.required(at)?)
    }

    fn optional<N: std::str::FromStr>(&self, at: usize) -> Result<Option<N>, FieldError> {
        self.text(at).filter(|text| !text.is_empty()).map(|text| self.parse(at, text)).transpose()
    }

    fn parse<N: std::str::FromStr>(&self, at: usize, text: &str) -> Result<N, FieldError> {
        text.parse().map_err(|_| {
            let shown: String = text.chars().take(32).collect();
            self.error(at, format!("must be an integer in range, got {shown:?}"))
        })
    }

    /// True only when it says so, as Java's `Boolean.parseBoolean`.
    fn switch(&self, at: usize) -> bool {
        self.text(at).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    fn error(&self, at: usize, problem: String) -> FieldError {
        FieldError { name: self.name(at), problem }
    }
}

/// The header of a send's response. Clients need queue id and offset on codes 0, 10, 11 and 12.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendResponse {
    /// Offset message ids, comma-joined for a batch; see [`crate::message::id`].
    pub message_id: String,
    /// Queue stored to.
    pub queue_id: i32,
    /// Offset in the queue, of a batch's first message.
    pub queue_offset: i64,
    /// The client's own message id, given back by 5.x.
    pub transaction_id: Option<String>,
}

impl SendResponse {
    /// The fields of the response. Trace data is said to be off: nobody here would take it.
    pub fn encode(&self) -> ExtFields {
        let mut ext = ExtFields::new()
            .with("MSG_REGION", "DefaultRegion")
            .with("TRACE_ON", "false")
            .with("msgId", &self.message_id)
            .with("queueId", self.queue_id)
            .with("queueOffset", self.queue_offset);
        if let Some(id) = &self.transaction_id {
            ext.insert("transactionId", id);
        }
        ext
    }

    /// Reads the fields of a response.
    pub fn decode(ext: &ExtFields) -> Result<Self, FieldError> {
        let missing = |name| FieldError { name, problem: "is missing".to_owned() };
        let number = |name| {
            let text = ext.get(name).ok_or_else(|| missing(name))?;
            text.parse::<i64>()
                .map_err(|_| FieldError { name, problem: "must be an integer".to_owned() })
        };
        let queue_id = i32::try_from(number("queueId")?)
            .map_err(|_| FieldError { name: "queueId", problem: "is out of range".to_owned() })?;
        Ok(Self {
            message_id: ext.get("msgId").unwrap_or_default().to_owned(),
            queue_id,
            queue_offset: number("queueOffset")?,
            transaction_id: ext.get("transactionId").map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_forms_round_trip(
            texts in prop::array::uniform4(".{0,12}"), ints in prop::array::uniform5(any::<i32>()),
            born_timestamp_ms: i64, unit_mode: bool, batch: bool,
            max_reconsume_times in prop::option::of(any::<i32>()),
            broker_name in prop::option::of(".{0,8}"),
        ) {
            let [producer_group, topic, default_topic, properties] = texts;
            let [default_topic_queue_nums, queue_id, sys_flag, flag, reconsume_times] = ints;
            let header = SendHeader {
                producer_group, topic, default_topic, default_topic_queue_nums, queue_id, sys_flag,
                born_timestamp_ms, flag, properties, reconsume_times, unit_mode,
                max_reconsume_times, batch, broker_name,
            };
            for code in [request::SEND_MESSAGE, request::SEND_MESSAGE_V2, request::SEND_BATCH_MESSAGE] {
                prop_assert_eq!(SendHeader::decode(code, &header.encode(code)).unwrap(), header.clone());
            }
        }

        #[test]
        fn responses_round_trip(message_id in "[0-9A-F,]{0,70}", queue_id: i32, queue_offset: i64, transaction_id in prop::option::of(".{0,9}")) {
            let response = SendResponse { message_id, queue_id, queue_offset, transaction_id };
            prop_assert_eq!(SendResponse::decode(&response.encode()).unwrap(), response);
        }
    }

    #[test]
    fn says_which_field_is_wrong() {
        let mut ext = ExtFields::new().with("a", "g").with("b", "t").with("d", 4);
        let error = SendHeader::decode(310, &ext).unwrap_err();
        assert_eq!(error.to_string(), "the header field `e` is missing");
        ext.insert("e", "three");
        let error = SendHeader::decode(310, &ext).unwrap_err();
        assert!(error.to_string().contains("`e` must be an integer"), "{error}");
        let error = SendHeader::decode(10, &ext).unwrap_err();
        assert_eq!(error.name, "producerGroup");
    }
}
