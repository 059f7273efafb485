//! One table from errors to HTTP statuses, RocketMQ codes and remarks (docs/HTTP.md, "Errors").

use signpost_remoting::response;

use super::{Missing, ServiceError, Unavailable};

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
    /// The table: HTTP status, RocketMQ code, reason and field.
    #[must_use]
    pub fn wire(&self) -> WireError<'_> {
        let row = |status, code, reason, field| WireError { status, code, reason, field };
        match self {
            Self::Invalid { field, .. } => {
                row(400, response::SYSTEM_ERROR, Some("invalid"), Some(field.as_str()))
            }
            Self::Unauthorized => row(401, response::NO_PERMISSION, Some("unauthorized"), None),
            Self::NotFound(Missing::Topic { .. }) => {
                row(404, response::TOPIC_NOT_EXIST, Some("no-such-topic"), None)
            }
            Self::NotFound(Missing::KvKey { .. }) => {
                row(404, response::QUERY_NOT_FOUND, Some("no-such-key"), None)
            }
            Self::NotFound(Missing::KvNamespace(_)) => {
                row(404, response::QUERY_NOT_FOUND, Some("no-such-namespace"), None)
            }
            Self::NotFound(Missing::Broker(_)) => {
                row(404, response::SYSTEM_ERROR, Some("no-such-broker"), None)
            }
            Self::NotFound(Missing::Alarm(_)) => {
                row(404, response::SYSTEM_ERROR, Some("no-such-alarm"), None)
            }
            Self::Superseded { .. } => row(409, response::SYSTEM_ERROR, Some("superseded"), None),
            Self::LiveElsewhere { .. } => {
                row(409, response::SYSTEM_ERROR, Some("live-elsewhere"), Some("address"))
            }
            Self::NameInOtherCluster { .. } => {
                row(409, response::SYSTEM_ERROR, Some("live-elsewhere"), Some("cluster"))
            }
            Self::Stale { .. } => row(409, response::SYSTEM_ERROR, Some("stale"), Some("seq")),
            Self::Moved { .. } => row(409, response::SYSTEM_ERROR, Some("moved"), Some("epoch")),
            Self::OtherHistory { .. } => {
                row(409, response::SYSTEM_ERROR, Some("other-history"), None)
            }
            Self::Expired => row(410, response::SYSTEM_ERROR, Some("expired"), None),
            Self::IndexMismatch { .. } => {
                row(412, response::SYSTEM_ERROR, Some("if-index"), Some("if_index"))
            }
            Self::TooLarge { .. } => row(413, response::SYSTEM_ERROR, Some("too-large"), None),
            Self::Removed { .. } => row(421, response::SYSTEM_ERROR, Some("removed"), None),
            Self::Overloaded { .. } => row(429, response::SYSTEM_BUSY, Some("overloaded"), None),
            Self::Unavailable(why) => row(503, response::SYSTEM_ERROR, Some(why.reason()), None),
            Self::Unknown { .. } => row(504, response::SYSTEM_ERROR, Some("unknown"), None),
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

/// For people.
pub(super) fn describe_missing(missing: &Missing) -> String {
    match missing {
        Missing::Topic { topic, .. } => {
            format!("No topic route info in name server for the topic: {topic}")
        }
        Missing::KvKey { namespace, key } => {
            format!("no config item, namespace: {namespace} key: {key}")
        }
        Missing::Broker(name) => format!("no broker named {name} is registered"),
        Missing::Alarm(kind) => format!("no alarm of kind {kind} is raised"),
        Missing::KvNamespace(namespace) => format!("no namespace {namespace} of KV configuration"),
    }
}

/// For people.
pub(super) fn describe_unavailable(why: &Unavailable) -> String {
    match why {
        Unavailable::NoLeader => "no leader is known; retry".into(),
        Unavailable::NotLeader { leader: Some(leader) } => {
            format!("the replica that was to do it does not lead; replica {leader} does")
        }
        Unavailable::NotLeader { leader: None } => {
            "the replica that was to do it no longer leads, and knows of no other leader; retry"
                .into()
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
