//! `signpost demo`: a narrated failover.

use std::time::Duration;

use clap::Args;

use crate::units::parse_duration;

/// Shows a failover in under a minute: a cluster of its own, real processes, real kills
///
/// Three replicas and two brokers start on free ports, messages flow, the leader is killed, then
/// a broker. Ends with what was counted and measured; exit code 1 if a promise was broken.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long a broker lives without a heartbeat (RocketMQ's: 120s)
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = parse_duration)]
    pub(crate) lease_ttl: Duration,
    /// Between two looks for brokers that have fallen silent (RocketMQ's: 10s)
    #[arg(long, value_name = "DURATION", default_value = "250ms", value_parser = parse_duration)]
    pub(crate) scan_interval: Duration,
}
