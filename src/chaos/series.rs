//! `signpost chaos --seeds`: many runs, each in a process of its own, and one summary.

use std::ffi::OsString;

use signpost_chaos::report;
use signpost_chaos::scenario;
use signpost_chaos::series::{Came, Place, Planned, Summary, dir_beside, run};

use super::exit_code;
use crate::cli::chaos::Options;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::stop;

/// The name that stands for every built-in scenario in turn.
pub(super) const ALL: &str = "all";

/// Runs them.
///
/// # Errors
/// When a run makes no sense, or the summary cannot be written.
pub(super) async fn run_all(options: &Options, format: Format) -> Result<u8, Failure> {
    let planned = plan(options)?;
    let stop = stop::on_signals()?;
    let place = Place {
        program: std::env::current_exe()?,
        dir: dir_beside(&options.report),
        at_once: options.at_once,
    };
    let (count, mut done) = (planned.len(), 0);
    output::complain(format!("{count} runs; their reports and logs in {}", place.dir.display()));
    let told = |came: &Came| {
        done += 1;
        let faults = came.judgement.coverage.get("faults").copied().unwrap_or(0);
        output::complain(format!(
            "{done} of {count}: {}, seed {}: {}, {faults} faults",
            came.name, came.seed, came.judgement.verdict
        ));
    };
    let came = run(planned, &place, &stop, told).await.map_err(Failure::failed)?;
    let summary = Summary::new(came, &[]);
    std::fs::write(&options.report, report::summary(&summary, &command()))?;
    let report = options.report.display();
    output::answer(format, &summary, || {
        format!("{}\n{}: {report}\n", summary.text(), super::in_words(summary.verdict))
    })?;
    Ok(exit_code(summary.verdict))
}

fn plan(options: &Options) -> Result<Vec<Planned>, Failure> {
    let names: Vec<String> = match options.scenario.as_deref() {
        Some(ALL) => scenario::short().map(str::to_owned).collect(),
        Some(name) => vec![name.to_owned()],
        None => vec![String::new()],
    };
    let seeds = options.seeds.unwrap_or((1, names.len() as u64));
    let planned = (seeds.0..=seeds.1).map(|seed| -> Result<Planned, Failure> {
        // Whichever seeds are asked for, one seed is always of one scenario.
        let name = &names[(seed % names.len() as u64) as usize];
        let one = Options {
            scenario: Some(name.clone()).filter(|name| !name.is_empty()),
            ..options.clone()
        };
        // So that what makes no sense is refused here, once.
        let scenario = super::scenario(&one)?;
        Ok(Planned { name: scenario.name, seed, words: words(&one) })
    });
    planned.collect()
}

/// What tells one run of the series how it is to be made.
fn words(options: &Options) -> Vec<String> {
    let mut words = Vec::new();
    let mut add = |name: &str, value: String| words.extend([name.to_owned(), value]);
    if let Some(scenario) = &options.scenario {
        add("--scenario", scenario.clone());
    }
    if let Some(duration) = options.duration {
        add("--duration", format!("{}ms", duration.as_millis()));
    }
    if !options.faults.is_empty() {
        add("--faults", options.faults.join(","));
    }
    for (name, value) in [
        ("--replicas", options.replicas),
        ("--brokers", options.brokers),
        ("--producers", options.producers),
    ] {
        if let Some(value) = value {
            add(name, value.to_string());
        }
    }
    words
}

/// This command, as it was given.
fn command() -> String {
    let given: Vec<OsString> = std::env::args_os().skip(1).collect();
    let given: Vec<String> = given.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    format!("signpost {}", given.join(" "))
}
