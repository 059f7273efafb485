//! Headers: round trips, and what is missing or malformed.

use proptest::prelude::*;

use super::*;
use crate::ExtFields;

fn broker() -> ExtFields {
    RegisterBrokerHeader {
        broker_name: "broker-a".to_owned(),
        broker_addr: "10.0.0.1:10911".to_owned(),
        cluster_name: "DefaultCluster".to_owned(),
        ha_server_addr: "10.0.0.1:10912".to_owned(),
        ..RegisterBrokerHeader::default()
    }
    .to_ext()
}

proptest! {
    #[test]
    fn registrations_round_trip(
        texts in prop::array::uniform4(".{0,12}"), broker_id in 0..=i64::MAX as u64, compressed: bool,
        body_crc32: i32, heartbeat_timeout_ms in prop::option::of(any::<i64>()),
        enable_acting_master in prop::option::of(any::<bool>()), zone_name in prop::option::of(".{0,8}"),
    ) {
        let [broker_name, broker_addr, cluster_name, ha_server_addr] = texts;
        let header = RegisterBrokerHeader {
            broker_name, broker_addr, cluster_name, ha_server_addr, broker_id, compressed, body_crc32,
            heartbeat_timeout_ms, enable_acting_master, zone_name,
        };
        prop_assert_eq!(RegisterBrokerHeader::from_ext(&header.to_ext()), Ok(header));
    }

    #[test]
    fn heartbeats_and_notices_round_trip(
        texts in prop::array::uniform3(".{0,12}"), broker_id in prop::option::of(0..=i64::MAX as u64),
        ints in prop::array::uniform2(prop::option::of(any::<i32>())),
        longs in prop::array::uniform3(prop::option::of(any::<i64>())),
        notice in prop::array::uniform4(prop::option::of(".{0,9}")),
    ) {
        let [cluster_name, broker_addr, broker_name] = texts;
        let [max_offset, confirm_offset, heartbeat_timeout_ms] = longs;
        let header = BrokerHeartbeatHeader {
            cluster_name, broker_addr, broker_name, broker_id, epoch: ints[0], max_offset,
            confirm_offset, heartbeat_timeout_ms, election_priority: ints[1],
        };
        prop_assert_eq!(BrokerHeartbeatHeader::from_ext(&header.to_ext()), Ok(header));
        let [broker_name, min_broker_addr, offline_broker_addr, ha_broker_addr] = notice;
        let header = NotifyMinBrokerIdChangeHeader {
            min_broker_id: broker_id, broker_name, min_broker_addr, offline_broker_addr, ha_broker_addr,
        };
        prop_assert_eq!(NotifyMinBrokerIdChangeHeader::from_ext(&header.to_ext()), Ok(header));
    }

    #[test]
    fn any_fields_are_read_or_refused(fields in prop::collection::vec(("(topic|key|namespace|value|brokerId|brokerName|bodyCrc32|compressed)", ".{0,24}"), 0..8)) {
        let ext: ExtFields = fields.into_iter().collect();
        let _ = RegisterBrokerHeader::from_ext(&ext);
        let _ = PutKvConfigHeader::from_ext(&ext);
        let _ = GetRouteInfoHeader::from_ext(&ext);
        let _ = BrokerHeartbeatHeader::from_ext(&ext);
    }
}

#[test]
fn what_old_brokers_do_not_say_is_unset() {
    let mut ext = broker();
    ext.remove("bodyCrc32");
    ext.remove("compressed");
    let header = RegisterBrokerHeader::from_ext(&ext).unwrap();
    assert_eq!((header.body_crc32, header.compressed), (0, false));
    assert_eq!((header.heartbeat_timeout_ms, header.enable_acting_master), (None, None));
    // Optional ones that are malformed are as good as absent, as in RocketMQ.
    ext.insert("bodyCrc32", "many");
    ext.insert("heartbeatTimeoutMillis", "1e4");
    ext.insert("enableActingMaster", "TRUE");
    ext.insert("compressed", "yes");
    let header = RegisterBrokerHeader::from_ext(&ext).unwrap();
    assert_eq!((header.body_crc32, header.compressed), (0, false));
    assert_eq!((header.heartbeat_timeout_ms, header.enable_acting_master), (None, Some(true)));
}

#[test]
fn mandatory_fields_are_missed_by_their_name() {
    for name in ["brokerName", "brokerAddr", "clusterName", "haServerAddr", "brokerId"] {
        let mut ext = broker();
        assert!(ext.remove(name));
        let error = RegisterBrokerHeader::from_ext(&ext).unwrap_err();
        assert_eq!(error, HeaderError::Missing(name));
        assert_eq!(error.to_string(), format!("the custom field <{name}> is null"));
    }
    let error = GetRouteInfoHeader::from_ext(&ExtFields::new()).unwrap_err();
    assert_eq!(error.field(), "topic");
}

#[test]
fn a_broker_id_is_a_long_that_is_not_negative() {
    for (text, id) in [("0", 0), ("+7", 7), ("9223372036854775807", i64::MAX as u64)] {
        let mut ext = broker();
        ext.insert("brokerId", text);
        assert_eq!(RegisterBrokerHeader::from_ext(&ext).unwrap().broker_id, id);
    }
    for text in ["-1", "9223372036854775808", "", "0x1", "one"] {
        let mut ext = broker();
        ext.insert("brokerId", text);
        let error = RegisterBrokerHeader::from_ext(&ext).unwrap_err();
        assert_eq!(error.field(), "brokerId", "{text}");
        assert!(error.to_string().contains("must be an integer"), "{error}");
    }
}

#[test]
fn a_value_may_be_missing_and_a_zone_may_be_asked_for() {
    let ext = ExtFields::new().with("namespace", "N").with("key", "K");
    assert_eq!(PutKvConfigHeader::from_ext(&ext).unwrap().value, None);
    let ext =
        ExtFields::new().with("topic", "T").with("__ZONE_MODE", true).with("__ZONE_NAME", "z");
    let header = GetRouteInfoHeader::from_ext(&ext).unwrap();
    assert!(header.zone_mode && !header.accept_standard_json_only);
    assert_eq!(header.zone_name.as_deref(), Some("z"));
}
