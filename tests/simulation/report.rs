//! What a seed found, and running seeds each in a process of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use signpost_chaos::checks::Violation;

/// The seed that a process runs.
pub(crate) const SEED: &str = "SIGNPOST_SEED";

/// The bugs that it is built with (`raft/src/planted.rs`).
#[cfg(feature = "planted-bugs")]
pub(crate) const PLANTED: &str = "SIGNPOST_PLANTED";

/// Begins the line on which a process reports.
const MARK: &str = "simulation-report: ";

/// What one seed came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) counters: BTreeMap<String, u64>,
    pub(crate) violations: Vec<Violation>,
    /// Of the whole history.
    pub(crate) fingerprint: String,
}

impl Report {
    pub(crate) fn failed(seed: u64, violation: Violation) -> Report {
        let (counters, fingerprint) = (BTreeMap::new(), String::new());
        Report { seed, counters, violations: vec![violation], fingerprint }
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    /// What the process that started this one reads.
    pub(crate) fn line(&self) -> String {
        let json = serde_json::to_string(self).expect("made of strings and numbers");
        format!("\n{MARK}{json}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "seed {}:", self.seed)?;
        for (name, times) in &self.counters {
            write!(formatter, " {name} {times},")?;
        }
        write!(formatter, " history {}", self.fingerprint)?;
        for Violation { check, text } in &self.violations {
            write!(formatter, "\n  VIOLATION ({check}): {text}")?;
        }
        if !self.violations.is_empty() {
            let seed = self.seed;
            write!(
                formatter,
                "\n  again: {SEED}={seed} cargo test --test simulation seeds -- --nocapture"
            )?;
        }
        Ok(())
    }
}

/// Adds up the counters.
pub(crate) fn total(reports: &[Report]) -> BTreeMap<String, u64> {
    let mut total = BTreeMap::new();
    for (name, times) in reports.iter().flat_map(|report| &report.counters) {
        *total.entry(name.clone()).or_insert(0) += times;
    }
    total
}

/// Runs seeds, each in its own process, as many at once as there are processors. `told` hears of
/// each as it ends; `false` from it ends the rest.
pub(crate) fn each_in_its_process(
    seeds: &[u64],
    environment: &[(&str, &str)],
    told: impl Fn(&Report) -> bool + Sync,
) -> Vec<Report> {
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, reports) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..at_once.min(seeds.len()) {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let report = in_its_process(*seed, environment);
                    if !told(&report) {
                        next.store(seeds.len(), Ordering::Relaxed);
                    }
                    reports.lock().expect("no reader panics").push(report);
                }
            });
        }
    });
    let mut reports = reports.into_inner().expect("no reader panics");
    reports.sort_by_key(|report| report.seed);
    reports
}

fn in_its_process(seed: u64, environment: &[(&str, &str)]) -> Report {
    let failed = |why: String| Report::failed(seed, Violation::new("process", why));
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return failed(format!("this program is not to be found: {error}")),
    };
    let ended = Command::new(program)
        .env(SEED, seed.to_string())
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output();
    let output = match ended {
        Ok(output) => output,
        Err(error) => return failed(format!("it did not start: {error}")),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().find_map(|line| line.strip_prefix(MARK));
    match line.map(serde_json::from_str) {
        Some(Ok(report)) => report,
        Some(Err(error)) => failed(format!("its report is unreadable: {error}")),
        None => {
            let complained = String::from_utf8_lossy(&output.stderr);
            let end: Vec<&str> = complained.lines().rev().take(20).collect();
            let end: Vec<&str> = end.into_iter().rev().collect();
            failed(format!("it ended with {} and no report:\n{}", output.status, end.join("\n")))
        }
    }
}
