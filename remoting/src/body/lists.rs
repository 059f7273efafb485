//! Lists and tables that tools ask a name server for.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json::{self, Allowance, Text, list, scalar, table};
use super::{BROKERS_MAX, BodyError, BrokerData, TOPICS_MAX, Table, lenient};

/// RocketMQ's `TopicList` (206, 224, 304, 311 to 313).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicList {
    /// 304 only: some address of some broker, absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_addr: Option<String>,
    /// The topics; for 304 the names of clusters and brokers.
    pub topic_list: Vec<Box<str>>,
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
        json::read(body, Self::read)
    }
}

impl TopicList {
    fn read(text: &RawValue, allowance: &Allowance) -> serde_json::Result<Self> {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Wire<'a> {
            #[serde(deserialize_with = "lenient::text")]
            broker_addr: Option<String>,
            #[serde(borrow)]
            topic_list: Text<'a>,
        }
        let Wire { broker_addr, topic_list } = scalar(text)?;
        let topic_list = list(topic_list, TOPICS_MAX, allowance, scalar)?;
        Ok(Self { broker_addr, topic_list: topic_list.unwrap_or_default() })
    }
}

/// RocketMQ's `KVTable`: one namespace of the KV configuration (219, and in the answer of 103).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct KvTable {
    /// Key → value.
    pub table: Table<Box<str>, Box<str>>,
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
        json::read(body, Self::read)
    }

    fn read(text: &RawValue, allowance: &Allowance) -> serde_json::Result<Self> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Wire<'a> {
            #[serde(borrow)]
            table: Text<'a>,
        }
        let wire: Wire<'_> = scalar(text)?;
        Ok(Self { table: table(wire.table, TOPICS_MAX, allowance, scalar)? })
    }
}

/// RocketMQ's `ClusterInfo` (106).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterInfo {
    /// Broker name → its addresses.
    pub broker_addr_table: Table<String, BrokerData>,
    /// Cluster → its broker names.
    pub cluster_addr_table: Table<String, Vec<String>>,
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
        json::read(body, Self::read)
    }
}

impl ClusterInfo {
    fn read(text: &RawValue, allowance: &Allowance) -> serde_json::Result<Self> {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Wire<'a> {
            #[serde(borrow)]
            broker_addr_table: Text<'a>,
            #[serde(borrow)]
            cluster_addr_table: Text<'a>,
        }
        let wire: Wire<'_> = scalar(text)?;
        let broker = |text| BrokerData::read(text, allowance);
        let names = |text| {
            let names = list(Some(text), BROKERS_MAX, allowance, scalar)?;
            Ok(names.unwrap_or_default())
        };
        Ok(Self {
            broker_addr_table: table(wire.broker_addr_table, BROKERS_MAX, allowance, broker)?,
            cluster_addr_table: table(wire.cluster_addr_table, BROKERS_MAX, allowance, names)?,
        })
    }
}

/// RocketMQ's `BrokerMemberGroup`, in the envelope of `GetBrokerMemberGroupResponseBody` (901).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokerMemberGroup {
    /// Broker id → address.
    pub broker_addrs: Table<u64, String>,
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
        json::read(body, |text, allowance| {
            #[derive(Deserialize, Default)]
            #[serde(default, rename_all = "camelCase")]
            struct Envelope<'a> {
                #[serde(borrow)]
                broker_member_group: Text<'a>,
            }
            let envelope: Envelope<'_> = scalar(text)?;
            let Some(group) = envelope.broker_member_group else { return Ok(Self::default()) };
            // Read as what it is part of elsewhere.
            let BrokerData { broker_addrs, broker_name, cluster, .. } =
                BrokerData::read(group, allowance)?;
            Ok(Self { broker_addrs, broker_name, cluster })
        })
    }
}
