//! What the name service's calls take and answer, where the log's own types do not say it.

use serde::{Deserialize, Serialize};
use signpost_raft::machine::{Index, NodeId};

use crate::routes::command::BrokerKey;

/// A sign of life from a broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Who.
    pub key: BrokerKey,
    /// The process; None: whichever made the registration.
    pub incarnation: Option<u64>,
    /// The registration that is meant.
    pub epoch: Index,
}

/// Answer to a registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Log index at which the registration began.
    pub epoch: Index,
    /// Log index at which this write took effect; of a retry, the index at which it was compared.
    pub index: Index,
    /// The ttl that holds, in milliseconds.
    pub lease_ttl_ms: u64,
    /// False: nothing was written, only the lease was renewed.
    pub changed: bool,
    /// For slaves: the live master's address and HA address.
    pub master: Option<(String, String)>,
}

/// Answer to a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// The registration that was renewed.
    pub epoch: Index,
    /// It lives this long from now on without another heartbeat, in milliseconds.
    pub lease_ttl_ms: u64,
    /// The tables' index at which it was judged.
    pub index: Index,
}

/// A stock broker's repeat of what it has registered before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// Who.
    pub key: BrokerKey,
    /// The registration that is meant.
    pub epoch: Index,
    /// The digest of its content when the very same registration was found to be unchanged; None:
    /// a mere sign of life.
    pub content_digest: Option<u64>,
}

/// Answer to a repeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RenewalAnswer {
    /// It says nothing new, and the lease was renewed.
    Unchanged {
        /// For slaves: the live master's address and HA address.
        master: Option<(String, String)>,
    },
    /// The registration has moved on, is gone, or is being decided.
    CompareAnew,
}

/// Answer to a stock broker's registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// What any registration is answered.
    pub registered: Registered,
    /// The digest of the content that it was compared with, if it was found to be unchanged.
    pub content_digest: Option<u64>,
}

/// Answer to a change of topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patched {
    /// The registration's epoch, unchanged.
    pub epoch: Index,
    /// Log index at which this write took effect.
    pub index: Index,
}

/// Answer to any other write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Log index at which it took effect.
    pub index: Index,
    /// Rows that it changed (topics, for a write permission; 0 or 1 for the rest).
    pub changed: u32,
}

/// Something that an operator should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Its name, e.g. `mass-expiry`.
    pub kind: String,
    /// What happened, and what can be done.
    pub detail: String,
    /// For how long it has stood, in milliseconds.
    pub age_ms: u64,
    /// The replica that raised it.
    pub node_id: NodeId,
}
