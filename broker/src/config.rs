//! What a broker is told at its start.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::store::StoreOptions;
use crate::store::flush::Flush;
use crate::store::retention::Retention;
use crate::store::tags::DELAY_LEVELS_MS;
use crate::topics;

/// Largest id of a broker that this one can be: a master.
const MASTER_ID: u64 = 0;
/// A segment's size is a signed 32-bit integer to RocketMQ.
const SEGMENT_MAX_BYTES: u64 = 1 << 30;
/// Most delay levels: each is a queue.
const DELAY_LEVELS_MAX: usize = 64;
/// Longest delay.
const DELAY_MAX_MS: i64 = 30 * 24 * 3_600_000;
/// Bytes of a stored message besides its body, at most: properties, topic, fixed part, mark.
const MESSAGE_OVERHEAD_BYTES: u64 = 64 * 1024;

/// When a send is acknowledged (RocketMQ's `flushDiskType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlushMode {
    /// Once it is on disk.
    Sync,
    /// Once the system has it; it is on disk at most about `flush-interval` later.
    Async,
}

/// Configuration of a broker. Every field has a default but the name replicas.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct BrokerConfig {
    /// HTTP addresses of the name replicas, `http://host:port`.
    pub namesrv: Vec<String>,
    /// RocketMQ cluster.
    pub cluster: String,
    /// Broker name.
    pub name: String,
    /// Broker id: 0, a master. Slaves need replication, which this broker does not have.
    pub id: u64,
    /// Where to listen, `ip:port`.
    pub listen: String,
    /// Where clients find it, `host:port`; by default where it listens.
    pub advertise: Option<String>,
    /// Directory of everything it keeps; made if missing, used by one broker at a time.
    pub data_dir: PathBuf,
    /// Lease it asks for, in ms; by default the name cluster's.
    pub lease_ttl_ms: Option<u64>,
    /// Take the identity from a live broker at another address.
    pub takeover: bool,
    /// Make topics at their first message (through the default topic TBW102).
    pub auto_create_topics: bool,
    /// Queues of the default topic: the most that a topic made at its first message gets.
    pub default_topic_queue_nums: u32,
    /// Most topics; beyond it none is made.
    pub max_topics: usize,
    /// Largest body of a message, in bytes.
    pub max_message_bytes: usize,
    /// Size of a commit log segment, in bytes.
    pub segment_bytes: u64,
    /// When a send is acknowledged.
    pub flush: FlushMode,
    /// With asynchronous flush: between two syncs of the log, in ms.
    pub flush_interval_ms: u64,
    /// Messages stay for so long at least, in ms; then they go with their segment.
    pub retention_ms: u64,
    /// With more than this share of the disk used, the oldest segments go whatever their age.
    pub disk_clean_above: f64,
    /// With more than this share of the disk used, sends are refused.
    pub disk_refuse_above: f64,
    /// Queues and index are made durable so often, in ms: a start replays about as much of the log.
    pub checkpoint_interval_ms: u64,
    /// Most bytes of messages that wait to be synced; beyond it sends are answered "busy".
    pub max_pending_bytes: usize,
    /// Delays of the levels from 1 on, in ms.
    pub delay_levels_ms: Vec<i64>,
    /// Most consumer groups; beyond it none is made.
    pub max_groups: usize,
    /// Pulls that may wait for messages at once; a further one is told to come back soon.
    pub max_held_pulls: usize,
    /// Reads of the store at once.
    pub reads_at_once: usize,
    /// Reads of the store at once and waiting for their turn; beyond it they are answered "busy".
    pub max_pending_reads: usize,
    /// Most requests of one connection that are being served at once, held pulls included; at
    /// the bound no more is read from it. A quarter is kept from held pulls.
    pub max_in_flight: usize,
    /// Where to serve Prometheus' metrics over HTTP, `ip:port`; by default nowhere.
    pub metrics_listen: Option<String>,
    /// Most connections at once.
    pub max_connections: usize,
    /// A connection on which nothing moves for this long is closed, in ms.
    pub idle_ms: u64,
    /// How long a stop waits for the name cluster, and then for answers in flight, in ms each.
    pub drain_ms: u64,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            namesrv: Vec::new(),
            cluster: "DefaultCluster".to_owned(),
            name: "broker-a".to_owned(),
            id: MASTER_ID,
            listen: "127.0.0.1:10911".to_owned(),
            advertise: None,
            data_dir: PathBuf::from("broker-data"),
            lease_ttl_ms: None,
            takeover: false,
            auto_create_topics: true,
            default_topic_queue_nums: 4,
            max_topics: 10_000,
            max_message_bytes: 4 * 1024 * 1024,
            segment_bytes: 1 << 30,
            flush: FlushMode::Sync,
            flush_interval_ms: 500,
            retention_ms: 72 * 3_600_000,
            disk_clean_above: 0.85,
            disk_refuse_above: 0.90,
            checkpoint_interval_ms: 5_000,
            max_pending_bytes: 64 * 1024 * 1024,
            delay_levels_ms: DELAY_LEVELS_MS.to_vec(),
            max_groups: 10_000,
            max_held_pulls: 100_000,
            reads_at_once: 64,
            max_pending_reads: 10_000,
            max_in_flight: 4096,
            metrics_listen: None,
            max_connections: 10_000,
            idle_ms: 120_000,
            drain_ms: 5_000,
        }
    }
}

/// A configuration that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct ConfigError {
    /// Which field, as `signpost broker` names its option.
    pub field: &'static str,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl BrokerConfig {
    /// How the store of this broker behaves, whose log has this id.
    pub(crate) fn store_options(&self, log_id: u64) -> StoreOptions {
        let interval = Duration::from_millis(self.flush_interval_ms);
        StoreOptions {
            segment_bytes: self.segment_bytes,
            max_pending_bytes: self.max_pending_bytes,
            flush: match self.flush {
                FlushMode::Sync => Flush::Sync,
                FlushMode::Async => Flush::Async { interval },
            },
            checkpoint_every: Duration::from_millis(self.checkpoint_interval_ms),
            retention: Retention {
                age: Duration::from_millis(self.retention_ms),
                clean_above: self.disk_clean_above,
                refuse_above: self.disk_refuse_above,
            },
            ..StoreOptions::of(log_id)
        }
    }

    /// Checks what can be checked without touching anything.
    pub fn check(&self) -> Result<(), ConfigError> {
        let error = |field, problem: String| Err(ConfigError { field, problem });
        if self.namesrv.is_empty() {
            return error("namesrv", "must name at least one replica, as http://host:port".into());
        }
        if self.id != MASTER_ID {
            let why = "must be 0: this broker does not replicate yet, so it can only be a master; \
                       give each broker a name of its own instead";
            return error("id", format!("{why} (got {})", self.id));
        }
        for (field, name) in [("cluster", &self.cluster), ("name", &self.name)] {
            if let Err(problem) = topics::check_name(name) {
                return error(field, problem);
            }
        }
        if !(1..=1024).contains(&self.default_topic_queue_nums) {
            return error("default-topic-queues", "must be from 1 to 1024".into());
        }
        if self.max_topics < 16 {
            return error("topics-max", "must be at least 16".into());
        }
        if !(1..=8 << 20).contains(&self.max_message_bytes) {
            return error("message-size-max", "must be from 1 to 8388608 (8 MiB)".into());
        }
        let least = self.max_message_bytes as u64 + MESSAGE_OVERHEAD_BYTES;
        if !(least..=SEGMENT_MAX_BYTES).contains(&self.segment_bytes) {
            let problem = format!(
                "must be from {least} (message-size-max and what belongs to it) to \
                 {SEGMENT_MAX_BYTES} (1 GiB)"
            );
            return error("segment-size", problem);
        }
        if (self.max_pending_bytes as u64) < least {
            return error("pending-max", format!("must be at least {least}"));
        }
        if self.delay_levels_ms.is_empty()
            || self.delay_levels_ms.len() > DELAY_LEVELS_MAX
            || self.delay_levels_ms.iter().any(|delay| !(1..=DELAY_MAX_MS).contains(delay))
        {
            let problem = format!(
                "must be from 1 to {DELAY_LEVELS_MAX} delays, each of at least 1 ms and at most 30 days"
            );
            return error("delay-levels", problem);
        }
        for (field, number, least) in [
            ("groups-max", self.max_groups, 1),
            ("held-pulls-max", self.max_held_pulls, 1),
            ("reads-at-once", self.reads_at_once, 1),
            ("reads-max", self.max_pending_reads, 1),
            ("in-flight-max", self.max_in_flight, 4),
        ] {
            if number < least {
                return error(field, format!("must be at least {least}"));
            }
        }
        let longest_delay = self.delay_levels_ms.iter().copied().max().unwrap_or_default();
        if self.retention_ms <= longest_delay.unsigned_abs() {
            let problem = format!(
                "must be longer than the longest delay level ({longest_delay} ms): delayed messages \
                 would go before they are due"
            );
            return error("retention", problem);
        }
        if self.flush_interval_ms == 0 || self.checkpoint_interval_ms == 0 {
            return error(
                "flush-interval",
                "and `checkpoint-interval` must be at least 1 ms".into(),
            );
        }
        if !(0.0..=1.0).contains(&self.disk_clean_above)
            || !(self.disk_clean_above..=1.0).contains(&self.disk_refuse_above)
        {
            let problem = "must be from 0 to 1, and `disk-refuse-above` from there to 1";
            return error("disk-clean-above", problem.into());
        }
        if self.max_connections == 0 || self.idle_ms == 0 {
            return error("connections-max", "and `idle-ms` must be at least 1".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused_with_the_field_s_name() {
        let good = BrokerConfig { namesrv: vec!["http://n:8876".into()], ..Default::default() };
        assert_eq!(good.check(), Ok(()));
        type Change = fn(&mut BrokerConfig);
        let wrong: [(&str, Change); 16] = [
            ("retention", |config| config.retention_ms = 7_200_000),
            ("flush-interval", |config| config.flush_interval_ms = 0),
            ("disk-clean-above", |config| config.disk_clean_above = 0.95),
            ("disk-clean-above", |config| config.disk_refuse_above = 1.5),
            ("delay-levels", |config| config.delay_levels_ms.clear()),
            ("in-flight-max", |config| config.max_in_flight = 3),
            ("namesrv", |config| config.namesrv.clear()),
            ("id", |config| config.id = 1),
            ("cluster", |config| config.cluster = String::new()),
            ("name", |config| config.name = "a b".into()),
            ("default-topic-queues", |config| config.default_topic_queue_nums = 0),
            ("topics-max", |config| config.max_topics = 1),
            ("message-size-max", |config| config.max_message_bytes = 9 << 20),
            ("segment-size", |config| config.segment_bytes = 4096),
            ("pending-max", |config| config.max_pending_bytes = 4096),
            ("connections-max", |config| config.max_connections = 0),
        ];
        for (field, change) in wrong {
            let mut config = good.clone();
            change(&mut config);
            assert_eq!(config.check().unwrap_err().field, field);
        }
    }
}
