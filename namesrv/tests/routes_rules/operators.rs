//! Topics, permissions and KV configuration as operators change them.

use signpost_namesrv::routes::ORDER_TOPIC_CONFIG;
use signpost_namesrv::routes::command::*;

use crate::build::*;

fn put_kv(namespace: &str, key: &str, value: &str, if_index: Option<u64>) -> RouteCommand {
    let (namespace, key, value) = (namespace.into(), key.into(), value.into());
    RouteCommand::PutKv { namespace, key, value, if_index }
}

fn delete_kv(namespace: &str, key: &str, if_index: Option<u64>) -> RouteCommand {
    RouteCommand::DeleteKv { namespace: namespace.into(), key: key.into(), if_index }
}

fn written(changed: u32) -> RouteOutcome {
    RouteOutcome::Written { changed }
}

#[test]
fn a_topic_on_an_unknown_broker_is_refused_as_a_whole() {
    let mut log = Log::new();
    log.begin(&broker("a", 0, &[]));
    let brokers = [("a".to_owned(), queues(4)), ("z".to_owned(), queues(4))].into();
    let refusal = log.refused(RouteCommand::PutTopic { topic: "T".into(), brokers });
    assert_eq!(refusal, Refusal::UnknownBroker { broker_name: "z".into() });
    assert!(!log.has("T"));
    assert_eq!(log.put_topic("T", "a"), written(1));
    assert_eq!(log.put_topic("T", "a"), written(0));
    assert_eq!(log.route("T").modified, 3, "what changes nothing changes no modified");
}

#[test]
fn a_topic_is_deleted_everywhere_or_from_one_cluster() {
    let mut log = Log::new();
    log.begin(&broker("a", 0, &["T"]));
    let mut other = broker("b", 0, &["T"]);
    other.key.cluster = "D".into();
    log.begin(&other);
    let cluster = Some("D".to_owned());
    log.apply(RouteCommand::DeleteTopic { topic: "T".into(), cluster });
    let route = log.route("T");
    assert_eq!((route.queue_datas.len(), &*route.queue_datas[0].broker_name), (1, "a"));
    assert_eq!(log.delete_topic("T"), written(1));
    assert_eq!(log.tables.absent_modified("T"), 4);
    assert_eq!(log.delete_topic("T"), written(0));
    assert_eq!(log.tables.absent_modified("T"), 4);
    log.put_topic("T", "a");
    assert_eq!(log.route("T").modified, 6);
}

#[test]
fn write_permission_is_wiped_and_restored_on_all_topics_of_a_broker() {
    let mut log = Log::new();
    let mut register = broker("a", 0, &["T", "U"]);
    register.topics.get_mut("T").expect("listed").perm = 7;
    log.begin(&register);
    log.begin(&broker("b", 0, &["T"]));
    assert_eq!(log.wipe("a", false), written(2));
    assert_eq!((log.perm("T"), log.perm("U")), (5, 4));
    assert_eq!(log.route("T").queue_datas[1].perm, 6, "of another broker");
    assert_eq!(log.wipe("a", false), written(0));
    assert_eq!(log.route("T").modified, 3);
    assert_eq!(log.wipe("a", true), written(2));
    assert_eq!(log.perm("T"), 6, "the inherit bit is lost, as in RocketMQ");
    assert_eq!(log.wipe("z", false), written(0));
    let refusal = log.refused(RouteCommand::SetWritePermission {
        cluster: Some("D".into()),
        broker_name: "a".into(),
        writable: false,
    });
    assert_eq!(refusal, Refusal::UnknownBroker { broker_name: "a".into() });
}

#[test]
fn kv_writes_compare_the_index_they_are_given() {
    let mut log = Log::new();
    let mismatch = |modified| Refusal::IndexMismatch { modified };
    assert_eq!(log.refused(put_kv("n", "k", "1", Some(5))), mismatch(0));
    assert_eq!(log.apply(put_kv("n", "k", "1", Some(0))), written(1));
    assert_eq!(log.refused(put_kv("n", "k", "2", Some(0))), mismatch(2));
    assert_eq!(log.apply(put_kv("n", "k", "1", None)), written(0));
    assert_eq!(log.tables.kv("n", "k").expect("set").modified, 2);
    assert_eq!(log.refused(delete_kv("n", "k", Some(1))), mismatch(2));
    assert_eq!(log.apply(delete_kv("n", "k", Some(2))), written(1));
    assert_eq!(log.apply(delete_kv("n", "k", Some(0))), written(0));
    assert_eq!(log.tables.kv_namespace_rows("n").expect("it stays").count(), 0);
    assert!(log.tables.kv_namespace_rows("m").is_none());
}

#[test]
fn order_configuration_counts_as_a_change_only_where_routes_carry_it() {
    let mut log = Log::new();
    log.begin(&broker("a", 0, &["T"]));
    let modified = |log: &Log, ordered| log.tables.route("T", ordered).expect("there").modified;
    log.apply(put_kv(ORDER_TOPIC_CONFIG, "T", "a:4", None));
    assert_eq!((modified(&log, false), modified(&log, true)), (1, 2));
    let conf = log.tables.route("T", true).expect("there").order_topic_conf;
    assert_eq!(conf.as_deref(), Some("a:4"));
    log.apply(delete_kv(ORDER_TOPIC_CONFIG, "T", None));
    assert_eq!((modified(&log, false), modified(&log, true)), (1, 3), "it never goes back");
    log.apply(put_kv(ORDER_TOPIC_CONFIG, "T", "", None));
    assert_eq!(log.tables.route("T", true).expect("there").order_topic_conf, None);
    log.apply(put_kv("another", "T", "a:4", None));
    assert_eq!(modified(&log, true), 4);
}

#[test]
fn the_cluster_version_only_rises() {
    let mut log = Log::new();
    assert_eq!(log.apply(RouteCommand::SetClusterVersion(3)), written(1));
    assert_eq!(log.apply(RouteCommand::SetClusterVersion(2)), written(0));
    assert_eq!(log.tables.cluster_version(), 3);
}
