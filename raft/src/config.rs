//! How a replica is set up.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

use crate::machine::NodeId;

/// How a replica is set up. Durations are tokio's: a simulation may run them on virtual time.
#[derive(Debug, Clone)]
pub struct Config {
    /// The number of this replica, above 0 and never given to another.
    pub node_id: NodeId,
    /// The cluster's name: a guard against peers that were given the wrong addresses. The uuid
    /// that really tells clusters apart is minted at the founding.
    pub cluster_name: String,
    /// All founding replicas, this one too, as `host:port` of their peers' ports. Names are
    /// resolved again at each connection. Once there is a cluster, its membership counts instead.
    pub peers: BTreeMap<NodeId, String>,
    /// Where clients reach this replica's HTTP port, as told to the others.
    pub http_advertise: String,
    /// The same of its port for the application's own protocol; empty: it has none.
    pub remoting_advertise: String,
    /// Wait to be added to a founded cluster under a new number, instead of founding one.
    pub join: bool,
    /// A follower that hears nothing for `max` plus a random time between the two stands for
    /// election; also how long a leader may believe in itself without a quorum.
    pub election_timeout_min: Duration,
    /// See `election_timeout_min`.
    pub election_timeout_max: Duration,
    /// How often a leader shows itself when it has nothing to say.
    pub heartbeat_interval: Duration,
    /// Entries after which a snapshot is made.
    pub snapshot_every_entries: u64,
    /// Entries that stay in the log behind a snapshot, so that a follower that was away for a
    /// moment need not be sent the whole.
    pub log_keep_entries: u64,
    /// Bytes that the log may take, roughly, before a snapshot takes the place of all of it.
    pub log_bytes_max: u64,
    /// Proposals that may be under way at once; beyond it the answer is
    /// [`ProposeError::Overloaded`](crate::replica::ProposeError::Overloaded).
    pub proposals_max: usize,
    /// Seeds the elections' randomness.
    pub seed: u64,
    /// The identity that the data directory gets if it has none yet. Fresh randomness, always.
    pub fresh_disk_id: Uuid,
    /// Where to write the apply journal, if anywhere.
    pub journal: Option<PathBuf>,
}

impl Config {
    /// What is wrong with this configuration, if anything.
    ///
    /// # Errors
    /// A sentence that names the setting and what was expected.
    pub fn validate(&self) -> Result<(), String> {
        if self.node_id == 0 {
            return Err("node-id: expected a number above 0".into());
        }
        if self.cluster_name.is_empty() || self.cluster_name.len() > 255 {
            return Err("cluster-id: expected a name of 1 to 255 bytes".into());
        }
        if !self.join && !self.peers.contains_key(&self.node_id) {
            return Err(format!(
                "peers: expected this replica's own entry ({}=host:port) among them",
                self.node_id
            ));
        }
        if self.log_bytes_max < 1024 * 1024 {
            return Err("log-bytes-max: expected at least 1 MiB".into());
        }
        let (min, max) = (self.election_timeout_min, self.election_timeout_max);
        if min.is_zero() || max <= min {
            return Err("election-timeout: expected MIN..MAX with 0 < MIN < MAX".into());
        }
        if self.heartbeat_interval * 2 > min {
            return Err(format!(
                "election-timeout: MIN must be at least twice the heartbeat interval ({} ms)",
                self.heartbeat_interval.as_millis()
            ));
        }
        Ok(())
    }

    pub(crate) fn openraft(&self) -> openraft::Config {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        openraft::Config {
            cluster_name: self.cluster_name.clone(),
            election_timeout_min: ms(self.election_timeout_min),
            election_timeout_max: ms(self.election_timeout_max),
            heartbeat_interval: ms(self.heartbeat_interval),
            // The whole transfer, chunk by chunk and synced at the other end, not one message.
            install_snapshot_timeout: 120_000,
            snapshot_policy: openraft::SnapshotPolicy::LogsSinceLast(self.snapshot_every_entries),
            max_in_snapshot_log_to_keep: self.log_keep_entries,
            // Entries that a follower may lag before it is sent a snapshot instead; what has been
            // purged is sent as a snapshot in any case.
            replication_lag_threshold: self.snapshot_every_entries.max(self.log_keep_entries),
            max_payload_entries: 256,
            // Followers begin to write while the leader still syncs.
            broadcast_submitted_on_append: Some(true),
            enable_pre_vote: Some(true),
            // A restarted leader stands for election like anybody else.
            enable_leader_restore: Some(false),
            // A follower that has forgotten what it acknowledged may have forgotten its vote too: it
            // refuses to start (store::mark), and is not to be fed again as if nothing had happened.
            allow_log_reversion: Some(false),
            backoff: "50ms 100ms 200ms ...500ms".into(),
            ..openraft::Config::default()
        }
    }
}
