//! From a stock broker's registration to the command of the log. Pure.
//!
//! What a stock name server takes is taken, as far as it means anything: a topic without a usable
//! name is left out and a negative number counts as 0, for refusing the whole would take a live
//! broker out of the routes.

use std::time::Duration;

use signpost_remoting::body::{RegisterBody, TopicConfig, TopicQueueMappingInfo};
use signpost_remoting::namesrv::RegisterBrokerHeader;

use crate::config::{Limits, Timings};
use crate::errors::ServiceError;
use crate::routes::command::{BrokerKey, DataVersion, Door, QueueConfig, QueueMapping, Register};

/// Longest name of a cluster or a broker, and longest address, in bytes.
const NAME_BYTES_MAX: usize = 255;
const ADDRESS_BYTES_MAX: usize = 512;
/// Longest topic, in bytes: RocketMQ's names are 127 at most, and 255 with a group in them.
const TOPIC_BYTES_MAX: usize = 512;

/// Who a registration is of.
///
/// # Errors
/// Names that are none, or too long to be kept.
pub(super) fn key_of(cluster: &str, name: &str, id: u64) -> Result<BrokerKey, ServiceError> {
    for (field, text) in [("clusterName", cluster), ("brokerName", name)] {
        check_text(field, text, NAME_BYTES_MAX)?;
    }
    Ok(BrokerKey { cluster: cluster.to_owned(), name: name.to_owned(), id })
}

/// The whole registration.
///
/// # Errors
/// Addresses that are none, or too long to be kept.
pub(super) fn register_of(
    key: BrokerKey,
    header: &RegisterBrokerHeader,
    body: RegisterBody,
    timings: &Timings,
    limits: &Limits,
) -> Result<Register, ServiceError> {
    check_text("brokerAddr", &header.broker_addr, ADDRESS_BYTES_MAX)?;
    if !header.ha_server_addr.is_empty() {
        check_text("haServerAddr", &header.ha_server_addr, ADDRESS_BYTES_MAX)?;
    }
    let RegisterBody { mut topics, data_version, filter_servers, mut mapping_infos, .. } = body;
    let listed = topics.len();
    topics.retain(|topic, _| is_topic(topic));
    if topics.len() < listed {
        let left_out = listed - topics.len();
        tracing::warn!(broker = %key.name, left_out, "topics with unusable names were left out");
    }
    mapping_infos.retain(|topic, _| topics.get(topic).is_some());
    Ok(Register {
        key,
        door: Door::Remoting,
        claim: None,
        address: header.broker_addr.clone(),
        ha_address: header.ha_server_addr.clone(),
        data_version: DataVersion {
            timestamp: data_version.timestamp_ms,
            counter: data_version.counter,
            state_version: data_version.state_version,
        },
        lease_ttl_ms: lease_ttl_ms(header.heartbeat_timeout_ms, timings, limits),
        filter_servers,
        enable_acting_master: header.enable_acting_master,
        zone: header.zone_name.clone().filter(|zone| zone.len() <= NAME_BYTES_MAX),
        base: None,
        topics: topics.into_iter().map(|(topic, config)| (topic, queues_of(&config))).collect(),
        gone: Vec::new(),
        takeover: false,
        mappings: mapping_infos.into_iter().map(|(of, info)| (of, mapping_of(info))).collect(),
    })
}

fn check_text(field: &str, text: &str, bytes_max: usize) -> Result<(), ServiceError> {
    if (1..=bytes_max).contains(&text.len()) && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let expected = format!("1 to {bytes_max} bytes of UTF-8 without control characters");
    Err(ServiceError::invalid(field, expected))
}

fn is_topic(topic: &str) -> bool {
    (1..=TOPIC_BYTES_MAX).contains(&topic.len()) && !topic.chars().any(char::is_control)
}

/// What the broker asks for, or else the usual, within the bounds of this cluster.
fn lease_ttl_ms(asked_ms: Option<i64>, timings: &Timings, limits: &Limits) -> u64 {
    let asked = asked_ms.and_then(|asked| u64::try_from(asked).ok()).filter(|asked| *asked > 0);
    let ttl = asked.map_or(timings.lease_ttl, Duration::from_millis);
    let ttl = ttl.clamp(limits.lease_ttl_min, limits.lease_ttl_max);
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)
}

fn queues_of(config: &TopicConfig) -> QueueConfig {
    let number = |number: i32| u32::try_from(number).unwrap_or_default();
    QueueConfig {
        read_queues: number(config.read_queue_nums),
        write_queues: number(config.write_queue_nums),
        perm: number(config.perm),
        sys_flag: number(config.topic_sys_flag),
        order: config.order,
    }
}

fn mapping_of(info: TopicQueueMappingInfo) -> QueueMapping {
    let TopicQueueMappingInfo { bname, curr_id_map, dirty, epoch, scope, topic, total_queues } =
        info;
    let curr_id_map = curr_id_map.into_iter().collect();
    QueueMapping { bname, curr_id_map, dirty, epoch, scope, topic, total_queues }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> RegisterBrokerHeader {
        RegisterBrokerHeader {
            broker_name: "a".into(),
            broker_addr: "10.0.0.1:10911".into(),
            cluster_name: "C".into(),
            ha_server_addr: "10.0.0.1:10912".into(),
            ..RegisterBrokerHeader::default()
        }
    }

    fn convert(
        header: &RegisterBrokerHeader,
        body: RegisterBody,
    ) -> Result<Register, ServiceError> {
        let key = key_of(&header.cluster_name, &header.broker_name, header.broker_id)?;
        register_of(key, header, body, &Timings::default(), &Limits::default())
    }

    #[test]
    fn what_means_nothing_is_left_out_and_the_rest_is_taken() {
        let config = TopicConfig { read_queue_nums: -1, perm: 7, ..TopicConfig::default() };
        let topics = ["T", "", "a\nb", &"x".repeat(600)];
        let body = RegisterBody {
            topics: topics.iter().map(|topic| ((*topic).to_owned(), config.clone())).collect(),
            mapping_infos: [("U".to_owned(), TopicQueueMappingInfo::default())].into(),
            ..RegisterBody::default()
        };
        let register = convert(&header(), body).expect("taken");
        assert_eq!(register.topics.keys().collect::<Vec<_>>(), ["T"]);
        let queues = &register.topics["T"];
        assert_eq!((queues.read_queues, queues.write_queues, queues.perm), (0, 16, 7));
        assert!(register.mappings.is_empty(), "a mapping without its topic");
        assert_eq!((register.door, register.claim), (Door::Remoting, None));
    }

    #[test]
    fn names_and_addresses_must_be_some() {
        type Spoil = fn(&mut RegisterBrokerHeader);
        let cases: [(&str, Spoil); 4] = [
            ("clusterName", |header| header.cluster_name.clear()),
            ("brokerName", |header| header.broker_name = "x".repeat(256)),
            ("brokerAddr", |header| header.broker_addr.clear()),
            ("haServerAddr", |header| header.ha_server_addr = "a\0".into()),
        ];
        for (field, spoil) in cases {
            let mut header = header();
            spoil(&mut header);
            let refused = convert(&header, RegisterBody::default()).expect_err(field);
            assert_eq!(refused.wire().field, Some(field));
        }
    }

    #[test]
    fn the_ttl_is_what_the_broker_asks_for_within_bounds() {
        let (timings, limits) = (Timings::default(), Limits::default());
        let ttl_ms = |asked| lease_ttl_ms(asked, &timings, &limits);
        assert_eq!(ttl_ms(None), 120_000);
        assert_eq!(ttl_ms(Some(10_000)), 10_000);
        assert_eq!((ttl_ms(Some(0)), ttl_ms(Some(-1))), (120_000, 120_000));
        assert_eq!((ttl_ms(Some(1)), ttl_ms(Some(i64::MAX))), (10, 24 * 3600 * 1000));
    }
}
