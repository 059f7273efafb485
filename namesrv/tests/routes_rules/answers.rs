//! Routes as clients read them, and the changes that wake them.

use signpost_namesrv::routes::command::*;

use crate::build::*;

fn touched(log: &mut Log, with_order_conf: bool) -> Vec<String> {
    let changes = log.tables.take_changes();
    changes.routes(&log.tables, with_order_conf).iter().map(|topic| topic.to_string()).collect()
}

#[test]
fn a_route_is_rocketmqs_json() {
    let mut log = Log::new();
    let filter_servers = Some(vec!["fs:1".to_owned()]);
    log.begin(&Register { filter_servers, ..broker("b", 0, &["T"]) });
    log.begin(&broker("b", 1, &[]));
    let mut first = broker("a", 0, &["T"]);
    first.key.cluster = "D".into();
    log.begin(&first);
    let json = serde_json::to_string(&log.route("T")).expect("JSON");
    let expected = concat!(
        r#"{"brokerDatas":[{"brokerAddrs":{"0":"b-0:10911","1":"b-1:10911"},"brokerName":"b","#,
        r#""cluster":"C","enableActingMaster":false},{"brokerAddrs":{"0":"a-0:10911"},"#,
        r#""brokerName":"a","cluster":"D","enableActingMaster":false}],"#,
        r#""filterServerTable":{"b-0:10911":["fs:1"]},"queueDatas":[{"brokerName":"a","perm":6,"#,
        r#""readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4},{"brokerName":"b","perm":6,"#,
        r#""readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}"#,
    );
    assert_eq!(json, expected);
    assert_eq!(log.tables.route("nothing", true), None);
}

#[test]
fn a_change_of_a_broker_is_one_of_all_its_routes_and_of_no_other() {
    let mut log = Log::new();
    log.begin(&broker("a", 0, &["T", "U"]));
    log.begin(&broker("b", 0, &["V"]));
    assert_eq!(touched(&mut log, false), ["T", "U", "V"]);
    log.begin(&broker("a", 1, &[]));
    assert_eq!(touched(&mut log, false), ["T", "U"]);
    assert_eq!((log.route("T").modified, log.route("V").modified), (3, 2));
    log.change(&with_claim(&broker("a", 1, &["X"]), 1, 2));
    assert_eq!(touched(&mut log, false), [""; 0], "a slave's topics are nobody's route");
    log.expire(&key("a", 0), 1);
    assert_eq!(touched(&mut log, false), ["T", "U"]);
    log.expire(&key("a", 1), 3);
    assert_eq!(touched(&mut log, false), ["T", "U"], "their deletion");
    let value = "b:4".to_owned();
    let (namespace, key) = ("ORDER_TOPIC_CONFIG".to_owned(), "V".to_owned());
    let put = RouteCommand::PutKv { namespace, key, value, if_index: None };
    log.apply(put.clone());
    assert_eq!(touched(&mut log, true), ["V"]);
    log.apply(put);
    assert!(log.tables.take_changes().is_empty());
}

#[test]
fn filter_servers_are_set_kept_and_removed() {
    let mut log = Log::new();
    let with = |seq, filter_servers: Option<Vec<String>>| Register {
        filter_servers,
        ..with_claim(&broker("a", 0, &["T"]), 1, seq)
    };
    log.begin(&with(1, Some(vec!["fs:1".into()])));
    log.change(&with(2, None));
    let route = log.route("T");
    assert_eq!((route.filter_server_table.len(), route.modified), (1, 1));
    log.change(&with(3, Some(vec!["fs:1".into(), "fs:2".into()])));
    let route = log.route("T");
    assert_eq!(route.filter_server_table["a-0:10911"].len(), 2);
    assert_eq!(route.modified, 3);
    log.change(&with(4, Some(vec![])));
    let route = log.route("T");
    assert_eq!((route.filter_server_table.len(), route.modified), (0, 4));
}
