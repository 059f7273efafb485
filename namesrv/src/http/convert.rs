//! From the bodies of the HTTP contract to the commands of the log: the one place that checks and
//! converts them. Pure. A body is refused whole, at its first wrong field.

use std::collections::BTreeMap;

use signpost_client::types;

use super::names::{self, EXACT_MAX, Invalid, PERM_MAX, QUEUES_MAX, SYS_FLAG_MAX};
use super::query::{Query, number};
use crate::config::{Limits, Timings};
use crate::routes::command::{
    BrokerKey, Claim, DataVersion, Door, Patch, QueueConfig, Register, Topic, Unregister,
};

/// Most filter servers of one broker.
const FILTER_SERVERS_MAX: usize = 64;

/// The seq of a write that names its process but not itself: its first.
const FIRST_SEQ: u64 = 1;

/// A broker's identity, from a path.
pub(super) fn broker_key(cluster: String, name: String, id: &str) -> Result<BrokerKey, Invalid> {
    names::broker_or_cluster("cluster", &cluster)?;
    names::broker_or_cluster("name", &name)?;
    Ok(BrokerKey { cluster, name, id: number("id", id)? })
}

/// `PUT /v1/brokers/{cluster}/{name}/{id}`.
pub(super) fn register(
    key: BrokerKey,
    body: types::Registration,
    takeover: bool,
    timings: &Timings,
    limits: &Limits,
) -> Result<Register, Invalid> {
    let claim = claim(body.incarnation, body.seq)?;
    names::address("address", &body.address)?;
    let ha_address = body.ha_address.unwrap_or_default();
    if !ha_address.is_empty() {
        names::address("haAddress", &ha_address)?;
    }
    if let Some(servers) = &body.filter_servers {
        if servers.len() > FILTER_SERVERS_MAX {
            return Err(Invalid::new(
                "filterServers",
                format!("a list of at most {FILTER_SERVERS_MAX} addresses"),
            ));
        }
        for (at, server) in servers.iter().enumerate() {
            names::address(format!("filterServers[{at}]"), server)?;
        }
    }
    let lease_ttl_ms = match body.lease_ttl_ms {
        None => millis(timings.lease_ttl),
        Some(ttl_ms) => {
            let (min, max) = (millis(limits.lease_ttl_min), millis(limits.lease_ttl_max));
            names::within("leaseTtlMs", ttl_ms, min, max)?;
            ttl_ms
        }
    };
    topic_count(body.topics.len(), limits)?;
    let mut topics = BTreeMap::new();
    for (topic, config) in body.topics {
        let config = topic_entry(&topic, &config)?;
        topics.insert(topic, config);
    }
    Ok(Register {
        key,
        door: Door::Http,
        claim,
        address: body.address,
        ha_address,
        data_version: body.data_version.map(data_version).unwrap_or_default(),
        lease_ttl_ms,
        filter_servers: body.filter_servers,
        enable_acting_master: None,
        zone: None,
        base: None,
        topics,
        gone: Vec::new(),
        takeover,
        mappings: BTreeMap::new(),
    })
}

/// `PATCH /v1/brokers/{cluster}/{name}/{id}/topics`.
pub(super) fn patch(key: BrokerKey, body: types::Patch, limits: &Limits) -> Result<Patch, Invalid> {
    names::within("incarnation", body.incarnation, 1, EXACT_MAX)?;
    names::within("epoch", body.epoch, 1, EXACT_MAX)?;
    names::within("seq", body.seq, 0, EXACT_MAX)?;
    topic_count(body.topics.len(), limits)?;
    let mut topics: BTreeMap<Topic, Option<QueueConfig>> = BTreeMap::new();
    for (topic, config) in body.topics {
        let config = match config {
            Some(config) => Some(topic_entry(&topic, &config)?),
            None => {
                topic_name(&topic)?;
                None
            }
        };
        topics.insert(topic, config);
    }
    Ok(Patch {
        key,
        claim: Claim { incarnation: body.incarnation, seq: body.seq },
        epoch: body.epoch,
        data_version: body.data_version.map(data_version),
        topics,
    })
}

/// `DELETE /v1/brokers/{cluster}/{name}/{id}`: what its parameters say.
pub(super) fn unregister(key: BrokerKey, query: &Query<'_>) -> Result<Unregister, Invalid> {
    let (incarnation, seq) = (query.number("incarnation")?, query.number("seq")?);
    if incarnation.is_some() && seq.is_none() {
        return Err(Invalid::new(
            "seq",
            "given, as incarnation is: it orders the process's writes",
        ));
    }
    let epoch = query.number("epoch")?;
    if let Some(epoch) = epoch {
        names::within("epoch", epoch, 1, EXACT_MAX)?;
    }
    Ok(Unregister { key, claim: claim(incarnation, seq)?, epoch })
}

/// `PUT /v1/topics/{topic}`.
pub(super) fn topic_brokers(
    body: types::PutTopic,
) -> Result<BTreeMap<String, QueueConfig>, Invalid> {
    if body.brokers.is_empty() {
        return Err(Invalid::new("brokers", "an object with at least one broker name"));
    }
    let mut brokers = BTreeMap::new();
    for (name, config) in body.brokers {
        let field = format!("brokers.{}", super::excerpt::Excerpt(&name));
        names::broker_or_cluster(field.as_str(), &name)?;
        let config = queue_config(&field, &config)?;
        brokers.insert(name, config);
    }
    Ok(brokers)
}

fn claim(incarnation: Option<u64>, seq: Option<u64>) -> Result<Option<Claim>, Invalid> {
    match (incarnation, seq) {
        (None, None) => Ok(None),
        (None, Some(_)) => {
            Err(Invalid::new("incarnation", "given, as seq is: seq orders one process's writes"))
        }
        (Some(incarnation), seq) => {
            let seq = seq.unwrap_or(FIRST_SEQ);
            names::within("incarnation", incarnation, 1, EXACT_MAX)?;
            names::within("seq", seq, 0, EXACT_MAX)?;
            Ok(Some(Claim { incarnation, seq }))
        }
    }
}

fn topic_count(count: usize, limits: &Limits) -> Result<(), Invalid> {
    let max = limits.topics_per_registration;
    if count > max {
        return Err(Invalid::new("topics", format!("an object with at most {max} topics")));
    }
    Ok(())
}

fn topic_name(topic: &str) -> Result<(), Invalid> {
    names::topic("", topic).map_err(|invalid| Invalid { field: topic_field(topic), ..invalid })
}

fn topic_field(topic: &str) -> String {
    format!("topics.{}", super::excerpt::Excerpt(topic))
}

fn topic_entry(topic: &str, config: &types::TopicConfig) -> Result<QueueConfig, Invalid> {
    topic_name(topic)?;
    // The field's name is made for a refusal only: registrations may hold 100,000 topics.
    queue_config("", config).map_err(|invalid| Invalid {
        field: format!("{}{}", topic_field(topic), invalid.field),
        ..invalid
    })
}

fn queue_config(field: &str, config: &types::TopicConfig) -> Result<QueueConfig, Invalid> {
    let check = |name: &str, value: u32, max: u32| {
        if value <= max {
            return Ok(());
        }
        names::within(format!("{field}.{name}"), value.into(), 0, max.into())
    };
    check("readQueueNums", config.read_queue_nums, QUEUES_MAX)?;
    check("writeQueueNums", config.write_queue_nums, QUEUES_MAX)?;
    check("perm", config.perm, PERM_MAX)?;
    check("topicSysFlag", config.topic_sys_flag, SYS_FLAG_MAX)?;
    Ok(QueueConfig {
        read_queues: config.read_queue_nums,
        write_queues: config.write_queue_nums,
        perm: config.perm,
        sys_flag: config.topic_sys_flag,
        order: config.order,
    })
}

fn data_version(version: types::DataVersion) -> DataVersion {
    DataVersion {
        timestamp: version.timestamp,
        counter: version.counter,
        state_version: version.state_version,
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> BrokerKey {
        BrokerKey { cluster: "C".into(), name: "broker-a".into(), id: 0 }
    }

    fn registration(json: &str) -> Result<Register, Invalid> {
        let body = serde_json::from_str(json).expect("well-formed");
        register(key(), body, false, &Timings::default(), &Limits::default())
    }

    #[test]
    fn an_address_is_enough() {
        let register = registration(r#"{"address":"a:1"}"#).expect("valid");
        assert_eq!(register.claim, None);
        assert_eq!(register.lease_ttl_ms, 120_000);
        assert_eq!(register.filter_servers, None);
        assert!(register.base.is_none() && register.topics.is_empty());
    }

    #[test]
    fn topics_have_the_contracts_defaults() {
        let register =
            registration(r#"{"address":"a:1","incarnation":7,"topics":{"T":{}}}"#).expect("valid");
        let queues =
            QueueConfig { read_queues: 16, write_queues: 16, perm: 6, sys_flag: 0, order: false };
        assert_eq!(register.topics["T"], queues);
        assert_eq!(register.claim, Some(Claim { incarnation: 7, seq: FIRST_SEQ }));
    }

    #[test]
    fn the_first_wrong_field_is_named() {
        for (json, field) in [
            (r#"{"address":""}"#, "address"),
            (r#"{"address":"a:1","seq":1}"#, "incarnation"),
            (r#"{"address":"a:1","incarnation":0}"#, "incarnation"),
            (r#"{"address":"a:1","incarnation":9007199254740992}"#, "incarnation"),
            (r#"{"address":"a:1","incarnation":1,"seq":9007199254740992}"#, "seq"),
            (r#"{"address":"a:1","haAddress":"x"}"#, "haAddress"),
            (r#"{"address":"a:1","leaseTtlMs":0}"#, "leaseTtlMs"),
            (r#"{"address":"a:1","leaseTtlMs":86400001}"#, "leaseTtlMs"),
            (r#"{"address":"a:1","filterServers":["f:1","f"]}"#, "filterServers[1]"),
            (r#"{"address":"a:1","topics":{"a b":{}}}"#, "topics.a b"),
            (r#"{"address":"a:1","topics":{"T":{"perm":8}}}"#, "topics.T.perm"),
            (
                r#"{"address":"a:1","topics":{"T":{"readQueueNums":65536}}}"#,
                "topics.T.readQueueNums",
            ),
            (
                r#"{"address":"a:1","topics":{"T":{"topicSysFlag":2147483648}}}"#,
                "topics.T.topicSysFlag",
            ),
        ] {
            assert_eq!(registration(json).expect_err(json).field, field, "{json}");
        }
    }

    #[test]
    fn an_unregister_names_all_of_its_writer_or_none() {
        const KNOWN: &[&str] = &["incarnation", "seq", "epoch"];
        let given = |raw| unregister(key(), &Query::parse(Some(raw), KNOWN).expect("known"));
        assert_eq!(given("").expect("by hand").claim, None);
        let whole = given("incarnation=5&seq=2&epoch=9").expect("whole");
        assert_eq!(whole.claim, Some(Claim { incarnation: 5, seq: 2 }));
        assert_eq!(whole.epoch, Some(9));
        assert_eq!(given("incarnation=5").expect_err("no seq").field, "seq");
        assert_eq!(given("seq=5").expect_err("no incarnation").field, "incarnation");
        assert_eq!(given("epoch=0").expect_err("no entry has index 0").field, "epoch");
    }
}
