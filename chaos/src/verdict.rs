//! The last word on a run: pass, violation, or unknown. Evidence that is missing is no pass.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::checks::Violation;

/// The last word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every claim held, and enough went wrong to tell.
    Pass,
    /// A claim did not hold.
    Violation,
    /// Nothing was found, but not everything could be judged, or too little happened.
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Verdict::Pass => "pass",
            Verdict::Violation => "violation",
            Verdict::Unknown => "unknown",
        })
    }
}

/// How often something must have happened, or a run proves little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Required {
    /// The counter's name.
    pub name: &'static str,
    /// The least.
    pub least: u64,
}

/// What a required counter fell short of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortfall {
    /// The counter's name.
    pub name: String,
    /// What it counted.
    pub counted: u64,
    /// What was required.
    pub least: u64,
}

/// The counters that fell short.
#[must_use]
pub fn shortfalls(counters: &BTreeMap<String, u64>, required: &[Required]) -> Vec<Shortfall> {
    let short = required.iter().filter_map(|Required { name, least }| {
        let counted = counters.get(*name).copied().unwrap_or(0);
        let name = (*name).to_owned();
        (counted < *least).then_some(Shortfall { name, counted, least: *least })
    });
    short.collect()
}

/// A violation outweighs all else; whatever was not judged, or did not happen, forbids a pass.
#[must_use]
pub fn verdict(found: &[Violation], unjudged: &[Violation], short: &[Shortfall]) -> Verdict {
    match (found, unjudged, short) {
        ([_, ..], _, _) => Verdict::Violation,
        ([], [], []) => Verdict::Pass,
        _ => Verdict::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_evidence_without_a_violation_passes() {
        let some = || vec![Violation::new("order", "x")];
        let counters = BTreeMap::from([("faults".to_owned(), 9), ("expiries".to_owned(), 50)]);
        let required = [("faults", 10), ("expiries", 50), ("never counted", 1)]
            .map(|(name, least)| Required { name, least });
        let short = shortfalls(&counters, &required);
        let names: Vec<&str> = short.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["faults", "never counted"]);

        assert_eq!(verdict(&[], &[], &[]), Verdict::Pass);
        assert_eq!(verdict(&[], &[], &short), Verdict::Unknown);
        assert_eq!(verdict(&[], &some(), &[]), Verdict::Unknown);
        assert_eq!(verdict(&some(), &some(), &short), Verdict::Violation);
    }
}
