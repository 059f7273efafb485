//! RFC 9457 problem details: what every answer that is no success carries.

use serde::{Deserialize, Serialize};

/// Values of [`Problem::reason`] for status 409. [`Conflict`] is their typed form.
pub mod reason {
    /// A newer process holds this identity: the only one that tells a broker to stop.
    pub const SUPERSEDED: &str = "superseded";
    /// The identity is alive at another address; `?takeover=true` would replace it.
    pub const LIVE_ELSEWHERE: &str = "live-elsewhere";
    /// A lower seq than one already known, or the same with other content.
    pub const STALE: &str = "stale";
    /// The registration or key has moved on.
    pub const MOVED: &str = "moved";
    /// The caller knows another cluster than the one that answered.
    pub const OTHER_HISTORY: &str = "other-history";
}

/// A problem. Extension members beside RFC 9457's five: RocketMQ's response code, the field that
/// was wrong, the reason of a conflict and its facts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Problem {
    /// A URI that names the kind of problem; `about:blank` when the status says it all.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short sentence, the same for all of its kind.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What was wrong this time and what to do.
    pub detail: String,
    /// RocketMQ's response code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The field or parameter that was wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Machine-readable reason (see [`reason`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `stale`, `superseded`: the highest incarnation known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub highest_incarnation: Option<u64>,
    /// `stale`, `superseded`: the highest seq known of that incarnation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub highest_seq: Option<u64>,
    /// `moved`: the live registration's epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// `moved`, 412: the index that holds now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// `live-elsewhere`: where the live process stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// 421: `host:port` of the replicas to ask instead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,
}

impl Problem {
    /// The typed reason of a 409; None for other statuses and for reasons that this version does
    /// not know.
    #[must_use]
    pub fn conflict(&self) -> Option<Conflict> {
        if self.status != 409 {
            return None;
        }
        match self.reason.as_deref()? {
            reason::SUPERSEDED => Some(Conflict::Superseded),
            reason::LIVE_ELSEWHERE => Some(Conflict::LiveElsewhere),
            reason::STALE => Some(Conflict::Stale),
            reason::MOVED => Some(Conflict::Moved),
            reason::OTHER_HISTORY => Some(Conflict::OtherHistory),
            _ => None,
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.title)?;
        if let Some(reason) = &self.reason {
            write!(f, " ({reason})")?;
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        if let Some(field) = &self.field {
            write!(f, " [field {field}]")?;
        }
        Ok(())
    }
}

/// Why a write met a conflict (status 409).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// See [`reason::SUPERSEDED`].
    Superseded,
    /// See [`reason::LIVE_ELSEWHERE`].
    LiveElsewhere,
    /// See [`reason::STALE`].
    Stale,
    /// See [`reason::MOVED`].
    Moved,
    /// See [`reason::OTHER_HISTORY`].
    OtherHistory,
}
