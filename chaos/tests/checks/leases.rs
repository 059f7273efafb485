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
    early(history, Some(&expiry(3, cause))).len()
}

#[test]
fn leases_that_last_are_fine() {
    assert_eq!(early(&[registered(), listed(true, 500, 600)], None), []);
    assert_eq!(early(&[registered(), listed(false, 950, 1_001)], None), [], "it may have ended");
    assert_eq!(early(&[listed(false, 5, 7), registered()], None), [], "not yet acknowledged");
    let unregister = RouteCommand::Unregister(Unregister { key: key(), claim: None, epoch: None });
    let history = [registered(), wrote(unregister, 4, 100, 110), listed(false, 200, 210)];
    assert_eq!(early(&history, None), []);
    // An expiry after the ttl; one of another epoch; one that nobody saw in time.
    let seen = |at| wrote(put("k", "a"), 5, at, at + 10);
    assert_eq!(gone(ExpiryCause::Silent, &[registered(), seen(1_100)]), 0);
    assert_eq!(gone(ExpiryCause::Silent, &[registered()]), 0);
    assert_eq!(gone(ExpiryCause::Closed, &[registered(), seen(100)]), 0);
}

#[test]
fn leases_that_end_early_are_caught() {
    assert_eq!(early(&[registered(), listed(false, 500, 600)], None).len(), 1);
    assert_eq!(early(&[registered(), beat(800, 810), listed(false, 1_500, 1_600)], None).len(), 1);
    let seen = |at| wrote(put("k", "a"), 5, at, at + 10);
    assert_eq!(gone(ExpiryCause::Silent, &[registered(), seen(900)]), 1);
    assert_eq!(gone(ExpiryCause::Silent, &[registered(), beat(500, 510), seen(1_300)]), 1);
    // Acknowledged after the expiry had been applied, even: nobody may be told so.
    assert_eq!(gone(ExpiryCause::Silent, &[registered(), seen(1_100), beat(1_050, 1_200)]), 1);
}

#[test]
fn silent_brokers_go_in_time() {
    let steady = |from, to| Lateness { steady: vec![ms(from)..ms(to)], slack: ms(250) };
    let always = steady(0, 9_000);
    assert_eq!(late(&[registered(), listed(true, 1_200, 1_210)], &always), []);
    assert_eq!(late(&[registered(), listed(false, 2_000, 2_010)], &always), []);
    assert_eq!(late(&[registered(), listed(true, 2_000, 2_010)], &always).len(), 1);
    assert_eq!(late(&[registered(), beat(900, 910), listed(true, 2_000, 2_010)], &always), []);
    assert_eq!(late(&[registered(), beat(900, 910), listed(true, 2_200, 2_210)], &always).len(), 1);
    // A new leader grants the ttl anew, and without one nothing is promised.
    assert_eq!(late(&[registered(), listed(true, 2_000, 2_010)], &steady(1_000, 9_000)), []);
    assert_eq!(late(&[registered(), listed(true, 2_400, 2_410)], &steady(1_000, 9_000)).len(), 1);
    assert_eq!(late(&[registered(), listed(true, 2_000, 2_010)], &steady(5_000, 9_000)), []);
}
