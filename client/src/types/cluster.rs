//! Operation: the name cluster's own state, members, alarms and probes.

use serde::{Deserialize, Serialize};

/// Answer of writes that have nothing else to say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Log index at which the write took effect.
    pub index: u64,
}

/// A replica as the membership knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Node id.
    pub id: u64,
    /// `voter` or `learner`.
    pub role: String,
    /// `host:port` of its Raft peers' port.
    pub peer: String,
    /// `host:port` of its HTTP API; empty while unknown.
    #[serde(default)]
    pub http: String,
    /// `host:port` of its door for RocketMQ's protocol; empty while unknown.
    #[serde(default)]
    pub remoting: String,
    /// Identity of its data directory (uuid).
    #[serde(default)]
    pub disk_id: String,
}

/// Answer to `GET /v1/cluster`: one replica's own view (a local read).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// The cluster's uuid; None before founding.
    #[serde(default)]
    pub cluster: Option<String>,
    /// The cluster's name, as configured.
    #[serde(default)]
    pub cluster_name: Option<String>,
    /// The answering replica.
    pub node_id: u64,
    /// `leader`, `follower`, `candidate`, `learner`, `waiting` or `removed`.
    pub role: String,
    /// Raft term.
    pub term: u64,
    /// Node id of the leader, if known.
    #[serde(default)]
    pub leader: Option<u64>,
    /// Highest applied log index.
    pub applied: u64,
    /// Digest of the tables at `applied`, hexadecimal.
    pub digest: String,
    /// Sorted by id.
    #[serde(default)]
    pub members: Vec<Member>,
}

/// Body of `POST /v1/cluster/members`: adds a learner.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddMember {
    /// Its node id, never used before.
    pub id: u64,
    /// `host:port` of its Raft peers' port.
    pub peer: String,
}

/// Body of `POST /v1/cluster/transfer`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TransferLeader {
    /// Node id of the voter that shall lead.
    pub leader: u64,
}

/// Something that an operator should know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alarm {
    /// Its name, e.g. `mass-expiry`.
    pub kind: String,
    /// What happened and what can be done.
    pub detail: String,
    /// Milliseconds for which it has stood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
}

/// Answer to `GET /v1/alarms`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarms {
    /// Sorted by kind.
    pub alarms: Vec<Alarm>,
}

/// Answer to `/livez` and `/readyz`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The verdict.
    pub ok: bool,
    /// Why not, when it is not.
    #[serde(default)]
    pub reasons: Vec<String>,
}
