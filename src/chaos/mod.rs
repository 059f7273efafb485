//! `signpost chaos`: parses what is wanted, enters namespaces, shows how far the run is, prints the
//! verdict and writes the report. The run itself is the crate `signpost-chaos`'s.

mod live;
mod series;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use signpost_broker::log_id;
use signpost_broker::store::read_all;
use signpost_chaos::judge::{Judgement, judge};
use signpost_chaos::network::{self, namespaces};
use signpost_chaos::observe::{self, observe};
use signpost_chaos::report;
use signpost_chaos::run::{Live, Request, Run, run as run_scenario};
use signpost_chaos::scenario::{BUILT_IN, Scenario};
use signpost_chaos::series::{line, quantile};
use signpost_chaos::verdict::Verdict;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cli::chaos::Options;
use crate::failure::{FAILED, Failure, OK, UNKNOWN};
use crate::output::{self, Format};
use crate::stop;
use crate::units::readable_duration;

/// Runs it.
///
/// # Errors
/// When the options make no sense, or the run could not be made.
pub(crate) async fn run(options: &Options, format: Format) -> Result<u8, Failure> {
    if options.seeds.is_some() || options.scenario.as_deref() == Some(series::ALL) {
        return series::run_all(options, format).await;
    }
    let scenario = scenario(options)?;
    let seed = options.seed.unwrap_or_else(|| u64::from(uuid::Uuid::new_v4().as_fields().0));
    let stop = stop::on_signals()?;
    if options.observe.is_empty()
        && !options.inside_namespaces
        && scenario.network != network::Kind::Proxies
        && let Some(words) = namespaces::enter().await
    {
        return inside(&words).await;
    }
    let (live, seen) = watch::channel(None);
    let showing = tokio::spawn(live::show(seen, scenario.duration()));
    let (made, kept) = if options.observe.is_empty() {
        break_one(options, scenario, seed, &live, stop).await?
    } else {
        let urls = options.observe.clone();
        let request = observe::Request { urls, scenario, seed };
        (observe(request, &live, stop).await.map_err(Failure::failed)?, None)
    };
    showing.abort();
    finish(options, format, made, kept)
}

/// Starts a cluster and breaks it. Answers its directory, too, if nobody has asked to keep it.
async fn break_one(
    options: &Options,
    scenario: Scenario,
    seed: u64,
    live: &watch::Sender<Option<Live>>,
    stop: CancellationToken,
) -> Result<(Run, Option<TempDir>), Failure> {
    let (dir, mut temporary) = match &options.data_dir {
        Some(dir) => (std::path::absolute(dir)?, None),
        None => {
            let dir = tempfile::Builder::new().prefix("signpost-chaos-").tempdir()?;
            (dir.path().to_owned(), Some(dir))
        }
    };
    output::complain(format!("seed {seed}; data and logs in {}", dir.display()));
    let request = Request {
        scenario,
        seed,
        program: std::env::current_exe()?,
        dir: dir.clone(),
        inside: options.inside_namespaces,
        read_log: bodies_in,
    };
    match run_scenario(request, live, stop).await {
        Ok(made) => Ok((made, temporary)),
        Err(error) => {
            if let Some(dir) = &mut temporary {
                dir.disable_cleanup(true);
            }
            let logs = dir.join("logs");
            Err(Failure::failed(format!("{error}\nthe logs are in {}", logs.display())))
        }
    }
}

/// Judges, reports, prints.
fn finish(
    options: &Options,
    format: Format,
    mut made: Run,
    mut kept: Option<TempDir>,
) -> Result<u8, Failure> {
    let judgement = judge(&mut made);
    if let Some(path) = &options.history {
        write_history(&made, path)?;
    }
    let command = command_of(options, &made);
    std::fs::write(&options.report, report::page(&made, &judgement, &command))?;
    if judgement.verdict != Verdict::Pass
        && let Some(dir) = &mut kept
    {
        dir.disable_cleanup(true);
        output::complain(format!("data, journals and logs are kept in {}", dir.path().display()));
    }
    let answer = Answer {
        seed: made.seed,
        command: &command,
        network: &made.network,
        judgement: &judgement,
    };
    output::answer(format, &answer, || for_people(&made, &judgement, &command, &options.report))?;
    Ok(exit_code(judgement.verdict))
}

fn exit_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Pass => OK,
        Verdict::Violation => FAILED,
        Verdict::Unknown => UNKNOWN,
    }
}

fn in_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS: every check held",
        Verdict::Violation => "VIOLATION: a promise was broken",
        Verdict::Unknown => "UNKNOWN: not enough is known to say",
    }
}

/// The bodies of a topic's messages in the log of a stopped broker.
fn bodies_in(data_dir: &Path, topic: &str) -> Result<BTreeSet<String>, String> {
    let log_id = log_id(data_dir).map_err(|error| error.to_string())?;
    let stored = read_all(data_dir, log_id).map_err(|error| error.to_string())?;
    let of_topic = stored.iter().filter(|message| message.topic == topic);
    Ok(of_topic.map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect())
}

/// What is printed for programs.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    seed: u64,
    command: &'a str,
    network: &'a str,
    #[serde(flatten)]
    judgement: &'a Judgement,
}

fn scenario(options: &Options) -> Result<Scenario, Failure> {
    let mut scenario = match &options.scenario {
        None => Scenario::default(),
        Some(name) => {
            let path = PathBuf::from(name);
            let named =
                |why: &dyn std::fmt::Display| Failure::usage(format!("scenario {name}: {why}"));
            match Scenario::built_in(name) {
                Some(read) => read.map_err(|why| named(&why))?,
                None if path.is_file() => {
                    let text = std::fs::read_to_string(&path).map_err(|error| named(&error))?;
                    Scenario::read(&text).map_err(|why| named(&why))?
                }
                None => {
                    let known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
                    let known = known.join(", ");
                    return Err(named(&format!(
                        "there is no such file, and no scenario of this name: there are {known}, \
                         and all, which is each but soak in turn"
                    )));
                }
            }
        }
    };
    if let Some(duration) = options.duration {
        scenario.duration_s = duration.as_secs();
    }
    if !options.faults.is_empty() {
        scenario.faults.clone_from(&options.faults);
    }
    scenario.replicas = options.replicas.unwrap_or(scenario.replicas);
    scenario.brokers = options.brokers.unwrap_or(scenario.brokers);
    scenario.producers = match options.producers {
        Some(producers) => producers,
        // Without brokers there is nobody to send to.
        None if scenario.brokers == 0 => 0,
        None => scenario.producers,
    };
    scenario.check().map_err(Failure::usage)?;
    Ok(scenario)
}

/// The same command again, inside namespaces; answers its exit code.
async fn inside(words: &[String]) -> Result<u8, Failure> {
    let mut command = tokio::process::Command::new(&words[0]);
    command.args(&words[1..]).arg(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).arg("--inside-namespaces");
    // Ctrl-C at the terminal reaches both: the one inside stops in order, this one waits for it.
    let status = command.status().await?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.unwrap_or(FAILED))
}

/// How to run the same again.
fn command_of(options: &Options, made: &Run) -> String {
    let mut words = vec!["signpost chaos".to_owned(), format!("--seed {}", made.seed)];
    if !options.observe.is_empty() {
        words.push(format!("--observe {}", options.observe.join(",")));
    }
    if let Some(path) = &options.scenario {
        words.push(format!("--scenario {path}"));
    }
    if options.scenario.is_none() || options.duration.is_some() {
        words.push(format!("--duration {}s", made.scenario.duration_s));
    }
    if let Some(replicas) = options.replicas {
        words.push(format!("--replicas {replicas}"));
    }
    if let Some(brokers) = options.brokers {
        words.push(format!("--brokers {brokers}"));
    }
    if let Some(producers) = options.producers {
        words.push(format!("--producers {producers}"));
    }
    if !options.faults.is_empty() {
        words.push(format!("--faults {}", options.faults.join(",")));
    }
    words.join(" ")
}

fn write_history(made: &Run, path: &Path) -> Result<(), Failure> {
    let mut file = BufWriter::new(File::create(path)?);
    for operation in &made.operations {
        serde_json::to_writer(&mut file, operation).map_err(Failure::failed)?;
        file.write_all(b"\n")?;
    }
    Ok(file.flush()?)
}

fn for_people(made: &Run, judgement: &Judgement, command: &str, report: &Path) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    // Writing to a string does not fail.
    for (what, count) in &judgement.coverage {
        let _ = writeln!(text, "  {count:>8}  {what}");
    }
    for (kind, why) in &made.left_out {
        let _ = writeln!(text, "  left out: {kind}: {why}");
    }
    let took = |percent| quantile(&judgement.failovers, percent).map(readable_duration);
    if let (Some(middle), Some(longest)) = (took(50), took(100)) {
        let count = judgement.failovers.len();
        let _ = writeln!(
            text,
            "the leader was taken away {count} times; the next write went through after {middle} \
             (median), {longest} at most"
        );
    }
    let _ = writeln!(text, "network: {}", made.network);
    for claim in &judgement.claims {
        let _ = writeln!(text, "claim {:>2}: {}", claim.number, line(claim));
    }
    for violation in &judgement.violations {
        let _ = writeln!(text, "VIOLATION ({}): {}", violation.check, violation.text);
    }
    for doubt in &judgement.doubts {
        let _ = writeln!(text, "not enough is known ({}): {}", doubt.check, doubt.text);
    }
    let verdict = in_words(judgement.verdict);
    let _ = writeln!(text, "{verdict}\nreport: {}\nagain:  {command}", report.display());
    text
}
