use signpost_chaos::checks::leases::{Lateness, early, late};
use signpost_chaos::checks::truth::Truth;
use signpost_chaos::history::{Answer, Call, Heartbeat, Operation, Outcome, Read, What};
use signpost_namesrv::routes::command::{BrokerKey, Expire, ExpiryCause, RouteCommand, Unregister};

use crate::story::{ms, put, register, truth, wrote};

fn key() -> BrokerKey {
    BrokerKey { cluster: "C".into(), name: "b".into(), id: 0 }
}

/// Registered at 0 ms, index and epoch 3, with a ttl of 1 s.
fn registered() -> Operation {
    wrote(register("b", 1), 3, 0, 10)
}

fn beat(began: u64, ended: u64) -> Operation {
    let beat = Heartbeat { key: key(), incarnation: 1, epoch: 3 };
    let answer = Answer { lease_ttl_ms: Some(1_000), found: true, ..Answer::default() };
    at(Call::Heartbeat(beat), Outcome::Answered(answer), began, ended)
}

fn listed(there: bool, began: u64, ended: u64) -> Operation {
    let entry = r#"{"cluster":"C","name":"b","id":0,"address":"b:1","epoch":3,"incarnation":1,"leaseTtlMs":1000}"#;
    let body = format!(r#"{{"brokers":[{}]}}"#, if there { entry } else { "" }).into_bytes();
    let read = Read { what: What::Brokers, linearizable: true, min_index: None, after: None };
    let answer = Answer { index: 4, found: true, body, ..Answer::default() };
    at(Call::Read(read), Outcome::Answered(answer), began, ended)
}

fn at(call: Call, outcome: Outcome, began: u64, ended: u64) -> Operation {
    Operation { client: 1, replica: 1, began: ms(began), ended: ms(ended), call, outcome }
}

fn expiry(epoch: u64, cause: ExpiryCause) -> Truth {
    let expire = RouteCommand::Expire(Expire { key: key(), epoch, cause });
    truth(&[(3, register("b", 1)), (4, expire), (5, put("k", "a"))])
}

fn gone(cause: ExpiryCause, history: &[Operation]) -> usize {
    early(history, Some(&expiry(3, cause)), 0).len()
}

#[test]
fn leases_that_last_are_fine() {
    assert_eq!(early(&[registered(), listed(true, 500, 600)], None, 0), []);
    assert_eq!(early(&[registered(), listed(false, 950, 1_001)], None, 0), [], "it may have ended");
    assert_eq!(early(&[listed(false, 5, 7), registered()], None, 0), [], "not yet acknowledged");
    let unregister = RouteCommand::Unregister(Unregister { key: key(), claim: None, epoch: None });
    let history = [registered(), wrote(unregister, 4, 100, 110), listed(false, 200, 210)];
    assert_eq!(early(&history, None, 0), []);
    // An expiry after the ttl; one of another epoch; one that nobody saw in time.
    let seen = |at| wrote(put("k", "a"), 5, at, at + 10);
    assert_eq!(gone(ExpiryCause::Silent, &[registered(), seen(1_100)]), 0);
    assert_eq!(gone(ExpiryCause::Silent, &[registered()]), 0);
    assert_eq!(gone(ExpiryCause::Closed, &[registered(), seen(100)]), 0);
}

#[test]
fn a_quick_clock_may_end_a_lease_by_so_much_earlier() {
    let history = |seen| [registered(), listed(false, seen - 10, seen)];
    assert_eq!(early(&history(950), None, 10), []);
    assert_eq!(early(&history(900), None, 10).len(), 1);
}

#[test]
fn leases_that_end_early_are_caught() {
    assert_eq!(early(&[registered(), listed(false, 500, 600)], None, 0).len(), 1);
    assert_eq!(
        early(&[registered(), beat(800, 810), listed(false, 1_500, 1_600)], None, 0).len(),
        1
    );
    let seen = |at| wrote(put("k", "a"), 5, at, at + 10);
    assert_eq!(gone(ExpiryCause::Silent, &[registered(), seen(900)]), 1);
    assert_eq!(gone(ExpiryCause::Silent, &[registered(), beat(500, 510), seen(1_300)]), 1);
    // Acknowledged after the expiry had been applied, even: nobody may be told so.
    assert_eq!(gone(ExpiryCause::Silent, &[registered(), seen(1_100), beat(1_050, 1_200)]), 1);
}

fn steady(from: u64, to: u64) -> Lateness {
    Lateness { steady: vec![ms(from)..ms(to)], slack: ms(250) }
}

/// Violations, and silences judged.
fn overdue(history: &[Operation], lateness: &Lateness) -> (usize, u64) {
    let late = late(history, lateness);
    (late.violations.len(), late.judged)
}

#[test]
fn silent_brokers_that_go_in_time_are_fine() {
    let always = steady(0, 9_000);
    let found = |history: &[Operation]| overdue(history, &always);
    assert_eq!(found(&[registered(), listed(true, 1_200, 1_210)]), (0, 0), "not yet");
    assert_eq!(found(&[registered(), listed(false, 2_000, 2_010)]), (0, 1));
    assert_eq!(found(&[registered(), beat(900, 910), listed(true, 2_000, 2_010)]), (0, 0));
    let twice = [registered(), listed(false, 2_000, 2_010), listed(false, 3_000, 3_010)];
    assert_eq!(found(&twice), (0, 1), "one silence");
    // One that said goodbye is no silent one.
    let unregister = RouteCommand::Unregister(Unregister { key: key(), claim: None, epoch: None });
    let history = [registered(), wrote(unregister, 4, 100, 110), listed(false, 4_000, 4_010)];
    assert_eq!(found(&history), (0, 0));
    // One whose last word may still be under way.
    let mut lost = beat(900, 910);
    lost.outcome = Outcome::Unknown("no answer in time".into());
    assert_eq!(found(&[registered(), lost, listed(true, 4_000, 4_010)]), (0, 0));
}

#[test]
fn silent_brokers_that_stay_are_caught() {
    let always = steady(0, 9_000);
    let found = |history: &[Operation]| overdue(history, &always);
    assert_eq!(found(&[registered(), listed(true, 2_000, 2_010)]), (1, 1));
    assert_eq!(found(&[registered(), beat(900, 910), listed(true, 2_200, 2_210)]), (1, 1));
    // A refused heartbeat is its last word, and no sign of life.
    let mut refused = beat(900, 910);
    refused.outcome = Outcome::Refused("410".into());
    assert_eq!(found(&[registered(), refused, listed(true, 2_200, 2_210)]), (1, 1));
    // It comes back although nobody registered it.
    let back = [registered(), listed(false, 2_000, 2_010), listed(true, 3_000, 3_010)];
    assert_eq!(found(&back), (1, 1));
    let unregister = RouteCommand::Unregister(Unregister { key: key(), claim: None, epoch: None });
    let left = [registered(), wrote(unregister, 4, 100, 110), listed(true, 4_000, 4_010)];
    assert_eq!(found(&left).0, 1, "after a goodbye, too");
}

#[test]
fn nothing_is_late_without_a_steady_leader() {
    let found = |lateness: &Lateness| {
        overdue(&[registered(), listed(true, 2_000, 2_010), listed(true, 2_400, 2_410)], lateness)
    };
    assert_eq!(found(&steady(0, 9_000)), (2, 1));
    assert_eq!(found(&steady(1_000, 9_000)), (1, 1), "a new leader grants the ttl anew");
    assert_eq!(found(&steady(1_500, 9_000)), (0, 0));
    assert_eq!(found(&steady(0, 2_005)), (0, 0), "it may have changed during the first read");
    let gap = Lateness { steady: vec![ms(0)..ms(900), ms(1_000)..ms(9_000)], slack: ms(250) };
    assert_eq!(found(&gap), (1, 1));
}
