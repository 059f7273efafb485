//! The ten claims of docs/GUARANTEES.md, and how often a run put each to the test. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::checks::Violation;

/// A claim, and what became of it in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// Its number in docs/GUARANTEES.md, or `–` for what is promised beside them.
    pub number: String,
    /// In short.
    pub says: String,
    /// Which checks judge it, and how often each had something to judge.
    pub judged: BTreeMap<String, u64>,
    /// What they judge, in words.
    pub of: String,
    /// Violations that these checks found.
    pub violations: u64,
    /// Why it was not judged, if it was not.
    pub not_made: Option<String>,
}

/// Number, what it says, the checks, and what they judge.
type Row = (&'static str, &'static str, &'static [&'static str], &'static str);

const CLAIMS: [Row; 11] = [
    (
        "1",
        "writes and linearizable reads behave as one atomic table in real time",
        &["linearizable"],
        "calls that must fit into one order",
    ),
    (
        "2",
        "every answer equals the replay of the log up to its index; indices follow real time",
        &["answers", "order"],
        "answers compared with a replay; answers in the order of time",
    ),
    ("3", "no answer below the min_index asked for", &["min_index"], "reads that asked for one"),
    (
        "4",
        "an acknowledged write survives, the crash of all replicas too",
        &["durability"],
        "replicas compared with the whole sequence, at rest",
    ),
    (
        "5",
        "a retry changes nothing; what was refused never happens, nothing happens twice",
        &["outcomes"],
        "writes looked for in the log",
    ),
    (
        "6",
        "what was removed stays removed",
        &["answers", "order"],
        "the same answers: each names the registrations at its index",
    ),
    (
        "7",
        "a lease never ends early",
        &["leases"],
        "acknowledged signs of life, against expiries and lists",
    ),
    (
        "8",
        "nor late: under a steady leader a silent broker is soon gone",
        &["late"],
        "silences of brokers that had to be gone by a later look",
    ),
    (
        "9",
        "equal index, equal tables, at all replicas",
        &["agreement", "digests"],
        "applied entries compared and replayed; digests compared while running",
    ),
    (
        "10",
        "faults gone: soon one leader, equal tables, a new registration acknowledged",
        &["convergence"],
        "moments of rest",
    ),
    (
        "–",
        "an acknowledged message is in its broker's log, a refused one in none",
        &["sends"],
        "sends looked for in the brokers' logs",
    ),
];

/// Every claim, by what was judged, found, and not made (with the reason), by check.
#[must_use]
pub fn table(
    judged: &BTreeMap<&'static str, u64>,
    found: &[Violation],
    not_made: &BTreeMap<&'static str, String>,
) -> Vec<Claim> {
    let claim = |(number, says, checks, of): &Row| {
        let count =
            |check: &&'static str| ((*check).to_owned(), judged.get(check).copied().unwrap_or(0));
        let why = checks.iter().map(|check| not_made.get(check)).collect::<Option<Vec<_>>>();
        Claim {
            number: (*number).to_owned(),
            says: (*says).to_owned(),
            judged: checks
                .iter()
                .filter(|check| !not_made.contains_key(*check))
                .map(count)
                .collect(),
            of: (*of).to_owned(),
            violations: found.iter().filter(|one| checks.contains(&one.check.as_str())).count()
                as u64,
            not_made: why.and_then(|why| why.first().map(|why| (*why).clone())),
        }
    };
    CLAIMS.iter().map(claim).collect()
}

/// The same claims over several runs: counts add up, and one is not made when it was in none.
#[must_use]
pub fn total(tables: &[&[Claim]]) -> Vec<Claim> {
    let mut total: Vec<Claim> = Vec::new();
    for claim in tables.iter().flat_map(|table| table.iter()) {
        match total.iter_mut().find(|known| known.number == claim.number) {
            None => total.push(claim.clone()),
            Some(known) => {
                for (check, count) in &claim.judged {
                    *known.judged.entry(check.clone()).or_default() += count;
                }
                known.violations += claim.violations;
                known.not_made = known.not_made.take().and(claim.not_made.clone());
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ten_are_there_and_a_claim_is_not_made_only_when_none_of_its_checks_was() {
        let judged = BTreeMap::from([("digests", 7), ("order", 3), ("sends", 2)]);
        let not_made = ["agreement", "answers", "durability"].map(|check| (check, "x".to_owned()));
        let found = [Violation::new("order", "y")];
        let table = table(&judged, &found, &not_made.into());
        let numbers: Vec<&str> = table.iter().map(|claim| claim.number.as_str()).collect();
        assert_eq!(numbers, ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "–"]);
        let of = |number: usize| &table[number - 1];
        assert_eq!(of(9).judged, BTreeMap::from([("digests".to_owned(), 7)]));
        assert_eq!((of(9).not_made.as_deref(), of(4).not_made.as_deref()), (None, Some("x")));
        assert_eq!((of(2).violations, of(6).violations, of(9).violations), (1, 1, 0));

        let twice = total(&[&table, &table]);
        assert_eq!(twice[8].judged["digests"], 14);
        assert_eq!(twice[3].not_made.as_deref(), Some("x"));
        let once_made = super::table(&judged, &[], &BTreeMap::new());
        assert_eq!(total(&[&table, &once_made])[3].not_made, None);
    }
}
