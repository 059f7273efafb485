//! What can be counted and listed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{escaped, millis};
use crate::claims::Claim;
use crate::faults::kind::Kind;
use crate::run::Run;
use crate::series::{Came, line, quantile};
use crate::verdict::Verdict;

/// Counters of kinds of faults begin so.
const OF_KIND: &str = "fault: ";

/// The claims, and how often each was put to the test.
pub(super) fn claims(page: &mut String, claims: &[Claim]) {
    if claims.is_empty() {
        return;
    }
    *page += "<h2>What was checked</h2><p class=dim>Numbers are those of the claims in \
        docs/GUARANTEES.md.</p><table><tr><th>claim<th>says<th>judged<th>";
    for claim in claims {
        let count: u64 = claim.judged.values().sum();
        let (class, found) = match (claim.violations, &claim.not_made) {
            (1.., _) => ("violation", format!("broken ({})", claim.violations)),
            (0, Some(_)) => ("dim", "not judged".to_owned()),
            (0, None) if count == 0 => ("dim", "nothing to judge".to_owned()),
            (0, None) => ("pass", "held".to_owned()),
        };
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td>{}<td class={class}>{found}",
            escaped(&claim.number),
            escaped(&claim.says),
            escaped(&line(claim)),
        );
    }
    *page += "</table>";
}

/// How often what happened.
pub(super) fn counts(
    page: &mut String,
    coverage: &BTreeMap<String, u64>,
    left_out: &[(Kind, String)],
) {
    let of_kind = |what: &str| what.starts_with(OF_KIND);
    *page += "<h2>How often what happened</h2><div class=columns>";
    for (what, count) in coverage.iter().filter(|(what, _)| !of_kind(what)) {
        let _ = write!(page, "<div><b>{count}</b>{}</div>", escaped(what));
    }
    *page += "</div>";
    if coverage.keys().any(|what| of_kind(what)) {
        *page += "<h2>Faults by kind</h2><div class=columns>";
        for (what, count) in coverage.iter().filter(|(what, _)| of_kind(what)) {
            let _ = write!(page, "<div><b>{count}</b>{}</div>", escaped(&what[OF_KIND.len()..]));
        }
        *page += "</div>";
    }
    for (kind, why) in left_out {
        let _ = write!(page, "<p class=dim>{kind} was left out: {}</p>", escaped(why));
    }
}

/// Each fault.
pub(super) fn faults(page: &mut String, run: &Run) {
    if run.faults.is_empty() {
        return;
    }
    let _ = write!(
        page,
        "<details><summary>All {} faults</summary><table><tr><th class=n>at<th class=n>for<th>what\
         <th>replicas<th>",
        run.faults.len()
    );
    for record in &run.faults {
        let lasted = record.ended.unwrap_or(run.ended).saturating_sub(record.began);
        let nodes: Vec<String> = record.nodes.iter().map(ToString::to_string).collect();
        let failed = if record.failed { "could not be made: " } else { "" };
        let _ = write!(
            page,
            "<tr><td class=n>{:.1} s<td class=n>{:.1} s<td>{}<td>{}<td class=dim>{failed}{}",
            record.began.as_secs_f64(),
            lasted.as_secs_f64(),
            record.kind,
            nodes.join(", "),
            escaped(&record.note)
        );
    }
    *page += "</table></details>";
}

/// Each run of a series.
pub(super) fn runs(page: &mut String, runs: &[Came]) {
    *page += "<h2>Runs</h2><table><tr><th>scenario<th class=n>seed<th>verdict<th class=n>faults<th \
        class=n>calls<th class=n>unknown<th class=n>median failover<th class=n>longest";
    for run in runs {
        let count = |what: &str| run.judgement.coverage.get(what).copied().unwrap_or(0);
        let class = match run.judgement.verdict {
            Verdict::Pass => "pass",
            Verdict::Violation => "violation",
            Verdict::Unknown => "unknown",
        };
        let at = |percent| millis(quantile(&run.judgement.failovers, percent));
        // Beside the summary, in a directory of its own.
        let parts: Vec<_> = run.report.components().rev().take(2).collect();
        let names = parts.iter().rev().map(|part| part.as_os_str().to_string_lossy());
        let _ = write!(
            page,
            "<tr><td><a href=\"{}\">{}</a><td class=n>{}<td class={class}>{}<td class=n>{}<td \
             class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}",
            escaped(&names.collect::<Vec<_>>().join("/")),
            escaped(&run.name),
            run.seed,
            run.judgement.verdict,
            count("faults"),
            count("operations"),
            count("unknown outcomes"),
            at(50),
            at(100)
        );
    }
    *page += "</table>";
}
