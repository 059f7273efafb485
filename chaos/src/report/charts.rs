//! How long failovers took, and how much memory the replicas had.

use std::fmt::Write as _;
use std::time::Duration;

use super::millis;
use crate::coverage::Failover;
use crate::resources::{Growth, Used};
use crate::run::Run;
use crate::series::quantile;

/// Both charts' width, and their bars' or lines' height.
const WIDTH: f64 = 1_100.0;
const HEIGHT: f64 = 110.0;
/// The histogram's columns, the last one for all that took longer.
const STEP_MS: u128 = 100;
const COLUMNS: usize = 25;
/// A shorter run says nothing of memory.
const MEMORY_MIN: Duration = Duration::from_secs(100);

/// How often which time was needed.
pub(super) fn failovers(page: &mut String, failovers: &[Failover]) {
    if failovers.is_empty() {
        return;
    }
    let mut counts = [0_u32; COLUMNS];
    for failover in failovers {
        let column = usize::try_from(failover.took.as_millis() / STEP_MS).unwrap_or(COLUMNS);
        counts[column.min(COLUMNS - 1)] += 1;
    }
    let most = f64::from(counts.iter().copied().max().unwrap_or(1).max(1));
    let at = |percent| millis(quantile(failovers, percent));
    let _ = write!(
        page,
        "<h2>Failovers</h2><p>The leader was taken away {} times. Until the first write that began \
         after it went through: median {}, 99 % {}, longest {}.</p><svg viewBox=\"0 0 {WIDTH} \
         {:.0}\" role=img>",
        failovers.len(),
        at(50),
        at(99),
        at(100),
        HEIGHT + 40.0
    );
    let step = WIDTH / COLUMNS as f64;
    for (column, count) in counts.iter().enumerate() {
        let (x, height) = (column as f64 * step, f64::from(*count) / most * HEIGHT);
        let (y, middle) = (HEIGHT + 18.0 - height, x + step / 2.0);
        let from = column as u128 * STEP_MS;
        let more = if column + 1 == COLUMNS { "+" } else { "" };
        let _ = write!(
            page,
            "<rect x={:.1} y={y:.1} width={:.1} height={height:.1} rx=2 fill=\"var(--ok)\"/><text \
             x={x:.0} y={:.0}>{from}{more}</text>",
            x + 1.0,
            step - 3.0,
            HEIGHT + 34.0
        );
        if *count > 0 {
            let y = y - 4.0;
            let _ = write!(
                page,
                "<text class=name x={middle:.0} y={y:.0} text-anchor=middle>{count}</text>"
            );
        }
    }
    *page += "</svg>";
}

/// Memory of each process, from its first look to its last.
pub(super) fn memory(page: &mut String, run: &Run, growth: Option<&Growth>) {
    if run.struck.1.saturating_sub(run.struck.0) < MEMORY_MIN || run.used.is_empty() {
        return;
    }
    let most = run.used.iter().map(|one| one.resident_bytes).max().unwrap_or(1).max(1);
    let span = run.struck.1.as_secs_f64().max(0.001);
    let point = |at: Duration, bytes: u64| {
        let x = at.as_secs_f64() / span * (WIDTH - 80.0) + 70.0;
        (x, 10.0 + HEIGHT * (1.0 - bytes as f64 / most as f64))
    };
    let _ = write!(
        page,
        "<h2>Memory of the replicas</h2><svg viewBox=\"0 0 {WIDTH} {:.0}\" role=img>",
        HEIGHT + 30.0
    );
    for share in [0, 1, 2] {
        let bytes = most / 2 * share;
        let (_, y) = point(Duration::ZERO, bytes);
        let _ = write!(
            page,
            "<text x=60 y={:.0} text-anchor=end>{} MiB</text><path d=\"M70 {y:.1}h{:.0}\" \
             stroke=\"var(--line)\"/>",
            y + 4.0,
            bytes >> 20,
            WIDTH - 80.0
        );
    }
    let mut pids: Vec<u32> = run.used.iter().map(|one| one.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    let colors = ["--ok", "--lead", "--members", "--brokers", "--unknown"];
    for pid in pids {
        let of: Vec<&Used> = run.used.iter().filter(|one| one.pid == pid).collect();
        let Some(first) = of.first() else { continue };
        let points = of.iter().map(|one| point(one.at, one.resident_bytes));
        let line: String = points.map(|(x, y)| format!("{x:.1},{y:.1} ")).collect();
        let color = colors[(first.node as usize) % colors.len()];
        let _ = write!(
            page,
            "<polyline points=\"{line}\" fill=none stroke=\"var({color})\" \
             stroke-width=2><title>replica {}, process {pid}</title></polyline>",
            first.node
        );
    }
    *page += "</svg>";
    if let Some(growth) = growth {
        let ((early, late), (opened, open)) = (growth.resident_bytes, growth.descriptors);
        let _ = write!(
            page,
            "<p>Replica {} gained most: from {} to {} MiB over {:.0} s ({:+.2} MiB a minute), and \
             from {opened} to {open} descriptors.</p>",
            growth.node,
            early >> 20,
            late >> 20,
            growth.judged_s,
            growth.mebibytes_per_minute
        );
    }
}
