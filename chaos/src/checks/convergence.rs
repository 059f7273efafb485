//! Claim 10: when the faults are gone there is soon one leader, equal tables everywhere, and a new
//! registration is acknowledged. How soon is measured where the simulation waits for it.

use std::time::Duration;

use signpost_raft::machine::{Index, NodeId};

use super::Violation;

const CHECK: &str = "convergence";

/// How the replicas stood at a moment of rest.
#[derive(Debug, Clone)]
pub struct Rest {
    /// Which moment.
    pub when: String,
    /// When it was reached, or given up; since the run began.
    pub at: Duration,
    /// Why rest was not reached in time, if it was not.
    pub failed: Option<String>,
    /// All replicas of the cluster.
    pub replicas: Vec<Standing>,
}

/// How one replica stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its number.
    pub node: NodeId,
    /// The leader as it knows it.
    pub leader: Option<NodeId>,
    /// The index that it has applied.
    pub applied: Index,
    /// Of its tables there.
    pub digest: u128,
}

/// Do all stand alike, under one leader?
#[must_use]
pub fn is_uniform(replicas: &[Standing]) -> bool {
    let Some((first, others)) = replicas.split_first() else { return false };
    first.leader.is_some()
        && others.iter().all(|other| {
            (other.leader, other.applied, other.digest)
                == (first.leader, first.applied, first.digest)
        })
}

/// Each moment of rest.
#[must_use]
pub fn check(rests: &[Rest]) -> Vec<Violation> {
    let failed = rests.iter().filter_map(|rest| {
        let Rest { when, failed, replicas, .. } = rest;
        let why = match failed {
            Some(why) => why.as_str(),
            None if is_uniform(replicas) => return None,
            None => "the replicas differ",
        };
        Some(Violation::new(CHECK, format!("{when}: {why}: {replicas:?}")))
    });
    failed.collect()
}
