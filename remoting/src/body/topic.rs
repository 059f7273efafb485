//! What a broker registers of one topic.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;

use super::json::{self, Allowance, Text};
use super::{Table, lenient};

/// Queue ids that one mapping may list; RocketMQ's tools make a few hundred.
const MAPPED_QUEUES_MAX: usize = 1_000_000;

/// RocketMQ's `TopicConfig`, but for the name, which is the key that it stands under. Numbers are
/// kept as they come: whether they make sense is for the service to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfig {
    /// Queues that consumers read.
    pub read_queue_nums: i32,
    /// Queues that producers write.
    pub write_queue_nums: i32,
    /// 4 read, 2 write, 1 inherit, 8 priority (unused).
    pub perm: i32,
    /// Bit 0: a unit topic; bit 1: it has unit subscriptions.
    pub topic_sys_flag: i32,
    /// Ordered, as the broker says.
    pub order: bool,
    /// How consumers filter it; a name server has no use for it.
    pub topic_filter_type: TopicFilterType,
    /// 5.x: its attributes; a name server has no use for them.
    pub attributes: Attributes,
}

impl Default for TopicConfig {
    /// What RocketMQ's class has before anything is set.
    fn default() -> Self {
        Self {
            read_queue_nums: 16,
            write_queue_nums: 16,
            perm: 6,
            topic_sys_flag: 0,
            order: false,
            topic_filter_type: TopicFilterType::default(),
            attributes: Attributes::default(),
        }
    }
}

/// RocketMQ's `TopicFilterType`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TopicFilterType {
    /// One tag a message.
    #[default]
    SingleTag,
    /// Several.
    MultiTag,
}

impl TopicFilterType {
    /// RocketMQ's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SingleTag => "SINGLE_TAG",
            Self::MultiTag => "MULTI_TAG",
        }
    }

    /// By RocketMQ's name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::SingleTag, Self::MultiTag].into_iter().find(|kind| kind.name() == name)
    }
}

/// Attributes of a topic, kept as the JSON object that they came as, since nobody here reads them:
/// a map would take many times their bytes.
#[derive(Debug, Clone, Default)]
pub struct Attributes(Option<Box<RawValue>>);

impl Attributes {
    /// Takes the text of a JSON object; anything else is no attributes, as RocketMQ takes it.
    #[must_use]
    pub fn from_json(text: &str) -> Self {
        match serde_json::from_str::<&RawValue>(text.trim()) {
            Ok(raw) => Self::from_raw(raw),
            Err(_) => Self(None),
        }
    }

    /// The JSON object, `{}` when there are none.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.0.as_deref().map_or("{}", RawValue::get)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        self.0.as_deref().map_or(0, |raw| raw.get().len())
    }

    fn from_raw(raw: &RawValue) -> Self {
        let text = raw.get();
        let empty = text.strip_prefix('{').is_none_or(|rest| rest.trim_start().starts_with('}'));
        Self((!empty).then(|| raw.to_owned()))
    }
}

impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(attributes: I) -> Self {
        let owned = |(key, value): (K, V)| (key.as_ref().to_owned(), value.as_ref().to_owned());
        let map: BTreeMap<String, String> = attributes.into_iter().map(owned).collect();
        let raw = serde_json::value::to_raw_value(&map).expect("texts are always JSON");
        Self::from_raw(&raw)
    }
}

impl PartialEq for Attributes {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}

impl Eq for Attributes {}

impl Serialize for Attributes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(raw) => raw.serialize(serializer),
            None => serializer.serialize_map(Some(0))?.end(),
        }
    }
}

/// A topic as it stands in a registration's table.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct WireTopic<'a> {
    #[serde(borrow)]
    attributes: Option<&'a RawValue>,
    #[serde(deserialize_with = "lenient::boolean")]
    order: Option<bool>,
    #[serde(deserialize_with = "lenient::integer")]
    perm: Option<i32>,
    #[serde(deserialize_with = "lenient::integer")]
    read_queue_nums: Option<i32>,
    #[serde(borrow, deserialize_with = "lenient::borrowed_text")]
    topic_filter_type: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "lenient::borrowed_text")]
    pub(super) topic_name: Option<Cow<'a, str>>,
    #[serde(deserialize_with = "lenient::integer")]
    topic_sys_flag: Option<i32>,
    #[serde(deserialize_with = "lenient::integer")]
    write_queue_nums: Option<i32>,
}

impl From<WireTopic<'_>> for TopicConfig {
    fn from(wire: WireTopic<'_>) -> Self {
        let default = Self::default();
        let kind = wire.topic_filter_type.as_deref().and_then(TopicFilterType::from_name);
        Self {
            read_queue_nums: wire.read_queue_nums.unwrap_or(default.read_queue_nums),
            write_queue_nums: wire.write_queue_nums.unwrap_or(default.write_queue_nums),
            perm: wire.perm.unwrap_or(default.perm),
            topic_sys_flag: wire.topic_sys_flag.unwrap_or(default.topic_sys_flag),
            order: wire.order.unwrap_or(default.order),
            topic_filter_type: kind.unwrap_or_default(),
            attributes: wire.attributes.map(Attributes::from_raw).unwrap_or_default(),
        }
    }
}

/// RocketMQ's `TopicQueueMappingInfo`: which of a static topic's queues one broker owns (5.x). A
/// name server only stores it and hands it out.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicQueueMappingInfo {
    /// The broker that owns them.
    pub bname: String,
    /// The topic's queue → the broker's queue.
    pub curr_id_map: Table<i32, i32>,
    /// Set while the mapping is being moved.
    pub dirty: bool,
    /// Grows with each move; clients follow the newest.
    pub epoch: i64,
    /// `__global__`.
    pub scope: String,
    /// The topic.
    pub topic: String,
    /// How many queues the topic has on all brokers.
    pub total_queues: i32,
}

impl Default for TopicQueueMappingInfo {
    /// What RocketMQ's class has before anything is set.
    fn default() -> Self {
        Self {
            bname: String::new(),
            curr_id_map: Table::default(),
            dirty: false,
            epoch: 0,
            scope: "__global__".to_owned(),
            topic: String::new(),
            total_queues: 0,
        }
    }
}

impl TopicQueueMappingInfo {
    pub(super) fn read(text: &RawValue, allowance: &Allowance) -> serde_json::Result<Self> {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Wire<'a> {
            #[serde(deserialize_with = "lenient::text")]
            bname: Option<String>,
            #[serde(borrow)]
            curr_id_map: Text<'a>,
            #[serde(deserialize_with = "lenient::boolean")]
            dirty: Option<bool>,
            #[serde(deserialize_with = "lenient::integer")]
            epoch: Option<i64>,
            #[serde(deserialize_with = "lenient::text")]
            scope: Option<String>,
            #[serde(deserialize_with = "lenient::text")]
            topic: Option<String>,
            #[serde(deserialize_with = "lenient::integer")]
            total_queues: Option<i32>,
        }
        let wire: Wire<'_> = json::scalar(text)?;
        let default = Self::default();
        Ok(Self {
            bname: wire.bname.unwrap_or_default(),
            curr_id_map: json::table(wire.curr_id_map, MAPPED_QUEUES_MAX, allowance, json::scalar)?,
            dirty: wire.dirty.unwrap_or_default(),
            epoch: wire.epoch.unwrap_or_default(),
            scope: wire.scope.unwrap_or(default.scope),
            topic: wire.topic.unwrap_or_default(),
            total_queues: wire.total_queues.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_an_object_or_nothing() {
        for nothing in ["", "{}", " { } ", "null", "[1]", "\"\"", "{\"a\":", "3"] {
            assert!(Attributes::from_json(nothing).is_empty(), "{nothing}");
        }
        let made: Attributes = [("message.type", "FIFO")].into_iter().collect();
        assert_eq!(made.as_json(), r#"{"message.type":"FIFO"}"#);
        assert_eq!(Attributes::from_json(made.as_json()), made);
        assert_eq!(json::standard(&made), made.as_json().as_bytes());
        assert_eq!(json::standard(&Attributes::default()), b"{}");
    }

    #[test]
    fn mappings_keep_their_defaults_and_take_bare_queue_ids() {
        let stock = br#"{"bname":"bm","currIdMap":{0:0,1:1},"dirty":false,"epoch":5,"scope":"__global__","topic":"S1","totalQueues":4}"#;
        let read = json::read(stock, TopicQueueMappingInfo::read).unwrap();
        let expected = TopicQueueMappingInfo {
            bname: "bm".to_owned(),
            curr_id_map: [(0, 0), (1, 1)].into(),
            epoch: 5,
            topic: "S1".to_owned(),
            total_queues: 4,
            ..TopicQueueMappingInfo::default()
        };
        assert_eq!(read, expected);
        assert_eq!(json::legacy(&read), stock);
        let nothing = json::read(b"{\"scope\":null}", TopicQueueMappingInfo::read);
        assert_eq!(nothing, Ok(TopicQueueMappingInfo::default()));
    }
}
