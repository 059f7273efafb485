//! The report: one HTML page that needs nothing else. Its picture is SVG of our own, for it is made
//! of bars and dots only.

use std::fmt::Write as _;
use std::time::Duration;

use signpost_raft::machine::NodeId;

use crate::history::{Call, Operation, Outcome};
use crate::judge::Judgement;
use crate::run::Run;
use crate::verdict::Verdict;

/// The picture's width, without the names on its left, and one row's height.
const WIDTH: f64 = 1000.0;
const LEFT: f64 = 110.0;
const ROW: f64 = 22.0;
/// Height of the latencies; the highest that is shown, and the lowest.
const LATENCY: f64 = 160.0;
const LATENCY_MAX_MS: f64 = 3_000.0;
const LATENCY_MIN_MS: f64 = 0.3;
/// More dots than this show nothing more.
const DOTS_MAX: usize = 4_000;

const STYLE: &str = "
:root{--bg:#fff;--fg:#1b1f24;--dim:#667;--line:#d8dde3;--lead:#2f7d4f;--follow:#bcd8c8;--silent:#e9ecef;
--fault:#d9534f;--ok:#3b7dd8;--unknown:#e08a00;--refused:#b9bfc7;--card:#f6f8fa}
@media (prefers-color-scheme:dark){:root{--bg:#14171b;--fg:#e4e8ec;--dim:#97a1ab;--line:#333a42;--lead:#4fb47c;
--follow:#2c4a3a;--silent:#22272d;--fault:#e2736f;--ok:#6aa5f0;--unknown:#f0a840;--refused:#5b646e;--card:#1c2127}}
body{background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif;max-width:1160px;margin:2em auto;padding:0 1em}
h1{font-size:1.6em;margin:0 0 .2em}h2{font-size:1.1em;margin:2em 0 .5em}.dim{color:var(--dim)}
.pass{color:var(--lead)}.violation{color:var(--fault)}.unknown{color:var(--unknown)}
pre,code{background:var(--card);border-radius:4px;padding:.15em .4em;font-size:.9em}pre{padding:.8em;overflow:auto;white-space:pre-wrap}
table{border-collapse:collapse}td,th{padding:.2em .9em .2em 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
td.n{text-align:right}svg{width:100%;height:auto;display:block}svg text{fill:var(--dim);font-size:11px}";

/// The page.
#[must_use]
pub fn page(run: &Run, judgement: &Judgement, command: &str) -> String {
    let (class, headline) = match judgement.verdict {
        Verdict::Pass => ("pass", "Every check held"),
        Verdict::Violation => ("violation", "A promise was broken"),
        Verdict::Unknown => ("unknown", "Not enough is known to say"),
    };
    let count = |what: &str| judgement.coverage.get(what).copied().unwrap_or(0);
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport \
         content=\"width=device-width\"><title>signpost chaos: {headline}</title><style>{STYLE}\
         </style><h1 class={class}>{headline}</h1><p>{} operations at {} replicas, {} faults in \
         {} s; {} writes acknowledged, {} outcomes unknown. <span class=dim>Scenario \
         {}, seed {}, {}.</span></p>",
        count("operations"),
        run.scenario.replicas,
        count("faults"),
        (run.struck.1 - run.struck.0).as_secs(),
        count("acknowledged writes"),
        count("unknown outcomes"),
        escaped(&run.scenario.name),
        run.seed,
        escaped(&run.network),
    );
    let _ = write!(page, "<p>Run it again: <code>{}</code></p>", escaped(command));
    for violation in &judgement.violations {
        let (check, text) = (escaped(&violation.check), escaped(&violation.text));
        let _ = write!(page, "<pre><b class=violation>{check}</b> {text}</pre>");
    }
    for doubt in &judgement.doubts {
        let _ = write!(page, "<pre class=unknown>{}</pre>", escaped(&doubt.text));
    }
    page += "<h2>What happened</h2>";
    picture(&mut page, run);
    failovers(&mut page, judgement);
    coverage(&mut page, run, judgement);
    faults(&mut page, run);
    page
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn picture(page: &mut String, run: &Run) {
    let span = run.ended.as_secs_f64().max(0.001);
    let x = |at: Duration| LEFT + at.as_secs_f64() / span * WIDTH;
    let mut nodes: Vec<NodeId> = run.stood.iter().map(|stood| stood.node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let bands = nodes.len() as f64 * ROW;
    let faults_at = bands + 30.0;
    let latency_at = faults_at + 3.0 * ROW + 30.0;
    let height = latency_at + LATENCY + 40.0;
    let _ = write!(page, "<svg viewBox=\"0 0 {} {height}\">", LEFT + WIDTH + 10.0);
    for (row, node) in nodes.iter().enumerate() {
        let y = row as f64 * ROW;
        let _ = write!(page, "<text x=0 y={:.0}>replica {node}</text>", y + 14.0);
        let own: Vec<_> = run.stood.iter().filter(|stood| stood.node == *node).collect();
        for (at, stood) in own.iter().enumerate() {
            let until = own.get(at + 1).map_or(run.ended, |next| next.at);
            let color = match stood.role.as_str() {
                "leader" => "--lead",
                "silent" => "--silent",
                _ => "--follow",
            };
            bar(
                page,
                x(stood.at),
                x(until),
                y,
                color,
                &format!("{} in term {}", stood.role, stood.term),
            );
        }
    }
    for record in &run.faults {
        let y = faults_at + record.lane as u8 as f64 * ROW;
        let until = record.ended.unwrap_or(run.ended);
        let title = format!("{} {:?} {}", record.kind, record.nodes, record.note);
        bar(page, x(record.began), x(until).max(x(record.began) + 2.0), y, "--fault", &title);
    }
    for (row, name) in ["faults", "members", "brokers"].iter().enumerate() {
        let y = faults_at + row as f64 * ROW + 14.0;
        let _ = write!(page, "<text x=0 y={y:.0}>{name}</text>");
    }
    let height_of = |took: Duration| {
        let millis = (took.as_secs_f64() * 1_000.0).clamp(LATENCY_MIN_MS, LATENCY_MAX_MS);
        let share = (millis / LATENCY_MIN_MS).ln() / (LATENCY_MAX_MS / LATENCY_MIN_MS).ln();
        latency_at + LATENCY * (1.0 - share)
    };
    for millis in [1, 10, 100, 1_000] {
        let y = height_of(Duration::from_millis(millis));
        let _ = write!(
            page,
            "<text x=60 y={:.0}>{millis} ms</text><path d=\"M{LEFT} {y:.1}h{WIDTH}\" \
             stroke=\"var(--line)\"/>",
            y + 4.0
        );
    }
    dots(page, &run.operations, x, height_of);
    let step = (span / 12.0).ceil().max(1.0);
    for tick in 0..=(span / step) as u64 {
        let at = Duration::from_secs_f64(tick as f64 * step);
        let (x, y) = (x(at), latency_at + LATENCY + 20.0);
        let _ = write!(page, "<text x={x:.0} y={y:.0}>{} s</text>", at.as_secs());
    }
    *page += "</svg><p class=dim>Above: who leads (dark green), who follows (light), who does not \
        answer (grey). Middle: faults; point at one to read what it was. Below: each call, and how \
        long it took: answered (blue), surely not done (grey), outcome unknown (orange).</p>";
}

fn bar(page: &mut String, from: f64, to: f64, y: f64, color: &str, title: &str) {
    let (width, height) = ((to - from).max(0.5), ROW - 4.0);
    let title = escaped(title);
    let _ = write!(
        page,
        "<rect x={from:.1} y={y:.1} width={width:.1} height={height} rx=2 \
         fill=\"var({color})\"><title>{title}</title></rect>"
    );
}

/// A share of the answered calls, and all others.
fn dots(
    page: &mut String,
    operations: &[Operation],
    x: impl Fn(Duration) -> f64,
    y: impl Fn(Duration) -> f64,
) {
    let calls = operations.iter().filter(|one| !matches!(one.call, Call::Send(_)));
    let every = operations.len().div_ceil(DOTS_MAX).max(1);
    for (at, one) in calls.enumerate() {
        let (color, radius) = match one.outcome {
            Outcome::Answered(_) => ("--ok", 1.2),
            Outcome::Refused(_) => ("--refused", 1.2),
            Outcome::Unknown(_) => ("--unknown", 2.2),
        };
        if at % every == 0 || matches!(one.outcome, Outcome::Unknown(_)) {
            let (x, y) = (x(one.began), y(one.ended.saturating_sub(one.began)));
            let _ = write!(page, "<circle cx={x:.1} cy={y:.1} r={radius} fill=\"var({color})\"/>");
        }
    }
}

fn failovers(page: &mut String, judgement: &Judgement) {
    if judgement.failovers.is_empty() {
        return;
    }
    *page += "<h2>When the leader was taken away: until the next write went through</h2><svg \
        viewBox=\"0 0 1120 130\">";
    const STEP_MS: u128 = 100;
    const COLUMNS: usize = 21;
    let mut counts = [0_u32; COLUMNS];
    for failover in &judgement.failovers {
        let column = usize::try_from(failover.took.as_millis() / STEP_MS).unwrap_or(COLUMNS);
        counts[column.min(COLUMNS - 1)] += 1;
    }
    let most = f64::from(counts.iter().copied().max().unwrap_or(1).max(1));
    for (column, count) in counts.iter().enumerate() {
        let (x, height) = (column as f64 * 50.0 + 10.0, f64::from(*count) / most * 80.0);
        let from = column as u128 * STEP_MS;
        let _ = write!(
            page,
            "<rect x={x:.0} y={:.0} width=44 height={height:.0} rx=2 fill=\"var(--ok)\"/><text \
             x={x:.0} y=125>{from}{}</text>",
            105.0 - height,
            if column + 1 == COLUMNS { "+ ms" } else { "" }
        );
        if *count > 0 {
            let _ = write!(page, "<text x={:.0} y={:.0}>{count}</text>", x + 18.0, 100.0 - height);
        }
    }
    *page += "</svg>";
}

fn coverage(page: &mut String, run: &Run, judgement: &Judgement) {
    *page += "<h2>How often what happened</h2><table>";
    for (what, count) in &judgement.coverage {
        let _ = write!(page, "<tr><td class=n>{count}<td>{what}");
    }
    for (kind, why) in &run.left_out {
        let _ = write!(page, "<tr><td class=n>–<td>{kind} was left out: {}", escaped(why));
    }
    *page += "</table>";
}

fn faults(page: &mut String, run: &Run) {
    *page += "<h2>Faults</h2><table><tr><th>at<th>for<th>what<th>replicas<th>";
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
    *page += "</table>";
}
