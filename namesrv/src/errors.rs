//! Why a call was not done, or may not have been: one error for both doors, and one table from it
//! to HTTP statuses and RocketMQ codes (docs/HTTP.md, "Errors").

use serde::{Deserialize, Serialize};
use signpost_raft::machine::{Index, NodeId};
use signpost_remoting::namesrv::HeaderError;
use uuid::Uuid;

use crate::routes::command::{Claim, Refusal};

/// RocketMQ's `SYSTEM_ERROR`.
pub const CODE_SYSTEM_ERROR: i32 = 1;
/// RocketMQ's `SYSTEM_BUSY`: stock clients retry it.
pub const CODE_SYSTEM_BUSY: i32 = 2;
/// RocketMQ's `NO_PERMISSION`.
pub const CODE_NO_PERMISSION: i32 = 16;
/// RocketMQ's `TOPIC_NOT_EXIST`: stock clients take it as an answer, not as a failure.
pub const CODE_TOPIC_NOT_EXIST: i32 = 17;
/// RocketMQ's `QUERY_NOT_FOUND`.
pub const CODE_QUERY_NOT_FOUND: i32 = 22;

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
    /// A replica, in a call about members.
    Member(NodeId),
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

/// How an error is told over the wires: one row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireError<'a> {
    /// The HTTP status.
    pub status: u16,
    /// RocketMQ's response code.
    pub code: i32,
    /// `reason` of the problem details, one of those in docs/HTTP.md, "Errors".
    pub reason: Option<&'static str>,
    /// `field` of the problem details.
    pub field: Option<&'a str>,
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

    /// The table: HTTP status, RocketMQ code, reason and field.
    #[must_use]
    pub fn wire(&self) -> WireError<'_> {
        let row = |status, code, reason, field| WireError { status, code, reason, field };
        match self {
            Self::Invalid { field, .. } => {
                row(400, CODE_SYSTEM_ERROR, Some("invalid"), Some(field.as_str()))
            }
            Self::Unauthorized => row(401, CODE_NO_PERMISSION, Some("unauthorized"), None),
            Self::NotFound(Missing::Topic { .. }) => {
                row(404, CODE_TOPIC_NOT_EXIST, Some("no-such-topic"), None)
            }
            Self::NotFound(Missing::KvKey { .. }) => {
                row(404, CODE_QUERY_NOT_FOUND, Some("no-such-key"), None)
            }
            Self::NotFound(Missing::KvNamespace(_)) => {
                row(404, CODE_QUERY_NOT_FOUND, Some("no-such-namespace"), None)
            }
            Self::NotFound(Missing::Broker(_)) => {
                row(404, CODE_SYSTEM_ERROR, Some("no-such-broker"), None)
            }
            Self::NotFound(Missing::Member(_)) => {
                row(404, CODE_SYSTEM_ERROR, Some("no-such-member"), None)
            }
            Self::NotFound(Missing::Alarm(_)) => {
                row(404, CODE_SYSTEM_ERROR, Some("no-such-alarm"), None)
            }
            Self::Superseded { .. } => row(409, CODE_SYSTEM_ERROR, Some("superseded"), None),
            Self::LiveElsewhere { .. } => {
                row(409, CODE_SYSTEM_ERROR, Some("live-elsewhere"), Some("address"))
            }
            Self::NameInOtherCluster { .. } => {
                row(409, CODE_SYSTEM_ERROR, Some("live-elsewhere"), Some("cluster"))
            }
            Self::Stale { .. } => row(409, CODE_SYSTEM_ERROR, Some("stale"), Some("seq")),
            Self::Moved { .. } => row(409, CODE_SYSTEM_ERROR, Some("moved"), Some("epoch")),
            Self::OtherHistory { .. } => row(409, CODE_SYSTEM_ERROR, Some("other-history"), None),
            Self::Expired => row(410, CODE_SYSTEM_ERROR, Some("expired"), None),
            Self::IndexMismatch { .. } => {
                row(412, CODE_SYSTEM_ERROR, Some("if-index"), Some("if_index"))
            }
            Self::TooLarge { .. } => row(413, CODE_SYSTEM_ERROR, Some("too-large"), None),
            Self::Removed { .. } => row(421, CODE_SYSTEM_ERROR, Some("removed"), None),
            Self::Overloaded { .. } => row(429, CODE_SYSTEM_BUSY, Some("overloaded"), None),
            Self::Unavailable(why) => row(503, CODE_SYSTEM_ERROR, Some(why.reason()), None),
            Self::Unknown { .. } => row(504, CODE_SYSTEM_ERROR, Some("unknown"), None),
        }
    }

    /// What a response on 9876 says beside [`WireError::code`]. Where stock tools print, or people
    /// look for, RocketMQ's own words, it is those (`DefaultRequestProcessor`,
    /// `ClientRequestProcessor`).
    #[must_use]
    pub fn remark(&self) -> String {
        match self {
            Self::NotFound(Missing::Topic { .. }) => format!(
                "{self}\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details."
            ),
            Self::NotFound(Missing::KvKey { namespace, key }) => {
                format!("No config item, Namespace: {namespace} Key: {key}")
            }
            Self::NotFound(Missing::KvNamespace(namespace)) => {
                format!("No config item, Namespace: {namespace}")
            }
            Self::Overloaded { what } => format!("[OVERLOAD]system busy: too many {what}"),
            other => other.to_string(),
        }
    }

    /// Did the call surely not happen? Only [`ServiceError::Unknown`] may have.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        !matches!(self, Self::Unknown { .. })
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

impl Unavailable {
    /// The `reason` of the problem details.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoLeader => "no-leader",
            Self::NotLeader { .. } => "not-leader",
            Self::LeaderUnreachable(_) => "leader-unreachable",
            Self::NoQuorum => "no-quorum",
            Self::Behind { .. } => "behind",
            Self::ExpiryUndecided => "expiry-undecided",
            Self::Contended => "contended",
            Self::NotFed => "not-fed",
            Self::Stopping => "stopping",
            Self::ClusterVersion { .. } => "cluster-version",
            Self::Refused(_) => "refused",
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

fn describe_missing(missing: &Missing) -> String {
    match missing {
        Missing::Topic { topic, .. } => {
            format!("No topic route info in name server for the topic: {topic}")
        }
        Missing::KvKey { namespace, key } => {
            format!("no config item, namespace: {namespace} key: {key}")
        }
        Missing::Broker(name) => format!("no broker named {name} is registered"),
        Missing::Member(id) => format!("replica {id} is not a member of this cluster"),
        Missing::Alarm(kind) => format!("no alarm of kind {kind} is raised"),
        Missing::KvNamespace(namespace) => format!("no namespace {namespace} of KV configuration"),
    }
}

fn describe_unavailable(why: &Unavailable) -> String {
    match why {
        Unavailable::NoLeader => "no leader is known; retry".into(),
        Unavailable::NotLeader { leader: Some(leader) } => {
            format!("the call was forwarded to a replica that does not lead; replica {leader} does")
        }
        Unavailable::NotLeader { leader: None } => {
            "the call was forwarded to a replica that no longer leads; retry".into()
        }
        Unavailable::LeaderUnreachable(why) => format!("the leader cannot be reached: {why}"),
        Unavailable::NoQuorum => "no quorum confirmed in time; nothing was done".into(),
        Unavailable::Behind { applied, min_index } => {
            format!("this replica has applied up to {applied}, not yet {min_index}")
        }
        Unavailable::ExpiryUndecided => {
            "this lease's expiry was being decided when the leadership changed; retry".into()
        }
        Unavailable::Contended => "the registration kept changing; retry".into(),
        Unavailable::NotFed => "this replica has not received the cluster's tables yet".into(),
        Unavailable::Stopping => "this replica is stopping; ask another".into(),
        Unavailable::ClusterVersion { current } => {
            format!("the cluster's version is {current}; finish the rolling upgrade first")
        }
        Unavailable::Refused(why) => why.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_of_each() -> Vec<(ServiceError, u16)> {
        let highest = Claim { incarnation: 9, seq: 2 };
        vec![
            (ServiceError::invalid("perm", "0 to 7"), 400),
            (ServiceError::Unauthorized, 401),
            (ServiceError::NotFound(Missing::Topic { topic: "t".into(), modified: 3 }), 404),
            (ServiceError::Superseded { highest }, 409),
            (ServiceError::LiveElsewhere { address: "a:1".into() }, 409),
            (ServiceError::NameInOtherCluster { cluster: "c".into() }, 409),
            (ServiceError::Stale { highest }, 409),
            (ServiceError::Moved { epoch: 4 }, 409),
            (ServiceError::OtherHistory { cluster: None }, 409),
            (ServiceError::Expired, 410),
            (ServiceError::IndexMismatch { modified: 1 }, 412),
            (ServiceError::TooLarge { what: "bytes of body".into(), limit: 1 }, 413),
            (ServiceError::Removed { peers: vec!["h:1".into()] }, 421),
            (ServiceError::overloaded("proposals"), 429),
            (Unavailable::NoLeader.into(), 503),
            (ServiceError::unknown("lost"), 504),
        ]
    }

    #[test]
    fn statuses_follow_the_contract_and_only_504_is_indefinite() {
        for (error, status) in one_of_each() {
            assert_eq!(error.wire().status, status, "{error}");
            assert_eq!(error.is_definite(), status != 504, "{error}");
        }
    }

    #[test]
    fn conflicts_carry_a_reason_that_clients_know() {
        let known = ["superseded", "live-elsewhere", "stale", "moved", "other-history"];
        for (error, status) in one_of_each() {
            if status == 409 {
                let reason = error.wire().reason.expect("a conflict names its reason");
                assert!(known.contains(&reason), "{reason}");
            }
        }
    }

    #[test]
    fn remarks_are_rocketmqs_own_where_it_has_some() {
        let topic = Missing::Topic { topic: "T".into(), modified: 1 };
        let remark = ServiceError::NotFound(topic).remark();
        assert!(
            remark.starts_with("No topic route info in name server for the topic: T\n"),
            "{remark}"
        );
        let key = Missing::KvKey { namespace: "N".into(), key: "K".into() };
        assert_eq!(ServiceError::NotFound(key).remark(), "No config item, Namespace: N Key: K");
        let namespace = ServiceError::NotFound(Missing::KvNamespace("N".into()));
        assert_eq!(namespace.remark(), "No config item, Namespace: N");
        assert_eq!(namespace.wire().code, CODE_QUERY_NOT_FOUND);
        for (error, _) in one_of_each() {
            assert!(!error.remark().is_empty(), "{error:?}");
        }
    }

    #[test]
    fn errors_survive_the_forward_hop() {
        for (error, _) in one_of_each() {
            let bytes = signpost_raft::codec::encode(&error).expect("an error is small");
            let back: ServiceError = signpost_raft::codec::decode(&bytes).expect("own encoding");
            assert_eq!(back, error);
        }
    }
}
