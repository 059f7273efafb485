//! 105: forms, zones, acting masters, order configuration; equality with HTTP.

use serde_json::json;
use signpost_namesrv::fake_log::{master, registration};
use signpost_namesrv::routes::ORDER_TOPIC_CONFIG;
use signpost_namesrv::routes::command::{
    BrokerKey, Door as CameBy, QueueMapping, Register, RouteCommand,
};
use signpost_remoting::body::TopicRouteData;
use signpost_remoting::{HeaderKind, RemotingCommand};

use crate::door::{Door, NEW, OLD, consistency, json, look_up, request, text};

/// A slave of 5.x that may act as master.
fn slave(name: &str, id: u64, topics: &[&str]) -> Register {
    Register {
        key: BrokerKey { id, ..master(name) },
        door: CameBy::Remoting,
        claim: None,
        address: format!("{name}-{id}:10911"),
        enable_acting_master: Some(true),
        ..registration(name, 1, topics)
    }
}

#[tokio::test]
async fn a_route_as_new_and_old_clients_read_it() {
    let door = Door::open().await;
    door.master("a", &["T"]);
    let new = door.ask(look_up("T", NEW)).await;
    let expected = json!({
        "brokerDatas": [{"brokerAddrs": {"0": "a:10911"}, "brokerName": "a", "cluster": "C",
            "enableActingMaster": false}],
        "filterServerTable": {},
        "queueDatas": [{"brokerName": "a", "perm": 6, "readQueueNums": 16, "topicSysFlag": 0,
            "writeQueueNums": 16}],
    });
    assert_eq!(json(&new), expected);
    assert_eq!(consistency(&new), None, "a quorum has confirmed it");
    let old = door.ask(look_up("T", OLD)).await;
    let bare = text(&new).replace(r#"{"0":"#, "{0:");
    assert_eq!(text(&old), bare, "bare integer keys, and nothing else, are different");
    let asked = request(105, &[("topic", "T"), ("acceptStandardJsonOnly", "TRUE")]);
    let standard = door.ask(RemotingCommand { version: OLD, ..asked }).await;
    assert_eq!(standard.body, new.body);
}

#[tokio::test]
async fn the_plain_form_is_that_of_http_byte_for_byte() {
    let door = Door::open().await;
    door.master("a", &["T", "%RETRY%g"]);
    door.master("b", &["T"]);
    for topic in ["T", "%RETRY%g"] {
        let path = topic.replace('%', "%25");
        let (status, over_http) = door.http(&format!("/v1/routes/{path}")).await;
        assert_eq!(status, 200);
        assert_eq!(door.ask(look_up(topic, NEW)).await.body, over_http, "{topic}");
    }
}

#[tokio::test]
async fn what_changes_is_answered_as_it_is_now_in_every_form() {
    let door = Door::open().await;
    door.master("a", &["T"]);
    for version in [NEW, OLD] {
        assert!(!text(&door.ask(look_up("T", version)).await).contains("b:10911"));
    }
    door.master("b", &["T"]);
    for version in [NEW, OLD] {
        assert!(text(&door.ask(look_up("T", version)).await).contains("b:10911"));
    }
    door.apply(RouteCommand::DeleteTopic { topic: "T".into(), cluster: None });
    for version in [NEW, OLD] {
        assert_eq!(door.ask(look_up("T", version)).await.code, 17);
    }
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_17_with_rocketmqs_words() {
    let door = Door::open().await;
    let begins = "No topic route info in name server for the topic: Never\n";
    let answer = door.ask(look_up("Never", NEW)).await;
    assert_eq!(answer.code, 17);
    assert!(answer.remark.expect("a remark").starts_with(begins));
    let nameless = door.ask(request(105, &[])).await;
    assert_eq!(nameless.code, 17);
    assert!(nameless.remark.expect("a remark").contains("topic: null"));
}

#[tokio::test]
async fn a_binary_header_is_answered_with_one() {
    let door = Door::open().await;
    door.master("a", &["T"]);
    let json = door.ask(look_up("T", NEW)).await;
    let mut peer = door.dial().await;
    let binary = RemotingCommand { header: HeaderKind::Binary, ..look_up("T", NEW) };
    // `ask` checks the kind; both kinds may come over one connection.
    assert_eq!(peer.ask(binary).await.body, json.body);
    assert_eq!(peer.ask(look_up("T", NEW)).await.body, json.body);
}

#[tokio::test]
async fn order_configuration_is_part_of_a_route_when_it_is_switched_on() {
    for switched_on in [false, true] {
        let door = Door::open_with(|config| config.order_message_enable = switched_on).await;
        door.master("a", &["T"]);
        assert!(json(&door.ask(look_up("T", NEW)).await).get("orderTopicConf").is_none());
        let (namespace, key) = (ORDER_TOPIC_CONFIG.to_owned(), "T".to_owned());
        door.apply(RouteCommand::PutKv { namespace, key, value: "a:4".into(), if_index: None });
        let route = json(&door.ask(look_up("T", NEW)).await);
        let expected = switched_on.then(|| json!("a:4"));
        assert_eq!(route.get("orderTopicConf"), expected.as_ref());
    }
}

#[tokio::test]
async fn a_static_topics_mapping_is_handed_out() {
    let door = Door::open().await;
    let mapping = QueueMapping {
        bname: "a".into(),
        curr_id_map: [(0, 0), (1, 1)].into(),
        dirty: false,
        epoch: 5,
        scope: "__global__".into(),
        topic: "S".into(),
        total_queues: 4,
    };
    let mappings = [("S".to_owned(), mapping)].into();
    door.register(Register { mappings, ..registration("a", 1, &["S", "T"]) });
    let route = json(&door.ask(look_up("S", 479)).await);
    let expected = json!({"a": {"bname": "a", "currIdMap": {"0": 0, "1": 1}, "dirty": false,
        "epoch": 5, "scope": "__global__", "topic": "S", "totalQueues": 4}});
    assert_eq!(route["topicQueueMappingByBroker"], expected);
    let old = door.ask(look_up("S", OLD)).await;
    assert!(text(&old).contains(r#""currIdMap":{0:0,1:1}"#), "{}", text(&old));
    let plain = json(&door.ask(look_up("T", 479)).await);
    assert!(plain.get("topicQueueMappingByBroker").is_none(), "clients take it for a static topic");
}

#[tokio::test]
async fn a_zone_sees_its_own_brokers_and_groups_without_a_master() {
    let door = Door::open().await;
    let zoned = |name: &str, zone: &str| Register {
        zone: Some(zone.into()),
        filter_servers: Some(vec![format!("filter-of-{name}:1")]),
        ..registration(name, 1, &["T"])
    };
    door.register(zoned("a", "East"));
    door.register(zoned("b", "west"));
    door.register(slave("c", 1, &["T", "U"]));
    let in_zone = |zone: &str| {
        request(105, &[("topic", "T"), ("__ZONE_MODE", "true"), ("__ZONE_NAME", zone)])
    };
    let brokers = |answer: &RemotingCommand| {
        assert_eq!(answer.code, 0, "{answer:?}");
        let route = TopicRouteData::from_json(&answer.body).expect("a route");
        let of = |name: &String| {
            assert!(route.broker_datas.iter().any(|broker| broker.broker_name == *name));
            name.clone()
        };
        assert_eq!(route.broker_datas.len(), route.queue_datas.len());
        let names = route.queue_datas.iter().map(|queue| of(&queue.broker_name)).collect();
        let filters: Vec<String> =
            route.filter_server_table.into_iter().map(|(of, _)| of).collect();
        (names, filters)
    };
    let east: (Vec<String>, Vec<String>) = brokers(&door.ask(in_zone("EAST")).await);
    assert_eq!(east, (vec!["a".to_owned(), "c".to_owned()], vec!["a:10911".to_owned()]));
    assert_eq!(brokers(&door.ask(in_zone("nowhere")).await), (vec!["c".to_owned()], vec![]));
    for blank in ["", " "] {
        assert_eq!(brokers(&door.ask(in_zone(blank)).await).0.len(), 3, "{blank:?} is no zone");
    }
    let off = request(105, &[("topic", "T"), ("__ZONE_MODE", "no"), ("__ZONE_NAME", "east")]);
    assert_eq!(brokers(&door.ask(off).await).0.len(), 3);
    // Whatever the version, as stock name servers do.
    assert!(text(&door.ask(in_zone("east")).await).contains(r#"{0:"a:10911"}"#));
}

#[tokio::test]
async fn an_acting_master_is_a_view_and_changes_nothing() {
    let member_topic = "rmq_sys_SYNC_BROKER_MEMBER_a";
    let topics = ["T", member_topic];
    let prepare = |door: &Door| {
        door.register(slave("a", 2, &topics));
        door.register(slave("a", 1, &topics));
    };
    let shown = Door::open_with(|config| config.remoting.support_acting_master = true).await;
    let hidden = Door::open().await;
    prepare(&shown);
    prepare(&hidden);
    assert_eq!(shown.log.digest(), hidden.log.digest());
    for version in [NEW, OLD] {
        let addresses = |answer: RemotingCommand| {
            let route = TopicRouteData::from_json(&answer.body).expect("a route");
            assert_eq!(route.queue_datas[0].perm & 2, 0, "still closed to writers");
            route.broker_datas[0].broker_addrs.clone().into_iter().collect::<Vec<_>>()
        };
        let (one, two) = ("a-1:10911".to_owned(), "a-2:10911".to_owned());
        let as_it_is = vec![(1, one.clone()), (2, two.clone())];
        let acting = addresses(shown.ask(look_up("T", version)).await);
        assert_eq!(acting, [(0, one), (2, two)]);
        assert_eq!(addresses(hidden.ask(look_up("T", version)).await), as_it_is);
        assert_eq!(addresses(shown.ask(look_up(member_topic, version)).await), as_it_is);
    }
    let (_, over_http) = shown.http("/v1/routes/T").await;
    assert_eq!(over_http, hidden.ask(look_up("T", NEW)).await.body, "HTTP shows the tables");
    // The master comes: nobody acts for it any more.
    shown.register(Register { enable_acting_master: Some(true), ..registration("a", 1, &topics) });
    let route = json(&shown.ask(look_up("T", NEW)).await);
    let expected = json!({"0": "a:10911", "1": "a-1:10911", "2": "a-2:10911"});
    assert_eq!(route["brokerDatas"][0]["brokerAddrs"], expected);
}
