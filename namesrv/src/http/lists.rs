//! The tables as lists: the bodies of `/v1/brokers`, `/v1/clusters`, `/v1/topics` and a KV
//! namespace. Pure; the tables keep their order, so every list is sorted.

use signpost_client::types;

use crate::routes::RouteTables;

/// Live registrations, by cluster, name and id.
pub(super) fn brokers(tables: &RouteTables) -> types::BrokerList {
    let brokers = tables.registrations().map(|registration| types::BrokerEntry {
        cluster: registration.key.cluster.clone(),
        name: registration.key.name.clone(),
        id: registration.key.id,
        address: registration.address.to_string(),
        ha_address: Some(registration.ha_address.to_string()).filter(|address| !address.is_empty()),
        epoch: registration.epoch,
        incarnation: registration.claim.incarnation,
        seq: Some(registration.claim.seq),
        lease_ttl_ms: registration.lease_ttl_ms,
        data_version: Some(types::DataVersion {
            counter: registration.data_version.counter,
            timestamp: registration.data_version.timestamp,
            state_version: registration.data_version.state_version,
        }),
        topics: Some(registration.content.len() as u64),
    });
    types::BrokerList { brokers: brokers.collect() }
}

/// Broker names by cluster.
pub(super) fn clusters(tables: &RouteTables) -> types::ClusterList {
    let clusters = tables.clusters().map(|(cluster, names)| {
        (cluster.to_string(), names.map(|name| name.to_string()).collect())
    });
    types::ClusterList { clusters: clusters.collect() }
}

/// Topic names.
pub(super) fn topics(tables: &RouteTables) -> types::TopicList {
    types::TopicList { topics: tables.topics().map(|(topic, _)| topic.to_string()).collect() }
}

/// The values of a KV namespace; one that never was is empty.
pub(super) fn kv_namespace(tables: &RouteTables, namespace: &str) -> types::KvNamespace {
    let rows = tables.kv_namespace_rows(namespace).into_iter().flatten();
    let values = rows.map(|(key, row)| (key.to_string(), row.value.to_string()));
    types::KvNamespace { values: values.collect() }
}

/// One KV configuration.
pub(super) fn kv(tables: &RouteTables, namespace: &str, key: &str) -> Option<types::Kv> {
    let row = tables.kv(namespace, key)?;
    Some(types::Kv { value: row.value.to_string(), modified: row.modified })
}
