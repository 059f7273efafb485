//! 106, 206, 224, 304, 311 to 313, 901.

use serde_json::json;
use signpost_namesrv::fake_log::{master, queues, registration};
use signpost_namesrv::routes::command::{BrokerKey, Door as CameBy, QueueConfig, Register};

use crate::door::{Door, json, request, text};

async fn topics(door: &Door, code: i32) -> Vec<String> {
    let answer = json(&door.ask(request(code, &[])).await);
    serde_json::from_value(answer["topicList"].clone()).expect("a list of names")
}

#[tokio::test]
async fn clusters_and_brokers() {
    let door = Door::open().await;
    let empty = door.ask(request(106, &[])).await;
    assert_eq!(text(&empty), r#"{"brokerAddrTable":{},"clusterAddrTable":{}}"#);
    door.register(Register {
        zone: Some("east".into()),
        enable_acting_master: Some(true),
        ..registration("a", 1, &["T"])
    });
    door.register(Register {
        key: BrokerKey { id: 1, ..master("a") },
        door: CameBy::Remoting,
        claim: None,
        address: "slave:10911".into(),
        ..registration("a", 1, &[])
    });
    let other = BrokerKey { cluster: "D".into(), ..master("b") };
    door.register(Register { key: other, ..registration("b", 1, &["T"]) });
    let answer = door.ask(request(106, &[])).await;
    // Bare keys whatever the version, as stock name servers write them.
    assert!(text(&answer).contains(r#"{0:"a:10911",1:"slave:10911"}"#), "{}", text(&answer));
    let quoted = text(&answer).replace("{0:", "{\"0\":").replace(",1:", ",\"1\":");
    let info: serde_json::Value = serde_json::from_str(&quoted).expect("JSON but for the keys");
    assert_eq!(info["clusterAddrTable"], json!({"C": ["a"], "D": ["b"]}));
    let b = json!({"brokerAddrs": {"0": "b:10911"}, "brokerName": "b", "cluster": "D",
        "enableActingMaster": false});
    assert_eq!(info["brokerAddrTable"]["b"], b);
    // The latest registration decides on both: the slave says nothing of them.
    assert_eq!(info["brokerAddrTable"]["a"]["enableActingMaster"], json!(false));
    assert_eq!(info["brokerAddrTable"]["a"].get("zoneName"), None);
}

#[tokio::test]
async fn members_of_a_name() {
    let door = Door::open().await;
    door.master("a", &["T"]);
    let ask = |name: &str| request(901, &[("clusterName", "Any"), ("brokerName", name)]);
    let known = door.ask(ask("a")).await;
    let expected =
        r#"{"brokerMemberGroup":{"brokerAddrs":{0:"a:10911"},"brokerName":"a","cluster":"Any"}}"#;
    assert_eq!((known.code, text(&known)), (0, expected));
    let unknown = door.ask(ask("nobody")).await;
    let expected =
        r#"{"brokerMemberGroup":{"brokerAddrs":{},"brokerName":"nobody","cluster":"Any"}}"#;
    assert_eq!((unknown.code, text(&unknown)), (0, expected));
}

#[tokio::test]
async fn topics_of_all_of_a_cluster_and_of_the_system() {
    let door = Door::open().await;
    let none = door.ask(request(304, &[])).await;
    assert_eq!(text(&none), r#"{"topicList":[]}"#, "no broker, no address");
    door.master("b", &["Q", "T"]);
    let other = BrokerKey { cluster: "D".into(), ..master("a") };
    door.register(Register { key: other, ..registration("a", 1, &["T", "U"]) });
    assert_eq!(topics(&door, 206).await, ["Q", "T", "U"]);
    for (cluster, expected) in [("C", "Q,T"), ("D", "T,U"), ("Nowhere", "")] {
        let answer = json(&door.ask(request(224, &[("cluster", cluster)])).await);
        let expected: Vec<&str> = expected.split_terminator(',').collect();
        assert_eq!(answer["topicList"], json!(expected), "{cluster}");
        assert!(answer.get("brokerAddr").is_none());
    }
    let system = json(&door.ask(request(304, &[])).await);
    assert_eq!(system, json!({"brokerAddr": "a:10911", "topicList": ["C", "D", "a", "b"]}));
}

#[tokio::test]
async fn topics_by_their_unit_bits() {
    let door = Door::open().await;
    let with = |sys_flag: u32| QueueConfig { sys_flag, ..queues() };
    let topics_by_flag = ["none", "unit", "subscribed", "both"];
    let listed =
        topics_by_flag.iter().zip(0..).map(|(topic, flag)| ((*topic).to_owned(), with(flag)));
    door.register(Register { topics: listed.collect(), ..registration("a", 1, &[]) });
    assert_eq!(topics(&door, 311).await, ["both", "unit"]);
    assert_eq!(topics(&door, 312).await, ["both", "subscribed"]);
    assert_eq!(topics(&door, 313).await, ["subscribed"]);
}
