//! The scenarios that come with the program, as a user runs them: each in a process of its own, with
//! real replicas, faults and checks. All must pass, and together they must have covered enough.
//!
//! One alone: `cargo run --locked -- chaos --scenario NAME --seed N`. Before them, a cluster that runs
//! already is observed.

#![allow(clippy::print_stdout, reason = "a test reports to whoever runs it")]

mod observed;

use std::path::PathBuf;
use std::process::ExitCode;

use signpost_chaos::scenario;
use signpost_chaos::series::{Came, Place, Planned, Summary, run};
use signpost_chaos::verdict::{Required, Verdict};
use tokio_util::sync::CancellationToken;

/// How long faults strike in each.
const DURATION: &str = "25s";
/// So many at the same time: each mostly waits, for faults to take effect.
const AT_ONCE: usize = 2;
/// Which schedules are run; another one can be asked for.
const SEED: &str = "SIGNPOST_CHAOS_SEED";
/// So many scenarios there are.
const SCENARIOS: usize = 12;
/// Operations of each history.
const OPERATIONS_MIN: u64 = 2_000;

/// What all of them must have covered: less proves little.
const REQUIRED: [Required; 12] = [
    Required { name: "faults", least: 120 },
    Required { name: "leader killed", least: 10 },
    Required { name: "leader paused past its election time", least: 5 },
    Required { name: "leader in a minority", least: 5 },
    Required { name: "one-way cuts", least: 5 },
    Required { name: "flapping", least: 3 },
    Required { name: "snapshots installed on followers", least: 5 },
    Required { name: "full restarts", least: 2 },
    Required { name: "members replaced", least: 3 },
    Required { name: "expiries", least: 50 },
    Required { name: "unknown outcomes", least: 20 },
    Required { name: "linearizable reads at followers", least: 5_000 },
];

fn main() -> ExitCode {
    // As the usual harness: a word chooses tests by their names; switches are its own business.
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let is_wanted = |name: &str| wanted.as_deref().is_none_or(|word| name.contains(word));
    type Test = fn() -> Result<(), String>;
    let tests: [(&str, Test); 2] = [("observed", observed), ("scenarios", scenarios)];
    let judged = tests
        .into_iter()
        .filter(|(name, _)| is_wanted(name))
        .try_for_each(|(name, test)| test().map_err(|why| format!("{name}: {why}")));
    match judged {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("FAILED: {why}");
            ExitCode::FAILURE
        }
    }
}

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_signpost"))
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn observed() -> Result<(), String> {
    observed::nothing_is_left_behind(program()).await
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn scenarios() -> Result<(), String> {
    let seed: u64 = match std::env::var(SEED) {
        Ok(seed) => seed.parse().map_err(|_| format!("{SEED} is no number: {seed:?}"))?,
        Err(_) => 1,
    };
    let planned = scenario::short().map(|name| Planned {
        name: name.to_owned(),
        seed,
        words: ["--scenario", name, "--duration", DURATION].map(str::to_owned).to_vec(),
    });
    let place = Place {
        program: program(),
        dir: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("chaos"),
        at_once: AT_ONCE,
    };
    println!("seed {seed}; reports and logs in {}", place.dir.display());
    let told = |came: &Came| {
        println!("{}: {}, {} s", came.name, came.judgement.verdict, came.took.as_secs());
    };
    let came = run(planned.collect(), &place, &CancellationToken::new(), told).await;
    let summary = Summary::new(came.map_err(|error| error.to_string())?, &REQUIRED);
    println!("{}", summary.text());
    let mut short = Vec::new();
    for run in &summary.runs {
        let operations = run.judgement.coverage.get("operations").copied().unwrap_or(0);
        if operations < OPERATIONS_MIN {
            short.push(format!(
                "{}: {operations} operations of at least {OPERATIONS_MIN}",
                run.name
            ));
        }
    }
    if summary.runs.len() != SCENARIOS {
        short.push(format!("{} scenarios of {SCENARIOS}", summary.runs.len()));
    }
    if summary.verdict == Verdict::Pass && short.is_empty() {
        return Ok(());
    }
    short.push(format!(
        "all together: {}; again: {SEED}={seed} cargo test --test chaos",
        summary.verdict
    ));
    Err(short.join("\n"))
}
