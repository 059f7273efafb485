//! Deterministic simulation: the real `signpost-raft` and `signpost-namesrv` on a simulated network,
//! disk and clock, with randomness from a seed. Three replicas, five clients over HTTP, crashes and
//! partitions; claims 1 to 4 and 9 of DESIGN §2 (and, at the end of each run, 10) are checked.
//!
//! ```text
//! cargo test --test simulation                                    20 seeds, each in its own process
//! SIGNPOST_SEEDS=100..200 cargo test --test simulation seeds      others
//! SIGNPOST_SEED=7 cargo test --test simulation seeds -- --nocapture          one; RUST_LOG=info shows
//!     its logs, SIGNPOST_HISTORY=FILE keeps what its clients did and were told
//! cargo test --test simulation --features planted-bugs planted    shows that the checks bite
//! cargo test --test simulation repeats -- --ignored --nocapture   measures how exactly a seed repeats
//! ```
//!
//! | file | holds |
//! | --- | --- |
//! | [`run`] | one seed from founding to verdict |
//! | [`cluster`], [`network`] | the replicas on turmoil, and the seams' implementations |
//! | [`faults`] | what goes wrong, and when |
//! | [`workload`], [`requests`], [`caller`] | what the clients do, over real HTTP |
//! | [`history`] | what they were told |
//! | [`checks`] | one invariant, one file |
//! | [`logs`] | errors and panics fail a seed |
//! | [`report`] | counters, violations, a process for each seed |

#![allow(clippy::print_stdout, reason = "a test reports to whoever runs it")]

mod caller;
mod checks;
mod cluster;
mod faults;
mod history;
mod logs;
mod network;
mod random;
mod report;
mod requests;
mod run;
mod workload;

use std::ops::Range;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use report::{Report, SEED, each_in_its_process, total};

const SEEDS: &str = "SIGNPOST_SEEDS";

/// What each seed must have seen, or it proves little.
const LEAST_OF_EACH: [(&str, u64); 6] = [
    ("operations", 1_000),
    ("faults", 10),
    ("leader changes", 4),
    ("writes", 200),
    ("linearizable reads at followers", 100),
    ("local reads", 100),
];

/// And all together, if they are as many as usual.
const LEAST_OF_ALL: [(&str, u64); 6] = [
    ("fault: leader killed", 20),
    ("fault: leader isolated", 20),
    ("fault: power cut", 10),
    ("unknown outcomes", 20),
    ("snapshots installed", 20),
    ("expiries", 20),
];

#[test]
fn seeds() {
    if let Some(seed) = number(SEED) {
        logs::listen();
        // Hash maps and tokio take their seeds from the system: from here on that is ours.
        mad_turmoil::rand::set_rng(StdRng::seed_from_u64(seed));
        let report = run::run(seed);
        println!("{}\n{report}", report.line());
        assert!(report.violations.is_empty(), "seed {seed} found violations");
        return;
    }
    let usual = std::env::var(SEEDS).is_err();
    let seeds: Vec<u64> = range().collect();
    let reports = each_in_its_process(&seeds, &[], |report| {
        println!("{report}");
        true
    });
    let total = total(&reports);
    println!("all {} seeds: {total:?}", reports.len());
    let mut wrong: Vec<String> = reports.iter().filter_map(fault_of).collect();
    if usual {
        for (name, least) in LEAST_OF_ALL {
            let times = total.get(name).copied().unwrap_or(0);
            if times < least {
                wrong.push(format!("all together: {name} {times}, expected {least} at least"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with a seed, if anything.
fn fault_of(report: &Report) -> Option<String> {
    if !report.violations.is_empty() {
        return Some(report.to_string());
    }
    let little = LEAST_OF_EACH.iter().find(|(name, least)| report.counter(name) < *least)?;
    Some(format!("seed {}: too few {}: {report}", report.seed, little.0))
}

/// Each planted bug is found by a checker, within so many seeds.
#[cfg(feature = "planted-bugs")]
#[test]
fn planted() {
    use signpost_raft::planted::Bug;

    // By more than the replicas' own complaints: a checker must see it in what clients were told,
    // in the journals, or in the tables.
    let bugs = [
        (Bug::ReadWithoutWaiting, &["order"][..]),
        (Bug::AcknowledgeBeforeSync, &["agreement", "answers", "durability"][..]),
    ];
    for (bug, checkers) in bugs {
        let seeds: Vec<u64> = (1..=40).collect();
        let by_checker = |report: &Report| {
            let found = report.violations.iter().find(|one| checkers.contains(&one.check.as_str()));
            found.cloned()
        };
        let environment = [(report::PLANTED, bug.name())];
        let reports =
            each_in_its_process(&seeds, &environment, |report| by_checker(report).is_none());
        let found = reports.iter().find_map(|report| Some((report.seed, by_checker(report)?)));
        let Some((seed, violation)) = found else {
            panic!("{} was not found in {} seeds", bug.name(), reports.len());
        };
        println!(
            "{} found by seed {seed}: {} says {}",
            bug.name(),
            violation.check,
            violation.text
        );
    }
}

/// Runs seeds twice and counts those whose histories are the same to the byte.
#[test]
#[ignore = "a measurement"]
fn repeats() {
    let seeds: Vec<u64> = (1..=10).collect();
    let once = || each_in_its_process(&seeds, &[], |_| true);
    let (first, second) = (once(), once());
    let pairs = first.iter().zip(&second);
    let same = pairs.filter(|(one, other)| one.fingerprint == other.fingerprint).count();
    println!("{same} of {} seeds repeated exactly", seeds.len());
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: expected a number, not {text:?}")))
}

fn range() -> Range<u64> {
    let Ok(text) = std::env::var(SEEDS) else { return 1..21 };
    let ends =
        text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    ends.unwrap_or_else(|| panic!("{SEEDS}: expected FROM..TO, not {text:?}"))
}
