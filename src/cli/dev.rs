//! `signpost dev`: a cluster on this machine.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::local::plan::PORT_OFFSET_MAX;
use crate::units::parse_duration;

/// Runs three replicas and two brokers on this machine, and says what it sees
///
/// Replica n of 1..3 serves RocketMQ's protocol on 9876 + 10(n-1), HTTP on 8876 + 10(n-1) and its
/// peers on 7876 + 10(n-1); the brokers serve on 10911 and 10921, all on loopback. Ctrl-C stops
/// everything.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where to keep data and logs, for the next time too [default: a temporary directory, removed
    /// at the end]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Added to every port
    #[arg(long, value_name = "K", default_value = "0",
          value_parser = clap::value_parser!(u16).range(..=i64::from(PORT_OFFSET_MAX)))]
    pub(crate) port_offset: u16,
    /// How long a broker lives without a heartbeat; short, to see it happen (RocketMQ's: 120s)
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = parse_duration)]
    pub(crate) lease_ttl: Duration,
    /// Between two looks for brokers that have fallen silent (RocketMQ's: 10s)
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    pub(crate) scan_interval: Duration,
}
