//! 103, 104, 322, 904: a stock broker's life, as the door sees it. (The rules behind it have tests
//! of their own.)

use signpost_remoting::body::registration::crc32;
use signpost_remoting::body::{DataVersion, RegisterBody, TopicConfig};
use signpost_remoting::namesrv::{
    BrokerHeartbeatHeader, QueryDataVersionHeader, RegisterBrokerHeader, UnregisterBrokerHeader,
};
use signpost_remoting::{HeaderKind, RemotingCommand};

use crate::door::{Door, NEW, json, look_up, request, text};

fn header(id: u64) -> RegisterBrokerHeader {
    RegisterBrokerHeader {
        broker_name: "a".into(),
        broker_addr: format!("a-{id}:10911"),
        cluster_name: "C".into(),
        ha_server_addr: format!("a-{id}:10912"),
        broker_id: id,
        compressed: false,
        body_crc32: 0,
        heartbeat_timeout_ms: None,
        enable_acting_master: None,
        zone_name: None,
    }
}

fn version(counter: i64) -> DataVersion {
    DataVersion { counter, timestamp_ms: 1_795_359_846_892, state_version: 0 }
}

fn body(topics: &[&str], counter: i64) -> RegisterBody {
    let config = |topic: &&str| ((*topic).to_owned(), TopicConfig::default());
    RegisterBody {
        topics: topics.iter().map(config).collect(),
        data_version: version(counter),
        ..RegisterBody::default()
    }
}

fn register(header: &RegisterBrokerHeader, body: Vec<u8>) -> RemotingCommand {
    RemotingCommand::request(103).with_ext(header.to_ext()).with_body(body)
}

fn query(id: u64, version: DataVersion) -> RemotingCommand {
    let header = QueryDataVersionHeader {
        broker_name: "a".into(),
        broker_addr: format!("a-{id}:10911"),
        cluster_name: "C".into(),
        broker_id: id,
    };
    RemotingCommand::request(322).with_ext(header.to_ext()).with_body(version.to_json(NEW))
}

#[tokio::test]
async fn a_master_a_slave_and_their_ends() {
    let door = Door::open().await;
    let mut master = door.dial().await;
    let mut slave = door.dial().await;
    let topics = body(&["T", "U"], 1).encode_json(NEW);
    let alone = slave.ask(register(&header(1), topics.clone())).await;
    assert_eq!((alone.code, alone.ext.get("masterAddr")), (0, None), "there is none yet");
    let answer = master.ask(register(&header(0), topics.clone())).await;
    assert_eq!((answer.code, answer.ext.len(), answer.body.len()), (0, 0, 0));
    let led = slave.ask(register(&header(1), topics)).await;
    assert_eq!(led.ext.get("masterAddr"), Some("a-0:10911"));
    assert_eq!(led.ext.get("haServerAddr"), Some("a-0:10912"));
    let route = json(&door.ask(look_up("T", NEW)).await);
    let addresses = &route["brokerDatas"][0]["brokerAddrs"];
    assert_eq!(*addresses, serde_json::json!({"0": "a-0:10911", "1": "a-1:10911"}));
    let leave = UnregisterBrokerHeader {
        broker_name: "a".into(),
        broker_addr: "a-0:10911".into(),
        cluster_name: "C".into(),
        broker_id: 0,
    };
    assert_eq!(master.ask(RemotingCommand::request(104).with_ext(leave.to_ext())).await.code, 0);
    let route = json(&door.ask(look_up("T", NEW)).await);
    let addresses = &route["brokerDatas"][0]["brokerAddrs"];
    assert_eq!(*addresses, serde_json::json!({"1": "a-1:10911"}));
}

#[tokio::test]
async fn a_registration_in_every_shape() {
    let compressed = RegisterBrokerHeader { compressed: true, ..header(0) };
    let checked = |header: RegisterBrokerHeader, body: &[u8]| RegisterBrokerHeader {
        body_crc32: crc32(body),
        ..header
    };
    let topics = body(&["T", "U"], 1);
    for peer_version in [37, 317, 409, 479] {
        let plain = topics.encode_json(peer_version);
        let packed = topics.encode_compressed(peer_version);
        let shapes = [
            (header(0), plain.clone()),
            (checked(header(0), &plain), plain.clone()),
            (compressed.clone(), packed.clone()),
            (checked(compressed.clone(), &packed), packed.clone()),
            (header(0), packed), // As 5.0.0 to 5.3.3 write it.
        ];
        for (at, (header, body)) in shapes.into_iter().enumerate() {
            for kind in [HeaderKind::Json, HeaderKind::Binary] {
                let door = Door::open().await;
                let request = register(&header, body.clone());
                let request = RemotingCommand { version: peer_version, header: kind, ..request };
                let answer = door.ask(request).await;
                assert_eq!(answer.code, 0, "shape {at} of {peer_version}: {answer:?}");
                assert_eq!(door.ask(look_up("U", NEW)).await.code, 0, "shape {at}");
            }
        }
    }
}

#[tokio::test]
async fn a_registration_that_cannot_be_read_registers_nobody() {
    let door = Door::open_with(|config| config.limits.registration_bytes = 100_000).await;
    let plain = body(&["T", "U"], 1).encode_json(NEW);
    let wrong_crc = RegisterBrokerHeader { body_crc32: crc32(&plain) ^ 1, ..header(0) };
    let answer = door.ask(register(&wrong_crc, plain.clone())).await;
    assert_eq!((answer.code, answer.remark.as_deref()), (1, Some("crc32 not match")));
    let mut peer = door.dial().await;
    for wrong in [&b"{"[..], b"nonsense", b"\x78\xda\x00", &[b' '; 100_001]] {
        assert_eq!(peer.ask(register(&header(0), wrong.to_vec())).await.code, 1);
    }
    for missing in ["brokerName", "brokerAddr", "clusterName", "brokerId"] {
        let mut request = register(&header(0), plain.clone());
        request.ext.remove(missing);
        assert_eq!(peer.ask(request).await.code, 1, "{missing}");
    }
    assert_eq!(door.log.proposed(), []);
    assert_eq!(door.ask(look_up("T", NEW)).await.code, 17);
}

#[tokio::test]
async fn the_order_configuration_comes_with_the_answer_unless_switched_off() {
    for switched_on in [true, false] {
        let door = Door::open_with(|config| config.remoting.return_order_conf = switched_on).await;
        let topics = body(&["T", "U"], 1).encode_json(NEW);
        let mut peer = door.dial().await;
        assert_eq!(peer.ask(register(&header(0), topics.clone())).await.body.len(), 0);
        let namespace = ("namespace", "ORDER_TOPIC_CONFIG");
        peer.ask(request(100, &[namespace, ("key", "T"), ("value", "a:4")])).await;
        let answer = peer.ask(register(&header(0), topics)).await;
        let expected = if switched_on { r#"{"table":{"T":"a:4"}}"# } else { "" };
        assert_eq!((answer.code, text(&answer)), (0, expected));
    }
}

#[tokio::test]
async fn a_data_version_is_compared_and_unknown_brokers_shall_register() {
    let door = Door::open().await;
    let mut peer = door.dial().await;
    let unknown = peer.ask(query(0, version(1))).await;
    assert_eq!((unknown.code, unknown.ext.get("changed")), (0, Some("true")));
    assert!(unknown.body.is_empty());
    peer.ask(register(&header(0), body(&["T", "U"], 1).encode_json(NEW))).await;
    let log = door.log.last_index();
    let same = peer.ask(query(0, version(1))).await;
    assert_eq!((same.code, same.ext.get("changed")), (0, Some("false")));
    assert_eq!(text(&same), r#"{"counter":1,"timestamp":1795359846892}"#);
    let moved = peer.ask(query(0, version(2))).await;
    assert_eq!(moved.ext.get("changed"), Some("true"));
    assert_eq!(DataVersion::from_json(&moved.body), Ok(version(1)), "what is known here");
    let five = RemotingCommand { version: 479, ..query(0, version(1)) };
    assert!(text(&peer.ask(five).await).contains("stateVersion"));
    let elsewhere = RemotingCommand { ext: query(7, version(1)).ext, ..query(0, version(1)) };
    assert_eq!(peer.ask(elsewhere).await.ext.get("changed"), Some("true"));
    assert_eq!(peer.ask(query(0, version(1)).with_body("nonsense")).await.code, 1);
    let bodiless = peer.ask(query(0, version(1)).with_body("")).await;
    assert_eq!((bodiless.code, bodiless.ext.get("changed")), (0, Some("true")));
    assert_eq!(peer.ask(request(322, &[("brokerName", "a")])).await.code, 1);
    assert_eq!(door.log.last_index(), log, "a sign of life is not a log entry");
    assert!(door.service.counters().renewed > 0);
}

#[tokio::test]
async fn a_heartbeat_is_always_answered_with_success() {
    let door = Door::open().await;
    let mut peer = door.dial().await;
    let beat = |name: &str| {
        let header = BrokerHeartbeatHeader {
            cluster_name: "C".into(),
            broker_addr: "a-0:10911".into(),
            broker_name: name.into(),
            broker_id: Some(0),
            epoch: None,
            max_offset: None,
            confirm_offset: None,
            heartbeat_timeout_ms: None,
            election_priority: None,
        };
        RemotingCommand::request(904).with_ext(header.to_ext())
    };
    assert_eq!(peer.ask(beat("nobody")).await.code, 0);
    peer.ask(register(&header(0), body(&["T", "U"], 1).encode_json(NEW))).await;
    let (log, renewed) = (door.log.last_index(), door.service.counters().renewed);
    assert_eq!(peer.ask(beat("a")).await.code, 0);
    assert_eq!(door.log.last_index(), log);
    assert_eq!(door.service.counters().renewed, renewed + 1);
}
