//! What was done, to whom, and when: written down as it happens.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use signpost_raft::machine::{NodeId, Term};

use super::kind::{Kind, Lane};

/// A fault that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What.
    pub kind: Kind,
    /// Of which lane.
    pub lane: Lane,
    /// The replicas concerned.
    pub nodes: Vec<NodeId>,
    /// Who led when it began, and in which term, by that replica's own words.
    pub leader: Option<(Term, NodeId)>,
    /// Since the run's start.
    pub began: Duration,
    /// None: it still goes on.
    pub ended: Option<Duration>,
    /// What happened, in words.
    pub note: String,
    /// It could not be made as planned, and does not count.
    pub failed: bool,
    /// Whether the leader of that moment is among those concerned.
    pub on_leader: bool,
}

impl Record {
    /// Whether it went on at this moment.
    #[must_use]
    pub fn covers(&self, moment: Duration) -> bool {
        self.began <= moment && self.ended.is_none_or(|ended| moment <= ended)
    }
}
