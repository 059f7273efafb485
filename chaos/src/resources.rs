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

/// How memory and descriptors of the longest-lived processes grew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Growth {
    /// Of the replica that grew fastest, by a straight line through its second half.
    pub mebibytes_per_minute: f64,
    /// The most that any replica had.
    pub peak_bytes: u64,
    /// Descriptors of the replica that gained most, from its middle to its end.
    pub descriptors_gained: i64,
    /// How long the line is that this was judged by.
    pub judged_s: f64,
}

/// None when no process lived long enough to say anything.
#[must_use]
pub fn growth(used: &[Used]) -> Option<Growth> {
    const AT_LEAST: usize = 12;
    let mut pids: Vec<u32> = used.iter().map(|one| one.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    let mut growth: Option<Growth> = None;
    for pid in pids {
        let of: Vec<&Used> = used.iter().filter(|one| one.pid == pid).collect();
        let late = &of[of.len() / 2..];
        let (Some(first), Some(last)) = (late.first(), late.last()) else { continue };
        if late.len() < AT_LEAST {
            continue;
        }
        let line = Growth {
            mebibytes_per_minute: slope(late),
            peak_bytes: of.iter().map(|one| one.resident_bytes).max().unwrap_or(0),
            descriptors_gained: last.descriptors as i64 - first.descriptors as i64,
            judged_s: (last.at - first.at).as_secs_f64(),
        };
        let worst = growth.get_or_insert(line);
        worst.mebibytes_per_minute = worst.mebibytes_per_minute.max(line.mebibytes_per_minute);
        worst.peak_bytes = worst.peak_bytes.max(line.peak_bytes);
        worst.descriptors_gained = worst.descriptors_gained.max(line.descriptors_gained);
        worst.judged_s = worst.judged_s.max(line.judged_s);
    }
    growth
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

    #[test]
    fn a_straight_line_is_found_in_the_second_half() {
        let used: Vec<Used> = (0..60)
            .map(|second| Used {
                at: Duration::from_secs(second),
                node: 1,
                pid: 7,
                // Warms up first, then grows by 6 MiB a minute.
                resident_bytes: if second < 30 { 1 << 30 } else { (second * 6) << 20 } / 60 * 60
                    / if second < 30 { 1 } else { 60 },
                descriptors: 40 + second / 30,
            })
            .collect();
        let growth = growth(&used).expect("long enough");
        assert!((growth.mebibytes_per_minute - 6.0).abs() < 0.5, "{growth:?}");
        assert_eq!(growth.descriptors_gained, 0);
        assert_eq!(super::growth(&used[..10]), None);
    }

    #[test]
    fn this_process_is_there() {
        let used = used(Duration::ZERO, 1, std::process::id()).expect("Linux");
        assert!(used.resident_bytes > 0 && used.descriptors > 0);
    }
}
