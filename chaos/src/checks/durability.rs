//! Claim 4: an acknowledged write survives. When all faults are healed, and again when all replicas
//! have lost their power and come back, every replica stands at or above every acknowledged index,
//! and its tables are the replay of the whole sequence.
//!
//! (An acknowledged write that another one displaced from its index is found by `agreement` or
//! `answers`.)

use super::Violation;
use super::convergence::Rest;
use super::truth::Truth;
use crate::history::Operation;

const CHECK: &str = "durability";

/// Each replica at each moment of rest, against the replay and what had been acknowledged.
#[must_use]
pub fn check(truth: &Truth, operations: &[Operation], rests: &[Rest]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for rest in rests {
        let before = operations.iter().filter(|operation| operation.ended <= rest.at);
        let acknowledged = before.filter(|operation| operation.write().is_some());
        let highest = acknowledged
            .filter_map(|operation| operation.answer().map(|answer| (answer.index, operation)))
            .max_by_key(|(index, _)| *index);
        for replica in &rest.replicas {
            // While rest was not reached it may be on its way; that is `convergence`'s to judge.
            if let Some((index, operation)) = highest
                && replica.applied < index
                && rest.failed.is_none()
            {
                let text = format!(
                    "{}: replica {} has applied {} only, and this was acknowledged:\n    {}",
                    rest.when,
                    replica.node,
                    replica.applied,
                    operation.line()
                );
                violations.push(Violation::new(CHECK, text));
            }
        }
    }
    let guests = rests.iter().flat_map(|rest| {
        rest.replicas.iter().map(move |replica| (replica.applied, (rest, replica)))
    });
    truth.at_each(guests, |tables, (rest, replica)| {
        let digest = tables.digest();
        if replica.digest != digest {
            let text = format!(
                "{}: replica {} at index {} holds tables of digest {:032x}, the replay's is \
                 {digest:032x}",
                rest.when, replica.node, replica.applied, replica.digest
            );
            violations.push(Violation::new(CHECK, text));
        }
    });
    violations
}
