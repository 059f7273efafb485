use std::collections::BTreeMap;

use signpost_namesrv::routes::command::RouteOutcome;
use signpost_raft::codec;
use signpost_raft::store::journal::JournalRecord;

use crate::story::{journal, put};
use signpost_chaos::checks::Violation;
use signpost_chaos::checks::agreement::{check, of_standings};
use signpost_chaos::checks::convergence::Standing;

fn found(journals: [Vec<JournalRecord>; 2]) -> Vec<Violation> {
    let [one, two] = journals;
    check(&BTreeMap::from([(1, one), (2, two)])).1
}

fn whole() -> Vec<JournalRecord> {
    journal(&[(2, put("k", "a")), (3, put("k", "b")), (5, put("l", "c"))])
}

#[test]
fn gaps_and_repeats_are_fine() {
    let mut restarted = whole();
    restarted.extend(whole().split_off(1));
    let mut after_a_snapshot = whole();
    after_a_snapshot.remove(1);
    assert_eq!(found([restarted, after_a_snapshot]), []);
}

#[test]
fn another_command_at_one_index_is_caught() {
    let other = journal(&[(2, put("k", "a")), (3, put("k", "x"))]);
    assert_eq!(found([whole(), other]).len(), 1);
}

#[test]
fn a_replica_that_took_back_what_it_applied_is_caught() {
    let mut lost = whole();
    lost.extend(journal(&[(2, put("k", "a")), (3, put("k", "y"))]).split_off(1));
    assert_eq!(found([lost, whole()]).len(), 1);
}

#[test]
fn tables_that_drift_are_caught_though_the_commands_agree() {
    let mut drifted = whole();
    drifted[2].digest ^= 1;
    assert_eq!(found([whole(), drifted.clone()]).len(), 1, "against another replica");
    assert_eq!(found([drifted, Vec::new()]).len(), 1, "against the replay");
}

#[test]
fn an_entry_that_nobody_recorded_shows_in_the_next_digest() {
    let mut skipped = whole();
    skipped.remove(1);
    assert_eq!(found([skipped.clone(), skipped]).len(), 1);
}

#[test]
fn an_outcome_that_the_tables_do_not_give_is_caught() {
    let mut wrong = whole();
    wrong[1].outcome = codec::encode(&RouteOutcome::Expired).expect("small").into();
    assert_eq!(found([wrong.clone(), wrong]).len(), 1);
}

#[test]
fn without_journals_digests_are_compared_where_indices_are_equal() {
    let standing = |node, applied, digest| Standing { node, leader: None, applied, digest };
    let fine = [standing(1, 5, 50), standing(2, 5, 50), standing(1, 6, 60), standing(2, 7, 70)];
    assert_eq!(of_standings(&fine), []);
    let other = [standing(1, 5, 50), standing(2, 6, 60), standing(3, 5, 51)];
    assert_eq!(of_standings(&other).len(), 1);
    let changed = [standing(1, 5, 50), standing(1, 5, 51)];
    assert_eq!(of_standings(&changed).len(), 1, "one replica, twice");
}
