//! Claim 3: a read's index is at least the `min_index` that it asked for, on any replica.

use super::Violation;
use crate::history::Operation;

const CHECK: &str = "min_index";

pub(crate) fn check(operations: &[Operation]) -> Vec<Violation> {
    let below = |operation: &&Operation| {
        let asked = operation.read().and_then(|read| read.min_index);
        matches!((asked, operation.answer()), (Some(asked), Some(answer)) if answer.index < asked)
    };
    let found = operations.iter().filter(below);
    found.map(|operation| Violation::new(CHECK, operation.line())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::story::{local, read};
    use super::*;

    #[test]
    fn at_or_above_is_fine() {
        let history = [
            local(read(None, 7, 0, 1), Some(7)),
            local(read(None, 9, 0, 1), Some(7)),
            local(read(None, 1, 0, 1), None),
        ];
        assert_eq!(check(&history), []);
    }

    #[test]
    fn below_is_caught() {
        assert_eq!(check(&[local(read(None, 6, 0, 1), Some(7))]).len(), 1);
    }
}
