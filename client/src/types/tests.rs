//! The contract's own examples, byte by byte where the bytes are promised.

use super::*;

#[test]
fn the_contracts_registration_is_read() {
    let text = r#"{"incarnation":8273,"seq":1,"address":"host:1","haAddress":"host:2","dataVersion":
        {"counter":1,"timestamp":0,"stateVersion":0},"topics":{"TopicA":{"readQueueNums":4,
        "writeQueueNums":4,"perm":6,"topicSysFlag":0,"order":false}},"filterServers":[],
        "leaseTtlMs":120000}"#;
    let registration: Registration = serde_json::from_str(text).expect("the contract's example");
    assert_eq!(registration.incarnation, Some(8273));
    assert_eq!(registration.topics["TopicA"].write_queue_nums, 4);
    assert_eq!(registration.filter_servers, Some(vec![]));
    let again: Registration =
        serde_json::from_str(&serde_json::to_string(&registration).unwrap()).unwrap();
    assert_eq!(again, registration);
}

#[test]
fn absent_means_null_and_defaults_hold() {
    let bare: Registration = serde_json::from_str(r#"{"address":"h:1"}"#).unwrap();
    let nulls: Registration = serde_json::from_str(
        r#"{"address":"h:1","incarnation":null,"topics":null,"filterServers":null}"#,
    )
    .unwrap();
    assert_eq!(bare, nulls);
    assert_eq!(serde_json::to_string(&bare).unwrap(), r#"{"address":"h:1","topics":{}}"#);
    let topic: TopicConfig = serde_json::from_str("{}").unwrap();
    assert_eq!(topic, TopicConfig::default());
    assert_eq!((topic.read_queue_nums, topic.write_queue_nums, topic.perm), (16, 16, 6));
}

#[test]
fn requests_refuse_typos_and_answers_tolerate_news() {
    assert!(serde_json::from_str::<Registration>(r#"{"address":"h:1","topic":{}}"#).is_err());
    assert!(serde_json::from_str::<Heartbeat>(r#"{"epoch":1,"incarnatoin":2}"#).is_err());
    assert!(serde_json::from_str::<Renewed>(r#"{"epoch":1,"leaseTtlMs":2,"news":3}"#).is_ok());
    assert!(serde_json::from_str::<Problem>(r#"{"status":503,"news":[1]}"#).is_ok());
}

#[test]
fn a_patch_tells_deletion_from_default() {
    let patch: Patch = serde_json::from_str(
        r#"{"incarnation":1,"epoch":2,"seq":3,"topics":{"kept":{},"gone":null}}"#,
    )
    .unwrap();
    assert_eq!(patch.topics["kept"], Some(TopicConfig::default()));
    assert_eq!(patch.topics["gone"], None);
}

#[test]
fn a_route_has_rocketmqs_names_and_keys() {
    let text = concat!(
        r#"{"brokerDatas":[{"brokerAddrs":{"0":"h:1","1":"h:2"},"brokerName":"a","cluster":"C","#,
        r#""enableActingMaster":false}],"filterServerTable":{},"queueDatas":[{"brokerName":"a","#,
        r#""perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}"#
    );
    let route: Route = serde_json::from_str(text).unwrap();
    assert_eq!(route.broker_datas[0].master(), Some("h:1"));
    assert!(route.queue_datas[0].is_writable());
    assert_eq!(serde_json::to_string(&route).unwrap(), text);
    let routes: Routes =
        serde_json::from_str(&format!(r#"{{"routes":{{"a":{text},"b":null}}}}"#)).unwrap();
    assert_eq!(routes.routes["a"], Some(route));
    assert_eq!(routes.routes["b"], None);
}

#[test]
fn conflicts_are_typed_only_on_409() {
    let conflict = |status, reason: &str| {
        Problem { status, reason: Some(reason.into()), ..Problem::default() }.conflict()
    };
    assert_eq!(conflict(409, "superseded"), Some(Conflict::Superseded));
    assert_eq!(conflict(409, "stale"), Some(Conflict::Stale));
    assert_eq!(conflict(503, "superseded"), None);
    assert_eq!(conflict(409, "of-a-later-version"), None);
}

#[test]
fn names_are_percent_encoded() {
    assert_eq!(headers::encode_name("%RETRY%g|1"), "%25RETRY%25g%7C1");
    assert_eq!(headers::encode_name("Topic_A-1.~"), "Topic_A-1.~");
    assert_eq!(headers::encode_name("a/b c,é"), "a%2Fb%20c%2C%C3%A9");
}
