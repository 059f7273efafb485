//! Memory and descriptors of the replicas' processes, as the system counts them: a long run shows
//! whether they stay flat.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use signpost_raft::machine::NodeId;

/// What one process had at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Since the run began.
    pub at: Duration,
    /// Which replica.
    pub node: NodeId,
    /// Its process: a restarted replica begins anew.
    pub pid: u32,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Open descriptors.
    pub descriptors: u64,
}

/// Looks at a process; None when it is gone or the system does not tell.
#[must_use]
pub fn used(at: Duration, node: NodeId, pid: u32) -> Option<Used> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    Some(Used { at, node, pid, resident_bytes: kibibytes * 1024, descriptors })
}

/// Memory may grow by so much between the two looks of [`growth`], and by so many of a hundred parts of
/// what it was: allocators keep some of what a process has freed.
const RESIDENT_SLACK_BYTES: u64 = 24 << 20;
const RESIDENT_SLACK_PERCENT: u64 = 15;
/// Descriptors may differ by so many: connections come and go.
const DESCRIPTORS_SLACK: u64 = 40;
/// At a share of the run, in hundredths, and at its end: each look lasts for so long a share of it.
const EARLY_PERCENT: u32 = 20;
const LOOK_PERCENT: u32 = 10;

/// How memory and descriptors of one process were after a fifth of the run, and at its end: in the
/// middle (median) of what was seen within a tenth of the run then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Growth {
    /// Which replica: of all that lived that long, the one whose memory grew most.
    pub node: NodeId,
    /// Resident memory, early and late.
    pub resident_bytes: (u64, u64),
    /// Open descriptors, early and late.
    pub descriptors: (u64, u64),
    /// The most resident memory that any replica had.
    pub peak_bytes: u64,
    /// By a straight line through all that was seen between the two looks.
    pub mebibytes_per_minute: f64,
    /// How long it is from the first look to the end.
    pub judged_s: f64,
}

impl Growth {
    /// What grew by more than it may.
    #[must_use]
    pub fn grown(&self) -> Vec<String> {
        let mut grown = Vec::new();
        let (early, late) = self.resident_bytes;
        let most = early + RESIDENT_SLACK_BYTES + early * RESIDENT_SLACK_PERCENT / 100;
        if late > most {
            grown.push(format!(
                "replica {}'s memory grew from {} to {} MiB; up to {} would do",
                self.node,
                early >> 20,
                late >> 20,
                most >> 20
            ));
        }
        let (early, late) = self.descriptors;
        if late > early + DESCRIPTORS_SLACK {
            grown.push(format!("replica {} went from {early} to {late} descriptors", self.node));
        }
        grown
    }
}

/// None when no process lived from the first look to the end.
#[must_use]
pub fn growth(used: &[Used], struck: (Duration, Duration)) -> Option<Growth> {
    let span = struck.1.saturating_sub(struck.0);
    let early = struck.0 + span * EARLY_PERCENT / 100;
    let (early_to, late) =
        (early + span * LOOK_PERCENT / 100, struck.1 - span * LOOK_PERCENT / 100);
    let mut pids: Vec<u32> = used.iter().map(|one| one.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    let grown = pids.into_iter().filter_map(|pid| {
        let of: Vec<&Used> = used.iter().filter(|one| one.pid == pid && one.at >= early).collect();
        let first: Vec<&Used> = of.iter().copied().filter(|one| one.at < early_to).collect();
        let last: Vec<&Used> = of.iter().copied().filter(|one| one.at >= late).collect();
        let (begin, end) = (first.first()?, last.last()?);
        Some(Growth {
            node: begin.node,
            resident_bytes: (
                median(&first, |one| one.resident_bytes),
                median(&last, |one| one.resident_bytes),
            ),
            descriptors: (
                median(&first, |one| one.descriptors),
                median(&last, |one| one.descriptors),
            ),
            peak_bytes: 0,
            mebibytes_per_minute: slope(&of),
            judged_s: (end.at - begin.at).as_secs_f64(),
        })
    });
    let gained =
        |growth: &Growth| growth.resident_bytes.1 as i128 - growth.resident_bytes.0 as i128;
    let mut worst = grown.max_by_key(gained)?;
    worst.peak_bytes = used.iter().map(|one| one.resident_bytes).max().unwrap_or(0);
    Some(worst)
}

fn median(used: &[&Used], of: impl Fn(&Used) -> u64) -> u64 {
    let mut all: Vec<u64> = used.iter().map(|one| of(one)).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or(0)
}

/// Least squares, in MiB a minute.
fn slope(used: &[&Used]) -> f64 {
    let points: Vec<(f64, f64)> = used
        .iter()
        .map(|one| (one.at.as_secs_f64() / 60.0, one.resident_bytes as f64 / f64::from(1 << 20)))
        .collect();
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let over: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let under: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    if under == 0.0 { 0.0 } else { over / under }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hundred seconds of a process, looked at each second.
    fn seen(resident: impl Fn(u64) -> u64, descriptors: impl Fn(u64) -> u64) -> Vec<Used> {
        let used = |second| Used {
            at: Duration::from_secs(second),
            node: 1,
            pid: 7,
            resident_bytes: resident(second),
            descriptors: descriptors(second),
        };
        (0..100).map(used).collect()
    }

    fn judged(used: &[Used]) -> Option<Growth> {
        growth(used, (Duration::ZERO, Duration::from_secs(100)))
    }

    #[test]
    fn what_warms_up_and_stays_is_flat() {
        let warm = seen(|second| second.min(19) << 24, |second| 40 + second % 7);
        let growth = judged(&warm).expect("long enough");
        assert_eq!(growth.grown(), Vec::<String>::new(), "{growth:?}");
        assert!(growth.mebibytes_per_minute.abs() < 0.1, "{growth:?}");
    }

    #[test]
    fn what_grows_on_is_told() {
        let leak = judged(&seen(|second| (100 + second) << 20, |_| 40)).expect("long enough");
        assert!((leak.mebibytes_per_minute - 60.0).abs() < 0.5, "{leak:?}");
        assert_eq!(leak.grown().len(), 1, "{leak:?}");
        let files = judged(&seen(|_| 1 << 20, |second| 40 + second)).expect("long enough");
        assert_eq!(files.grown().len(), 1, "{files:?}");
    }

    #[test]
    fn the_replica_that_grew_most_is_judged_and_one_that_was_restarted_is_not() {
        let mut used = seen(|_| 1 << 20, |_| 40);
        let leak = seen(|second| (100 + second) << 20, |_| 40);
        used.extend(leak.into_iter().map(|one| Used { node: 2, pid: 8, ..one }));
        assert_eq!(judged(&used).map(|growth| growth.node), Some(2));
        used.retain(|one| one.at < Duration::from_secs(50));
        assert_eq!(judged(&used), None);
        assert_eq!(judged(&[]), None);
    }

    #[test]
    fn this_process_is_there() {
        let used = used(Duration::ZERO, 1, std::process::id()).expect("Linux");
        assert!(used.resident_bytes > 0 && used.descriptors > 0);
    }
}
