//! `signpost chaos`: parses what is wanted, enters namespaces, shows how far the run is, prints the
//! verdict and writes the report. The run itself is the crate `signpost-chaos`'s.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use signpost_chaos::faults::strike::Stage;
use signpost_chaos::judge::{Judgement, judge};
use signpost_chaos::network::{self, namespaces};
use signpost_chaos::report;
use signpost_chaos::run::{Request, Run, run as run_scenario};
use signpost_chaos::scenario::Scenario;
use signpost_chaos::verdict::Verdict;
use tokio::sync::watch;
use tokio::time::interval;

use crate::cli::chaos::Options;
use crate::demo::ids_in;
use crate::failure::{FAILED, Failure, OK, UNKNOWN};
use crate::output::{self, Format};
use crate::stop;
use crate::units::readable_duration;

/// Between two looks at how far the run is.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Runs it.
///
/// # Errors
/// When the options make no sense, or the run could not be made.
pub(crate) async fn run(options: &Options, format: Format) -> Result<u8, Failure> {
    let scenario = scenario(options)?;
    let stop = stop::on_signals()?;
    if !options.inside_namespaces
        && scenario.network != network::Kind::Proxies
        && let Some(words) = namespaces::enter().await
    {
        return inside(&words).await;
    }
    let seed = options.seed.unwrap_or_else(|| u64::from(uuid::Uuid::new_v4().as_fields().0));
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
        read_log: |dir: &Path| ids_in(dir).map_err(|failure| failure.to_string()),
    };
    let (live, seen) = watch::channel(None);
    let showing = tokio::spawn(show(seen, request.scenario.duration()));
    let made = run_scenario(request, &live, stop).await;
    showing.abort();
    let mut made = match made {
        Ok(made) => made,
        Err(error) => {
            if let Some(dir) = &mut temporary {
                dir.disable_cleanup(true);
            }
            return Err(Failure::failed(format!(
                "{error}\nthe logs are in {}",
                dir.join("logs").display()
            )));
        }
    };
    let judgement = judge(&mut made);
    if let Some(path) = &options.history {
        write_history(&made, path)?;
    }
    let command = command_of(options, &made);
    std::fs::write(&options.report, report::page(&made, &judgement, &command))?;
    if judgement.verdict != Verdict::Pass
        && let Some(dir) = &mut temporary
    {
        dir.disable_cleanup(true);
        output::complain(format!("data, journals and logs are kept in {}", dir.path().display()));
    }
    let answer = Answer { seed, command: &command, network: &made.network, judgement: &judgement };
    output::answer(format, &answer, || for_people(&made, &judgement, &command, &options.report))?;
    Ok(match judgement.verdict {
        Verdict::Pass => OK,
        Verdict::Violation => FAILED,
        Verdict::Unknown => UNKNOWN,
    })
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
        Some(path) => {
            let named = |why: &dyn std::fmt::Display| {
                Failure::usage(format!("scenario {}: {why}", path.display()))
            };
            let text = std::fs::read_to_string(path).map_err(|error| named(&error))?;
            Scenario::read(&text).map_err(|why| named(&why))?
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
    if let Some(path) = &options.scenario {
        words.push(format!("--scenario {}", path.display()));
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

/// Shows what goes on, on a terminal, until it is aborted.
async fn show(mut seen: watch::Receiver<Option<Arc<Stage>>>, duration: Duration) {
    let Ok(stage) = seen.wait_for(Option::is_some).await.map(|stage| stage.clone()) else { return };
    let Some(stage) = stage else { return };
    let bar = ProgressBar::with_draw_target(Some(duration.as_secs()), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} {wide_bar} {msg}") {
        bar.set_style(style);
    }
    let mut ticks = interval(LOOK_INTERVAL);
    loop {
        ticks.tick().await;
        let faults = stage.records();
        let going_on: Vec<&str> =
            faults.iter().filter(|one| one.ended.is_none()).map(|one| one.kind.name()).collect();
        let leader = stage.leader().map_or("no leader".to_owned(), |(_, id)| format!("{id} leads"));
        let operations = stage.common.told.count();
        bar.set_position(stage.common.told.now().as_secs().min(duration.as_secs()));
        bar.set_message(format!(
            "{operations} operations, {} faults, {leader}; {}",
            faults.len(),
            if going_on.is_empty() { "all well".to_owned() } else { going_on.join(", ") }
        ));
    }
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
    let mut took: Vec<Duration> = judgement.failovers.iter().map(|one| one.took).collect();
    took.sort_unstable();
    if let (Some(middle), Some(longest)) = (took.get(took.len() / 2), took.last()) {
        let (count, middle) = (took.len(), readable_duration(*middle));
        let longest = readable_duration(*longest);
        let _ = writeln!(
            text,
            "the leader was taken away {count} times; the next write went through after {middle} \
             (median), {longest} at most"
        );
    }
    for violation in &judgement.violations {
        let _ = writeln!(text, "VIOLATION ({}): {}", violation.check, violation.text);
    }
    for doubt in &judgement.doubts {
        let _ = writeln!(text, "not enough is known ({}): {}", doubt.check, doubt.text);
    }
    let verdict = match judgement.verdict {
        Verdict::Pass => "PASS: every check held",
        Verdict::Violation => "VIOLATION: a promise was broken",
        Verdict::Unknown => "UNKNOWN: not enough is known to say",
    };
    let _ = writeln!(text, "{verdict}\nreport: {}\nagain:  {command}", report.display());
    text
}
