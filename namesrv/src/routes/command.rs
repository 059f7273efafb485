//! What is proposed to the log, and what applying it answers.
//!
//! `RouteCommand` is in the log; `RemotingCommand` is on the wire. Both enums here are stored:
//! variants and fields are only ever appended, behind a `cluster_version`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use signpost_raft::machine::Index;

/// RocketMQ's name of a broker group: a master and its slaves share it.
pub type BrokerName = String;
/// A topic's name.
pub type Topic = String;
/// A RocketMQ cluster's name.
pub type ClusterName = String;

/// Who a broker is. Addresses may change; this does not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BrokerKey {
    /// The RocketMQ cluster it belongs to.
    pub cluster: ClusterName,
    /// The name that it shares with its master or slaves.
    pub name: BrokerName,
    /// 0 is the master.
    pub id: u64,
}

/// RocketMQ's `DataVersion`: kept and shown; compared only by the rules of 9876.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataVersion {
    /// Milliseconds since 1970, by the broker's clock.
    pub timestamp: i64,
    /// Grows with each change of the broker's topics.
    pub counter: i64,
    /// 5.x: the controller's epoch.
    pub state_version: i64,
}

/// A broker's share of a topic: RocketMQ's `QueueData` without the broker's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueConfig {
    /// Queues that consumers read.
    pub read_queues: u32,
    /// Queues that producers write.
    pub write_queues: u32,
    /// 4 read, 2 write, 1 inherit.
    pub perm: u32,
    /// RocketMQ's `topicSysFlag`.
    pub sys_flag: u32,
    /// Ordered, as its owner says. Not part of a route's queue data; kept for tools.
    pub order: bool,
}

/// RocketMQ's `TopicQueueMappingInfo`: which queues of a static topic one broker owns (5.x). Kept and
/// handed out as it came. Serialises to RocketMQ's JSON, keys sorted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueMapping {
    /// The broker that owns them.
    pub bname: BrokerName,
    /// The topic's queue → the broker's queue.
    pub curr_id_map: BTreeMap<i32, i32>,
    /// Set while the mapping is being moved.
    pub dirty: bool,
    /// Grows with each move; clients follow the newest.
    pub epoch: i64,
    /// `__global__`, mostly.
    pub scope: String,
    /// The topic.
    pub topic: Topic,
    /// How many queues the topic has on all brokers.
    pub total_queues: i32,
}

/// Where a registration came from: the two doors have different rules (docs/GUARANTEES.md,
/// "Registrations").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Door {
    /// `PUT` or `PATCH`: sequence numbers order, content decides, topics are replaced.
    Http,
    /// RocketMQ's `REGISTER_BROKER`: data versions decide, topics are merged.
    Remoting,
}

/// One process's one write: incarnations order processes, `seq` orders the writes of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Claim {
    /// The process. Below 2^53.
    pub incarnation: u64,
    /// The write.
    pub seq: u64,
}

/// What a difference was computed against; apply refuses it when the registration has moved on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The epoch of the registration.
    pub epoch: Index,
    /// The digest of its content (see `content.rs`).
    pub content_digest: u64,
}

/// A registration, or what changed in one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// Who.
    pub key: BrokerKey,
    /// By which door.
    pub door: Door,
    /// Which process and which write of it. None: made by hand; it counts as the live one's next
    /// write when the address is the same, else as an incarnation one above the highest known.
    pub claim: Option<Claim>,
    /// `host:port` that clients dial.
    pub address: String,
    /// `host:port` for replication; empty when there is none.
    pub ha_address: String,
    /// As the broker says.
    pub data_version: DataVersion,
    /// How long it lives without a heartbeat.
    pub lease_ttl_ms: u64,
    /// Filter servers of this broker. None leaves them, empty removes them.
    pub filter_servers: Option<Vec<String>>,
    /// 5.x: may a slave act as master in answers.
    pub enable_acting_master: Option<bool>,
    /// 5.x: the zone it stands in.
    pub zone: Option<String>,
    /// None begins a new epoch: `topics` then hold the whole content. Some: they hold what differs
    /// from that base.
    pub base: Option<Base>,
    /// Topics that are new or changed.
    pub topics: BTreeMap<Topic, QueueConfig>,
    /// Topics that the broker no longer has.
    pub gone: Vec<Topic>,
    /// May replace a live process that stands at another address.
    pub takeover: bool,
    /// Static topics: what this broker owns of them. Only of topics that are in `topics`.
    pub mappings: BTreeMap<Topic, QueueMapping>,
}

/// A change of some topics of a live registration (`PATCH`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// Who.
    pub key: BrokerKey,
    /// Which process and which write of it.
    pub claim: Claim,
    /// The registration that is meant.
    pub epoch: Index,
    /// As the broker says; None leaves it.
    pub data_version: Option<DataVersion>,
    /// None deletes the topic.
    pub topics: BTreeMap<Topic, Option<QueueConfig>>,
}

/// Takes a registration away at its owner's or an operator's wish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unregister {
    /// Who.
    pub key: BrokerKey,
    /// The writing process; None: by hand.
    pub claim: Option<Claim>,
    /// The registration that is meant; None: whichever is there.
    pub epoch: Option<Index>,
}

/// Why a lease ended without its owner's wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExpiryCause {
    /// No heartbeat for its whole ttl.
    Silent,
    /// It closed all the connections that had renewed it.
    Closed,
}

/// The scanner's verdict on one registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expire {
    /// Who.
    pub key: BrokerKey,
    /// The registration that was judged.
    pub epoch: Index,
    /// Why.
    pub cause: ExpiryCause,
}

/// A change of the route tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteCommand {
    /// Register a broker, or change its registration.
    Register(Register),
    /// Change some of its topics.
    Patch(Patch),
    /// Take it away.
    Unregister(Unregister),
    /// The leader's scanner found it silent.
    Expire(Expire),
    /// Wipe (RocketMQ 205) or restore (327) the write permission on all topics of a broker name.
    SetWritePermission {
        /// None: whatever cluster it is in, as on 9876.
        cluster: Option<ClusterName>,
        /// The broker name.
        broker_name: BrokerName,
        /// false clears bit 2; true sets perm to 6, as RocketMQ does.
        writable: bool,
    },
    /// Create or change a topic on named brokers. Unknown brokers are refused, all or none.
    PutTopic {
        /// The topic.
        topic: Topic,
        /// Its queues on each broker.
        brokers: BTreeMap<BrokerName, QueueConfig>,
    },
    /// Delete a topic everywhere, or from one cluster's brokers.
    DeleteTopic {
        /// The topic.
        topic: Topic,
        /// Only from this cluster's brokers.
        cluster: Option<ClusterName>,
    },
    /// Set a KV configuration.
    PutKv {
        /// Its namespace, e.g. `ORDER_TOPIC_CONFIG`.
        namespace: String,
        /// Its key.
        key: String,
        /// Its value.
        value: String,
        /// The `modified` that the key must have; 0: it must not exist.
        if_index: Option<Index>,
    },
    /// Delete a KV configuration.
    DeleteKv {
        /// Its namespace.
        namespace: String,
        /// Its key.
        key: String,
        /// The `modified` that the key must have.
        if_index: Option<Index>,
    },
    /// Raise the version that gates new commands and rules.
    SetClusterVersion(u32),
}

/// Why apply refused a command. Each is definite: nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// A newer process holds, or has held, this identity: stop.
    Superseded {
        /// The highest incarnation and seq known.
        highest: Claim,
    },
    /// Another process holds this identity at another address and is alive.
    LiveElsewhere {
        /// Its address.
        address: String,
    },
    /// A lower seq than one already seen, or the same one with other content.
    Stale {
        /// The highest incarnation and seq known.
        highest: Claim,
    },
    /// The registration has moved on: another epoch, or other content than the base.
    Moved {
        /// The live epoch.
        epoch: Index,
    },
    /// No such registration (any more): register again.
    NotRegistered,
    /// The same broker name lives in another cluster (HTTP only).
    NameInOtherCluster {
        /// That cluster.
        cluster: ClusterName,
    },
    /// A broker that a command names does not exist.
    UnknownBroker {
        /// Its name.
        broker_name: BrokerName,
    },
    /// `if_index` did not match.
    IndexMismatch {
        /// The key's index; 0: it does not exist.
        modified: Index,
    },
    /// This command needs a higher cluster version.
    ClusterVersion {
        /// The one in force.
        current: u32,
    },
}

/// What applying a command answers. The index of the answer is the entry's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteOutcome {
    /// The registration stands.
    Registered {
        /// The log index at which it began.
        epoch: Index,
        /// Did this begin a new epoch?
        new_epoch: bool,
        /// Did anything change at all (false: a retry)?
        changed: bool,
        /// For slaves: the live master's address and HA address.
        master: Option<(String, String)>,
    },
    /// Gone now, or already gone.
    Unregistered {
        /// Was it this command that removed it?
        removed: bool,
    },
    /// The lease has ended by this command.
    Expired,
    /// A write has been made.
    Written {
        /// Rows that changed.
        changed: u32,
    },
    /// Nothing was changed, and why.
    Refused(Refusal),
}
