//! A broker's lease, as a pure state machine: no I/O, no clock (`now` is the time since any fixed
//! moment, an argument), its jitter from a seed. [`LeaseKeeper`](crate::LeaseKeeper) drives it.
//!
//! One request is in flight at a time, so that the order of a process's writes is the order of
//! their seqs. The rules:
//!
//! - renewed a quarter to a third of the ttl after the last renewal was *sent* (claim 7 counts
//!   from there);
//! - 410, `moved`, another history: the registration is gone, register again under a higher seq;
//! - `stale`: continue above the seq that the name service knows;
//! - `superseded`: stop, another process holds this identity. Nothing else stops it;
//! - everything else: again later, with backoff. A registration is repeated under the same seq as
//!   long as its content is the same (it is idempotent); a patch whose outcome is unknown is
//!   followed by a full registration under a higher seq, which is right whether it happened or not.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::client::Claim;
use crate::jitter::Jitter;
use crate::outcome::{CallError, Cause};
use crate::types::{
    Conflict, DataVersion, Heartbeat, Patch, Patched, Registered, Registration, Renewed,
    TopicConfig,
};

mod state;

pub(crate) use state::Lease;

/// The pause after a first failure; doubles up to the lesser of [`MAX_PAUSE`] and ttl/8.
const MIN_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between tries.
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// Brokers that lost their leases together do not all come back in the same millisecond.
const MAX_SPREAD: Duration = Duration::from_millis(50);
/// The ttl assumed until the name service has told one: its default.
const ASSUMED_TTL: Duration = Duration::from_secs(120);

/// What is to be done next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// Send this and tell its reply; until then there is no other step.
    Send(Outgoing),
    /// Nothing before this time, unless something is asked for.
    WaitUntil(Duration),
    /// It is over.
    Stopped(StopCause),
}

/// A request to send.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outgoing {
    Register { registration: Registration, takeover: bool },
    Heartbeat(Heartbeat),
    Patch(Patch),
    Unregister { claim: Claim, epoch: Option<u64> },
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    Registered(Registered),
    Renewed(Renewed),
    Patched(Patched),
    Unregistered,
    Refused(Refusal),
}

/// Why it was not done, as far as a lease cares.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Refusal {
    /// 410, or `moved`: the epoch that was named is over.
    Gone,
    /// 409 `superseded`.
    Superseded,
    /// 409 `stale`, with the highest claim known.
    Stale(Option<Claim>),
    /// 409 `other-history`.
    OtherHistory,
    /// Surely not done; again after this, or after a backoff.
    NotDone(Option<Duration>),
    /// May have been done.
    Unknown,
}

impl From<&CallError> for Refusal {
    fn from(error: &CallError) -> Self {
        // These two are facts about the registration, even when an earlier attempt of the same
        // call is unknown.
        match (error.conflict(), error.status()) {
            (Some(Conflict::Superseded), _) => return Self::Superseded,
            (Some(Conflict::OtherHistory), _) => return Self::OtherHistory,
            (Some(Conflict::Moved), _) | (None, Some(410)) => return Self::Gone,
            _ => {}
        }
        if let (Some(Conflict::Stale), Some(problem)) = (error.conflict(), error.problem()) {
            let highest = problem.highest_incarnation.zip(problem.highest_seq);
            return Self::Stale(highest.map(|(incarnation, seq)| Claim { incarnation, seq }));
        }
        match error {
            CallError::Unknown(_) => Self::Unknown,
            CallError::Failed(Cause::Refused { retry_after, .. }) => Self::NotDone(*retry_after),
            CallError::Failed(_) => Self::NotDone(None),
        }
    }
}

/// Why a lease is kept no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCause {
    /// Another process holds this identity: this one must stop serving.
    Superseded,
    /// It was asked to stop; did the name service acknowledge that the registration is gone?
    Asked {
        /// false: it expires by itself, when its ttl is over.
        unregistered: bool,
    },
}

/// A change of a broker's topics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicChange {
    /// New or changed topics; None deletes one.
    pub topics: BTreeMap<String, Option<TopicConfig>>,
    /// The broker's data version after it.
    pub data_version: Option<DataVersion>,
}

#[cfg(test)]
mod tests;
