use std::collections::{BTreeMap, BTreeSet};

use signpost_chaos::checks::sends::check;
use signpost_chaos::history::{Answer, Call, Message, Operation, Outcome};

use crate::story::ms;

fn sent(id: &str, outcome: Outcome) -> Operation {
    let call = Call::Send(Message { topic: "t".into(), id: id.into() });
    Operation { client: 1, replica: 0, began: ms(0), ended: ms(1), call, outcome }
}

fn acknowledged_by(broker: &str) -> Outcome {
    Outcome::Answered(Answer { body: broker.into(), found: true, ..Answer::default() })
}

fn found(in_a: &[&str], in_b: &[&str]) -> usize {
    let history = [
        sent("acknowledged", acknowledged_by("a")),
        sent("refused", Outcome::Refused("no".into())),
        sent("unknown", Outcome::Unknown("lost".into())),
    ];
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<String>>();
    let stored = BTreeMap::from([("a".to_owned(), ids(in_a)), ("b".to_owned(), ids(in_b))]);
    check(&history, &stored).len()
}

#[test]
fn unknown_sends_may_be_there_or_not() {
    assert_eq!(found(&["acknowledged"], &[]), 0);
    assert_eq!(found(&["acknowledged"], &["unknown"]), 0);
}

#[test]
fn a_message_that_was_sent_again_may_be_at_another_broker_too() {
    assert_eq!(found(&["acknowledged"], &["acknowledged"]), 0);
}

#[test]
fn a_lost_message_is_caught() {
    assert_eq!(found(&["unknown"], &[]), 1, "it is nowhere");
    assert_eq!(found(&[], &["acknowledged"]), 1, "it is at another broker than was said");
}

#[test]
fn an_acknowledgement_by_a_broker_that_has_no_log_is_caught() {
    let history = [sent("one", acknowledged_by("gone"))];
    assert_eq!(check(&history, &BTreeMap::new()).len(), 1);
}

#[test]
fn a_refused_message_that_is_there_is_caught() {
    assert_eq!(found(&["acknowledged", "refused"], &[]), 1);
    assert_eq!(found(&["acknowledged"], &["refused"]), 1);
}

#[test]
fn a_message_that_nobody_sent_is_caught() {
    assert_eq!(found(&["acknowledged", "foreign"], &[]), 1);
}
