//! The report: one HTML page that needs nothing else. Its pictures are SVG of our own, for they are
//! made of bars and dots only. Whatever comes from outside is escaped.
//!
//! | module | holds |
//! | --- | --- |
//! | [`style`] | colours, for light and for dark screens |
//! | [`timeline`] | who led, what was done to them, when nothing went through, how long calls took |
//! | [`charts`] | how long failovers took; memory over time |
//! | [`tables`] | claims, counts, faults, runs |

mod charts;
mod style;
mod tables;
mod timeline;

use std::fmt::Write as _;
use std::time::Duration;

use crate::checks::Violation;
use crate::judge::Judgement;
use crate::run::Run;
use crate::scenario::Scenario;
use crate::series::{Summary, quantile};
use crate::verdict::Verdict;

/// The page of one run. `command` is how to run it again.
#[must_use]
pub fn page(run: &Run, judgement: &Judgement, command: &str) -> String {
    let mut page = head(judgement.verdict, &run.scenario.name);
    let count = |what: &str| judgement.coverage.get(what).copied().unwrap_or(0);
    let lasted = run.struck.1.saturating_sub(run.struck.0);
    let _ = write!(
        page,
        "<p class=dim>Scenario <b>{}</b>: {}. {} replicas, {}; seed {}, {}.</p>",
        escaped(&run.scenario.name),
        escaped(&run.scenario.about),
        run.scenario.replicas,
        escaped(&run.network),
        run.seed,
        started(run),
    );
    let gap = timeline::longest_gap(&run.operations, run.struck);
    tiles(
        &mut page,
        &[
            (count("faults").to_string(), format!("faults in {} s", lasted.as_secs())),
            (count("operations").to_string(), "calls, every answer checked".to_owned()),
            (count("unknown outcomes").to_string(), "calls with unknown outcome".to_owned()),
            (millis(quantile(&judgement.failovers, 50)), "median failover".to_owned()),
            (millis(gap), "longest time without a write".to_owned()),
        ],
    );
    page += "<h2>Run it again</h2><pre>";
    page += &escaped(command);
    page += "</pre>";
    findings(&mut page, &judgement.violations, &judgement.doubts);
    page += "<h2>What happened</h2>";
    timeline::draw(&mut page, run);
    charts::failovers(&mut page, &judgement.failovers);
    charts::memory(&mut page, run, judgement.growth.as_ref());
    tables::claims(&mut page, &judgement.claims);
    tables::counts(&mut page, &judgement.coverage, &run.left_out);
    tables::faults(&mut page, run);
    scenario(&mut page, &run.scenario);
    page + "</main></html>"
}

/// The page of many runs, which links to the page of each.
#[must_use]
pub fn summary(summary: &Summary, command: &str) -> String {
    let mut page = head(summary.verdict, &format!("{} runs", summary.runs.len()));
    let count = |what: &str| summary.coverage.get(what).copied().unwrap_or(0);
    let at = |percent| millis(quantile(&summary.failovers, percent));
    tiles(
        &mut page,
        &[
            (summary.runs.len().to_string(), "runs".to_owned()),
            (count("faults").to_string(), "faults".to_owned()),
            (count("operations").to_string(), "calls, every answer checked".to_owned()),
            (at(50), "median failover".to_owned()),
            (at(99), "99 % of the failovers".to_owned()),
        ],
    );
    page += "<h2>Run it again</h2><pre>";
    page += &escaped(command);
    page += "</pre>";
    for short in &summary.shortfalls {
        let _ = write!(
            page,
            "<pre class=unknown>too little: {}: {} of at least {}</pre>",
            escaped(&short.name),
            short.counted,
            short.least
        );
    }
    tables::runs(&mut page, &summary.runs);
    for run in &summary.runs {
        findings(&mut page, &run.judgement.violations, &run.judgement.doubts);
    }
    charts::failovers(&mut page, &summary.failovers);
    tables::claims(&mut page, &summary.claims);
    tables::counts(&mut page, &summary.coverage, &[]);
    page + "</main></html>"
}

fn head(verdict: Verdict, of: &str) -> String {
    let (class, headline, says) = match verdict {
        Verdict::Pass => ("pass", "Pass", "every check held"),
        Verdict::Violation => ("violation", "Violation", "a promise was broken"),
        Verdict::Unknown => ("unknown", "Unknown", "not enough is known to say"),
    };
    let of = escaped(of);
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport \
         content=\"width=device-width,initial-scale=1\"><title>signpost chaos: {of}: {says}</title>\
         <style>{}</style><main><header class={class}><h1>{headline}</h1><p>{says}</p></header>",
        style::STYLE
    )
}

fn tiles(page: &mut String, tiles: &[(String, String)]) {
    *page += "<div class=tiles>";
    for (figure, of) in tiles {
        let _ = write!(page, "<div><b>{}</b><span>{}</span></div>", escaped(figure), escaped(of));
    }
    *page += "</div>";
}

fn findings(page: &mut String, violations: &[Violation], doubts: &[Violation]) {
    for (class, found) in [("violation", violations), ("unknown", doubts)] {
        for one in found {
            let (check, text) = (escaped(&one.check), escaped(&one.text));
            let _ = write!(page, "<pre><b class={class}>{class}: {check}</b> {text}</pre>");
        }
    }
}

fn scenario(page: &mut String, scenario: &Scenario) {
    let json = serde_json::to_string_pretty(scenario).unwrap_or_default();
    let _ = write!(
        page,
        "<details><summary>The scenario, in full</summary><pre>{}</pre></details>",
        escaped(&json)
    );
}

fn started(run: &Run) -> String {
    let since = run.started.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("begun {} UTC", civil(since.as_secs()))
}

/// Date and time of a moment, in UTC (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(unix_s: u64) -> String {
    let (days, second) = (unix_s / 86_400 + 719_468, unix_s % 86_400);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}")
}

fn millis(took: Option<Duration>) -> String {
    took.map_or("–".to_owned(), |took| format!("{} ms", took.as_millis()))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_as_dates() {
        assert_eq!(civil(0), "1970-01-01 00:00");
        assert_eq!(civil(951_782_399), "2000-02-28 23:59");
        assert_eq!(civil(951_782_400), "2000-02-29 00:00");
        assert_eq!(civil(1_798_761_599), "2026-12-31 23:59");
    }

    #[test]
    fn nothing_from_outside_becomes_markup() {
        assert_eq!(escaped("<b a=\"'\">&"), "&lt;b a=&quot;&#39;&quot;&gt;&amp;");
    }
}
