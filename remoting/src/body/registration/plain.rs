//! Registrations in JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::RegisterBody;
use crate::body::topic::WireTopic;
use crate::body::{
    BodyError, DataVersion, FILTER_SERVERS_MAX, MAPPING_VERSION, REGISTER_BODY_VERSION, TOPICS_MAX,
    TopicConfig, TopicQueueMappingInfo, json, lenient,
};

/// RocketMQ's `RegisterBrokerBody`.
#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Body {
    #[serde(deserialize_with = "lenient::list::<_, _, FILTER_SERVERS_MAX>")]
    filter_server_list: Option<Vec<String>>,
    topic_config_serialize_wrapper: Option<Wrapper>,
}

impl Default for Body {
    fn default() -> Self {
        // An absent list is an empty one, null is none.
        Self { filter_server_list: Some(Vec::new()), topic_config_serialize_wrapper: None }
    }
}

/// RocketMQ's `TopicConfigSerializeWrapper` and `TopicConfigAndMappingSerializeWrapper`.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Wrapper {
    data_version: DataVersion,
    mapping_data_version: DataVersion,
    #[serde(deserialize_with = "topics")]
    topic_config_table: BTreeMap<String, TopicConfig>,
    #[serde(deserialize_with = "lenient::map::<_, _, _, TOPICS_MAX>")]
    topic_queue_mapping_info_map: BTreeMap<String, TopicQueueMappingInfo>,
}

impl Wrapper {
    fn into_body(self, filter_servers: Option<Vec<String>>) -> RegisterBody {
        RegisterBody {
            topics: self.topic_config_table,
            data_version: self.data_version,
            filter_servers,
            mapping_infos: self.topic_queue_mapping_info_map,
            mapping_data_version: self.mapping_data_version,
        }
    }
}

/// Reads a `RegisterBrokerBody`.
pub(super) fn decode(body: &[u8]) -> Result<RegisterBody, BodyError> {
    let body: Body = json::read(body)?;
    let wrapper = body.topic_config_serialize_wrapper.unwrap_or_default();
    Ok(wrapper.into_body(body.filter_server_list))
}

/// Reads a bare topic table, as brokers before 3.0.11 sent it.
pub(super) fn decode_bare(body: &[u8]) -> Result<RegisterBody, BodyError> {
    json::read(body).map(|wrapper: Wrapper| wrapper.into_body(None))
}

/// The table of topics. A topic counts under the name that it gives itself, as in RocketMQ; the
/// key it stands under counts when it gives none.
fn topics<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, TopicConfig>, D::Error> {
    struct Topics;

    impl<'de> Visitor<'de> for Topics {
        type Value = BTreeMap<String, TopicConfig>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table of topics")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut topics = BTreeMap::new();
            while let Some(key) = access.next_key::<String>()? {
                lenient::check_count::<A::Error>(topics.len(), TOPICS_MAX)?;
                let mut wire: WireTopic<'de> = access.next_value()?;
                let name = match wire.topic_name.take() {
                    Some(name) if name != key => name.into_owned(),
                    _ => key,
                };
                topics.insert(name, TopicConfig::from(wire));
            }
            Ok(topics)
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(BTreeMap::new())
        }
    }

    deserializer.deserialize_any(Topics)
}

/// Writes what a broker of this version sends. Integer keys are bare, as fastjson writes them.
pub(super) fn encode(body: &RegisterBody, version: i32) -> Vec<u8> {
    let table = Table { body, version };
    if version < REGISTER_BODY_VERSION {
        return json::legacy(&table);
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Whole<'a> {
        filter_server_list: Option<&'a [String]>,
        topic_config_serialize_wrapper: Table<'a>,
    }
    json::legacy(&Whole {
        filter_server_list: body.filter_servers.as_deref(),
        topic_config_serialize_wrapper: table,
    })
}

/// The wrapper, as this version writes it.
struct Table<'a> {
    body: &'a RegisterBody,
    version: i32,
}

impl Serialize for Table<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Former {
            counter: i64,
            timestamp: i64,
        }
        let body = self.body;
        let mut fields = serializer.serialize_map(None)?;
        if self.version < MAPPING_VERSION {
            let DataVersion { counter, timestamp_ms: timestamp, .. } = body.data_version;
            fields.serialize_entry("dataVersion", &Former { counter, timestamp })?;
            fields.serialize_entry("topicConfigTable", &Topics(self))?;
        } else {
            fields.serialize_entry("dataVersion", &body.data_version)?;
            fields.serialize_entry("mappingDataVersion", &body.mapping_data_version)?;
            fields.serialize_entry("topicConfigTable", &Topics(self))?;
            let details: BTreeMap<&str, ()> = BTreeMap::new();
            fields.serialize_entry("topicQueueMappingDetailMap", &details)?;
            fields.serialize_entry("topicQueueMappingInfoMap", &body.mapping_infos)?;
        }
        fields.end()
    }
}

struct Topics<'a>(&'a Table<'a>);

impl Serialize for Topics<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Table { body, version } = self.0;
        let topics = body.topics.iter();
        let attributed = *version >= MAPPING_VERSION;
        serializer
            .collect_map(topics.map(|(name, config)| (name, Topic { name, config, attributed })))
    }
}

struct Topic<'a> {
    name: &'a str,
    config: &'a TopicConfig,
    attributed: bool,
}

impl Serialize for Topic<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let config = self.config;
        let mut fields = serializer.serialize_map(None)?;
        if self.attributed {
            fields.serialize_entry("attributes", &config.attributes)?;
        }
        fields.serialize_entry("order", &config.order)?;
        fields.serialize_entry("perm", &config.perm)?;
        fields.serialize_entry("readQueueNums", &config.read_queue_nums)?;
        fields.serialize_entry("topicFilterType", config.topic_filter_type.name())?;
        fields.serialize_entry("topicName", self.name)?;
        fields.serialize_entry("topicSysFlag", &config.topic_sys_flag)?;
        fields.serialize_entry("writeQueueNums", &config.write_queue_nums)?;
        fields.end()
    }
}
