//! `signpost chaos`: faults, and proof.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::units::parse_duration;

/// Breaks a cluster of its own in every way it can, and proves that no promise was broken
///
/// Starts replicas, brokers and producers as processes on this machine, lets clients work on them,
/// injects faults from a seeded schedule, heals, kills everything once more, and then judges: each
/// answer that a client was given against a replay of what the replicas applied. With network
/// namespaces (as root, or where users may make them) packets are really lost, and nothing of this
/// machine's own network is touched; without, proxies stand between the replicas.
///
/// Exit codes: 0 every check held; 1 a promise was broken, or the run could not be made; 2 not enough
/// is known to say.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long faults strike [default: the scenario's, 60s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Which schedule of faults; printed by each run, to run it again [default: a random one]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Replicas of the name service: 3 or 5 [default: the scenario's, 3]
    #[arg(long, value_name = "N")]
    pub(crate) replicas: Option<u64>,
    /// Faults, by kind or group: all, none, kill, restart, leader-transfer, pause, network, disk,
    /// members, snapshot, clock, brokers, or one such as minority-leader [default: the scenario's, all]
    #[arg(long, value_name = "FAULT,…", value_delimiter = ',')]
    pub(crate) faults: Vec<String>,
    /// A TOML file that says what the run consists of
    #[arg(long, value_name = "FILE")]
    pub(crate) scenario: Option<PathBuf>,
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
