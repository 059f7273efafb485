//! Patches: merge into a live registration, null deletes.

use signpost_namesrv::routes::command::*;

use crate::build::*;

fn patch(seq: u64, epoch: u64, topics: &[(&str, Option<QueueConfig>)]) -> Patch {
    Patch {
        key: key("a", 0),
        claim: claim(1, seq),
        epoch,
        data_version: None,
        topics: topics
            .iter()
            .map(|(topic, queues)| ((*topic).to_owned(), queues.clone()))
            .collect(),
    }
}

fn with_broker() -> Log {
    let mut log = Log::new();
    log.begin(&broker("a", 0, &["T", "U"]));
    log
}

#[test]
fn a_patch_merges_and_deletes() {
    let mut log = with_broker();
    let command = patch(2, 1, &[("U", None), ("V", Some(queues(8))), ("never", None)]);
    let outcome = log.apply(RouteCommand::Patch(command));
    let expected =
        RouteOutcome::Registered { epoch: 1, new_epoch: false, changed: true, master: None };
    assert_eq!(outcome, expected);
    assert!(log.has("T") && !log.has("U") && log.has("V"));
    assert_eq!(log.route("T").modified, 1);
    log.repeat(&with_claim(
        &{
            let mut whole = broker("a", 0, &["T"]);
            whole.topics.insert("V".into(), queues(8));
            whole
        },
        1,
        2,
    ));
}

#[test]
fn a_retried_patch_changes_nothing() {
    let mut log = with_broker();
    let command = RouteCommand::Patch(patch(2, 1, &[("V", Some(queues(8)))]));
    log.apply(command.clone());
    let digest = log.tables.digest();
    match log.apply(command) {
        RouteOutcome::Registered { changed: false, .. } => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(log.tables.digest(), digest);
}

#[test]
fn a_patch_only_meets_the_registration_it_means() {
    let mut log = with_broker();
    let refused = |log: &mut Log, patch: Patch| log.refused(RouteCommand::Patch(patch));
    let topics = [("V", Some(queues(8)))];
    assert_eq!(refused(&mut log, patch(2, 9, &topics)), Refusal::Moved { epoch: 1 });
    let stale = Refusal::Stale { highest: claim(1, 1) };
    assert_eq!(refused(&mut log, patch(0, 1, &topics)), stale);
    assert_eq!(refused(&mut log, patch(1, 1, &topics)), stale);
    let newer = Patch { claim: claim(2, 1), ..patch(2, 1, &topics) };
    assert_eq!(refused(&mut log, newer), Refusal::NotRegistered);
    log.begin(&with_claim(&broker("a", 0, &["T"]), 3, 1));
    let superseded = Refusal::Superseded { highest: claim(3, 1) };
    assert_eq!(refused(&mut log, patch(2, 1, &topics)), superseded);
    log.unregister(&key("a", 0), None);
    let newer = Patch { claim: claim(3, 2), ..patch(2, 1, &topics) };
    assert_eq!(refused(&mut log, newer), Refusal::NotRegistered);
}

#[test]
fn a_patch_leaves_wiped_permissions_of_other_topics() {
    let mut log = with_broker();
    log.wipe("a", false);
    log.apply(RouteCommand::Patch(patch(2, 1, &[("T", Some(queues(4))), ("U", Some(queues(8)))])));
    assert_eq!((log.perm("T"), log.perm("U")), (4, 6));
}

#[test]
fn a_patch_keeps_or_sets_the_data_version() {
    let mut log = with_broker();
    let version = DataVersion { timestamp: 5, counter: 6, state_version: 7 };
    let with_version = Patch { data_version: Some(version), ..patch(2, 1, &[]) };
    log.apply(RouteCommand::Patch(with_version));
    log.apply(RouteCommand::Patch(patch(3, 1, &[])));
    let live = log.tables.registration(&key("a", 0)).expect("live");
    assert_eq!((live.data_version, live.claim), (version, claim(1, 3)));
    assert_eq!(log.route("T").modified, 1);
}
