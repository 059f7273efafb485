//! Headers of a pull (11) and of its response (RocketMQ `PullMessageRequestHeader`,
//! `PullMessageResponseHeader`, `PullSysFlag`).
//!
//! The response's code says how it went ([`crate::response`]: 0, 19, 20, 21, or an error); with 0
//! its body is stored messages, one after the other
//! ([`StoredMessage::decode_all`](crate::message::StoredMessage::decode_all)).

use std::str::FromStr;

use crate::ExtFields;
use crate::send::FieldError;

/// Bits of a pull's sysFlag.
pub mod sys_flag {
    /// [`commit_offset`](super::PullHeader::commit_offset) is to be stored as the group's progress.
    pub const COMMIT_OFFSET: i32 = 0x1;
    /// While there is nothing to answer, hold the request.
    pub const SUSPEND: i32 = 0x2;
    /// The subscription stands in this request; otherwise the group's heartbeat has told it.
    pub const SUBSCRIPTION: i32 = 0x4;
    /// The subscription names a class that filters (RocketMQ 4.x).
    pub const CLASS_FILTER: i32 = 0x8;
    /// From a consumer that assigns its queues itself.
    pub const LITE_PULL: i32 = 0x10;
}

/// The header of a pull.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PullHeader {
    /// Group of the consumer.
    pub consumer_group: String,
    /// Topic to read.
    pub topic: String,
    /// Queue to read.
    pub queue_id: i32,
    /// First offset wanted.
    pub queue_offset: i64,
    /// Most messages wanted.
    pub max_msg_nums: i32,
    /// See [`sys_flag`].
    pub sys_flag: i32,
    /// The group's progress; meant only with [`sys_flag::COMMIT_OFFSET`].
    pub commit_offset: i64,
    /// How long the request may be held, in ms; meant only with [`sys_flag::SUSPEND`].
    pub suspend_timeout_ms: i64,
    /// Which messages; meant only with [`sys_flag::SUBSCRIPTION`].
    pub subscription: Option<String>,
    /// Version of the subscription: ms since 1970 (Java, Node), ns (Go), 0 if it has none.
    pub sub_version: i64,
    /// How the subscription is written; absent or empty: [`TAG`](crate::body::heartbeat::TAG).
    pub expression_type: Option<String>,
    /// Most bytes wanted; 5.x.
    pub max_msg_bytes: Option<i32>,
    /// Name of the broker meant; from 4.9.5 on.
    pub broker_name: Option<String>,
}

impl PullHeader {
    /// Reads the header of a request; fields that are not named here are ignored.
    ///
    /// # Errors
    /// The first field that is missing or has no such value.
    pub fn decode(ext: &ExtFields) -> Result<Self, FieldError> {
        let text = |name: &str| ext.get(name).map(str::to_owned);
        Ok(Self {
            consumer_group: required(ext, "consumerGroup")?.to_owned(),
            topic: required(ext, "topic")?.to_owned(),
            queue_id: number(ext, "queueId")?,
            queue_offset: number(ext, "queueOffset")?,
            max_msg_nums: number(ext, "maxMsgNums")?,
            sys_flag: number(ext, "sysFlag")?,
            commit_offset: number(ext, "commitOffset")?,
            suspend_timeout_ms: number(ext, "suspendTimeoutMillis")?,
            subscription: text("subscription"),
            sub_version: number(ext, "subVersion")?,
            expression_type: text("expressionType"),
            max_msg_bytes: ext
                .get("maxMsgBytes")
                .filter(|text| !text.is_empty())
                .map(|_| number(ext, "maxMsgBytes"))
                .transpose()?,
            broker_name: text("bname"),
        })
    }

    /// The fields of a request.
    #[must_use]
    pub fn encode(&self) -> ExtFields {
        let mut ext = ExtFields::new()
            .with("consumerGroup", &self.consumer_group)
            .with("topic", &self.topic)
            .with("queueId", self.queue_id)
            .with("queueOffset", self.queue_offset)
            .with("maxMsgNums", self.max_msg_nums)
            .with("sysFlag", self.sys_flag)
            .with("commitOffset", self.commit_offset)
            .with("suspendTimeoutMillis", self.suspend_timeout_ms)
            .with("subVersion", self.sub_version);
        let texts = [
            ("subscription", &self.subscription),
            ("expressionType", &self.expression_type),
            ("bname", &self.broker_name),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                ext.insert(name, text);
            }
        }
        if let Some(bytes) = self.max_msg_bytes {
            ext.insert_display("maxMsgBytes", bytes);
        }
        ext
    }

    /// Whether the sysFlag has this bit.
    #[must_use]
    pub fn has(&self, bit: i32) -> bool {
        self.sys_flag & bit != 0
    }
}

/// The header of a pull's response. Java clients need all four on codes 0, 19, 20 and 21.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PullResponse {
    /// Broker id to pull from next; 0 is the master.
    pub suggest_which_broker_id: i64,
    /// Offset to pull from next: past what was answered or filtered out, or the corrected one.
    pub next_begin_offset: i64,
    /// The queue's oldest offset.
    pub min_offset: i64,
    /// The offset that the queue's next message will have.
    pub max_offset: i64,
}

impl PullResponse {
    /// The fields of a response.
    #[must_use]
    pub fn encode(&self) -> ExtFields {
        ExtFields::new()
            .with("suggestWhichBrokerId", self.suggest_which_broker_id)
            .with("nextBeginOffset", self.next_begin_offset)
            .with("minOffset", self.min_offset)
            .with("maxOffset", self.max_offset)
    }

    /// Reads the fields of a response with code 0, 19, 20 or 21.
    ///
    /// # Errors
    /// The first field that is missing or has no such value.
    pub fn decode(ext: &ExtFields) -> Result<Self, FieldError> {
        Ok(Self {
            suggest_which_broker_id: number(ext, "suggestWhichBrokerId")?,
            next_begin_offset: number(ext, "nextBeginOffset")?,
            min_offset: number(ext, "minOffset")?,
            max_offset: number(ext, "maxOffset")?,
        })
    }
}

fn required<'a>(ext: &'a ExtFields, name: &'static str) -> Result<&'a str, FieldError> {
    ext.get(name).ok_or_else(|| FieldError { name, problem: "is missing".to_owned() })
}

fn number<N: FromStr>(ext: &ExtFields, name: &'static str) -> Result<N, FieldError> {
    let text = required(ext, name)?;
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(32).collect();
        FieldError { name, problem: format!("must be an integer in range, got {shown:?}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn requests_round_trip(
            texts in prop::array::uniform2(".{0,12}"), ints in prop::array::uniform3(any::<i32>()),
            longs in prop::array::uniform4(any::<i64>()),
            options in prop::array::uniform3(prop::option::of(".{0,12}")),
            max_msg_bytes in prop::option::of(any::<i32>()),
        ) {
            let [consumer_group, topic] = texts;
            let [queue_id, max_msg_nums, sys_flag] = ints;
            let [queue_offset, commit_offset, suspend_timeout_ms, sub_version] = longs;
            let [subscription, expression_type, broker_name] = options;
            let header = PullHeader {
                consumer_group, topic, queue_id, queue_offset, max_msg_nums, sys_flag,
                commit_offset, suspend_timeout_ms, subscription, sub_version, expression_type,
                max_msg_bytes, broker_name,
            };
            prop_assert_eq!(PullHeader::decode(&header.encode()).unwrap(), header);
        }

        #[test]
        fn responses_round_trip(longs in prop::array::uniform4(any::<i64>())) {
            let [suggest_which_broker_id, next_begin_offset, min_offset, max_offset] = longs;
            let response =
                PullResponse { suggest_which_broker_id, next_begin_offset, min_offset, max_offset };
            prop_assert_eq!(PullResponse::decode(&response.encode()).unwrap(), response);
        }
    }

    /// A request as a stock Java consumer (4.9.8) sent it.
    fn stock() -> ExtFields {
        let fields = [
            ("queueId", "3"),
            ("maxMsgNums", "32"),
            ("sysFlag", "2"),
            ("suspendTimeoutMillis", "15000"),
            ("commitOffset", "0"),
            ("bname", "broker-a"),
            ("topic", "TopicTest"),
            ("queueOffset", "0"),
            ("expressionType", "TAG"),
            ("subVersion", "1795359882666"),
            ("consumerGroup", "CG_demo"),
        ];
        fields.into_iter().collect()
    }

    #[test]
    fn the_request_of_a_stock_consumer_is_read_and_written_alike() {
        let header = PullHeader::decode(&stock()).unwrap();
        assert_eq!((header.queue_id, header.suspend_timeout_ms), (3, 15_000));
        assert!(header.has(sys_flag::SUSPEND) && !header.has(sys_flag::SUBSCRIPTION));
        assert_eq!((&header.subscription, header.max_msg_bytes), (&None, None));
        assert_eq!(header.encode(), stock());
    }

    #[test]
    fn says_which_field_is_wrong() {
        for name in ["consumerGroup", "topic", "queueId", "queueOffset", "maxMsgNums", "subVersion"]
        {
            let mut ext = stock();
            ext.remove(name);
            let error = PullHeader::decode(&ext).unwrap_err().to_string();
            assert_eq!(error, format!("the header field `{name}` is missing"));
        }
        let error = PullHeader::decode(&stock().with("queueOffset", "three")).unwrap_err();
        assert!(error.to_string().contains("`queueOffset` must be an integer"), "{error}");
        let error = PullResponse::decode(&ExtFields::new()).unwrap_err();
        assert_eq!(error.name, "suggestWhichBrokerId");
    }
}
