//! Claim 10: when the faults are gone there is soon one leader, equal tables everywhere, and a new
//! registration is acknowledged. How soon is measured where the simulation waits for it.

use std::time::Duration;

use signpost_raft::machine::{Index, NodeId};

use super::Violation;

const CHECK: &str = "convergence";

/// How the replicas stood at a moment of rest.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    /// Which moment.
    pub(crate) when: String,
    pub(crate) at: Duration,
    /// Why rest was not reached in time, if it was not.
    pub(crate) failed: Option<String>,
    pub(crate) replicas: Vec<Standing>,
}

/// How one replica stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) node: NodeId,
    /// The leader as it knows it.
    pub(crate) leader: Option<NodeId>,
    pub(crate) applied: Index,
    pub(crate) digest: u128,
}

/// Do all stand alike, under one leader?
pub(crate) fn is_uniform(replicas: &[Standing]) -> bool {
    let Some((first, others)) = replicas.split_first() else { return false };
    first.leader.is_some()
        && others.iter().all(|other| {
            (other.leader, other.applied, other.digest)
                == (first.leader, first.applied, first.digest)
        })
}

pub(crate) fn check(rests: &[Rest]) -> Vec<Violation> {
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
