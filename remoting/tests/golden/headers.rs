//! The typed header of every golden request and answer.

use signpost_remoting::namesrv::*;
use signpost_remoting::response;

use crate::capture::Capture;

const CLUSTER: &str = "DefaultCluster";

/// Reads the request of this file as that header, compares, and writes it back.
macro_rules! request {
    ($file:literal, $header:ident { $($field:ident: $value:expr),+ $(,)? }) => {{
        let capture = Capture::load($file);
        let expected = $header { $($field: $value),+ };
        assert_eq!($header::from_ext(&capture.request.ext), Ok(expected.clone()), $file);
        assert!(
            capture.request.ext.iter().all(|(name, text)| expected.to_ext().get(name) == Some(text)),
            $file
        );
        capture
    }};
}

/// The same with the answer, which has this code.
macro_rules! answer {
    ($capture:expr, $code:ident, $header:ident { $($field:ident: $value:expr),+ }) => {{
        let answer = $capture.answer.as_ref().expect("there is an answer");
        assert_eq!(answer.code, response::$code);
        let expected = $header { $($field: $value),+ };
        assert_eq!($header::from_ext(&answer.ext), Ok(expected.clone()));
        assert_eq!(expected.to_ext(), answer.ext);
    }};
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[test]
fn kv() {
    request!(
        "100-put-kv",
        PutKvConfigHeader {
            namespace: text("ORDER_TOPIC_CONFIG"),
            key: text("Fifo"),
            value: Some(text("broker-a:4")),
        }
    );
    let there = request!(
        "101-get-kv",
        GetKvConfigHeader { namespace: text("ORDER_TOPIC_CONFIG"), key: text("Fifo") }
    );
    answer!(there, SUCCESS, GetKvConfigResponseHeader { value: Some(text("broker-a:4")) });
    let absent =
        request!("101-get-kv-absent", GetKvConfigHeader { namespace: text("N"), key: text("K") });
    answer!(absent, QUERY_NOT_FOUND, GetKvConfigResponseHeader { value: None });
    request!(
        "102-delete-kv",
        DeleteKvConfigHeader { namespace: text("ORDER_TOPIC_CONFIG"), key: text("Fifo") }
    );
    request!("219-kv-namespace", GetKvListHeader { namespace: text("ORDER_TOPIC_CONFIG") });
}

#[test]
fn registrations() {
    let four = RegisterBrokerHeader {
        broker_name: text("broker-a"),
        broker_addr: text("127.0.0.1:29911"),
        cluster_name: text(CLUSTER),
        ha_server_addr: text("127.0.0.1:29912"),
        ..RegisterBrokerHeader::default()
    };
    let read = |file| RegisterBrokerHeader::from_ext(&Capture::load(file).request.ext);
    // The checksum follows the body, and the body the clock.
    let crc = read("103-broker-4.9.7").unwrap().body_crc32;
    assert_eq!(
        read("103-broker-4.9.7"),
        Ok(RegisterBrokerHeader { body_crc32: crc, ..four.clone() })
    );
    let five = RegisterBrokerHeader {
        ha_server_addr: text("127.0.0.1:29915"),
        enable_acting_master: Some(false),
        ..four
    };
    for (file, body_crc32) in
        [("103-broker-5.5.0", 1_183_700_625), ("103-broker-5.5.0-compressed", 450_152_989)]
    {
        assert_eq!(read(file), Ok(RegisterBrokerHeader { body_crc32, ..five.clone() }), "{file}");
    }
    let slave = request!(
        "103-register-slave",
        RegisterBrokerHeader {
            broker_name: text("broker-a"),
            broker_addr: text("127.0.0.1:10921"),
            cluster_name: text(CLUSTER),
            ha_server_addr: text("127.0.0.1:10922"),
            broker_id: 1,
            compressed: false,
            body_crc32: 0,
            heartbeat_timeout_ms: Some(10_000),
            enable_acting_master: Some(true),
            zone_name: Some(text("z1")),
        }
    );
    answer!(
        slave,
        SUCCESS,
        RegisterBrokerResponseHeader {
            ha_server_addr: Some(text("127.0.0.1:10912")),
            master_addr: Some(text("127.0.0.1:10911"))
        }
    );
    let master = Capture::load("103-register");
    answer!(
        master,
        SUCCESS,
        RegisterBrokerResponseHeader { ha_server_addr: None, master_addr: None }
    );
    assert!(read("103-register-compressed").unwrap().compressed);
}

#[test]
fn brokers() {
    request!(
        "104-broker-4.9.7",
        UnregisterBrokerHeader {
            broker_name: text("broker-a"),
            broker_addr: text("127.0.0.1:29911"),
            cluster_name: text(CLUSTER),
            broker_id: 0,
        }
    );
    request!(
        "104-unregister",
        UnregisterBrokerHeader {
            broker_name: text("broker-a"),
            broker_addr: text("127.0.0.1:10921"),
            cluster_name: text(CLUSTER),
            broker_id: 1,
        }
    );
    let version = request!(
        "322-version",
        QueryDataVersionHeader {
            broker_name: text("broker-a"),
            broker_addr: text("127.0.0.1:10911"),
            cluster_name: text(CLUSTER),
            broker_id: 0,
        }
    );
    answer!(version, SUCCESS, QueryDataVersionResponseHeader { changed: false });
    request!(
        "901-members",
        GetBrokerMemberGroupHeader { cluster_name: text(CLUSTER), broker_name: text("broker-a") }
    );
    request!(
        "904-heartbeat",
        BrokerHeartbeatHeader {
            cluster_name: text(CLUSTER),
            broker_addr: text("127.0.0.1:10921"),
            broker_name: text("broker-a"),
            broker_id: Some(1),
            epoch: Some(2),
            max_offset: Some(1000),
            confirm_offset: Some(900),
            heartbeat_timeout_ms: Some(10_000),
            election_priority: Some(3),
        }
    );
    request!(
        "905-least-id",
        NotifyMinBrokerIdChangeHeader {
            min_broker_id: Some(1),
            broker_name: None,
            min_broker_addr: Some(text("127.0.0.1:10931")),
            offline_broker_addr: None,
            ha_broker_addr: Some(text("127.0.0.1:10932")),
        }
    );
}

#[test]
fn permissions() {
    let wiped = request!("205-wipe", WipeWritePermHeader { broker_name: text("broker-a") });
    answer!(wiped, SUCCESS, WipeWritePermResponseHeader { wipe_topic_count: 5 });
    let restored = request!("327-restore", AddWritePermHeader { broker_name: text("broker-a") });
    answer!(restored, SUCCESS, AddWritePermResponseHeader { add_topic_count: 5 });
}

#[test]
fn topics() {
    let route = |topic: &str| GetRouteInfoHeader { topic: text(topic), ..Default::default() };
    let read = |file| GetRouteInfoHeader::from_ext(&Capture::load(file).request.ext).unwrap();
    assert_eq!(read("105-route"), route("TopicTest"));
    assert_eq!(read("105-route-binary"), route("TopicTest"));
    assert_eq!(read("105-route-legacy"), route("S1"));
    assert_eq!(read("105-route-absent"), route("Nowhere"));
    assert!(read("105-route-static").accept_standard_json_only);
    let zone = read("105-route-zone");
    assert!(zone.zone_mode && zone.zone_name.as_deref() == Some("z2"));
    request!(
        "216-delete-topic",
        DeleteTopicHeader { topic: text("Made"), cluster_name: Some(text(CLUSTER)) }
    );
    request!("217-make-topic", RegisterTopicHeader { topic: text("Made") });
    request!("224-topics-of-cluster", GetTopicsByClusterHeader { cluster: text(CLUSTER) });
}
