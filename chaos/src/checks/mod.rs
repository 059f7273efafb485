//! Checkers, one invariant each. Inputs: the clients' history, the replicas' apply journals, and how
//! the replicas stood when the faults were gone. All are pure.
//!
//! | file | claim of docs/GUARANTEES.md |
//! | --- | --- |
//! | [`agreement`] | claim 9: one sequence, equal tables at equal index; makes the [`Truth`](truth::Truth) |
//! | [`answers`] | claims 1, 2: every answer equals the replay of the log up to its index |
//! | [`order`] | claims 1, 2: indices follow real time |
//! | [`min_index`] | claim 3: no answer below the index asked for |
//! | [`outcomes`] | what was refused never happens, and nothing happens twice |
//! | [`durability`] | claim 4: nothing acknowledged is lost in the end |
//! | [`linearizable`] | claim 1, from client histories alone: a search for an order |
//! | [`leases`] | claims 7, 8: from client clocks, neither early nor late |
//! | [`sends`] | an acknowledged message is in its broker's log |
//! | [`convergence`] | claim 10: faults gone, one leader and equal tables soon |

pub mod agreement;
pub mod answers;
pub mod convergence;
pub mod durability;
pub mod leases;
pub mod linearizable;
pub mod min_index;
pub mod order;
pub mod outcomes;
pub mod sends;
pub mod truth;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use signpost_raft::machine::NodeId;
use signpost_raft::store::journal::JournalRecord;

use crate::history::Operation;

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The checker's file.
    pub check: String,
    /// What was found.
    pub text: String,
}

impl Violation {
    /// Found by this checker.
    #[must_use]
    pub fn new(check: &str, text: impl Into<String>) -> Violation {
        Violation { check: check.to_owned(), text: text.into() }
    }
}

/// What a checker found that may fail to come to an end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judged {
    /// What did not hold.
    pub violations: Vec<Violation>,
    /// What could not be judged, and why. No pass.
    pub unknown: Vec<Violation>,
    /// How often each check had something to judge, by its file: one that judged nothing held nothing.
    pub judged: BTreeMap<&'static str, u64>,
}

/// All that is known of a run.
#[derive(Debug, Default)]
pub struct Evidence {
    /// What clients did.
    pub operations: Vec<Operation>,
    /// What each replica applied, in all its lives.
    pub journals: BTreeMap<NodeId, Vec<JournalRecord>>,
    /// How the replicas stood after the last fault was healed, and again after all were restarted.
    pub rests: Vec<convergence::Rest>,
    /// By how much a replica's clock may have been too quick, in percent.
    pub clocks_quick_percent: u32,
}

/// At most this many violations of one kind are told.
const TOLD_MAX: usize = 5;

/// Runs every checker that needs nothing but this evidence: [`leases::late`] and [`sends`] want to know
/// more.
#[must_use]
pub fn all(evidence: &Evidence) -> Judged {
    let operations = &evidence.operations;
    let (truth, mut violations) = agreement::check(&evidence.journals);
    // Without journals nothing is known of the log.
    let truth = truth.filter(|_| !evidence.journals.is_empty());
    let mut searched = linearizable::check(operations, linearizable::STEPS_MAX);
    searched.unknown.truncate(TOLD_MAX);
    let mut add = |found: Vec<Violation>| violations.extend(told(found));
    add(order::check(operations));
    add(min_index::check(operations));
    add(searched.violations);
    add(leases::early(operations, truth.as_ref(), evidence.clocks_quick_percent));
    add(convergence::check(&evidence.rests));
    let mut judged = searched.judged;
    judged.extend(how_often(evidence));
    if let Some(truth) = truth {
        add(answers::check(&truth, operations));
        add(outcomes::check(&truth, operations));
        add(durability::check(&truth, operations, &evidence.rests));
    }
    Judged { violations, unknown: searched.unknown, judged }
}

/// As many of one kind as are told; of the others only how many there are.
#[must_use]
pub fn told(mut found: Vec<Violation>) -> Vec<Violation> {
    if found.len() > TOLD_MAX {
        let (check, more) = (found[0].check.clone(), found.len() - TOLD_MAX);
        found.truncate(TOLD_MAX);
        found.push(Violation { check, text: format!("{more} more of this kind") });
    }
    found
}

/// How often each check had something to judge.
fn how_often(evidence: &Evidence) -> [(&'static str, u64); 8] {
    let count = |is: &dyn Fn(&Operation) -> bool| {
        evidence.operations.iter().filter(|operation| is(operation)).count() as u64
    };
    let answered = |operation: &Operation| {
        operation.answer().is_some() && (operation.write().is_some() || operation.read().is_some())
    };
    let replayed: u64 = evidence.journals.values().map(|journal| journal.len() as u64).sum();
    let at_rest: u64 = evidence.rests.iter().map(|rest| rest.replicas.len() as u64).sum();
    // Those that need a replay judge nothing without one.
    let with_replay = |count: u64| if replayed == 0 { 0 } else { count };
    [
        ("agreement", replayed),
        ("answers", with_replay(count(&answered))),
        ("order", count(&|one| answered(one) && one.read().is_none_or(|read| read.linearizable))),
        (
            "min_index",
            count(&|one| answered(one) && one.read().is_some_and(|read| read.min_index.is_some())),
        ),
        (
            "outcomes",
            with_replay(count(&|one| one.write().and_then(crate::history::identity).is_some())),
        ),
        ("durability", with_replay(at_rest)),
        ("leases", leases::signs_of_life(&evidence.operations)),
        ("convergence", evidence.rests.len() as u64),
    ]
}
