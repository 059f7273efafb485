//! What goes over the wire of the HTTP contract: request bodies, answers, header names.
//!
//! Both sides use these: the name service's HTTP layer and this client.
//!
//! | file | holds |
//! | --- | --- |
//! | [`headers`] | header names, the problem media type, path encoding |
//! | [`registration`] | register, patch, heartbeat, write permission |
//! | [`route`] | one route, many routes: RocketMQ's own field names |
//! | [`lists`] | brokers, clusters, topics |
//! | [`kv`] | KV configuration |
//! | [`cluster`] | status, members, alarms, probes |
//! | [`problem`] | RFC 9457 problem details and the reasons of a conflict |
//!
//! Two rules hold throughout. In answers unknown fields are ignored, so that a newer replica can
//! add some. In request bodies they are refused (`deny_unknown_fields`), so that a typo is not
//! silently a no-op; an absent field and `null` mean the same on both ways.

pub mod cluster;
pub mod headers;
pub mod kv;
pub mod lists;
pub mod problem;
pub mod registration;
pub mod route;

pub use cluster::{
    AddMember, Alarm, Alarms, ClusterStatus, Member, Probe, TransferLeader, Written,
};
pub use kv::{Kv, KvNamespace, PutKv};
pub use lists::{BrokerEntry, BrokerList, ClusterList, TopicList};
pub use problem::{Conflict, Problem};
pub use registration::{
    DataVersion, Heartbeat, Patch, Patched, PermissionChanged, PutTopic, Registered, Registration,
    Renewed, TopicConfig, WritePermission,
};
pub use route::{BrokerData, QueueData, Route, Routes};

use serde::{Deserialize, Deserializer};

/// Reads `null` as the default, so that an absent field and `null` mean the same.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
