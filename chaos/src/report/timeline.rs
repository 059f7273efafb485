//! The picture of a run: above, who led; below, what was done to them; then when nothing went through,
//! and how long each call took. All on one axis of time.

use std::fmt::Write as _;
use std::time::Duration;

use signpost_raft::machine::NodeId;

use super::escaped;
use crate::faults::kind::Lane;
use crate::history::{Call, Operation, Outcome};
use crate::run::Run;
use crate::watch::GONE;

/// The picture's width, without the names on its left, and one row's height.
const WIDTH: f64 = 1000.0;
const LEFT: f64 = 110.0;
const ROW: f64 = 22.0;
const SPACE: f64 = 14.0;
/// Height of the latencies; the highest that is shown, and the lowest.
const LATENCY: f64 = 170.0;
const LATENCY_MAX_MS: f64 = 3_000.0;
const LATENCY_MIN_MS: f64 = 0.3;
/// More dots than this show nothing more.
const DOTS_MAX: usize = 4_000;
/// A gap is a time of this length in which no call of a kind went through.
const GAP: Duration = Duration::from_millis(400);
/// A letter's width, on a bar.
const LETTER: f64 = 5.6;

/// A drawing that grows downwards.
struct Picture {
    svg: String,
    span: f64,
    y: f64,
}

impl Picture {
    fn x(&self, at: Duration) -> f64 {
        LEFT + at.as_secs_f64().min(self.span) / self.span * WIDTH
    }

    fn name(&mut self, name: &str) {
        let y = self.y + ROW - 8.0;
        let _ = write!(self.svg, "<text class=name x=0 y={y:.0}>{}</text>", escaped(name));
    }

    /// A bar in the present row, with more for who points at it.
    fn bar(&mut self, from: Duration, to: Duration, color: &str, title: &str) {
        let (x, end) = (self.x(from), self.x(to));
        let (y, width, height) = (self.y, (end - x).max(1.5), ROW - 4.0);
        let _ = write!(
            self.svg,
            "<rect x={x:.1} y={y:.1} width={width:.1} height={height} rx=2 \
             fill=\"var({color})\"><title>{}</title></rect>",
            escaped(title)
        );
    }

    /// A bar's label: on it, else behind it, if there is room until `free`.
    fn label(&mut self, from: Duration, to: Duration, free: Duration, label: &str) {
        let room = label.chars().count() as f64 * LETTER + 6.0;
        let (x, end) = (self.x(from), self.x(to));
        let (class, x) = if room < end - x {
            ("on", x + 4.0)
        } else if room < self.x(free) - end {
            ("beside", end + 4.0)
        } else {
            return;
        };
        let (y, label) = (self.y + ROW - 9.0, escaped(label));
        let _ = write!(self.svg, "<text class={class} x={x:.1} y={y:.1}>{label}</text>");
    }

    /// A line through everything, with a word at its foot.
    fn mark(&mut self, at: Duration, word: &str) {
        let (x, y) = (self.x(at), self.y);
        let _ = write!(
            self.svg,
            "<path d=\"M{x:.1} 0v{y:.0}\" stroke=\"var(--dim)\" stroke-dasharray=\"3 3\"/><text \
             x={:.1} y={:.0} text-anchor=end>{word}</text>",
            x - 4.0,
            y - 4.0
        );
    }
}

/// Draws a run.
pub(super) fn draw(page: &mut String, run: &Run) {
    let span = run.ended.as_secs_f64().max(0.001);
    let mut picture = Picture { svg: String::new(), span, y: 0.0 };
    replicas(&mut picture, run);
    picture.y += SPACE;
    let faults_from = picture.y;
    faults(&mut picture, run);
    picture.y += SPACE;
    for (name, gaps) in [
        ("no write", gaps(&run.operations, run.struck, |one| one.write().is_some())),
        (
            "no read",
            gaps(&run.operations, run.struck, |one| {
                one.read().is_some_and(|read| read.linearizable)
            }),
        ),
    ] {
        picture.name(name);
        for (at, (from, to)) in gaps.iter().enumerate() {
            let label = format!("{} ms", (*to - *from).as_millis());
            picture.bar(*from, *to, "--unknown", &format!("nothing for {label}"));
            let free = gaps.get(at + 1).map_or(run.ended, |next| next.0);
            picture.label(*from, *to, free, &label);
        }
        picture.y += ROW;
    }
    picture.y += SPACE;
    latencies(&mut picture, run);
    bands(&mut picture, run, faults_from);
    picture.mark(run.struck.1, "faults end");
    axis(&mut picture);
    let _ = write!(
        page,
        "<svg viewBox=\"0 0 {} {:.0}\" role=img>{}</svg>",
        LEFT + WIDTH + 10.0,
        picture.y,
        picture.svg
    );
    *page += "<div class=legend>";
    for (color, name) in [
        ("--lead", "leads"),
        ("--follow", "follows"),
        ("--candidate", "stands for election, or learns"),
        ("--silent", "does not answer"),
        ("--fault", "fault"),
        ("--unknown", "nothing went through for 400 ms or more; a call of unknown outcome"),
        ("--ok", "a call that was answered"),
        ("--refused", "a call that surely did nothing"),
    ] {
        let _ = write!(page, "<span><i style=\"background:var({color})\"></i>{name}</span>");
    }
    *page += "</div><p class=dim>Point at a bar to read what it was.</p>";
}

fn replicas(picture: &mut Picture, run: &Run) {
    let mut nodes: Vec<NodeId> = run.stood.iter().map(|stood| stood.node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    for node in nodes {
        picture.name(&format!("replica {node}"));
        let own: Vec<_> = run.stood.iter().filter(|stood| stood.node == node).collect();
        for (at, stood) in own.iter().enumerate().filter(|(_, stood)| stood.role != GONE) {
            let until = own.get(at + 1).map_or(run.ended, |next| next.at);
            let (color, label) = match stood.role.as_str() {
                "leader" => ("--lead", format!("leads, term {}", stood.term)),
                "follower" => ("--follow", String::new()),
                "silent" | "removed" => ("--silent", String::new()),
                _ => ("--candidate", String::new()),
            };
            let title = format!("replica {node}: {} in term {}", stood.role, stood.term);
            picture.bar(stood.at, until, color, &title);
            picture.label(stood.at, until, until, &label);
        }
        picture.y += ROW;
    }
}

fn faults(picture: &mut Picture, run: &Run) {
    for (lane, name, color) in [
        (Lane::Cluster, "faults", "--fault"),
        (Lane::Members, "members", "--members"),
        (Lane::Brokers, "brokers", "--brokers"),
    ] {
        let records: Vec<_> = run.faults.iter().filter(|record| record.lane == lane).collect();
        if records.is_empty() {
            continue;
        }
        picture.name(name);
        for (at, record) in records.iter().enumerate() {
            let until = record.ended.unwrap_or(run.ended);
            let failed = if record.failed { " (could not be made)" } else { "" };
            let nodes: Vec<String> = record.nodes.iter().map(ToString::to_string).collect();
            let nodes = nodes.join(", ");
            let title = format!("{}{failed}: replicas {nodes} {}", record.kind, record.note);
            picture.bar(record.began, until, color, &title);
            let free = records.get(at + 1).map_or(run.ended, |next| next.began);
            picture.label(record.began, until, free, record.kind.name());
        }
        picture.y += ROW;
    }
}

/// Faults of the replicas once more, faint, behind what follows from them.
fn bands(picture: &mut Picture, run: &Run, from: f64) {
    let mut bands = String::new();
    for record in run.faults.iter().filter(|record| record.lane == Lane::Cluster) {
        let x = picture.x(record.began);
        let width = (picture.x(record.ended.unwrap_or(run.ended)) - x).max(1.0);
        let height = picture.y - from;
        let _ = write!(
            bands,
            "<rect x={x:.1} y={from:.1} width={width:.1} height={height:.1} fill=\"var(--band)\"/>"
        );
    }
    picture.svg.insert_str(0, &bands);
}

fn latencies(picture: &mut Picture, run: &Run) {
    let top = picture.y;
    let height_of = |took: Duration| {
        let millis = (took.as_secs_f64() * 1_000.0).clamp(LATENCY_MIN_MS, LATENCY_MAX_MS);
        let share = (millis / LATENCY_MIN_MS).ln() / (LATENCY_MAX_MS / LATENCY_MIN_MS).ln();
        top + LATENCY * (1.0 - share)
    };
    picture.name("each call took");
    for millis in [1, 10, 100, 1_000] {
        let y = height_of(Duration::from_millis(millis));
        let _ = write!(
            picture.svg,
            "<text x={:.0} y={:.0} text-anchor=end>{millis} ms</text><path d=\"M{LEFT} \
             {y:.1}h{WIDTH}\" stroke=\"var(--line)\"/>",
            LEFT - 8.0,
            y + 4.0
        );
    }
    let calls: Vec<&Operation> =
        run.operations.iter().filter(|one| !matches!(one.call, Call::Send(_))).collect();
    let every = calls.len().div_ceil(DOTS_MAX).max(1);
    let unknown = calls.iter().filter(|one| matches!(one.outcome, Outcome::Unknown(_))).count();
    let every_unknown = unknown.div_ceil(DOTS_MAX).max(1);
    let mut unknown = 0;
    for (at, one) in calls.into_iter().enumerate() {
        let (color, radius, is_shown) = match one.outcome {
            Outcome::Answered(_) => ("--ok", 1.2, at % every == 0),
            Outcome::Refused(_) => ("--refused", 1.2, at % every == 0),
            Outcome::Unknown(_) => {
                unknown += 1;
                ("--unknown", 2.2, unknown % every_unknown == 0)
            }
        };
        if is_shown {
            let (x, y) = (picture.x(one.began), height_of(one.ended.saturating_sub(one.began)));
            let _ = write!(
                picture.svg,
                "<circle cx={x:.1} cy={y:.1} r={radius} fill=\"var({color})\"/>"
            );
        }
    }
    picture.y += LATENCY;
}

fn axis(picture: &mut Picture) {
    let step = round_step(picture.span / 12.0);
    for tick in 0..=(picture.span / step) as u64 {
        let at = Duration::from_secs_f64(tick as f64 * step);
        let (x, y) = (picture.x(at), picture.y + 18.0);
        let _ = write!(
            picture.svg,
            "<text x={x:.0} y={y:.0} text-anchor=middle>{} s</text>",
            at.as_secs()
        );
    }
    picture.y += 26.0;
}

/// A step between ticks that is easy to count by.
fn round_step(at_least: f64) -> f64 {
    let steps = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0];
    steps.into_iter().find(|step| *step >= at_least).unwrap_or(at_least.ceil())
}

/// Times in which calls of a kind were made, and none was answered.
fn gaps(
    operations: &[Operation],
    struck: (Duration, Duration),
    is_of_kind: impl Fn(&Operation) -> bool,
) -> Vec<(Duration, Duration)> {
    let answered = operations.iter().filter(|one| one.answer().is_some() && is_of_kind(one));
    let within = answered.map(|one| one.ended).filter(|at| *at >= struck.0);
    let mut ends: Vec<Duration> = within.collect();
    ends.sort_unstable();
    let pairs = ends.windows(2).map(|pair| (pair[0], pair[1]));
    pairs.filter(|(from, to)| *to - *from >= GAP && *from < struck.1).collect()
}

/// The longest time in which no write went through while faults struck.
pub(super) fn longest_gap(
    operations: &[Operation],
    struck: (Duration, Duration),
) -> Option<Duration> {
    let gaps = gaps(operations, struck, |one| one.write().is_some());
    gaps.into_iter().map(|(from, to)| to - from).max()
}
