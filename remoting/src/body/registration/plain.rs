//! Registrations in JSON.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::RegisterBody;
use crate::body::json::{self, Allowance, Text};
use crate::body::topic::WireTopic;
use crate::body::{
    BodyError, DataVersion, FILTER_SERVERS_MAX, MAPPING_VERSION, REGISTER_BODY_VERSION, TOPICS_MAX,
    Table, TopicConfig, TopicQueueMappingInfo,
};

/// RocketMQ's `RegisterBrokerBody`.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Body<'a> {
    /// An absent list is an empty one, null is none.
    #[serde(borrow, deserialize_with = "present")]
    filter_server_list: Option<Text<'a>>,
    #[serde(borrow)]
    topic_config_serialize_wrapper: Option<Wrapper<'a>>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Text<'de>>, D::Error> {
    Text::deserialize(deserializer).map(Some)
}

/// RocketMQ's `TopicConfigSerializeWrapper` and `TopicConfigAndMappingSerializeWrapper`.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Wrapper<'a> {
    data_version: DataVersion,
    mapping_data_version: DataVersion,
    #[serde(borrow)]
    topic_config_table: Text<'a>,
    #[serde(borrow)]
    topic_queue_mapping_info_map: Text<'a>,
}

impl Wrapper<'_> {
    fn read(
        self,
        filter_servers: Option<Vec<String>>,
        allowance: &Allowance,
    ) -> serde_json::Result<RegisterBody> {
        let mappings = self.topic_queue_mapping_info_map;
        Ok(RegisterBody {
            topics: topics(self.topic_config_table, allowance)?,
            data_version: self.data_version,
            filter_servers,
            mapping_infos: json::table(mappings, TOPICS_MAX, allowance, |text| {
                TopicQueueMappingInfo::read(text, allowance)
            })?,
            mapping_data_version: self.mapping_data_version,
        })
    }
}

/// Reads a `RegisterBrokerBody`.
pub(super) fn decode(body: &[u8]) -> Result<RegisterBody, BodyError> {
    json::read(body, |text, allowance| {
        let body: Body<'_> = json::scalar(text)?;
        let filter_servers = match body.filter_server_list {
            None => Some(Vec::new()),
            Some(list) => json::list(list, FILTER_SERVERS_MAX, allowance, json::scalar)?,
        };
        body.topic_config_serialize_wrapper.unwrap_or_default().read(filter_servers, allowance)
    })
}

/// Reads a bare topic table, as brokers before 3.0.11 sent it.
pub(super) fn decode_bare(body: &[u8]) -> Result<RegisterBody, BodyError> {
    json::read(body, |text, allowance| json::scalar::<Wrapper<'_>>(text)?.read(None, allowance))
}

/// The table of topics. A topic counts under the name that it gives itself, as in RocketMQ; the
/// key it stands under counts when it gives none.
fn topics(text: Text<'_>, allowance: &Allowance) -> serde_json::Result<Table<String, TopicConfig>> {
    json::renamed(text, TOPICS_MAX, allowance, |key: String, text| {
        let mut wire: WireTopic<'_> = json::scalar(text)?;
        let name = match wire.topic_name.take() {
            Some(name) if name != key => name.into_owned(),
            _ => key,
        };
        Ok((name, TopicConfig::from(wire)))
    })
}

/// Writes what a broker of this version sends. Integer keys are bare, as fastjson writes them.
pub(super) fn encode(body: &RegisterBody, version: i32) -> Vec<u8> {
    let table = Versioned { body, version };
    if version < REGISTER_BODY_VERSION {
        return json::legacy(&table);
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Whole<'a> {
        filter_server_list: Option<&'a [String]>,
        topic_config_serialize_wrapper: Versioned<'a>,
    }
    json::legacy(&Whole {
        filter_server_list: body.filter_servers.as_deref(),
        topic_config_serialize_wrapper: table,
    })
}

/// The wrapper, as this version writes it.
struct Versioned<'a> {
    body: &'a RegisterBody,
    version: i32,
}

impl Serialize for Versioned<'_> {
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

struct Topics<'a>(&'a Versioned<'a>);

impl Serialize for Topics<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Versioned { body, version } = self.0;
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
