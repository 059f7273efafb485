//! Claim 9: all replicas apply one sequence, and hold equal tables at equal index.
//!
//! The union of the journals is that sequence: what one replica skipped by installing a snapshot,
//! another one applied. Replayed here, each entry must give the outcome and the digest that every
//! replica recorded, before and after restarts and snapshots.

use std::collections::BTreeMap;

use signpost_namesrv::routes::command::{RouteCommand, RouteOutcome};
use signpost_raft::codec;
use signpost_raft::machine::{Index, NodeId};
use signpost_raft::store::journal::JournalRecord;

use super::Violation;
use super::convergence::Standing;
use super::truth::Truth;

const CHECK: &str = "agreement";

/// The true sequence; None when there is none.
#[must_use]
pub fn check(journals: &BTreeMap<NodeId, Vec<JournalRecord>>) -> (Option<Truth>, Vec<Violation>) {
    match union(journals).and_then(|union| replay(&union)) {
        Ok(truth) => (Some(truth), Vec::new()),
        Err(text) => (None, vec![Violation::new(CHECK, text)]),
    }
}

/// Where there are no journals (observing a cluster from outside): of what replicas said of themselves
/// at any times, equal indices go with equal digests.
#[must_use]
pub fn of_standings(standings: &[Standing]) -> Vec<Violation> {
    let mut known: BTreeMap<Index, &Standing> = BTreeMap::new();
    let mut violations = Vec::new();
    for standing in standings {
        let first = *known.entry(standing.applied).or_insert(standing);
        if first.digest != standing.digest {
            let text = format!("equal indices, other tables: {first:?} and {standing:?}");
            violations.push(Violation::new(CHECK, text));
        }
    }
    violations
}

type Union<'a> = BTreeMap<Index, (NodeId, &'a JournalRecord)>;

fn union(journals: &BTreeMap<NodeId, Vec<JournalRecord>>) -> Result<Union<'_>, String> {
    let mut union = Union::new();
    for (node, journal) in journals {
        for record in journal {
            let (first, known) = *union.entry(record.index).or_insert((*node, record));
            if known != record {
                return Err(format!(
                    "at index {} replica {first} applied {}, and replica {node} {}",
                    record.index,
                    told(known),
                    told(record)
                ));
            }
        }
    }
    Ok(union)
}

fn replay(union: &Union<'_>) -> Result<Truth, String> {
    let mut truth = Truth::default();
    for (index, (node, record)) in union {
        let unreadable = |error| format!("replica {node}'s record {index} is unreadable: {error}");
        let command: RouteCommand = codec::decode(&record.command).map_err(unreadable)?;
        let recorded: RouteOutcome = codec::decode(&record.outcome).map_err(unreadable)?;
        let (outcome, digest) = truth.apply(*index, command);
        if outcome != recorded || digest != record.digest {
            return Err(format!(
                "at index {index} the replay gives {outcome:?} and digest {digest:032x}, replica \
                 {node} recorded {}",
                told(record)
            ));
        }
    }
    Ok(truth)
}

fn told(record: &JournalRecord) -> String {
    let command = codec::decode::<RouteCommand>(&record.command);
    let outcome = codec::decode::<RouteOutcome>(&record.outcome);
    format!("{command:?} -> {outcome:?}, digest {:032x}", record.digest)
}
