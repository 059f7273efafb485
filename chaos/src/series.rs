//! Many runs, each in a process of its own (`signpost chaos`), and what they come to together.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::checks::Violation;
use crate::claims::{self, Claim};
use crate::coverage::Failover;
use crate::error::Error;
use crate::judge::Judgement;
use crate::verdict::{Required, Shortfall, Verdict, shortfalls, verdict};

/// What is shown of a run that could not be made.
const SHOWN_BYTES: usize = 2_000;

/// One run to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its scenario.
    pub name: String,
    /// Its seed.
    pub seed: u64,
    /// What else stands on its command line.
    pub words: Vec<String>,
}

/// Where and how the runs are made.
#[derive(Debug, Clone)]
pub struct Place {
    /// The `signpost` binary.
    pub program: PathBuf,
    /// For each run's report, and what it said.
    pub dir: PathBuf,
    /// So many at the same time.
    pub at_once: usize,
}

/// What one run came to.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Came {
    /// Its scenario.
    pub name: String,
    /// Its seed.
    pub seed: u64,
    /// How to run it again.
    pub command: String,
    /// Its report.
    pub report: PathBuf,
    /// How long it took, all in all.
    pub took: Duration,
    /// What was found.
    pub judgement: Judgement,
}

/// What a run prints for programs.
#[derive(Debug, Deserialize)]
struct Told {
    command: String,
    #[serde(flatten)]
    judgement: Judgement,
}

/// Makes all of them; `told` hears of each as it ends. When it is stopped, those that have not begun are
/// left out.
///
/// # Errors
/// When the directory cannot be written.
pub async fn run(
    planned: Vec<Planned>,
    place: &Place,
    stop: &CancellationToken,
    mut told: impl FnMut(&Came),
) -> Result<Vec<Came>, Error> {
    std::fs::create_dir_all(&place.dir)?;
    let runs = planned.into_iter().map(|planned| async move {
        if stop.is_cancelled() { None } else { Some(one(planned, place).await) }
    });
    let mut runs = stream::iter(runs).buffered(place.at_once.max(1));
    let mut came = Vec::new();
    while let Some(one) = runs.next().await {
        if let Some(one) = one {
            let one = one?;
            told(&one);
            came.push(one);
        }
    }
    Ok(came)
}

async fn one(planned: Planned, place: &Place) -> Result<Came, Error> {
    let Planned { name, seed, words } = planned;
    let file = |end: &str| place.dir.join(format!("{name}-{seed}.{end}"));
    let (report, log) = (file("html"), file("log"));
    let mut command = Command::new(&place.program);
    command.arg("chaos").args(&words).args(["--seed", &seed.to_string(), "--output", "json"]);
    command.arg("--report").arg(&report);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log)?);
    command.kill_on_drop(true);
    // Options of the whole are not for each.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("SIGNPOST_") && text != "SIGNPOST_PLANTED" {
            command.env_remove(name);
        }
    }
    let begun = Instant::now();
    let child = command.spawn().map_err(|error| {
        Error::new(format!("{} could not be started: {error}", place.program.display()))
    })?;
    // Not `output()`, which would take stderr away from the log.
    let output = child.wait_with_output().await?;
    let (command, judgement) = match serde_json::from_slice::<Told>(&output.stdout) {
        Ok(told) => (told.command, told.judgement),
        Err(error) => {
            let said = std::fs::read(&log)?;
            let said = String::from_utf8_lossy(&said[said.len().saturating_sub(SHOWN_BYTES)..]);
            let text = format!("it ended with {} and no verdict ({error}):\n{said}", output.status);
            let words = words.join(" ");
            (format!("signpost chaos {words} --seed {seed}"), not_made(text))
        }
    };
    Ok(Came { name, seed, command, report, took: begun.elapsed(), judgement })
}

fn not_made(text: String) -> Judgement {
    Judgement {
        verdict: Verdict::Unknown,
        violations: Vec::new(),
        doubts: vec![Violation::new("run", text)],
        coverage: BTreeMap::new(),
        claims: Vec::new(),
        failovers: Vec::new(),
        growth: None,
    }
}

/// What all of them come to.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Of all, in one word.
    pub verdict: Verdict,
    /// What was to happen more often.
    pub shortfalls: Vec<Shortfall>,
    /// How often what happened, in all.
    pub coverage: BTreeMap<String, u64>,
    /// The claims, and how often each was put to the test, in all.
    pub claims: Vec<Claim>,
    /// Every time that the leader was taken away.
    pub failovers: Vec<Failover>,
    /// The runs.
    pub runs: Vec<Came>,
}

impl Summary {
    /// Of these runs, which must have covered so much in all.
    #[must_use]
    pub fn new(runs: Vec<Came>, required: &[Required]) -> Summary {
        let mut coverage: BTreeMap<String, u64> = BTreeMap::new();
        for (what, count) in runs.iter().flat_map(|run| &run.judgement.coverage) {
            *coverage.entry(what.clone()).or_default() += count;
        }
        let shortfalls = shortfalls(&coverage, required);
        let all = |of: fn(&Judgement) -> &Vec<Violation>| {
            runs.iter().flat_map(|run| of(&run.judgement).clone()).collect::<Vec<_>>()
        };
        let mut doubts = all(|judgement| &judgement.doubts);
        if runs.is_empty() {
            doubts.push(Violation::new("run", "there were no runs"));
        }
        let tables: Vec<&[Claim]> = runs.iter().map(|run| &*run.judgement.claims).collect();
        Summary {
            verdict: verdict(&all(|judgement| &judgement.violations), &doubts, &shortfalls),
            shortfalls,
            claims: claims::total(&tables),
            failovers: runs.iter().flat_map(|run| run.judgement.failovers.clone()).collect(),
            coverage,
            runs,
        }
    }

    /// For a person, on a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        // Writing to a string does not fail.
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{:<15} {:>6} {:<9} {:>6} {:>7} {:>10} {:>8} {:>7}",
            "scenario", "seed", "verdict", "took", "faults", "operations", "unknown", "median"
        );
        for run in &self.runs {
            let count = |what: &str| run.judgement.coverage.get(what).copied().unwrap_or(0);
            let middle = quantile(&run.judgement.failovers, 50);
            let _ = writeln!(
                text,
                "{:<15} {:>6} {:<9} {:>4} s {:>7} {:>10} {:>8} {:>7}",
                run.name,
                run.seed,
                run.judgement.verdict.to_string(),
                run.took.as_secs(),
                count("faults"),
                count("operations"),
                count("unknown outcomes"),
                middle.map_or("–".to_owned(), |took| format!("{} ms", took.as_millis()))
            );
        }
        let _ = writeln!(text);
        for (what, count) in &self.coverage {
            let _ = writeln!(text, "{count:>9}  {what}");
        }
        let _ = writeln!(text, "\nclaim  judged");
        for claim in &self.claims {
            let _ = writeln!(text, "{:>5}  {}", claim.number, line(claim));
        }
        text += &histogram(&self.failovers);
        for short in &self.shortfalls {
            let Shortfall { name, counted, least } = short;
            let _ = writeln!(text, "too little: {name}: {counted} of at least {least}");
        }
        for run in &self.runs {
            let Judgement { violations, doubts, .. } = &run.judgement;
            for (word, one) in violations
                .iter()
                .map(|one| ("VIOLATION", one))
                .chain(doubts.iter().map(|one| ("not enough is known", one)))
            {
                let _ = writeln!(text, "{word} in {} ({}): {}", run.name, one.check, one.text);
            }
            if run.judgement.verdict != Verdict::Pass {
                let _ = writeln!(text, "again:  {}\nreport: {}", run.command, run.report.display());
            }
        }
        text
    }
}

/// What became of a claim, in one line.
#[must_use]
pub fn line(claim: &Claim) -> String {
    let judged = match &claim.not_made {
        Some(why) => format!("not judged: {why}"),
        None => {
            let counts = claim.judged.iter().map(|(check, count)| format!("{check} {count}"));
            format!("{} ({})", counts.collect::<Vec<_>>().join(", "), claim.of)
        }
    };
    match claim.violations {
        0 => judged,
        count => format!("{judged}: {count} VIOLATIONS"),
    }
}

/// So many of a hundred failovers took at most this long; None when there are none.
#[must_use]
pub fn quantile(failovers: &[Failover], percent: usize) -> Option<Duration> {
    let mut took: Vec<Duration> = failovers.iter().map(|one| one.took).collect();
    took.sort_unstable();
    let place = (took.len() * percent).div_ceil(100).saturating_sub(1);
    took.get(place).copied()
}

/// How long writes were not to be had, with bars.
fn histogram(failovers: &[Failover]) -> String {
    const STEP_MS: u128 = 250;
    const COLUMNS: usize = 13;
    const BAR: usize = 50;
    let [Some(middle), Some(most), Some(longest)] =
        [50, 99, 100].map(|percent| quantile(failovers, percent))
    else {
        return String::new();
    };
    let mut counts = [0_usize; COLUMNS];
    for failover in failovers {
        let column = usize::try_from(failover.took.as_millis() / STEP_MS).unwrap_or(COLUMNS);
        counts[column.min(COLUMNS - 1)] += 1;
    }
    let highest = counts.iter().copied().max().unwrap_or(1).max(1);
    let mut text = format!(
        "\nthe leader was taken away {} times; until the next write went through: median {} ms, \
         99 % {} ms, longest {} ms\n",
        failovers.len(),
        middle.as_millis(),
        most.as_millis(),
        longest.as_millis()
    );
    for (column, count) in counts.iter().enumerate() {
        let from = column as u128 * STEP_MS;
        let end = if column + 1 == COLUMNS { "+" } else { " " };
        let bar = "#".repeat((count * BAR).div_ceil(highest));
        // Writing to a string does not fail.
        let _ = writeln!(text, "{from:>6}{end} ms {count:>4} {bar}");
    }
    text
}

/// Where the reports of a series are put, beside the summary's own.
#[must_use]
pub fn dir_beside(report: &Path) -> PathBuf {
    report.with_extension("runs")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::faults::kind::Kind;

    fn failover(millis: u64) -> Failover {
        let took = Duration::from_millis(millis);
        Failover { kind: Kind::KillLeader, at: Duration::ZERO, took }
    }

    fn came(verdict: Verdict, faults: u64) -> Came {
        let doubts = match verdict {
            Verdict::Unknown => vec![Violation::new("run", "why")],
            _ => Vec::new(),
        };
        let violations = match verdict {
            Verdict::Violation => vec![Violation::new("order", "what")],
            _ => Vec::new(),
        };
        let coverage = BTreeMap::from([("faults".to_owned(), faults)]);
        let judgement = Judgement { verdict, violations, doubts, coverage, ..not_made("".into()) };
        Came {
            name: "one".into(),
            seed: 7,
            command: "signpost chaos --seed 7".into(),
            report: "one.html".into(),
            took: Duration::ZERO,
            judgement,
        }
    }

    #[test]
    fn only_runs_that_all_pass_and_cover_enough_pass_together() {
        let required = [Required { name: "faults", least: 10 }];
        let verdict = |runs: Vec<Came>| Summary::new(runs, &required).verdict;
        let pass = || came(Verdict::Pass, 5);
        assert_eq!(verdict(vec![pass(), pass()]), Verdict::Pass);
        assert_eq!(verdict(vec![pass()]), Verdict::Unknown, "too little happened");
        assert_eq!(verdict(vec![pass(), came(Verdict::Unknown, 9)]), Verdict::Unknown);
        assert_eq!(verdict(vec![came(Verdict::Unknown, 1), came(Verdict::Violation, 9)]), {
            Verdict::Violation
        });
        assert_eq!(Summary::new(Vec::new(), &[]).verdict, Verdict::Unknown);
        let text = Summary::new(vec![came(Verdict::Violation, 9)], &required).text();
        for said in ["too little: faults: 9", "VIOLATION in one (order): what", "--seed 7"] {
            assert!(text.contains(said), "{text}");
        }
    }

    #[test]
    fn quantiles_are_of_what_was_counted() {
        let all: Vec<Failover> = (1..=200).map(failover).collect();
        let of = |percent| quantile(&all, percent).map(|took| took.as_millis());
        assert_eq!((of(50), of(99), of(100)), (Some(100), Some(198), Some(200)));
        assert_eq!(quantile(&[], 50), None);
        let text = histogram(&[failover(100), failover(300), failover(9_000)]);
        assert!(text.contains("3 times") && text.contains("3000+ ms    1"), "{text}");
    }

    #[tokio::test]
    async fn a_run_that_gives_no_verdict_is_no_pass() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let program = dir.path().join("program");
        std::fs::write(&program, "#!/bin/sh\necho 'why it ended' >&2\nexit 1\n").expect("written");
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).expect("set");
        let place = Place { program, dir: dir.path().join("runs"), at_once: 2 };
        let planned = |seed| Planned { name: "one".into(), seed, words: Vec::new() };
        let (stop, mut heard) = (CancellationToken::new(), 0);
        let came = run(vec![planned(1), planned(2)], &place, &stop, |_| heard += 1).await;
        let came = came.expect("they were started");
        assert_eq!((came.len(), heard), (2, 2));
        for one in came {
            assert_eq!(one.judgement.verdict, Verdict::Unknown);
            let doubt = &one.judgement.doubts[0].text;
            assert!(doubt.contains("why it ended"), "{doubt}");
        }
        stop.cancel();
        let none = run(vec![planned(3)], &place, &stop, |_| ()).await.expect("nothing to start");
        assert!(none.is_empty());
    }
}
