//! The verdict of a run: what was checked and found, and what was covered. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::checks::leases::{self, Lateness};
use crate::checks::{self, Evidence, Violation, sends};
use crate::claims::{self, Claim};
use crate::coverage::{self, Failover};
use crate::history::Call;
use crate::resources::{self, Growth};
use crate::run::Run;
use crate::steady::steady;
use crate::verdict::{Verdict, verdict};

/// Claim 8 leaves time for one commit; on a busy machine it takes no longer than this.
const COMMIT: Duration = Duration::from_secs(1);
/// A leader counts its rounds as broken only when none was confirmed for so long: twice the longest
/// election timeout. Shorter breaks, in which no scan counts, cannot be seen from outside.
const UNSEEN_BREAK: Duration = Duration::from_secs(1);
/// What the replicas' option says when the mass-expiry brake never holds.
const NO_BRAKE: &str = "1.0";

/// What came of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Judgement {
    /// In one word.
    pub verdict: Verdict,
    /// Promises that were broken.
    pub violations: Vec<Violation>,
    /// Why nothing can be said, if nothing can.
    pub doubts: Vec<Violation>,
    /// How often what happened.
    pub coverage: BTreeMap<String, u64>,
    /// The claims, and how often each was put to the test.
    pub claims: Vec<Claim>,
    /// How long writes were not to be had after a fault of the leader.
    pub failovers: Vec<Failover>,
    /// Memory and descriptors, if the run was long enough to say.
    pub growth: Option<Growth>,
}

/// Judges a run.
#[must_use]
pub fn judge(run: &mut Run) -> Judgement {
    let evidence = Evidence {
        operations: std::mem::take(&mut run.operations),
        journals: std::mem::take(&mut run.journals),
        rests: std::mem::take(&mut run.rests),
        // These processes have one clock, and faults only let it jump.
        clocks_quick_percent: 0,
    };
    let checked = checks::all(&evidence);
    run.operations = evidence.operations;
    run.journals = evidence.journals;
    run.rests = evidence.rests;

    let (mut violations, mut doubts) = (run.violations.clone(), run.doubts.clone());
    violations.extend(checked.violations);
    doubts.extend(checked.unknown);
    let mut judged = checked.judged;
    judged.insert("digests", run.compared);
    let mut not_made = run.not_made.clone();
    if !not_made.contains_key("late") {
        match late(run) {
            Ok(late) => {
                judged.insert("late", late.judged);
                violations.extend(checks::told(late.violations));
            }
            Err(why) => drop(not_made.insert("late", why)),
        }
    }
    if run.scenario.producers == 0 {
        not_made.entry("sends").or_insert_with(|| "there were no producers".to_owned());
    } else if !not_made.contains_key("sends") {
        let sends = run.operations.iter().filter(|one| matches!(one.call, Call::Send(_)));
        judged.insert("sends", sends.count() as u64);
        violations.extend(checks::told(sends::check(&run.operations, &run.stored)));
    }
    if run.forgotten > 0 {
        let text = format!("{} operations were too many to keep", run.forgotten);
        doubts.push(Violation::new("history", text));
    }
    if !run.operations.iter().any(|operation| operation.answer().is_some()) {
        doubts.push(Violation::new("history", "no operation was answered at all"));
    }
    let growth = resources::growth(&run.used, run.struck);
    if run.scenario.soak {
        soaked(run, growth.as_ref(), &mut violations, &mut doubts);
    }
    Judgement {
        verdict: verdict(&violations, &doubts, &[]),
        coverage: coverage::count(run),
        claims: claims::table(&judged, &violations, &not_made),
        failovers: coverage::failovers(&run.faults, &run.operations),
        violations,
        doubts,
        growth,
    }
}

/// Claim 8, or why it cannot be judged.
fn late(run: &Run) -> Result<leases::Late, String> {
    let share = run.scenario.options.get("brake-share").map(String::as_str);
    if share != Some(NO_BRAKE) {
        return Err(format!("the mass-expiry brake may hold: brake-share is not {NO_BRAKE}"));
    }
    let slack = run.scenario.scan_interval() * 2 + COMMIT + UNSEEN_BREAK;
    let steady = steady(&run.led, &run.faults, run.ended);
    let mut late = leases::late(&run.operations, &Lateness { steady, slack });
    for violation in &mut late.violations {
        "late".clone_into(&mut violation.check);
    }
    Ok(late)
}

/// A soak: nothing may grow, and nobody of the fleet may lose its lease.
fn soaked(
    run: &Run,
    growth: Option<&Growth>,
    violations: &mut Vec<Violation>,
    doubts: &mut Vec<Violation>,
) {
    match growth {
        None => {
            let text = "no process lived long enough to say whether it grew";
            doubts.push(Violation::new("resources", text));
        }
        Some(growth) => {
            let grown = growth.grown().into_iter();
            violations.extend(grown.map(|text| Violation::new("resources", text)));
        }
    }
    if run.fleet_lost > 0 {
        let text = format!("brokers of the fleet had to register again {} times", run.fleet_lost);
        violations.push(Violation::new("leases", text));
    }
}
