//! Registrations through 9876: RocketMQ's own rules.

use signpost_namesrv::routes::RouteTables;
use signpost_namesrv::routes::command::*;

use crate::build::*;

#[test]
fn a_registration_merges() {
    let mut log = Log::new();
    log.begin(&stock("a", 0, 1, &["T", "U"]));
    log.change(&stock("a", 0, 2, &["V"]));
    assert!(log.has("T") && log.has("U") && log.has("V"));
}

#[test]
fn an_unchanged_repeat_is_no_change_at_all() {
    let mut log = Log::new();
    log.begin(&stock("a", 0, 1, &["T", "U"]));
    log.repeat(&stock("a", 0, 1, &["T", "U"]));
    log.repeat(&stock("a", 0, 1, &["U"]));
}

#[test]
fn an_older_data_version_of_the_same_epoch_changes_nothing() {
    let mut log = Log::new();
    log.begin(&stock("a", 0, 5, &["T", "U"]));
    let mut late = stock("a", 0, 4, &["T", "U", "V"]);
    late.topics.insert("T".into(), queues(8));
    log.repeat(&late);
    // Its disk was lost: it counts anew, but its clock has gone on. That is no late duplicate.
    late.data_version = DataVersion { timestamp: 9_999, counter: 0, state_version: 0 };
    log.change(&late);
    assert!(log.has("V"));
}

#[test]
fn under_the_same_data_version_only_unknown_topics_are_taken() {
    let mut log = Log::new();
    log.begin(&stock("a", 0, 1, &["T", "U"]));
    let mut part = stock("a", 0, 1, &["T", "V"]);
    part.topics.insert("T".into(), queues(8));
    log.change(&part);
    assert!(log.has("V"));
    assert_eq!(log.route("T").queue_datas[0].read_queue_nums, 4);
    log.repeat(&part);
}

#[test]
fn a_changed_data_version_leaves_wiped_permissions_and_brings_back_topics_that_the_broker_has() {
    let mut log = Log::new();
    log.begin(&stock("a", 0, 1, &["T", "U"]));
    log.wipe("a", false);
    log.delete_topic("U");
    log.repeat(&stock("a", 0, 1, &["T", "U"]));
    assert!(!log.has("U"), "not with a repeat");
    log.change(&stock("a", 0, 2, &["T", "U"]));
    assert_eq!(log.perm("T"), 4);
    assert!(log.has("U"), "an older broker that makes it again says so in this way");
}

#[test]
fn a_topic_that_was_deleted_and_is_made_again_as_it_was_is_there_again() {
    let mut log = Log::new();
    log.begin(&stock("a", 0, 1, &["T", "U"]));
    log.delete_topic("U");
    // The broker has deleted it, too; and makes it again, which it registers alone.
    log.change(&stock("a", 0, 2, &["T"]));
    log.repeat(&stock("a", 0, 2, &["U"]));
    assert!(!log.has("U"), "nothing new under the same data version");
    log.change(&stock("a", 0, 3, &["U"]));
    assert!(log.has("U"));
    // An operator was quicker: the broker's own word counts.
    log.delete_topic("U");
    log.put_topic("U", "a");
    log.change(&stock("a", 0, 4, &["U"]));
    assert_eq!(log.route("U").queue_datas[0].read_queue_nums, 4);
    log.wipe("a", false);
    log.change(&stock("a", 0, 5, &["U"]));
    assert_eq!(log.perm("U"), 4, "a wiped permission is not given back");
}

#[test]
fn a_first_registration_of_one_topic_alone_is_refused() {
    let mut log = Log::new();
    assert_eq!(log.register_refused(&stock("a", 0, 1, &["T"])), Refusal::NotRegistered);
    log.begin(&stock("a", 0, 1, &["T", "U"]));
    log.change(&stock("a", 0, 2, &["V"]));
}

#[test]
fn a_newcomer_takes_the_address_over_unless_the_other_was_made_master_later() {
    let mut log = Log::new();
    let mut holder = stock("a", 0, 1, &["T", "U"]);
    holder.data_version.state_version = 3;
    log.begin(&holder);
    let mut newcomer = Register { address: "new:1".into(), ..stock("a", 0, 9, &["T", "U"]) };
    newcomer.data_version.state_version = 2;
    let elsewhere = Refusal::LiveElsewhere { address: "a-0:10911".into() };
    assert_eq!(log.register_refused(&newcomer), elsewhere);
    newcomer.data_version.state_version = 3;
    log.begin(&newcomer);
    assert_eq!(log.addresses("a"), [(0, "new:1".to_owned())]);
}

#[test]
fn another_cluster_joins_the_same_name() {
    let mut log = Log::new();
    log.begin(&stock("a", 0, 1, &["T", "U"]));
    let mut other = stock("a", 1, 1, &["T", "U"]);
    other.key.cluster = "D".into();
    log.begin(&other);
    let names = vec!["a".to_owned()];
    assert_eq!(log.clusters(), [("C".to_owned(), names.clone()), ("D".to_owned(), names)]);
    let route = log.route("T");
    assert_eq!(route.broker_datas.len(), 1);
    assert_eq!(&*route.broker_datas[0].cluster, "C", "the first one's");
    assert_eq!(route.broker_datas[0].broker_addrs.len(), 2);
}

#[test]
fn a_broker_that_another_cluster_displaced_comes_back_when_that_one_goes() {
    let mut log = Log::new();
    log.begin(&stock("a", 0, 1, &["T", "U"]));
    let mut other = Register { address: "other:1".into(), ..stock("a", 0, 1, &["T", "U"]) };
    other.key.cluster = "D".into();
    let epoch = log.begin(&other);
    assert_eq!(log.addresses("a"), [(0, "other:1".to_owned())]);
    log.expire(&other.key, epoch);
    assert_eq!(log.addresses("a"), [(0, "a-0:10911".to_owned())]);
    assert!(log.has("T"));
    assert_eq!(log.clusters(), [("C".to_owned(), vec!["a".to_owned()])]);
}

#[test]
fn a_prime_slave_contributes_and_an_old_one_does_not() {
    let mut log = Log::new();
    log.begin(&stock("old", 1, 1, &["T", "U"]));
    assert!(!log.has("T"));
    log.begin(&Register { enable_acting_master: Some(false), ..stock("new", 2, 1, &["T", "U"]) });
    assert_eq!(log.perm("T"), 6);
    let acting = Register { enable_acting_master: Some(true), ..stock("new", 1, 1, &["T", "U"]) };
    log.begin(&acting);
    assert_eq!(log.perm("T"), 4, "one that may act as master does not give the write bit");
    let third = Register { enable_acting_master: Some(true), ..stock("new", 3, 1, &["X", "Y"]) };
    log.begin(&third);
    assert!(!log.has("X"), "its id is not the smallest");
}

#[test]
fn an_acting_master_is_read_only_once_the_master_is_gone() {
    let mut log = Log::new();
    let new_style =
        |id| Register { enable_acting_master: Some(true), ..stock("a", id, 1, &["T", "U"]) };
    let epoch = log.begin(&new_style(0));
    log.begin(&new_style(1));
    assert_eq!(log.perm("T"), 6);
    log.expire(&key("a", 0), epoch);
    assert_eq!(log.perm("T"), 4);
    assert!(log.route("T").broker_datas[0].enable_acting_master);
    log.begin(&new_style(0));
    assert_eq!(log.perm("T"), 6);
}

#[test]
fn absent_flags_are_those_of_an_old_broker_and_the_latest_registration_wins() {
    let mut log = Log::new();
    let mut register = stock("a", 0, 1, &["T", "U"]);
    (register.enable_acting_master, register.zone) = (Some(true), Some("z".into()));
    log.begin(&register);
    assert_eq!(log.route("T").broker_datas[0].zone_name.as_deref(), Some("z"));
    log.change(&stock("a", 0, 2, &["T", "U"]));
    let route = log.route("T");
    assert!(!route.broker_datas[0].enable_acting_master);
    assert_eq!((&route.broker_datas[0].zone_name, route.modified), (&None, 2));
}

#[test]
fn a_static_topics_mapping_lives_with_its_queues() {
    let mapping = |epoch| QueueMapping {
        bname: "a".into(),
        curr_id_map: [(0, 0), (3, 1)].into(),
        dirty: false,
        epoch,
        scope: "__global__".into(),
        topic: "T".into(),
        total_queues: 4,
    };
    let with = |counter, epoch| Register {
        mappings: [("T".to_owned(), mapping(epoch))].into(),
        ..stock("a", 0, counter, &["T", "U"])
    };
    let stored = |log: &Log| {
        let mappings = log.route("T").topic_queue_mapping_by_broker;
        mappings.get("a").map(|mapping| mapping.epoch)
    };
    let mut log = Log::new();
    log.begin(&with(1, 5));
    log.repeat(&with(1, 5));
    assert_eq!(stored(&log), Some(5));
    // As all of a topic: not under an unchanged data version.
    log.repeat(&with(1, 6));
    log.change(&with(2, 6));
    assert_eq!((stored(&log), log.route("T").modified), (Some(6), log.index));
    log.wipe("a", false);
    assert_eq!(stored(&log), Some(6), "an operator's change leaves it");
    let mut restored = RouteTables::new();
    restored.restore(log.index, &mut log.tables.sections()).expect("a good snapshot");
    assert_eq!(restored.digest(), log.tables.digest());
    assert_eq!(restored.route("T", false), log.tables.route("T", false));
    log.delete_topic("T");
    log.put_topic("T", "a");
    assert_eq!(stored(&log), None);
}
