//! What a client says of itself: [`Heartbeat`] (34) and [`FilterCheck`] (46).
//! Source: RocketMQ `HeartbeatData`, `ConsumerData`, `SubscriptionData`, `CheckClientRequestBody`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::json::{self, Allowance, Text, list, scalar};
use super::{BodyError, lenient};

/// Most groups of either kind that one client may name.
pub const GROUPS_MAX: usize = 1_024;
/// Most topics that one group may subscribe to.
pub const SUBSCRIPTIONS_MAX: usize = 4_096;
/// Most tags of one subscription.
pub const TAGS_MAX: usize = 4_096;

/// RocketMQ's `HeartbeatData`: a client, and the groups that it is a member of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// The client; one id may stand for several groups.
    #[serde(rename = "clientID")]
    pub client_id: String,
    /// Its consumer groups.
    pub consumer_data_set: Vec<ConsumerData>,
    /// Its producer groups.
    pub producer_data_set: Vec<ProducerData>,
}

/// A consumer group, as one of its members has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerData {
    /// Where a group without an offset begins.
    pub consume_from_where: String,
    /// `CONSUME_ACTIVELY` (pull), `CONSUME_PASSIVELY` (push), `CONSUME_POP`.
    pub consume_type: String,
    /// The group.
    pub group_name: String,
    /// `CLUSTERING` or `BROADCASTING`.
    pub message_model: String,
    /// What it subscribes to.
    pub subscription_data_set: Vec<Subscription>,
    /// Whether it belongs to a unit.
    pub unit_mode: bool,
}

/// A producer group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProducerData {
    /// The group.
    pub group_name: String,
}

/// RocketMQ's `SubscriptionData`: which messages of a topic a group wants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// Filtered by a class that the consumer uploads; nobody does any more.
    pub class_filter_mode: bool,
    /// [`hash_code`] of each tag; empty: all messages.
    pub code_set: Vec<i32>,
    /// `TAG`, `SQL92`; not said: tags.
    pub expression_type: String,
    /// The expression as the application wrote it.
    pub sub_string: String,
    /// Grows with each change: ms, or ns in Go.
    pub sub_version: i64,
    /// The tags.
    pub tags_set: Vec<String>,
    /// The topic.
    pub topic: String,
}

/// All messages.
pub const SUBSCRIBE_ALL: &str = "*";
/// The expression type that filters by tags, `a || b` or `*`; what is meant when none is named.
pub const TAG: &str = "TAG";

impl Subscription {
    /// What an expression of tags says: `*`, or tags between `||`.
    ///
    /// # Errors
    /// An expression of bars alone, as RocketMQ's `FilterAPI` has it; or too many tags.
    pub fn of_tags(topic: &str, expression: &str) -> Result<Self, BodyError> {
        let mut made = Self {
            topic: topic.to_owned(),
            expression_type: TAG.to_owned(),
            sub_string: expression.to_owned(),
            ..Self::default()
        };
        if matches!(expression.trim(), "" | SUBSCRIBE_ALL) {
            SUBSCRIBE_ALL.clone_into(&mut made.sub_string);
            return Ok(made);
        }
        for tag in expression.split("||").map(str::trim).filter(|tag| !tag.is_empty()) {
            if made.tags_set.len() == TAGS_MAX {
                return Err(BodyError::Json(format!("more than {TAGS_MAX} tags")));
            }
            made.tags_set.push(tag.to_owned());
            made.code_set.push(hash_code(tag));
        }
        match made.tags_set.is_empty() {
            true => Err(BodyError::Json("the expression names no tag".to_owned())),
            false => Ok(made),
        }
    }

    /// Whether it filters by tags: absent and empty types do.
    #[must_use]
    pub fn is_by_tags(&self) -> bool {
        self.expression_type.is_empty() || self.expression_type.eq_ignore_ascii_case(TAG)
    }

    /// Whether it may want a message whose tags hash to this (0: it has none). The client looks
    /// again, at the tags themselves.
    #[must_use]
    pub fn may_want(&self, tags_hash: i64) -> bool {
        self.sub_string == SUBSCRIBE_ALL
            || self.code_set.is_empty()
            || self.code_set.iter().any(|code| i64::from(*code) == tags_hash)
    }
}

/// Java's `String.hashCode`, over UTF-16 units.
#[must_use]
pub fn hash_code(text: &str) -> i32 {
    hash_code_on(0, text)
}

/// [`hash_code`] of a longer text, of which the part before this one hashes to `before`.
#[must_use]
pub fn hash_code_on(before: i32, text: &str) -> i32 {
    text.encode_utf16()
        .fold(before, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

impl Heartbeat {
    /// As clients write it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::standard(self)
    }

    /// Reads it.
    ///
    /// # Errors
    /// Not a JSON object, or one whose fields have other types; too many groups, topics or tags.
    pub fn from_json(body: &[u8]) -> Result<Self, BodyError> {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Wire<'a> {
            #[serde(rename = "clientID", deserialize_with = "lenient::text")]
            client_id: Option<String>,
            #[serde(borrow)]
            consumer_data_set: Text<'a>,
            #[serde(borrow)]
            producer_data_set: Text<'a>,
        }
        json::read(body, |text, allowance| {
            let wire: Wire<'_> = scalar(text)?;
            let consumers = list(wire.consumer_data_set, GROUPS_MAX, allowance, |text| {
                ConsumerData::read(text, allowance)
            })?;
            let producers = list(wire.producer_data_set, GROUPS_MAX, allowance, scalar)?;
            Ok(Self {
                client_id: wire.client_id.unwrap_or_default(),
                consumer_data_set: consumers.unwrap_or_default(),
                producer_data_set: producers.unwrap_or_default(),
            })
        })
    }
}

impl ConsumerData {
    fn read(text: &RawValue, allowance: &Allowance) -> serde_json::Result<Self> {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Wire<'a> {
            #[serde(deserialize_with = "lenient::text")]
            consume_from_where: Option<String>,
            #[serde(deserialize_with = "lenient::text")]
            consume_type: Option<String>,
            #[serde(deserialize_with = "lenient::text")]
            group_name: Option<String>,
            #[serde(deserialize_with = "lenient::text")]
            message_model: Option<String>,
            #[serde(borrow)]
            subscription_data_set: Text<'a>,
            #[serde(deserialize_with = "lenient::boolean")]
            unit_mode: Option<bool>,
        }
        let wire: Wire<'_> = scalar(text)?;
        // fastjson finds an enum's name whatever its case.
        let name = |text: Option<String>| {
            let mut name = text.unwrap_or_default();
            name.make_ascii_uppercase();
            name
        };
        let subscriptions =
            list(wire.subscription_data_set, SUBSCRIPTIONS_MAX, allowance, |text| {
                Subscription::read(text, allowance)
            })?;
        Ok(Self {
            consume_from_where: name(wire.consume_from_where),
            consume_type: name(wire.consume_type),
            group_name: wire.group_name.unwrap_or_default(),
            message_model: name(wire.message_model),
            subscription_data_set: subscriptions.unwrap_or_default(),
            unit_mode: wire.unit_mode.unwrap_or_default(),
        })
    }
}

impl<'de> Deserialize<'de> for ProducerData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Wire {
            #[serde(deserialize_with = "lenient::text")]
            group_name: Option<String>,
        }
        let wire = Wire::deserialize(deserializer)?;
        Ok(Self { group_name: wire.group_name.unwrap_or_default() })
    }
}

impl Subscription {
    fn read(text: &RawValue, allowance: &Allowance) -> serde_json::Result<Self> {
        /// A tag's hash, which Go writes as a string.
        #[derive(Deserialize)]
        struct Code(#[serde(deserialize_with = "lenient::integer")] Option<i32>);
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Wire<'a> {
            #[serde(deserialize_with = "lenient::boolean")]
            class_filter_mode: Option<bool>,
            #[serde(borrow)]
            code_set: Text<'a>,
            #[serde(deserialize_with = "lenient::text")]
            expression_type: Option<String>,
            #[serde(deserialize_with = "lenient::text")]
            sub_string: Option<String>,
            #[serde(deserialize_with = "lenient::integer")]
            sub_version: Option<i64>,
            #[serde(borrow)]
            tags_set: Text<'a>,
            #[serde(deserialize_with = "lenient::text")]
            topic: Option<String>,
        }
        let wire: Wire<'_> = scalar(text)?;
        let codes: Option<Vec<Code>> = list(wire.code_set, TAGS_MAX, allowance, scalar)?;
        Ok(Self {
            class_filter_mode: wire.class_filter_mode.unwrap_or_default(),
            // In place: it takes no memory.
            code_set: codes.unwrap_or_default().into_iter().filter_map(|code| code.0).collect(),
            expression_type: wire.expression_type.unwrap_or_default(),
            sub_string: wire.sub_string.unwrap_or_default(),
            sub_version: wire.sub_version.unwrap_or_default(),
            tags_set: list(wire.tags_set, TAGS_MAX, allowance, scalar)?.unwrap_or_default(),
            topic: wire.topic.unwrap_or_default(),
        })
    }
}

/// Body of 46: may a group subscribe so?
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilterCheck {
    /// The subscription, if one is named.
    pub subscription: Option<Subscription>,
}

impl FilterCheck {
    /// Reads it.
    ///
    /// # Errors
    /// Not a JSON object, or one whose fields have other types; too many tags.
    pub fn from_json(body: &[u8]) -> Result<Self, BodyError> {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Wire<'a> {
            #[serde(borrow)]
            subscription_data: Text<'a>,
        }
        json::read(body, |text, allowance| {
            let wire: Wire<'_> = scalar(text)?;
            let subscription =
                wire.subscription_data.map(|text| Subscription::read(text, allowance));
            Ok(Self { subscription: subscription.transpose()? })
        })
    }
}

/// The topics of several subscriptions, the last of each.
#[must_use]
pub fn by_topic(subscriptions: Vec<Subscription>) -> BTreeMap<String, Subscription> {
    subscriptions.into_iter().map(|one| (one.topic.clone(), one)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::body::{LockBatch, SubscriptionGroup};

    /// Pieces of what clients send, in any order.
    const PIECES: [&str; 20] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"clientID\"",
        "\"consumerDataSet\"",
        "\"groupName\"",
        "\"subscriptionDataSet\"",
        "\"codeSet\"",
        "\"tagsSet\"",
        "\"topic\"",
        "\"mqSet\"",
        "\"queueId\"",
        "\"g\"",
        "null",
        "7",
        "1e300",
        "\"\\u0000\"",
    ];

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(
            pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..60),
            bytes in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            for body in [format!("{{{}", pieces.concat()).into_bytes(), bytes] {
                if let Ok(read) = Heartbeat::from_json(&body) {
                    prop_assert_eq!(Heartbeat::from_json(&read.to_json()).unwrap(), read);
                }
                let _ = FilterCheck::from_json(&body);
                let _ = LockBatch::from_json(&body);
                let _ = SubscriptionGroup::from_json(&body);
            }
        }
    }

    /// As a stock 4.9.8 client sent it.
    const STOCK: &str = r#"{"clientID":"127.0.0.1@2925#1249766686193","consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"CG_demo","messageModel":"CLUSTERING","subscriptionDataSet":[{"classFilterMode":false,"codeSet":[],"expressionType":"TAG","subString":"*","subVersion":1795359881931,"tagsSet":[],"topic":"TopicTest"},{"classFilterMode":false,"codeSet":[],"expressionType":"TAG","subString":"*","subVersion":1795359881958,"tagsSet":[],"topic":"%RETRY%CG_demo"}],"unitMode":false}],"producerDataSet":[{"groupName":"CLIENT_INNER_PRODUCER"}]}"#;

    #[test]
    fn a_stock_heartbeat_reads_and_writes_back() {
        let read = Heartbeat::from_json(STOCK.as_bytes()).unwrap();
        assert_eq!(read.consumer_data_set[0].subscription_data_set[1].topic, "%RETRY%CG_demo");
        assert_eq!(String::from_utf8(read.to_json()).unwrap(), STOCK);
    }

    #[test]
    fn other_clients_are_read_too() {
        let go = br#"{"clientID":"c","consumerDataSet":[{"groupName":"g","consumeType":"consume_passively","messageModel":"Clustering","subscriptionDataSet":[{"topic":"T","subString":"TagA","codeSet":["2598919"],"tagsSet":["TagA"],"subVersion":1795359881931000000,"expressionType":""}]}],"producerDataSet":null}"#;
        let read = Heartbeat::from_json(go).unwrap();
        let data = &read.consumer_data_set[0];
        assert_eq!(
            (&*data.consume_type, &*data.message_model),
            ("CONSUME_PASSIVELY", "CLUSTERING")
        );
        assert_eq!(data.subscription_data_set[0].code_set, [2_598_919]);
        assert!(data.subscription_data_set[0].is_by_tags());
        assert_eq!(Heartbeat::from_json(b"{}"), Ok(Heartbeat::default()));
        for wrong in ["", "[]", "7", r#"{"consumerDataSet":{}}"#, r#"{"consumerDataSet":[7]}"#] {
            assert!(Heartbeat::from_json(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let many = format!(r#"{{"producerDataSet":[{}{{}}]}}"#, "{},".repeat(GROUPS_MAX));
        assert!(Heartbeat::from_json(many.as_bytes()).is_err());
    }

    #[test]
    fn hashes_are_java_s() {
        for (text, hash) in [
            ("", 0),
            ("TagA", 2_598_919),
            ("order-7", -1_207_111_304),
            ("é", 233),
            ("😀", 1_772_899),
            ("polygenelubricants", i32::MIN),
        ] {
            assert_eq!(hash_code(text), hash, "{text}");
        }
    }

    #[test]
    fn expressions_of_tags() {
        let some = Subscription::of_tags("T", "TagA || TagB||").unwrap();
        assert_eq!(some.tags_set, ["TagA", "TagB"]);
        assert!(some.may_want(2_598_919) && !some.may_want(0) && !some.may_want(1));
        for all in ["*", "", " "] {
            let all = Subscription::of_tags("T", all).unwrap();
            assert!(all.may_want(0) && all.may_want(5));
        }
        assert!(Subscription::of_tags("T", "||").is_err());
    }
}
