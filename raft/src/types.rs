//! The types that openraft is set up with here, and short names for those it derives from them.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::machine::{NodeId, Term};

openraft::declare_raft_types!(
    /// openraft's configuration: encoded commands in, encoded outcomes out, one leader a term
    /// (Raft paper, section 5.2), and randomness that comes from a seed.
    pub(crate) TypeConfig:
        D = Payload,
        R = Reply,
        NodeId = NodeId,
        Node = Peer,
        Term = Term,
        LeaderId = openraft::impls::leader_id_std::LeaderId<Term, NodeId>,
        AsyncRuntime = Runtime,
);

/// Tokio, with randomness from a task-local seed: everything that starts openraft runs inside
/// `Runtime::scope(seed, …)`, so that a simulation can repeat a run.
pub(crate) type Runtime =
    openraft_rt::deterministic_rng::DeterministicRng<openraft_rt_tokio::TokioRuntime>;

/// A command of the machine, encoded. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Payload(pub(crate) Bytes);

impl fmt::Debug for Payload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Payload({} bytes)", self.0.len())
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}

/// An outcome of the machine, encoded; empty for entries that carry no command.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Reply(pub(crate) Bytes);

/// What the membership says about a replica; the disk id binds its number to one data directory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Peer {
    /// Where its peers reach it, `host:port`.
    pub(crate) peer: String,
    /// Where clients reach its HTTP interface, `host:port`.
    pub(crate) http: String,
    /// Where clients reach it by the application's own protocol, `host:port`; empty: nowhere.
    pub(crate) remoting: String,
    /// The identity of its data directory.
    pub(crate) disk_id: Uuid,
}

pub(crate) type LogId = openraft::alias::LogIdOf<TypeConfig>;
pub(crate) type LeaderId = openraft::alias::LeaderIdOf<TypeConfig>;
pub(crate) type CommittedLeaderId = openraft::alias::CommittedLeaderIdOf<TypeConfig>;
pub(crate) type Vote = openraft::alias::VoteOf<TypeConfig>;
pub(crate) type Entry = openraft::alias::EntryOf<TypeConfig>;
pub(crate) type EntryPayload = openraft::alias::EntryPayloadOf<TypeConfig>;
pub(crate) type Membership = openraft::Membership<NodeId, Peer>;
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
pub(crate) type LogState = openraft::storage::LogState<TypeConfig>;
pub(crate) type State = openraft::RaftState<TypeConfig>;
pub(crate) type IoFlushed = openraft::storage::IOFlushed<TypeConfig>;

/// The log id of an entry: in one term there is one leader, so the term says who proposed it.
pub(crate) fn log_id(term: Term, index: u64) -> LogId {
    use openraft::vote::RaftLeaderIdExt as _;
    LogId::new(LeaderId::new_committed(term, 0), index)
}
