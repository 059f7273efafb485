//! What a call answers: an [`Answer`], or a [`CallError`] that says whether it may have happened.

use std::time::Duration;

use hyper::HeaderMap;

use crate::types::{Conflict, Problem, headers};

/// How an answer was read, by its own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// As of a moment between the call's start and its end.
    Linearizable,
    /// As the replica knew it.
    Local,
}

/// How fresh an answer is and where it came from: the contract's headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Freshness {
    /// Applied log index at which it was read.
    pub index: u64,
    /// Log index of the last change of what was read (routes).
    pub modified: Option<u64>,
    /// Node id of the leader, if the replica knew one.
    pub leader: Option<u64>,
    /// The replica's Raft term.
    pub term: Option<u64>,
    /// The replica's node id.
    pub node: Option<u64>,
    /// The cluster's uuid.
    pub cluster: Option<String>,
    /// How it was read.
    pub consistency: Option<Consistency>,
    /// Milliseconds since the replica was last sure of a quorum.
    pub quorum_age_ms: Option<u64>,
    /// `host:port` of the replica that answered.
    pub replica: String,
}

impl Freshness {
    /// Reads the headers; a missing or unreadable one is None (index: 0).
    pub(crate) fn read(map: &HeaderMap, replica: &str) -> Self {
        let text = |name: &str| map.get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| text(name).and_then(|value| value.parse::<u64>().ok());
        Self {
            index: number(headers::INDEX).unwrap_or(0),
            modified: number(headers::MODIFIED),
            leader: number(headers::LEADER),
            term: number(headers::TERM),
            node: number(headers::NODE),
            cluster: text(headers::CLUSTER).map(str::to_owned),
            consistency: match text(headers::CONSISTENCY) {
                Some("linearizable") => Some(Consistency::Linearizable),
                Some("local") => Some(Consistency::Local),
                _ => None,
            },
            quorum_age_ms: number(headers::QUORUM_AGE_MS),
            replica: replica.to_owned(),
        }
    }
}

/// A successful call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// What was asked for.
    pub value: T,
    /// How fresh it is.
    pub freshness: Freshness,
}

/// A call without success. The two variants are the contract's outcomes *failed* and *unknown*.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It surely did not happen and will not.
    #[error("failed: {0}")]
    Failed(Cause),
    /// It may have happened, or may still happen, at most once. Never answered for reads.
    #[error("outcome unknown: {0}")]
    Unknown(Cause),
}

/// Why a call had no success: the last thing that went wrong before it was given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// A replica said so.
    #[error("{replica}: {problem}")]
    Refused {
        /// Its words.
        problem: Box<Problem>,
        /// For 429: when to come again.
        retry_after: Option<Duration>,
        /// `host:port` of the replica.
        replica: String,
    },
    /// The request could not be handed to any replica.
    #[error("no name replica could be reached: {0}")]
    Unreachable(String),
    /// A replica took the request but its answer never came.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// The answer was none of the contract's.
    #[error("answer not understood: {0}")]
    Malformed(String),
}

impl CallError {
    /// Why.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        match self {
            Self::Failed(cause) | Self::Unknown(cause) => cause,
        }
    }

    /// Did it surely not happen?
    #[must_use]
    pub fn is_definite(&self) -> bool {
        matches!(self, Self::Failed(_))
    }

    /// The problem details, when a replica sent some.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self.cause() {
            Cause::Refused { problem, .. } => Some(problem),
            _ => None,
        }
    }

    /// HTTP status of the refusal.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.problem().map(|problem| problem.status)
    }

    /// The typed reason of a 409.
    #[must_use]
    pub fn conflict(&self) -> Option<Conflict> {
        self.problem()?.conflict()
    }
}
