//! Registrations over HTTP: claims order them, content decides.

use signpost_namesrv::routes::command::*;
use signpost_namesrv::routes::{Admission, RegistrationEvent};

use crate::build::*;

#[test]
fn a_first_registration_begins_an_epoch_at_its_index() {
    let mut log = Log::new();
    log.put_topic("T", "nobody");
    let epoch = log.begin(&broker("a", 0, &["T", "U"]));
    assert_eq!(epoch, 2);
    assert_eq!(log.route("T").modified, 2);
    assert_eq!(log.addresses("a"), [(0, "a-0:10911".to_owned())]);
    assert_eq!(log.clusters(), [("C".to_owned(), vec!["a".to_owned()])]);
}

#[test]
fn a_retry_changes_nothing_and_keeps_its_epoch() {
    let mut log = Log::new();
    let register = broker("a", 0, &["T"]);
    log.begin(&register);
    log.repeat(&register);
    assert_eq!(log.route("T").modified, 1);
}

#[test]
fn the_same_write_with_other_content_is_stale() {
    let mut log = Log::new();
    log.begin(&broker("a", 0, &["T"]));
    let other = broker("a", 0, &["T", "U"]);
    let stale = Refusal::Stale { highest: claim(1, 1) };
    assert_eq!(log.register_refused(&other), stale);
    let other_rest = Register { lease_ttl_ms: 5, ..broker("a", 0, &["T"]) };
    assert_eq!(log.register_refused(&other_rest), stale);
}

#[test]
fn an_earlier_write_never_undoes_a_later_one() {
    let mut log = Log::new();
    let first = broker("a", 0, &["T"]);
    log.begin(&first);
    log.change(&with_claim(&broker("a", 0, &["U"]), 1, 2));
    assert_eq!(log.register_refused(&first), Refusal::Stale { highest: claim(1, 2) });
    assert!(log.has("U") && !log.has("T"));
}

#[test]
fn an_earlier_process_is_superseded() {
    let mut log = Log::new();
    log.begin(&with_claim(&broker("a", 0, &["T"]), 7, 1));
    let late = with_claim(&broker("a", 0, &["U"]), 6, 99);
    assert_eq!(log.register_refused(&late), Refusal::Superseded { highest: claim(7, 1) });
}

#[test]
fn a_new_process_at_the_same_address_begins_a_new_epoch() {
    let mut log = Log::new();
    let register = broker("a", 0, &["T"]);
    log.begin(&register);
    log.tables.take_changes();
    let epoch = log.begin(&with_claim(&register, 2, 1));
    assert_eq!(epoch, 2);
    assert_eq!(log.route("T").modified, 1, "clients see no difference");
    let changes = log.tables.take_changes();
    assert!(changes.topics.is_empty() && changes.brokers.is_empty());
    let events: Vec<_> = changes.registrations.iter().map(|c| (c.epoch, c.what)).collect();
    assert_eq!(events, [(1, RegistrationEvent::Superseded), (2, RegistrationEvent::Began)]);
}

#[test]
fn a_live_identity_is_not_taken_from_another_address_without_takeover() {
    let mut log = Log::new();
    log.begin(&broker("a", 0, &["T"]));
    let thief = Register { address: "thief:1".into(), ..with_claim(&broker("a", 0, &["T"]), 2, 1) };
    let elsewhere = Refusal::LiveElsewhere { address: "a-0:10911".into() };
    assert_eq!(log.register_refused(&thief), elsewhere);
    log.begin(&Register { takeover: true, ..thief });
    assert_eq!(log.addresses("a"), [(0, "thief:1".to_owned())]);
    assert_eq!(log.route("T").modified, log.index, "a new address is a change of the route");
}

#[test]
fn one_process_may_move_its_address() {
    let mut log = Log::new();
    log.begin(&broker("a", 0, &["T"]));
    let moved = Register { address: "new:1".into(), ..with_claim(&broker("a", 0, &["T"]), 1, 2) };
    log.change(&moved);
    assert_eq!(log.addresses("a"), [(0, "new:1".to_owned())]);
}

#[test]
fn a_registration_by_hand_is_the_next_write_at_its_address() {
    let mut log = Log::new();
    log.begin(&with_claim(&broker("a", 0, &["T"]), 9, 4));
    let by_hand = Register { claim: None, ..broker("a", 0, &["T", "U"]) };
    log.change(&by_hand);
    let live = log.tables.registration(&key("a", 0)).expect("live");
    assert_eq!((live.claim, live.epoch), (claim(9, 5), 1));
    log.repeat(&by_hand);
}

#[test]
fn a_registration_by_hand_elsewhere_is_a_new_process() {
    let mut log = Log::new();
    log.begin(&with_claim(&broker("a", 0, &["T"]), 9, 4));
    let by_hand = Register { claim: None, address: "new:1".into(), ..broker("a", 0, &["T"]) };
    let elsewhere = Refusal::LiveElsewhere { address: "a-0:10911".into() };
    assert_eq!(log.register_refused(&by_hand), elsewhere);
    log.begin(&Register { takeover: true, ..by_hand.clone() });
    assert_eq!(log.tables.highest_claim(&key("a", 0)), Some(claim(10, 1)));
    log.unregister(&key("a", 0), None);
    log.begin(&by_hand);
    assert_eq!(log.tables.highest_claim(&key("a", 0)), Some(claim(11, 1)));
}

#[test]
fn only_what_differs_is_proposed_and_only_against_its_base() {
    let mut log = Log::new();
    log.begin(&broker("a", 0, &["T", "U", "V"]));
    let mut whole = with_claim(&broker("a", 0, &["T", "U"]), 1, 2);
    whole.topics.insert("U".into(), queues(8));
    let Admission::Change(change) = log.tables.admit(&whole) else { panic!("no change") };
    let narrow = change.narrow(&whole);
    assert_eq!(narrow.topics.keys().collect::<Vec<_>>(), ["U"]);
    assert_eq!(narrow.gone, ["V"]);
    log.change(&narrow);
    assert_eq!(log.route("T").modified, 1);
    assert_eq!(log.route("U").modified, 2);
    assert!(!log.has("V"));

    let late = Register { claim: Some(claim(1, 3)), ..narrow };
    assert_eq!(log.register_refused(&late), Refusal::Moved { epoch: 1 }, "the base has moved");
}

#[test]
fn a_difference_without_its_registration_is_refused() {
    let mut log = Log::new();
    log.begin(&broker("a", 0, &["T"]));
    let base = log.tables.registration(&key("a", 0)).expect("live").base();
    let narrow = Register { base: Some(base), ..with_claim(&broker("a", 0, &["U"]), 1, 2) };
    log.expire(&key("a", 0), 1);
    assert_eq!(log.register_refused(&narrow), Refusal::NotRegistered);
    log.begin(&with_claim(&broker("a", 0, &["T"]), 2, 1));
    assert_eq!(
        log.register_refused(&Register { claim: Some(claim(3, 1)), ..narrow }),
        Refusal::Moved { epoch: log.tables.registration(&key("a", 0)).expect("live").epoch },
    );
}

#[test]
fn a_whole_registration_replaces_the_topics_of_the_same_process() {
    let mut log = Log::new();
    log.begin(&broker("a", 0, &["T", "U"]));
    log.change(&with_claim(&broker("a", 0, &["U", "V"]), 1, 2));
    assert!(!log.has("T") && log.has("U") && log.has("V"));
    assert_eq!(log.route("U").modified, 1);
}

#[test]
fn a_wiped_permission_survives_repeats_but_not_a_new_process() {
    let mut log = Log::new();
    log.begin(&broker("a", 0, &["T", "U"]));
    log.wipe("a", false);
    log.repeat(&broker("a", 0, &["T", "U"]));
    let mut next = with_claim(&broker("a", 0, &["T", "U"]), 1, 2);
    next.topics.insert("U".into(), queues(8));
    log.change(&next);
    assert_eq!((log.perm("T"), log.perm("U")), (4, 6), "only what moved is touched");
    log.begin(&with_claim(&next, 2, 1));
    assert_eq!((log.perm("T"), log.perm("U")), (6, 6));
}

#[test]
fn a_deleted_topic_comes_back_only_with_a_change_or_a_new_process() {
    let mut log = Log::new();
    log.begin(&broker("a", 0, &["T", "U"]));
    log.delete_topic("T");
    log.repeat(&broker("a", 0, &["T", "U"]));
    log.change(&with_claim(&broker("a", 0, &["T", "U", "V"]), 1, 2));
    assert!(!log.has("T") && log.has("V"));
    let mut changed = with_claim(&broker("a", 0, &["T", "U", "V"]), 1, 3);
    changed.topics.insert("T".into(), queues(8));
    log.change(&changed);
    assert!(log.has("T"));
    log.delete_topic("T");
    log.begin(&with_claim(&changed, 2, 1));
    assert!(log.has("T"));
}

#[test]
fn an_operators_topic_outlives_registrations_that_do_not_list_it() {
    let mut log = Log::new();
    log.begin(&broker("a", 0, &["T", "U"]));
    log.put_topic("made", "a");
    log.change(&with_claim(&broker("a", 0, &["T"]), 1, 2));
    log.begin(&with_claim(&broker("a", 0, &["V"]), 2, 1));
    assert!(log.has("made") && log.has("V"));
    assert!(!log.has("T"), "a new epoch takes away what was registered and is not listed");
    log.change(&with_claim(&broker("a", 0, &["V", "made"]), 2, 2));
    log.change(&with_claim(&broker("a", 0, &["V"]), 2, 3));
    assert!(!log.has("made"), "the broker had listed it, and no longer does");
}

#[test]
fn one_name_in_two_clusters_is_refused() {
    let mut log = Log::new();
    log.begin(&broker("a", 0, &["T"]));
    let mut other = broker("a", 1, &[]);
    other.key.cluster = "D".into();
    let refusal = Refusal::NameInOtherCluster { cluster: "C".into() };
    assert_eq!(log.register_refused(&other), refusal);
    log.unregister(&key("a", 0), None);
    log.begin(&other);
}

#[test]
fn a_slave_contributes_no_queues_and_learns_its_master() {
    let mut log = Log::new();
    let slave = broker("a", 1, &["S"]);
    match log.register(&slave) {
        RouteOutcome::Registered { master: None, .. } => {}
        other => panic!("a master that is not there: {other:?}"),
    }
    log.begin(&broker("a", 0, &["T"]));
    assert!(!log.has("S"));
    let master = Some(("a-0:10911".to_owned(), "a-0:10912".to_owned()));
    match log.register(&slave) {
        RouteOutcome::Registered { master: told, changed: false, .. } => assert_eq!(told, master),
        other => panic!("{other:?}"),
    }
    match log.register(&broker("a", 0, &["T"])) {
        RouteOutcome::Registered { master: None, .. } => {}
        other => panic!("a master is told no master: {other:?}"),
    }
    assert_eq!(log.route("T").broker_datas[0].broker_addrs.len(), 2);
}

#[test]
fn a_promoted_slave_moves_its_address_and_leaves_no_trace() {
    let mut log = Log::new();
    log.begin(&broker("a", 0, &["T"]));
    let slave_epoch = log.begin(&broker("a", 1, &[]));
    log.expire(&key("a", 0), 1);
    let promoted =
        Register { address: "a-1:10911".into(), ..with_claim(&broker("a", 0, &["T"]), 2, 1) };
    log.begin(&promoted);
    assert_eq!(log.addresses("a"), [(0, "a-1:10911".to_owned())]);
    assert!(log.tables.registration(&key("a", 1)).is_none());
    assert_eq!(log.tables.highest_claim(&key("a", 1)), Some(claim(1, 1)), "it is fenced");
    let refusal = log.refused(RouteCommand::Expire(expire(&key("a", 1), slave_epoch)));
    assert_eq!(refusal, Refusal::NotRegistered);
}

#[test]
fn a_new_master_replaces_the_address_of_the_old_one() {
    let mut log = Log::new();
    log.begin(&broker("a", 0, &["T"]));
    log.unregister(&key("a", 0), None);
    log.begin(&Register { address: "new:1".into(), ..with_claim(&broker("a", 0, &["T"]), 2, 1) });
    assert_eq!(log.addresses("a"), [(0, "new:1".to_owned())]);
}

#[test]
fn an_address_reused_by_another_name_takes_nothing_away() {
    let mut log = Log::new();
    log.begin(&broker("a", 0, &["T"]));
    log.begin(&Register { address: "a-0:10911".into(), ..broker("b", 0, &["T"]) });
    assert_eq!(log.addresses("a"), log.addresses("b"));
    log.expire(&key("a", 0), 1);
    assert_eq!(log.addresses("b").len(), 1);
    assert_eq!(log.route("T").queue_datas.len(), 1);
}
