use signpost_namesrv::routes::command::RouteCommand;

use crate::story::{put, read, register, truth, wrote};
use signpost_chaos::checks::answers::check;
use signpost_chaos::checks::truth::Truth;
use signpost_chaos::history::{Answer, Call, Operation, Outcome, What};

fn true_sequence() -> Truth {
    truth(&[(2, put("k", "a")), (3, register("b", 1)), (5, put("k", "c"))])
}

fn wrong(operation: Operation) -> usize {
    check(&true_sequence(), &[operation]).len()
}

#[test]
fn answers_from_the_replay_are_fine() {
    let history = [
        wrote(put("k", "a"), 2, 0, 1),
        wrote(register("b", 1), 3, 0, 1),
        read(None, 1, 0, 1),
        read(Some(("a", 2)), 2, 0, 1),
        read(Some(("a", 2)), 4, 0, 1),
        read(Some(("c", 5)), 9, 0, 1),
    ];
    assert_eq!(check(&true_sequence(), &history), []);
}

#[test]
fn an_acknowledged_write_that_is_not_in_the_log_is_caught() {
    assert_eq!(wrong(wrote(put("k", "lost"), 4, 0, 1)), 1);
    assert_eq!(wrong(wrote(put("k", "a"), 5, 0, 1)), 1, "at another index");
    assert_eq!(wrong(wrote(register("b", 9), 4, 0, 1)), 1);
}

#[test]
fn an_acknowledged_write_that_apply_refused_is_caught() {
    let refused = register("b", 1);
    let RouteCommand::Register(mut stale) = refused.clone() else { unreachable!() };
    stale.address = "elsewhere:1".into();
    let stale = RouteCommand::Register(stale);
    let truth = truth(&[(2, refused), (3, stale.clone())]);
    assert_eq!(check(&truth, &[wrote(stale, 3, 0, 1)]).len(), 1);
}

#[test]
fn a_read_of_something_else_is_caught() {
    assert_eq!(wrong(read(Some(("a", 2)), 5, 0, 1)), 1, "an old value at a new index");
    assert_eq!(wrong(read(Some(("c", 5)), 4, 0, 1)), 1, "a new value at an old index");
    assert_eq!(wrong(read(Some(("a", 3)), 3, 0, 1)), 1, "another modified");
    assert_eq!(wrong(read(None, 3, 0, 1)), 1, "missing");
    assert_eq!(wrong(read(Some(("a", 2)), 1, 0, 1)), 1, "not there yet");
}

#[test]
fn lists_and_routes_are_compared_too() {
    let truth = true_sequence();
    let answered = |what: What, body: &str| {
        let mut operation = read(None, 5, 0, 1);
        if let Call::Read(read) = &mut operation.call {
            read.what = what;
        }
        let body = body.as_bytes().to_vec();
        operation.outcome =
            Outcome::Answered(Answer { index: 5, found: true, body, ..Answer::default() });
        check(&truth, &[operation]).len()
    };
    let live = r#"{"brokers":[{"name":"b","epoch":3,"incarnation":1,"seq":1}]}"#;
    assert_eq!(answered(What::Brokers, live), 0);
    assert_eq!(answered(What::Brokers, r#"{"brokers":[]}"#), 1);
    let topics = || What::Routes(vec!["t".into()]);
    assert_eq!(answered(topics(), r#"{"routes":{"t":null}}"#), 0);
    assert_eq!(answered(topics(), r#"{"routes":{"t":{}}}"#), 1);
    assert_eq!(answered(What::Route("t".into()), "{}"), 1);
}
