//! Removals, and what must not come after them.

use signpost_namesrv::routes::RouteTables;
use signpost_namesrv::routes::command::*;

use crate::build::*;

fn unregister(name: &str, claim: Option<Claim>, epoch: Option<u64>) -> RouteCommand {
    RouteCommand::Unregister(Unregister { key: key(name, 0), claim, epoch })
}

#[test]
fn a_removal_cascades_through_all_tables() {
    let mut log = Log::new();
    log.begin(&Register {
        filter_servers: Some(vec!["fs:1".into()]),
        ..broker("a", 0, &["T", "U"])
    });
    log.begin(&broker("b", 0, &["T"]));
    let removed = log.apply(unregister("a", Some(claim(1, 2)), Some(1)));
    assert_eq!(removed, RouteOutcome::Unregistered { removed: true });
    assert!(log.tables.registration(&key("a", 0)).is_none());
    assert!(log.tables.filter_servers(&key("a", 0)).is_empty());
    assert!(log.addresses("a").is_empty());
    assert_eq!(log.clusters(), [("C".to_owned(), vec!["b".to_owned()])]);
    assert_eq!(log.tables.topics_of("a").count(), 0);
    assert!(!log.has("U"), "it had queues on this broker only");
    assert_eq!(log.tables.absent_modified("U"), 3);
    let route = log.route("T");
    assert_eq!((route.queue_datas.len(), route.broker_datas.len(), route.modified), (1, 1, 3));
    log.unregister(&key("b", 0), None);
    assert!(log.clusters().is_empty() && !log.has("T"));
}

#[test]
fn a_name_stays_as_long_as_one_of_its_brokers() {
    let mut log = Log::new();
    log.begin(&broker("a", 0, &["T"]));
    log.begin(&broker("a", 1, &[]));
    log.expire(&key("a", 0), 1);
    assert_eq!(log.addresses("a"), [(1, "a-1:10911".to_owned())]);
    assert_eq!((log.perm("T"), log.route("T").modified), (6, 3), "slaves only, still a route");
    log.expire(&key("a", 1), 2);
    assert!(!log.has("T"));
}

#[test]
fn a_late_unregister_with_an_old_epoch_removes_nothing() {
    let mut log = Log::new();
    log.begin(&broker("a", 0, &["T"]));
    log.unregister(&key("a", 0), None);
    log.begin(&with_claim(&broker("a", 0, &["T"]), 1, 2));
    let moved = Refusal::Moved { epoch: 3 };
    assert_eq!(log.refused(unregister("a", Some(claim(1, 9)), Some(1))), moved);
    assert_eq!(log.refused(unregister("a", None, Some(1))), moved);
    log.begin(&with_claim(&broker("a", 0, &["T"]), 2, 1));
    let superseded = Refusal::Superseded { highest: claim(2, 1) };
    assert_eq!(log.refused(unregister("a", Some(claim(1, 9)), Some(1))), superseded);
    assert_eq!(log.refused(unregister("a", Some(claim(1, 9)), None)), superseded);
}

#[test]
fn an_unregister_that_is_not_the_latest_write_is_stale() {
    let mut log = Log::new();
    log.begin(&with_claim(&broker("a", 0, &["T"]), 1, 5));
    let stale = Refusal::Stale { highest: claim(1, 5) };
    assert_eq!(log.refused(unregister("a", Some(claim(1, 5)), None)), stale);
    assert_eq!(log.refused(unregister("a", Some(claim(1, 4)), Some(1))), stale);
    let gone = log.apply(unregister("a", Some(claim(1, 6)), Some(1)));
    assert_eq!(gone, RouteOutcome::Unregistered { removed: true });
    let again = log.apply(unregister("a", Some(claim(1, 6)), Some(1)));
    assert_eq!(again, RouteOutcome::Unregistered { removed: false }, "a retry is no error");
}

#[test]
fn a_late_registration_from_before_the_unregister_changes_nothing() {
    let mut log = Log::new();
    let first = broker("a", 0, &["T"]);
    log.begin(&first);
    log.apply(unregister("a", Some(claim(1, 3)), Some(1)));
    let stale = Refusal::Stale { highest: claim(1, 3) };
    assert_eq!(log.register_refused(&first), stale);
    assert_eq!(log.register_refused(&with_claim(&first, 1, 2)), stale);
    assert_eq!(log.register_refused(&with_claim(&first, 1, 3)), Refusal::NotRegistered);
    log.begin(&with_claim(&first, 1, 4));
}

#[test]
fn an_unregister_that_overtook_its_registration_still_fences_it() {
    let mut log = Log::new();
    let gone = log.apply(unregister("a", Some(claim(4, 2)), None));
    assert_eq!(gone, RouteOutcome::Unregistered { removed: false });
    let late = with_claim(&broker("a", 0, &["T"]), 4, 1);
    assert_eq!(log.register_refused(&late), Refusal::Stale { highest: claim(4, 2) });
    log.apply(unregister("a", Some(claim(3, 9)), None));
    assert_eq!(log.tables.highest_claim(&key("a", 0)), Some(claim(4, 2)), "never lowered");
}

#[test]
fn an_equal_registration_is_refused_once_it_has_expired() {
    let mut log = Log::new();
    let register = broker("a", 0, &["T"]);
    log.begin(&register);
    assert_eq!(log.expire(&key("a", 0), 1), RouteOutcome::Expired);
    assert_eq!(log.register_refused(&register), Refusal::NotRegistered);
    let superseded = Refusal::Superseded { highest: claim(1, 1) };
    assert_eq!(log.register_refused(&with_claim(&register, 0, 9)), superseded);
    assert_eq!(log.begin(&with_claim(&register, 1, 2)), 5);
}

#[test]
fn an_expiry_of_an_old_epoch_is_refused() {
    let mut log = Log::new();
    log.begin(&broker("a", 0, &["T"]));
    log.begin(&with_claim(&broker("a", 0, &["T"]), 2, 1));
    let refusal = log.refused(RouteCommand::Expire(expire(&key("a", 0), 1)));
    assert_eq!(refusal, Refusal::Moved { epoch: 2 });
    assert_eq!(log.expire(&key("a", 0), 2), RouteOutcome::Expired);
    let refusal = log.refused(RouteCommand::Expire(expire(&key("a", 0), 2)));
    assert_eq!(refusal, Refusal::NotRegistered);
}

#[test]
fn a_change_keeps_the_epoch_and_so_does_not_escape_its_expiry() {
    let mut log = Log::new();
    log.begin(&broker("a", 0, &["T"]));
    log.change(&with_claim(&broker("a", 0, &["U"]), 1, 2));
    assert_eq!(log.expire(&key("a", 0), 1), RouteOutcome::Expired);
}

#[test]
fn the_fence_removed_longest_ago_is_forgotten_first() {
    let mut log = Log { tables: RouteTables::with_fences_max(2), index: 0 };
    for name in ["c", "b", "a"] {
        log.begin(&broker(name, 0, &[]));
    }
    for name in ["b", "a"] {
        log.unregister(&key(name, 0), None);
    }
    // Raised again, so that "a" is the oldest now.
    log.unregister(&key("b", 0), Some(claim(1, 2)));
    log.unregister(&key("c", 0), None);
    assert_eq!(log.tables.fences_len(), 2);
    let fenced: Vec<&str> =
        ["a", "b", "c"].into_iter().filter(|n| log.tables.fence(&key(n, 0)).is_some()).collect();
    assert_eq!(fenced, ["b", "c"]);
    log.begin(&broker("a", 0, &[]));
    assert_eq!(log.register_refused(&broker("c", 0, &[])), Refusal::NotRegistered);
}
