//! What a producer was told of its messages, against what was read back from the brokers: an
//! acknowledged message is there, a refused one is not. (A message that was sent again may be there
//! more than once: RocketMQ promises delivery at least once.)

use std::collections::BTreeSet;

use super::Violation;
use crate::history::{Call, Operation, Outcome};

const CHECK: &str = "sends";

/// Each send, against the ids of all messages that were read back.
#[must_use]
pub fn check(operations: &[Operation], read_back: &BTreeSet<String>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut sent = BTreeSet::new();
    for operation in operations {
        let Call::Send(message) = &operation.call else { continue };
        sent.insert(message.id.as_str());
        let wrong = match (&operation.outcome, read_back.contains(&message.id)) {
            (Outcome::Answered(_), false) => "acknowledged, and not in its broker's log",
            (Outcome::Refused(_), true) => "refused, and in a broker's log",
            _ => continue,
        };
        violations.push(Violation::new(CHECK, format!("{wrong}:\n    {}", operation.line())));
    }
    let foreign = read_back.iter().filter(|id| !sent.contains(id.as_str()));
    violations.extend(
        foreign.map(|id| Violation::new(CHECK, format!("{id} was read back, and nobody sent it"))),
    );
    violations
}
