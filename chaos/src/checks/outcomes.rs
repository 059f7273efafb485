//! Outcomes mean what they say (docs/GUARANTEES.md, "Outcomes"): a refused write never happens, an
//! unknown one at most once, and a retry changes nothing (claim 5).
//!
//! Judged for writes that carry something unique; their tries under one identity count together.

use std::collections::{BTreeMap, BTreeSet};

use signpost_raft::machine::Index;

use super::Violation;
use super::truth::Truth;
use crate::history::{Operation, Outcome, has_effect, identity};

const CHECK: &str = "outcomes";

/// Each write in the log, against those who asked for it.
#[must_use]
pub fn check(truth: &Truth, operations: &[Operation]) -> Vec<Violation> {
    let mut effects: BTreeMap<String, Vec<Index>> = BTreeMap::new();
    for (index, entry) in truth.entries() {
        if let Some(identity) = identity(&entry.command).filter(|_| has_effect(&entry.outcome)) {
            effects.entry(identity).or_default().push(index);
        }
    }
    let mut tries: BTreeMap<String, Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        if let Some(identity) = operation.write().and_then(identity) {
            tries.entry(identity).or_default().push(operation);
        }
    }
    // A broker that no client ever wrote as is somebody else's: an embedded one, for instance.
    let owned: BTreeSet<&str> = tries.keys().map(|identity| owner(identity)).collect();
    let mut violations = Vec::new();
    for (identity, at) in &effects {
        let tries = tries.get(identity).map_or(&[][..], Vec::as_slice);
        let lines = || tries.iter().map(|one| format!("\n    {}", one.line())).collect::<String>();
        if at.len() > 1 {
            let text = format!("{identity} took effect at each of {at:?}{}", lines());
            violations.push(Violation::new(CHECK, text));
        }
        let ours = identity.starts_with("put ") || owned.contains(owner(identity));
        if tries.is_empty() && ours {
            let text = format!("{identity} took effect at {at:?}, and nobody asked for it");
            violations.push(Violation::new(CHECK, text));
        } else if !tries.is_empty()
            && tries.iter().all(|one| matches!(one.outcome, Outcome::Refused(_)))
        {
            let text = format!("{identity} was refused and took effect at {at:?}{}", lines());
            violations.push(Violation::new(CHECK, text));
        }
    }
    violations
}

/// The broker or key that an identity is about.
fn owner(identity: &str) -> &str {
    identity.split(' ').nth(1).unwrap_or_default()
}
