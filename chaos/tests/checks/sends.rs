use std::collections::BTreeSet;

use signpost_chaos::checks::sends::check;
use signpost_chaos::history::{Answer, Call, Message, Operation, Outcome};

use crate::story::ms;

fn sent(id: &str, outcome: Outcome) -> Operation {
    let call = Call::Send(Message { topic: "t".into(), id: id.into() });
    Operation { client: 1, replica: 0, began: ms(0), ended: ms(1), call, outcome }
}

fn found(read_back: &[&str]) -> usize {
    let history = [
        sent("acknowledged", Outcome::Answered(Answer::default())),
        sent("refused", Outcome::Refused("no".into())),
        sent("unknown", Outcome::Unknown("lost".into())),
    ];
    let read_back: BTreeSet<String> = read_back.iter().map(|id| (*id).to_owned()).collect();
    check(&history, &read_back).len()
}

#[test]
fn unknown_sends_may_be_there_or_not() {
    assert_eq!(found(&["acknowledged"]), 0);
    assert_eq!(found(&["acknowledged", "unknown"]), 0);
}

#[test]
fn lost_refused_and_foreign_messages_are_caught() {
    assert_eq!(found(&["unknown"]), 1, "an acknowledged one is lost");
    assert_eq!(found(&["acknowledged", "refused"]), 1);
    assert_eq!(found(&["acknowledged", "foreign"]), 1);
}
