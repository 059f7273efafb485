//! Deterministic simulation: the real `signpost-raft` and `signpost-namesrv` on a simulated network,
//! disk and clock, with randomness from a seed. Three replicas, five clients over HTTP, 60 virtual
//! seconds of faults of some thirty kinds; claims 1 to 4, 7 and 9 of docs/GUARANTEES.md (and, at the
//! end of each run, 10) are checked.
//!
//! ```text
//! cargo test --test simulation                             200 seeds, each in its own process
//! SIGNPOST_SEEDS=1000..6000 cargo test --test simulation   others; this is the long run
//! SIGNPOST_SEED=7 cargo test --test simulation             one; RUST_LOG=info shows its logs,
//!                                                          SIGNPOST_HISTORY=FILE keeps its history
//! cargo test --test simulation -- repeats                  is a seed the same each time?
//! cargo test --test simulation --features planted-bugs -- planted       do the checks bite?
//! cargo test -p signpost-chaos                             the checkers' own tests
//! ```
//!
//! A seed takes about 2.7 CPU seconds in a debug build, half of them for what its clients call: 200 take
//! five minutes on two cores, and the long run two hours.
//!
//! A seed repeats to the byte: one process runs one seed, on one thread, and what hash maps and tokio
//! ask the system for (their own seeds) is answered from it, by `mad-turmoil`, which takes the place of
//! the C library's `getrandom` in this program. `repeats` measures it, and every run of the usual seeds
//! runs one of them twice. Debug and release builds take the same course; other code, also of a
//! dependency, may take another. `mad-turmoil` stops the system's clock as well, which the test harness
//! cannot do without; so this program has a `main` of its own.
//!
//! | file | holds |
//! | --- | --- |
//! | [`run`] | one seed from founding to verdict |
//! | [`world`] | hosts, their clocks, and the network between them |
//! | [`cluster`], [`network`] | the replicas as hosts, and the seams' implementations |
//! | [`faults`] | what goes wrong, and when |
//! | [`workload`], [`requests`], [`caller`] | what the clients do, over real HTTP |
//! | [`operator`] | what operators do meanwhile |
//! | `signpost_chaos` | what they were told, and the checkers |
//! | [`logs`] | errors and panics fail a seed |
//! | [`report`] | counters, violations, a process for each seed |

#![allow(clippy::print_stdout, reason = "a test reports to whoever runs it")]

mod caller;
mod cluster;
mod faults;
mod logs;
mod network;
mod operator;
mod report;
mod requests;
mod run;
mod workload;
mod world;

use std::ops::Range;
use std::process::ExitCode;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use report::{Report, SEED, each_in_its_process, total};

const SEEDS: &str = "SIGNPOST_SEEDS";

/// What each seed must have seen, or it proves little.
const LEAST_OF_EACH: [(&str, u64); 6] = [
    ("operations", 500),
    ("faults", 10),
    ("leader changes", 4),
    ("writes", 100),
    ("linearizable reads at followers", 50),
    ("local reads", 50),
];

/// And all together, if they are as many as usual. Counted from what happened, not from what was
/// meant to: a paused leader, say, counts when another one led by the time it went on.
const LEAST_OF_ALL: [(&str, u64); 24] = [
    ("operations", 100_000),
    ("faults", 2_000),
    ("leader killed", 10),
    ("leader paused past its election time", 5),
    ("leader in a minority", 5),
    ("one-way cuts", 5),
    ("flapping", 3),
    ("snapshots installed", 5),
    ("full restarts", 2),
    ("lost members replaced", 3),
    ("live members replaced", 3),
    ("disk faults that struck", 10),
    ("expiries", 50),
    ("unknown outcomes", 20),
    ("linearizable reads at followers", 5_000),
    ("leadership handed over", 5),
    ("silent brokers", 50),
    ("fault: rolling restart", 10),
    ("fault: bridge", 10),
    ("fault: slow links", 10),
    ("fault: lossy links", 10),
    ("fault: clock rate", 10),
    ("fault: clock jump", 10),
    ("fault: torn disk", 5),
];

fn main() -> ExitCode {
    if let Some(seed) = number(SEED) {
        return one(seed);
    }
    // As the usual harness: a word chooses tests by their names; switches are its own business.
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let judged = match wanted.as_deref() {
        None => seeds(),
        Some("repeats") => repeats(),
        #[cfg(feature = "planted-bugs")]
        Some("planted") => planted(),
        Some(word) if "seeds".contains(word) => seeds(),
        Some(_) => return ExitCode::SUCCESS,
    };
    match judged {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("FAILED\n{why}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one seed in this process.
fn one(seed: u64) -> ExitCode {
    // A thread seeds its hash maps once, and counts them: those of a filter of logs, made on this thread,
    // would give all that follow another order.
    std::thread::spawn(logs::listen).join().expect("nothing in it panics");
    mad_turmoil::rand::set_rng(StdRng::seed_from_u64(seed));
    let report = run::run(seed);
    println!("{}\n{report}", report.line());
    if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs many, and judges them one by one and together.
fn seeds() -> Result<(), String> {
    world::proof::all()?;
    let usual = std::env::var(SEEDS).is_err();
    let seeds: Vec<u64> = range().collect();
    let tell = |report: &Report| {
        println!("{report}");
        true
    };
    let mut reports = each_in_its_process(&seeds, &[], tell);
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
        let first = reports.swap_remove(0);
        let again = each_in_its_process(&[first.seed], &[], |_| true);
        if again.iter().any(|again| again.fingerprint != first.fingerprint) {
            wrong.push(format!("seed {} took another course the second time", first.seed));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
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
fn planted() -> Result<(), String> {
    use signpost_raft::planted::Bug;

    // By more than the replicas' own complaints: a checker must see it in what clients were told,
    // in the journals, or in the tables.
    let bugs = [
        (Bug::AcknowledgeBeforeSync, &["agreement", "answers", "durability"][..]),
        (Bug::ReadWithoutWaiting, &["order"][..]),
        (Bug::ReadIndexWithoutQuorum, &["order"][..]),
        (Bug::InheritedExpiryOvertakes, &["leases"][..]),
        (Bug::SnapshotDropsEpoch, &["agreement"][..]),
        (Bug::SnapshotIndexTooOld, &["answers"][..]),
        (Bug::MinIndexIgnoredAfterStart, &["min_index"][..]),
        (Bug::HashOrderInDigest, &["agreement"][..]),
    ];
    for (bug, checkers) in bugs {
        let seeds: Vec<u64> = (1..=200).collect();
        let by_checker = |report: &Report| {
            let found = report.violations.iter().find(|one| checkers.contains(&one.check.as_str()));
            found.cloned()
        };
        let environment = [(report::PLANTED, bug.name())];
        let reports =
            each_in_its_process(&seeds, &environment, |report| by_checker(report).is_none());
        let found = reports.iter().find_map(|report| Some((report.seed, by_checker(report)?)));
        let Some((seed, violation)) = found else {
            return Err(format!("{} was not found in {} seeds", bug.name(), reports.len()));
        };
        println!(
            "{} found by seed {seed}: {} says {}",
            bug.name(),
            violation.check,
            violation.text
        );
    }
    Ok(())
}

/// Runs seeds twice and compares all that their clients saw, with its times.
fn repeats() -> Result<(), String> {
    let seeds: Vec<u64> = range().take(10).collect();
    let once = || each_in_its_process(&seeds, &[], |_| true);
    let (first, second) = (once(), once());
    let pairs = first.iter().zip(&second);
    let same = pairs.filter(|(one, other)| one.fingerprint == other.fingerprint).count();
    println!("{same} of {} seeds repeated exactly", seeds.len());
    if same == seeds.len() { Ok(()) } else { Err("the others took another course".into()) }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: expected a number, not {text:?}")))
}

fn range() -> Range<u64> {
    let Ok(text) = std::env::var(SEEDS) else { return 1..201 };
    let ends =
        text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    ends.unwrap_or_else(|| panic!("{SEEDS}: expected FROM..TO, not {text:?}"))
}
