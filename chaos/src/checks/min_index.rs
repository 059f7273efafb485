//! Claim 3: a read's index is at least the `min_index` that it asked for, on any replica.

use super::Violation;
use crate::history::Operation;

const CHECK: &str = "min_index";

/// Each read that asked for an index.
#[must_use]
pub fn check(operations: &[Operation]) -> Vec<Violation> {
    let below = |operation: &&Operation| {
        let asked = operation.read().and_then(|read| read.min_index);
        matches!((asked, operation.answer()), (Some(asked), Some(answer)) if answer.index < asked)
    };
    let found = operations.iter().filter(below);
    found.map(|operation| Violation::new(CHECK, operation.line())).collect()
}
