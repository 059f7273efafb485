//! One replica's settings: who it is, its times, and every bound, in one place, with the reasons
//! for a refusal in words that say what to write instead.

use std::time::Duration;

use signpost_raft::machine::NodeId;

use crate::errors::ServiceError;

/// Settings of one replica's name service.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeConfig {
    /// This replica's number.
    pub node_id: NodeId,
    /// The cluster's name, as given on the command line.
    pub cluster_name: String,
    /// Times.
    pub timings: Timings,
    /// Bounds.
    pub limits: Limits,
    /// The mass-expiry brake.
    pub brake: BrakeConfig,
    /// RocketMQ's `orderMessageEnable`: routes carry the order configuration of their topic.
    pub order_message_enable: bool,
    /// The door for RocketMQ's own protocol.
    pub remoting: RemotingConfig,
}

/// Settings of the door that speaks RocketMQ's own protocol (9876). Its connections say little of
/// what they want, so that these say it for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemotingConfig {
    /// `host:port` at which stock programs reach this replica's door; None: it has none.
    pub advertise: Option<String>,
    /// How reads are answered.
    pub reads: RemotingReads,
    /// How long a read waits for a quorum before it is answered from this replica's tables.
    pub read_patience: Duration,
    /// How long a write waits for its outcome; below the 5 s that `mqadmin` waits for its answer,
    /// so that it learns why.
    pub write_patience: Duration,
    /// RocketMQ's `supportActingMaster`: a route shows the smallest slave of a group that has lost
    /// its master, and allows it, under id 0.
    pub support_acting_master: bool,
    /// RocketMQ's `notifyMinBrokerIdChanged`: the brokers of a group are told when its smallest id
    /// changes. The leader dials the addresses that they have registered.
    pub notify_min_id_changed: bool,
    /// RocketMQ's `returnOrderTopicConfigToBroker`: the answer to a registration carries the order
    /// configuration.
    pub return_order_conf: bool,
    /// Connections at once; further ones wait in the system's backlog.
    pub connections: usize,
    /// Requests of one connection that are being answered at once; at the bound it is read no
    /// further.
    pub requests_in_flight: usize,
    /// Bytes that a registration may have once it is inflated; reading it takes four times those that
    /// it has, at most.
    pub inflated_bytes: usize,
    /// A broker that has closed all of its connections is expired when it has not come back after
    /// this long; zero: only its lease decides.
    pub close_grace: Duration,
    /// How long a stopping door waits for answers that are under way.
    pub drain: Duration,
}

/// How reads on 9876 are answered: stock clients cannot choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RemotingReads {
    /// Linearizable, or an error.
    Linearizable,
    /// Linearizable; local, and marked as such, at once when there is no leader, and when no
    /// quorum confirms within the patience.
    #[default]
    Fallback,
    /// From this replica's tables as they are, always.
    Local,
}

/// Every duration. RocketMQ's defaults; all may go down to milliseconds, for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// How often brokers are expected to renew.
    pub heartbeat: Duration,
    /// The ttl of registrations that do not name their own.
    pub lease_ttl: Duration,
    /// When the scanner looks for the first time after start.
    pub first_scan: Duration,
    /// Between two scans.
    pub scan_interval: Duration,
    /// The longest election time out: a leader may be deposed unnoticed for about that long.
    pub election_timeout_max: Duration,
    /// At most this long between two background read-index rounds.
    pub round_interval: Duration,
    /// The deadline of a call that names none.
    pub call_timeout: Duration,
    /// The latest deadline that a call may name.
    pub call_timeout_max: Duration,
    /// The longest wait of a waiting read.
    pub wait_max: Duration,
}

/// Every bound on what comes from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Writes that are being replicated at once, at the leader.
    pub proposals_in_flight: usize,
    /// Calls that this replica has forwarded and not had answered.
    pub forwards_in_flight: usize,
    /// Calls from other replicas that are being answered.
    pub forwarded_in_flight: usize,
    /// Registrations that wait for another one of the same or another broker.
    pub registrations_waiting: usize,
    /// Heartbeats and reads that wait for a read-index round or for an index.
    pub reads_waiting: usize,
    /// Waiting reads.
    pub waiters: usize,
    /// Topics of one read.
    pub topics_per_read: usize,
    /// Bytes of encoded route answers that are kept.
    pub answer_cache_bytes: usize,
    /// Topics of one registration.
    pub topics_per_registration: usize,
    /// Bytes of a registration's body.
    pub registration_bytes: usize,
    /// Bytes of any other body.
    pub body_bytes: usize,
    /// Connections of the HTTP door.
    pub connections: usize,
    /// The shortest ttl that a registration may ask for.
    pub lease_ttl_min: Duration,
    /// The longest.
    pub lease_ttl_max: Duration,
    /// Removed registrations that wait to be heard of by a slow listener.
    pub removal_events: usize,
}

/// When so many brokers go missing that it is likelier that we are cut off (docs/GUARANTEES.md,
/// "Mass-expiry brake").
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BrakeConfig {
    /// The brake holds when more than this share of the brokers alive a ttl ago is missing.
    pub share: f64,
    /// And at least this many.
    pub missing_min: usize,
    /// It lets go after this long, with the alarm standing.
    pub hold: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(30),
            lease_ttl: Duration::from_secs(120),
            first_scan: Duration::from_secs(5),
            scan_interval: Duration::from_secs(10),
            election_timeout_max: Duration::from_millis(300),
            round_interval: Duration::from_secs(1),
            call_timeout: Duration::from_secs(5),
            call_timeout_max: Duration::from_secs(60),
            wait_max: Duration::from_secs(60),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            proposals_in_flight: 4_096,
            forwards_in_flight: 8_192,
            forwarded_in_flight: 16_384,
            registrations_waiting: 4_096,
            reads_waiting: 65_536,
            waiters: 100_000,
            topics_per_read: 1_000,
            answer_cache_bytes: 64 * 1024 * 1024,
            topics_per_registration: 200_000,
            registration_bytes: 64 * 1024 * 1024,
            body_bytes: 1024 * 1024,
            connections: 10_000,
            lease_ttl_min: Duration::from_millis(10),
            lease_ttl_max: Duration::from_secs(24 * 3600),
            removal_events: 16_384,
        }
    }
}

impl Default for BrakeConfig {
    fn default() -> Self {
        Self { share: 0.5, missing_min: 5, hold: Duration::from_secs(600) }
    }
}

impl Default for RemotingConfig {
    fn default() -> Self {
        Self {
            advertise: None,
            reads: RemotingReads::default(),
            read_patience: Duration::from_millis(300),
            write_patience: Duration::from_secs(4),
            support_acting_master: false,
            notify_min_id_changed: false,
            return_order_conf: true,
            connections: 10_000,
            requests_in_flight: 256,
            inflated_bytes: 256 * 1024 * 1024,
            close_grace: Duration::from_secs(1),
            drain: Duration::from_secs(5),
        }
    }
}

impl NodeConfig {
    /// RocketMQ's defaults for this replica.
    #[must_use]
    pub fn new(node_id: NodeId, cluster_name: impl Into<String>) -> Self {
        Self {
            node_id,
            cluster_name: cluster_name.into(),
            timings: Timings::default(),
            limits: Limits::default(),
            brake: BrakeConfig::default(),
            order_message_enable: false,
            remoting: RemotingConfig::default(),
        }
    }

    /// Checks that the settings fit together.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] with the first setting that does not, and what was expected.
    pub fn validate(&self) -> Result<(), ServiceError> {
        let check = |holds: bool, field: &str, expected: String| {
            if holds { Ok(()) } else { Err(ServiceError::invalid(field, expected)) }
        };
        let (timings, limits) = (&self.timings, &self.limits);
        check(self.node_id > 0, "node-id", "a number of at least 1".into())?;
        check(!self.cluster_name.is_empty(), "cluster-id", "a name".into())?;
        for (field, value) in [
            ("heartbeat-interval", timings.heartbeat),
            ("lease-ttl", timings.lease_ttl),
            ("scan-interval", timings.scan_interval),
            ("election-timeout", timings.election_timeout_max),
            ("round-interval", timings.round_interval),
            ("call-timeout", timings.call_timeout),
            ("remoting-read-patience", self.remoting.read_patience),
            ("remoting-write-patience", self.remoting.write_patience),
        ] {
            check(
                value >= Duration::from_millis(1),
                field,
                format!("at least 1ms, but it is {value:?}"),
            )?;
        }
        check(
            timings.heartbeat < timings.lease_ttl,
            "heartbeat-interval",
            format!("less than lease-ttl ({:?}), or no broker could stay alive", timings.lease_ttl),
        )?;
        check(
            (limits.lease_ttl_min..=limits.lease_ttl_max).contains(&timings.lease_ttl),
            "lease-ttl",
            format!("between {:?} and {:?}", limits.lease_ttl_min, limits.lease_ttl_max),
        )?;
        check(
            limits.lease_ttl_min >= Duration::from_millis(8),
            "lease-ttl-min",
            "at least 8ms: a read-index round begins every eighth of a ttl".into(),
        )?;
        check(
            timings.call_timeout <= timings.call_timeout_max,
            "call-timeout",
            format!("at most call-timeout-max ({:?})", timings.call_timeout_max),
        )?;
        check(
            self.brake.share > 0.0 && self.brake.share <= 1.0,
            "brake-share",
            format!("a share above 0, up to 1, but it is {}", self.brake.share),
        )?;
        for (field, value) in [
            ("proposals-in-flight", limits.proposals_in_flight),
            ("forwards-in-flight", limits.forwards_in_flight),
            ("forwarded-in-flight", limits.forwarded_in_flight),
            ("registrations-waiting", limits.registrations_waiting),
            ("reads-waiting", limits.reads_waiting),
            ("topics-per-read", limits.topics_per_read),
            ("topics-per-registration", limits.topics_per_registration),
            ("registration-bytes", limits.registration_bytes),
            ("body-bytes", limits.body_bytes),
            ("connections", limits.connections),
            ("removal-events", limits.removal_events),
            ("remoting-connections", self.remoting.connections),
            ("remoting-in-flight", self.remoting.requests_in_flight),
            ("remoting-inflated-bytes", self.remoting.inflated_bytes),
        ] {
            check(value > 0, field, "at least 1".into())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        NodeConfig::new(1, "c").validate().expect("the defaults fit together");
    }

    #[test]
    fn each_nonsense_names_its_field() {
        type Spoil = fn(&mut NodeConfig);
        let cases: [(&str, Spoil); 10] = [
            ("node-id", |c| c.node_id = 0),
            ("cluster-id", |c| c.cluster_name.clear()),
            ("scan-interval", |c| c.timings.scan_interval = Duration::ZERO),
            ("heartbeat-interval", |c| c.timings.heartbeat = c.timings.lease_ttl),
            ("lease-ttl", |c| c.timings.lease_ttl = Duration::from_secs(1_000_000)),
            ("call-timeout", |c| c.timings.call_timeout = Duration::from_secs(3600)),
            ("brake-share", |c| c.brake.share = f64::NAN),
            ("connections", |c| c.limits.connections = 0),
            ("remoting-in-flight", |c| c.remoting.requests_in_flight = 0),
            ("remoting-read-patience", |c| c.remoting.read_patience = Duration::ZERO),
        ];
        for (expected, spoil) in cases {
            let mut config = NodeConfig::new(1, "c");
            spoil(&mut config);
            let refused = config.validate().expect_err(expected);
            assert_eq!(refused.wire().field, Some(expected));
        }
    }
}
