//! Lists and tables that tools ask a name server for.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};

use super::lenient::{self, Bounded};
use super::{BROKERS_MAX, BodyError, BrokerData, TOPICS_MAX, json};

/// RocketMQ's `TopicList` (206, 224, 304, 311 to 313).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicList {
    /// 304 only: some address of some broker, absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_addr: Option<String>,
    /// The topics; for 304 the names of clusters and brokers.
    pub topic_list: Vec<String>,
}

impl TopicList {
    /// As every version writes it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::standard(self)
    }

    /// Reads it.
    ///
    /// # Errors
    /// Not a JSON object, or one whose fields have other types; too many topics.
    pub fn from_json(body: &[u8]) -> Result<Self, BodyError> {
        json::read(body)
    }
}

impl<'de> Deserialize<'de> for TopicList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Wire {
            #[serde(deserialize_with = "lenient::text")]
            broker_addr: Option<String>,
            #[serde(deserialize_with = "lenient::list::<_, _, TOPICS_MAX>")]
            topic_list: Option<Vec<String>>,
        }
        let Wire { broker_addr, topic_list } = Wire::deserialize(deserializer)?;
        Ok(Self { broker_addr, topic_list: topic_list.unwrap_or_default() })
    }
}

/// RocketMQ's `KVTable`: one namespace of the KV configuration (219, and in the answer of 103).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KvTable {
    /// Key → value.
    #[serde(deserialize_with = "lenient::map::<_, _, _, TOPICS_MAX>")]
    pub table: BTreeMap<String, String>,
}

impl KvTable {
    /// As every version writes it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::standard(self)
    }

    /// Reads it.
    ///
    /// # Errors
    /// Not a JSON object, or one whose fields have other types; too many keys.
    pub fn from_json(body: &[u8]) -> Result<Self, BodyError> {
        json::read(body)
    }
}

/// RocketMQ's `ClusterInfo` (106).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterInfo {
    /// Broker name → its addresses.
    pub broker_addr_table: BTreeMap<String, BrokerData>,
    /// Cluster → its broker names.
    pub cluster_addr_table: BTreeMap<String, BTreeSet<String>>,
}

impl ClusterInfo {
    /// Standard JSON, which Java's tools read as well.
    #[must_use]
    pub fn standard_json(&self) -> Vec<u8> {
        json::standard(self)
    }

    /// What stock name servers answer, whoever asks: broker ids are bare keys.
    #[must_use]
    pub fn legacy_json(&self) -> Vec<u8> {
        json::legacy(self)
    }

    /// Reads either form.
    ///
    /// # Errors
    /// Not a JSON object, or one whose fields have other types; too many brokers.
    pub fn from_json(body: &[u8]) -> Result<Self, BodyError> {
        json::read(body)
    }
}

impl<'de> Deserialize<'de> for ClusterInfo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Wire {
            #[serde(deserialize_with = "lenient::map::<_, _, _, BROKERS_MAX>")]
            broker_addr_table: BTreeMap<String, BrokerData>,
            #[serde(deserialize_with = "lenient::map::<_, _, _, BROKERS_MAX>")]
            cluster_addr_table: BTreeMap<String, Bounded<String, BROKERS_MAX>>,
        }
        let wire = Wire::deserialize(deserializer)?;
        let clusters = wire.cluster_addr_table.into_iter();
        Ok(Self {
            broker_addr_table: wire.broker_addr_table,
            cluster_addr_table: clusters
                .map(|(cluster, brokers)| (cluster, brokers.0.into_iter().collect()))
                .collect(),
        })
    }
}

/// RocketMQ's `BrokerMemberGroup`, in the envelope of `GetBrokerMemberGroupResponseBody` (901).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokerMemberGroup {
    /// Broker id → address.
    pub broker_addrs: BTreeMap<u64, String>,
    /// The broker name.
    pub broker_name: String,
    /// The cluster, as the request named it.
    pub cluster: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupAnswer<'a> {
    broker_member_group: &'a BrokerMemberGroup,
}

impl BrokerMemberGroup {
    /// Standard JSON, which Java reads as well.
    #[must_use]
    pub fn standard_json(&self) -> Vec<u8> {
        json::standard(&GroupAnswer { broker_member_group: self })
    }

    /// What stock name servers answer: broker ids are bare keys.
    #[must_use]
    pub fn legacy_json(&self) -> Vec<u8> {
        json::legacy(&GroupAnswer { broker_member_group: self })
    }

    /// Reads either form.
    ///
    /// # Errors
    /// Not a JSON object, or one whose fields have other types; too many addresses.
    pub fn from_json(body: &[u8]) -> Result<Self, BodyError> {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Envelope {
            /// Read as what it is part of elsewhere.
            broker_member_group: Option<BrokerData>,
        }
        let group = json::read::<Envelope>(body)?.broker_member_group.unwrap_or_default();
        let BrokerData { broker_addrs, broker_name, cluster, .. } = group;
        Ok(Self { broker_addrs, broker_name, cluster })
    }
}
