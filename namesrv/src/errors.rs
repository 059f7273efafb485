//! Why a call was not done, or may not have been: one error for both doors. How it is told there:
//! [`ServiceError::wire`].

mod wire;

use serde::{Deserialize, Serialize};
use signpost_raft::machine::{Index, NodeId};
use signpost_remoting::namesrv::HeaderError;
use uuid::Uuid;

pub use self::wire::WireError;
use self::wire::{describe_missing, describe_unavailable};
use crate::routes::command::{Claim, Refusal};

/// What was looked for and does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Missing {
    /// A topic; the index of its deletion, or the replica's floor, goes into `Signpost-Modified`.
    Topic {
        /// Its name.
        topic: String,
        /// Where its absence was read.
        modified: Index,
    },
    /// A key of the KV configuration.
    KvKey {
        /// The namespace.
        namespace: String,
        /// The key.
        key: String,
    },
    /// A broker name that a write names.
    Broker(String),
    /// An alarm.
    Alarm(String),
    /// A namespace of the KV configuration.
    KvNamespace(String),
}

/// Why a replica cannot serve at the moment. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unavailable {
    /// There is no leader, as far as this replica knows.
    NoLeader,
    /// A forwarded call reached a replica that does not lead. Calls are forwarded once only.
    NotLeader {
        /// Who does, as far as that replica knows.
        leader: Option<NodeId>,
    },
    /// The leader could not be reached; the request was not sent.
    LeaderUnreachable(String),
    /// No quorum confirmed the read, or the leadership, before the deadline.
    NoQuorum,
    /// This replica has not applied up to `min_index` before the deadline.
    Behind {
        /// What it has applied.
        applied: Index,
        /// What was asked for.
        min_index: Index,
    },
    /// A lease's expiry was being decided, and a change of leadership hid the outcome.
    ExpiryUndecided,
    /// The registration kept changing while it was being compared.
    Contended,
    /// This replica has never been fed: it must not say that something does not exist.
    NotFed,
    /// This replica is stopping.
    Stopping,
    /// The cluster's version is still too low for this command: finish the rolling upgrade.
    ClusterVersion {
        /// The one in force.
        current: u32,
    },
    /// The call is not possible now (membership and leadership), and why.
    Refused(String),
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ServiceError {
    /// The request itself is wrong.
    #[error("{field}: expected {expected}")]
    Invalid {
        /// Which field.
        field: String,
        /// What was expected there.
        expected: String,
    },
    /// An admin call without the admin token.
    #[error("this call needs the admin token of this replica (<data-dir>/admin-token)")]
    Unauthorized,
    /// What was asked for does not exist.
    #[error("{}", describe_missing(.0))]
    NotFound(Missing),
    /// A newer process holds this identity: the only error that tells a broker to stop.
    #[error("superseded: incarnation {} holds this identity", highest.incarnation)]
    Superseded {
        /// The highest incarnation and seq known.
        highest: Claim,
    },
    /// Another live process holds this identity at another address.
    #[error("this identity is alive at {address}; stop that process, or claim with takeover=true")]
    LiveElsewhere {
        /// Where.
        address: String,
    },
    /// The broker name lives in another RocketMQ cluster.
    #[error("this broker name is registered in cluster {cluster}; choose another name")]
    NameInOtherCluster {
        /// Which.
        cluster: String,
    },
    /// A lower seq than one already seen, or the same with other content.
    #[error(
        "stale: incarnation {} has already written seq {}",
        highest.incarnation,
        highest.seq
    )]
    Stale {
        /// The highest incarnation and seq known.
        highest: Claim,
    },
    /// The registration has moved on to another epoch.
    #[error("moved: the live registration's epoch is {epoch}")]
    Moved {
        /// The live epoch.
        epoch: Index,
    },
    /// The caller's index, epoch or cache belongs to another history of this cluster.
    #[error("this is another history of the cluster; drop indices, epochs and caches")]
    OtherHistory {
        /// This replica's cluster.
        cluster: Option<Uuid>,
    },
    /// There is no such registration any more: register again.
    #[error("expired: this registration is gone; register again")]
    Expired,
    /// `if_index` did not match.
    #[error("the key's modified index is {modified}, not the one asked for")]
    IndexMismatch {
        /// The key's index; 0: it does not exist.
        modified: Index,
    },
    /// The request is larger than a limit.
    #[error("{what} is larger than the limit of {limit}")]
    TooLarge {
        /// What.
        what: String,
        /// The limit, in the unit that `what` names.
        limit: u64,
    },
    /// This replica has been removed from its cluster.
    #[error("this replica was removed from the cluster; ask {}", peers.join(", "))]
    Removed {
        /// HTTP addresses of the members that it last knew.
        peers: Vec<String>,
    },
    /// A bound on concurrent work was reached. Nothing was done.
    #[error("overloaded: too many {what}; retry later")]
    Overloaded {
        /// Of what there are too many.
        what: String,
    },
    /// Surely not done.
    #[error("{}", describe_unavailable(.0))]
    Unavailable(Unavailable),
    /// May have happened, at most once.
    #[error("outcome unknown: {detail}")]
    Unknown {
        /// Where the answer was lost.
        detail: String,
    },
}

impl ServiceError {
    /// A wrong field.
    pub fn invalid(field: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), expected: expected.into() }
    }

    /// Too much of something at once.
    pub fn overloaded(what: impl Into<String>) -> Self {
        Self::Overloaded { what: what.into() }
    }

    /// The answer was lost after the request may have taken effect.
    pub fn unknown(detail: impl Into<String>) -> Self {
        Self::Unknown { detail: detail.into() }
    }

    /// Did the call surely not happen? Only [`ServiceError::Unknown`] may have.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        !matches!(self, Self::Unknown { .. })
    }

    /// Was it not done because nobody led with a quorum, as far as could be told? An election ends it.
    #[must_use]
    pub fn lacks_leader(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(
                Unavailable::NoLeader
                    | Unavailable::NotLeader { .. }
                    | Unavailable::LeaderUnreachable(_)
                    | Unavailable::NoQuorum
            )
        )
    }

    /// May the very same call succeed when it is sent again, here or at another replica? (After an
    /// unknown outcome only calls that are idempotent should be.)
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Overloaded { .. } | Self::Unknown { .. } | Self::Removed { .. } => true,
            Self::Unavailable(why) => {
                !matches!(why, Unavailable::ClusterVersion { .. } | Unavailable::Refused(_))
            }
            _ => false,
        }
    }
}

impl From<Unavailable> for ServiceError {
    fn from(why: Unavailable) -> Self {
        Self::Unavailable(why)
    }
}

impl From<HeaderError> for ServiceError {
    fn from(error: HeaderError) -> Self {
        Self::invalid(error.field(), format!("a value that can be read, but {error}"))
    }
}

impl From<Refusal> for ServiceError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Superseded { highest } => Self::Superseded { highest },
            Refusal::LiveElsewhere { address } => Self::LiveElsewhere { address },
            Refusal::Stale { highest } => Self::Stale { highest },
            Refusal::Moved { epoch } => Self::Moved { epoch },
            Refusal::NotRegistered => Self::Expired,
            Refusal::NameInOtherCluster { cluster } => Self::NameInOtherCluster { cluster },
            Refusal::UnknownBroker { broker_name } => Self::NotFound(Missing::Broker(broker_name)),
            Refusal::IndexMismatch { modified } => Self::IndexMismatch { modified },
            Refusal::ClusterVersion { current } => Unavailable::ClusterVersion { current }.into(),
        }
    }
}

#[cfg(test)]
mod tests;
