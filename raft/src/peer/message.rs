//! What replicas ask each other, and what they answer.

use bytes::Bytes;
use openraft::alias::{SnapshotMetaOf, VoteOf};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize};

use crate::machine::{Index, Term};
use crate::store::snapshot::SnapshotHeader;
use crate::types::{TypeConfig, Vote};

/// A request to a peer.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) enum Ask {
    /// Raft paper, AppendEntries; empty ones are heartbeats.
    Append(AppendEntriesRequest<TypeConfig>),
    /// RequestVote.
    Vote(VoteRequest<TypeConfig>),
    /// Would you vote for me? (Raft thesis, 9.6)
    PreVote(VoteRequest<TypeConfig>),
    /// Leadership transfer (Raft thesis, 3.10).
    Transfer(TransferLeaderRequest<TypeConfig>),
    /// A snapshot follows, chunk by chunk.
    SnapshotBegin {
        vote: VoteOf<TypeConfig>,
        meta: SnapshotMetaOf<TypeConfig>,
        header: SnapshotHeader,
    },
    /// Its next chunk.
    SnapshotChunk(Bytes),
    /// All chunks are sent: install it.
    SnapshotEnd,
    /// Say an index that is confirmed from now on: begin a round, unless the asker's vote, which it
    /// looked up for this, is all that is missing.
    ReadIndex { vote: Vote },
    /// A call of the application.
    Call(Bytes),
    /// Are you there?
    Ping,
}

/// The answer to an [`Ask`].
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) enum Answer {
    /// To `Append`.
    Append(AppendEntriesResponse<TypeConfig>),
    /// To `Vote` and `PreVote`.
    Vote(VoteResponse<TypeConfig>),
    /// To `Transfer`.
    Transfer(TransferLeaderResponse<TypeConfig>),
    /// To `SnapshotBegin` and `SnapshotChunk`.
    Received,
    /// To `SnapshotEnd`.
    Snapshot(SnapshotResponse<TypeConfig>),
    /// To `ReadIndex`: what a quorum confirmed.
    ReadIndex { index: Index, term: Term },
    /// To `ReadIndex`: no quorum confirmed it in time.
    NoQuorum,
    /// To `ReadIndex`: another replica leads.
    NotLeader,
    /// To `Call`.
    Call(Bytes),
    /// The asking replica is not among the members as of this log index.
    Removed { membership_index: Index },
    /// To `Ping`; to `SnapshotEnd`, while it is being installed.
    Pong,
    /// More calls are under way than this replica takes.
    Overloaded,
    /// This replica cannot answer: its raft core has stopped, or its disk failed.
    Failed(String),
}
