//! What a producer was told of its messages, against what was read back from the brokers' logs: an
//! acknowledged message is in the log of the broker that acknowledged it, a refused one is in none,
//! and there is none that nobody sent. (A message that was sent again may be there more than once:
//! RocketMQ promises delivery at least once.)

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::history::{Call, Operation, Outcome};

const CHECK: &str = "sends";

/// Each send, against the ids of all messages that were read back, by the broker that had them.
#[must_use]
pub fn check(
    operations: &[Operation],
    stored: &BTreeMap<String, BTreeSet<String>>,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut sent = BTreeSet::new();
    for operation in operations {
        let Call::Send(message) = &operation.call else { continue };
        sent.insert(message.id.as_str());
        let wrong = match &operation.outcome {
            Outcome::Answered(answer) => {
                let broker = String::from_utf8_lossy(&answer.body);
                let kept = stored.get(&*broker).is_some_and(|ids| ids.contains(&message.id));
                (!kept).then(|| format!("acknowledged by {broker}, and not in its log"))
            }
            Outcome::Refused(_) => {
                let holder = stored.iter().find(|(_, ids)| ids.contains(&message.id));
                holder.map(|(broker, _)| format!("refused, and in {broker}'s log"))
            }
            Outcome::Unknown(_) => None,
        };
        if let Some(wrong) = wrong {
            violations.push(Violation::new(CHECK, format!("{wrong}:\n    {}", operation.line())));
        }
    }
    for (broker, ids) in stored {
        for id in ids.iter().filter(|id| !sent.contains(id.as_str())) {
            let text = format!("{id} is in {broker}'s log, and nobody sent it");
            violations.push(Violation::new(CHECK, text));
        }
    }
    violations
}
