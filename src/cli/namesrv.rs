//! `signpost namesrv`: one replica of the name service.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::switch::Switch as _;
use crate::units::{DurationRange, PeerEntry, parse_bytes, parse_duration, parse_host_port};

/// How reads over RocketMQ's protocol are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RemotingReads {
    /// Confirmed by a quorum, or an error
    Linearizable,
    /// Confirmed by a quorum; without one from this replica's tables, marked as such
    Fallback,
    /// From this replica's tables, always
    Local,
}

/// Runs one replica of the name service
///
/// Start every replica with the same --cluster-id and --peers, in any order; they found the
/// cluster together. Restart a replica with the same options. Exit codes: 0 stopped as asked,
/// 1 could not start, 3 cannot go on (wiped, refused by its cluster, or damaged: its last words
/// say what to do), 64 wrong options.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Number of this replica, at least 1, never given to another one again
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) node_id: u64,
    /// Name of the cluster: a guard against wrong addresses (its uuid is minted at the founding)
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster_id: String,
    /// Directory of this replica alone: log, tables, admin token
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Where to serve RocketMQ's own protocol: stock brokers, clients and tools. Opens when this
    /// replica has been fed for the first time
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:9876",
          value_parser = parse_host_port)]
    pub(crate) remoting_addr: String,
    /// Where to serve the HTTP API and metrics
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:8876",
          value_parser = parse_host_port)]
    pub(crate) http_addr: String,
    /// Where to serve the other replicas (Raft)
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:7876",
          value_parser = parse_host_port)]
    pub(crate) peer_addr: String,
    /// All founding replicas with their peers' ports, this one too: 1=host:port,2=host:port,…
    #[arg(long, value_name = "ID=HOST:PORT,…", value_delimiter = ',')]
    pub(crate) peers: Vec<PeerEntry>,
    /// Wait to be added to a running cluster under a new number, instead of founding one
    #[arg(long, switch = false)]
    pub(crate) join: bool,
    /// Where clients reach the HTTP API [default: the host of this replica's entry in --peers, and
    /// the port of --http-addr]. The others learn it when this replica becomes a member
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_host_port)]
    pub(crate) http_advertise: Option<String>,
    /// Where stock programs reach --remoting-addr, for the address server (/rocketmq/nsaddr over
    /// HTTP) [default: the host of --http-advertise, and the port of --remoting-addr]. The others
    /// learn it when this replica becomes a member
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_host_port)]
    pub(crate) remoting_advertise: Option<String>,
    /// How stock programs' reads are answered
    #[arg(long, value_enum, default_value = "fallback", value_name = "HOW")]
    pub(crate) remoting_reads: RemotingReads,
    /// How long such a read waits for a quorum before it falls back to this replica's tables
    #[arg(long, value_name = "DURATION", default_value = "300ms", value_parser = parse_duration)]
    pub(crate) remoting_read_patience: Duration,
    /// How long a broker lives without a heartbeat, unless it asks for another time
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = parse_duration)]
    pub(crate) lease_ttl: Duration,
    /// Between two looks for brokers that have fallen silent
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub(crate) scan_interval: Duration,
    /// From the start to the first such look
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    pub(crate) first_scan: Duration,
    /// A follower that hears nothing for MAX and a random time of MIN..MAX more stands for election
    #[arg(long, value_name = "MIN..MAX", default_value = "150ms..250ms")]
    pub(crate) election_timeout: DurationRange,
    /// How often the leader shows itself to its followers; at most half of the election MIN
    #[arg(long, value_name = "DURATION", default_value = "50ms", value_parser = parse_duration)]
    pub(crate) heartbeat_interval: Duration,
    /// Remove no broker while more than this share of them is missing at once (and at least five)
    #[arg(long, value_name = "SHARE", default_value = "0.5")]
    pub(crate) brake_share: f64,
    /// The brake lets go after this long, with its alarm standing
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_duration)]
    pub(crate) brake_hold: Duration,
    /// Routes carry the order configuration of their topic (RocketMQ's orderMessageEnable)
    #[arg(long, switch = false)]
    pub(crate) order_messages: bool,
    /// Routes show the smallest slave of a group that has lost its master, and allows it, as its
    /// master (RocketMQ's supportActingMaster)
    #[arg(long, switch = false)]
    pub(crate) acting_masters: bool,
    /// Tell the brokers of a group when its smallest id changes (RocketMQ's
    /// notifyMinBrokerIdChanged); the leader then dials the addresses that they have registered
    #[arg(long, switch = false)]
    pub(crate) notify_min_id_changed: bool,
    /// Registrations of stock brokers are answered with the order configuration (RocketMQ's
    /// returnOrderTopicConfigToBroker)
    #[arg(long, switch = true)]
    pub(crate) return_order_conf: bool,
    /// A stock broker that has closed all its connections, and opens none for so long, is removed
    /// without waiting for its lease to end; 0s: it is not
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    pub(crate) close_grace: Duration,
    /// Threads that serve everything (RocketMQ's serverWorkerThreads) [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) worker_threads: Option<u16>,
    /// Connections of RocketMQ's protocol at once; further ones wait
    #[arg(long, value_name = "N", default_value = "10000",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) remoting_connections_max: u32,
    /// Requests of one such connection being answered at once; further ones are not read yet
    #[arg(long, value_name = "N", default_value = "256",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) remoting_in_flight_max: u32,
    /// Largest registration of a broker
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = parse_bytes)]
    pub(crate) registration_bytes_max: u64,
    /// Connections of the HTTP API at once; further ones wait
    #[arg(long, value_name = "N", default_value = "10000",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections_max: u32,
    /// Writes being replicated at once; further ones are answered 429
    #[arg(long, value_name = "N", default_value = "4096",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) proposals_max: u32,
    /// Log entries after which a snapshot is made
    #[arg(long, value_name = "N", default_value = "20000",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) snapshot_every: u64,
    /// Log entries kept behind a snapshot, for followers that were away for a moment
    #[arg(long, value_name = "N", default_value = "5000")]
    pub(crate) log_keep: u64,
    /// Bytes that the log may take, roughly, before a snapshot takes the place of all of it
    #[arg(long, value_name = "BYTES", default_value = "256MiB", value_parser = parse_bytes)]
    pub(crate) log_bytes_max: u64,
    /// Memory for the cache of the disk store
    #[arg(long, value_name = "BYTES", default_value = "32MiB", value_parser = parse_bytes)]
    pub(crate) disk_cache: u64,
    /// Write every applied entry, its outcome and the tables' digest to this file, for checkers
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
    /// Stop when stdin ends: for a parent that wants no orphans
    #[arg(long, hide = true)]
    pub(crate) exit_on_stdin_close: bool,
}
