//! `signpost chaos`: faults, and proof.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::units::parse_duration;

/// No series is longer.
const SEEDS_MAX: u64 = 100_000;

/// Breaks a cluster of its own in every way it can, and proves that no promise was broken
///
/// Starts replicas, brokers and producers as processes on this machine, lets clients work on them,
/// injects faults from a seeded schedule, heals, kills everything once more, and then judges: each
/// answer that a client was given against a replay of what the replicas applied. With network
/// namespaces (as root, or where users may make them) packets are really lost, and nothing of this
/// machine's own network is touched; without, proxies stand between the replicas. What this machine
/// does not allow is left out, and said to be.
///
/// With --observe nothing is started or broken: clients work on a running cluster, under names of
/// their own that they take away again, and the checks that can be made from outside are made.
///
/// Exit codes: 0 every check held; 1 a promise was broken, or the run could not be made; 2 not enough
/// is known to say.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// How long faults strike [default: the scenario's, 60s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Which schedule of faults; printed by each run, to run it again [default: a random one]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Many runs, one for each of these seeds, such as 1..=100; ends with one summary
    #[arg(long, value_name = "FROM..=TO", value_parser = parse_seeds, conflicts_with_all = ["seed", "observe", "history", "data_dir"])]
    pub(crate) seeds: Option<(u64, u64)>,
    /// So many of these runs go on at the same time
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_at_once)]
    pub(crate) at_once: usize,
    /// A running cluster to be observed, by its replicas' HTTP addresses: nothing is broken
    #[arg(long, value_name = "URL,…", value_delimiter = ',', conflicts_with_all = ["faults", "scenario", "replicas", "brokers", "producers", "data_dir"])]
    pub(crate) observe: Vec<String>,
    /// Replicas of the name service: 3 or 5 [default: the scenario's, 3]
    #[arg(long, value_name = "N")]
    pub(crate) replicas: Option<u64>,
    /// Faults, by kind or group: all, none, kill, restart, leader-transfer, pause, network, disk,
    /// members, snapshot, clock, brokers, or one such as minority-leader [default: the scenario's, all]
    #[arg(long, value_name = "FAULT,…", value_delimiter = ',')]
    pub(crate) faults: Vec<String>,
    /// What the run consists of: a TOML file, or one that comes with the program: failover,
    /// five-replicas, pauses, partitions, one-way, bad-links, members, disks, storms, restarts,
    /// snapshots, short-leases, soak; or all: each of them but soak in turn, by seed
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) scenario: Option<String>,
    /// Embedded brokers [default: the scenario's, 2]
    #[arg(long, value_name = "N")]
    pub(crate) brokers: Option<u64>,
    /// Producers that send to them [default: the scenario's, 1]
    #[arg(long, value_name = "N")]
    pub(crate) producers: Option<u64>,
    /// Where to write the report, a page for a browser
    #[arg(long, value_name = "FILE", default_value = "signpost-chaos.html")]
    pub(crate) report: PathBuf,
    /// Where to write what clients did and were told, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub(crate) history: Option<PathBuf>,
    /// Where to keep data, journals and logs [default: a temporary directory, removed unless
    /// something is wrong]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// This process has been started inside namespaces of its own
    #[arg(long, hide = true)]
    pub(crate) inside_namespaces: bool,
}

/// `3..=7`, `3..8` or `3`.
fn parse_seeds(text: &str) -> Result<(u64, u64), String> {
    const EXPECTED: &str = "expected seeds from..=to, such as 1..=100";
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| EXPECTED.to_owned());
    let (from, to) = match text.split_once("..") {
        None => (number(text)?, number(text)?),
        Some((from, to)) => match to.strip_prefix('=') {
            Some(last) => (number(from)?, number(last)?),
            None => (number(from)?, number(to)?.checked_sub(1).ok_or(EXPECTED)?),
        },
    };
    if to < from {
        return Err(format!("{EXPECTED}: there are none from {from} to {to}"));
    }
    if to - from >= SEEDS_MAX {
        return Err(format!("at most {SEEDS_MAX} runs"));
    }
    Ok((from, to))
}

fn parse_at_once(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=64) => Ok(count),
        _ => Err("expected a number from 1 to 64".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read_as_they_are_written() {
        assert_eq!(parse_seeds("1..=100"), Ok((1, 100)));
        assert_eq!(parse_seeds("5..8"), Ok((5, 7)));
        assert_eq!(parse_seeds("9"), Ok((9, 9)));
        for wrong in ["", "a", "3..=", "..=3", "7..=6", "0..0", "0..=1000000", "1...3"] {
            assert!(parse_seeds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn runs_at_once_are_bounded() {
        assert_eq!(parse_at_once("2"), Ok(2));
        assert!(parse_at_once("0").is_err() && parse_at_once("65").is_err());
    }
}
