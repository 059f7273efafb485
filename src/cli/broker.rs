//! `signpost broker`: an embedded broker.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::switch::Switch as _;
use crate::units::{parse_bytes, parse_duration, parse_host_port};

/// When a send is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Flush {
    /// Once it is on disk
    Sync,
    /// Once the system has it
    Async,
}

/// Runs an embedded broker, which registers itself once and renews its lease
///
/// Messages are on disk when they are acknowledged (see --flush). Restart it with the same options. Exit codes:
/// 0 stopped as asked, 1 could not start, 3 cannot go on (another process took over this name and
/// id, or the log is damaged: its last words say what to do), 64 wrong options.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Replicas of the name cluster; any of them will do, and none need be up
    #[arg(long, value_name = "URL,…", value_delimiter = ',', required = true)]
    pub(crate) namesrv: Vec<String>,
    /// The RocketMQ cluster that this broker belongs to
    #[arg(long, value_name = "NAME", default_value = "DefaultCluster")]
    pub(crate) cluster: String,
    /// Its name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// Its id: 0, the master; slaves are not offered yet
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) id: u64,
    /// Where to serve clients
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:10911",
          value_parser = parse_host_port)]
    pub(crate) listen: String,
    /// Where clients reach it [default: --listen, unless that is every address of the machine]
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_host_port)]
    pub(crate) advertise: Option<String>,
    /// Directory of this broker alone: messages, topics, groups, offsets, incarnation
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// How long it lives without a heartbeat [default: the name cluster's]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) lease_ttl: Option<Duration>,
    /// Take this name and id over from a live broker at another address
    #[arg(long, switch = false)]
    pub(crate) takeover: bool,
    /// Create topics with their first message
    #[arg(long, switch = true)]
    pub(crate) auto_create_topics: bool,
    /// Queues that a topic created so gets at most
    #[arg(long, value_name = "N", default_value = "4",
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) default_topic_queues: u32,
    /// Topics at most; beyond it none is made
    #[arg(long, value_name = "N", default_value = "10000",
          value_parser = clap::value_parser!(u32).range(16..))]
    pub(crate) topics_max: u32,
    /// Consumer groups at most; beyond it none is made
    #[arg(long, value_name = "N", default_value = "10000",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) groups_max: u32,
    /// Delays of the delay levels from 1 on (RocketMQ's messageDelayLevel); retries use them from
    /// level 3 on
    #[arg(long, value_name = "DURATION,…", value_delimiter = ',', value_parser = parse_duration,
          default_value = "1s,5s,10s,30s,1m,2m,3m,4m,5m,6m,7m,8m,9m,10m,20m,30m,1h,2h")]
    pub(crate) delay_levels: Vec<Duration>,
    /// Largest body of a message, 8MiB at most
    #[arg(long, value_name = "BYTES", default_value = "4MiB", value_parser = parse_bytes)]
    pub(crate) message_size_max: u64,
    /// Bytes of messages that wait to be stored; beyond it sends are answered SYSTEM_BUSY
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = parse_bytes)]
    pub(crate) pending_max: u64,
    /// Reads of messages at once
    #[arg(long, value_name = "N", default_value = "64",
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) reads_at_once: u32,
    /// Reads at once and waiting for their turn; beyond it they are answered SYSTEM_BUSY
    #[arg(long, value_name = "N", default_value = "10000",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) reads_max: u32,
    /// Pulls that wait for messages; beyond it they are told to come back soon (FLOW_CONTROL)
    #[arg(long, value_name = "N", default_value = "100000",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) held_pulls_max: u32,
    /// Connections at once; further ones wait
    #[arg(long, value_name = "N", default_value = "10000",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections_max: u32,
    /// Requests of one connection being answered at once, held pulls among them (three quarters
    /// of it at most); further ones are not read yet
    #[arg(long, value_name = "N", default_value = "4096",
          value_parser = clap::value_parser!(u32).range(4..))]
    pub(crate) in_flight_max: u32,
    /// Where to serve metrics for Prometheus, under /metrics, over HTTP [default: nowhere]
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_host_port)]
    pub(crate) metrics_listen: Option<String>,
    /// Size of one file of the message log, 1GiB at most
    #[arg(long, value_name = "BYTES", default_value = "1GiB", value_parser = parse_bytes)]
    pub(crate) segment_size: u64,
    /// When a send is acknowledged: once it is on disk, or once the system has it
    #[arg(long, value_name = "WHEN", value_enum, default_value = "sync")]
    pub(crate) flush: Flush,
    /// With --flush async: how often the log is synced; a power cut may take what came since
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "500ms")]
    pub(crate) flush_interval: Duration,
    /// How often queues and index are made durable; a start replays about as much of the log
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "5s")]
    pub(crate) checkpoint_interval: Duration,
    /// How long messages stay at least; then they go, a whole file of the log at a time
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "72h")]
    pub(crate) retention: Duration,
    /// With more than this share of the disk used, the oldest files of the log go whatever their age
    #[arg(long, value_name = "SHARE", default_value = "0.85")]
    pub(crate) disk_clean_above: f64,
    /// With more than this share of the disk used, sends are answered SERVICE_NOT_AVAILABLE
    #[arg(long, value_name = "SHARE", default_value = "0.9")]
    pub(crate) disk_refuse_above: f64,
    /// Stop when stdin ends: for a parent that wants no orphans
    #[arg(long, hide = true)]
    pub(crate) exit_on_stdin_close: bool,
}
