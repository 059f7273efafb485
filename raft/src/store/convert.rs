//! The disk's own types, and openraft's from and to them: a change of openraft's types must not
//! change what is on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::machine::{Index, NodeId, Term};
use crate::types::{
    Entry, EntryPayload, LogId, Membership, Payload, Peer, SnapshotMeta, StoredMembership, Vote,
    log_id,
};

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct DiskLogId {
    term: Term,
    index: Index,
}

impl From<&LogId> for DiskLogId {
    fn from(id: &LogId) -> DiskLogId {
        DiskLogId { term: id.leader_id.term, index: id.index }
    }
}

impl From<DiskLogId> for LogId {
    fn from(id: DiskLogId) -> LogId {
        log_id(id.term, id.index)
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct DiskVote {
    term: Term,
    node_id: NodeId,
    committed: bool,
}

impl From<&Vote> for DiskVote {
    fn from(vote: &Vote) -> DiskVote {
        DiskVote {
            term: vote.leader_id.term,
            node_id: vote.leader_id.voted_for,
            committed: vote.committed,
        }
    }
}

impl From<DiskVote> for Vote {
    fn from(vote: DiskVote) -> Vote {
        if vote.committed {
            Vote::new_committed(vote.term, vote.node_id)
        } else {
            Vote::new(vote.term, vote.node_id)
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct DiskPeer {
    peer: String,
    http: String,
    remoting: String,
    disk_id: uuid::Uuid,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DiskMembership {
    /// One set of voters, or two while the membership changes (Raft paper, section 6).
    voters: Vec<BTreeSet<NodeId>>,
    /// All members; those that are in no set of voters are learners.
    members: BTreeMap<NodeId, DiskPeer>,
}

impl From<&Membership> for DiskMembership {
    fn from(membership: &Membership) -> DiskMembership {
        let members = membership.nodes().map(|(id, node)| {
            let Peer { peer, http, remoting, disk_id } = node.clone();
            (*id, DiskPeer { peer, http, remoting, disk_id })
        });
        DiskMembership { voters: membership.get_joint_config().clone(), members: members.collect() }
    }
}

impl DiskMembership {
    fn into_membership(self) -> Result<Membership, String> {
        if self.voters.is_empty() {
            // Before the founding; openraft's constructor refuses what its default is.
            return Ok(Membership::default());
        }
        let members: BTreeMap<NodeId, Peer> = self
            .members
            .into_iter()
            .map(|(id, DiskPeer { peer, http, remoting, disk_id })| {
                (id, Peer { peer, http, remoting, disk_id })
            })
            .collect();
        Membership::new(self.voters, members).map_err(|error| error.to_string())
    }
}

/// An entry's payload. Variants are only ever appended.
#[derive(Debug, Serialize, Deserialize)]
enum DiskPayload {
    Blank,
    Command(Bytes),
    Membership(DiskMembership),
}

#[derive(Debug, Serialize, Deserialize)]
struct DiskEntry {
    id: DiskLogId,
    payload: DiskPayload,
}

/// Encodes an entry for the disk, behind what `bytes` holds already.
pub(super) fn encode_entry(entry: &Entry, bytes: &mut Vec<u8>) -> io::Result<()> {
    let payload = match &entry.payload {
        EntryPayload::Blank => DiskPayload::Blank,
        EntryPayload::Normal(Payload(command)) => DiskPayload::Command(command.clone()),
        EntryPayload::Membership(membership) => DiskPayload::Membership(membership.into()),
    };
    let entry = DiskEntry { id: (&entry.log_id).into(), payload };
    codec::encode_into(&entry, bytes).map_err(io::Error::other)
}

/// Decodes an entry from the disk.
pub(super) fn decode_entry(bytes: &[u8]) -> Result<Entry, String> {
    let entry: DiskEntry = codec::decode(bytes).map_err(|error| error.to_string())?;
    let payload = match entry.payload {
        DiskPayload::Blank => EntryPayload::Blank,
        DiskPayload::Command(command) => EntryPayload::Normal(Payload(command)),
        DiskPayload::Membership(membership) => {
            EntryPayload::Membership(membership.into_membership()?)
        }
    };
    Ok(Entry { log_id: entry.id.into(), payload })
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DiskSnapshotMeta {
    last: Option<DiskLogId>,
    membership_at: Option<DiskLogId>,
    membership: DiskMembership,
}

impl From<&SnapshotMeta> for DiskSnapshotMeta {
    fn from(meta: &SnapshotMeta) -> DiskSnapshotMeta {
        DiskSnapshotMeta {
            last: meta.last_log_id.as_ref().map(Into::into),
            membership_at: meta.last_membership.log_id().as_ref().map(Into::into),
            membership: meta.last_membership.membership().into(),
        }
    }
}

impl DiskSnapshotMeta {
    pub(super) fn into_meta(self) -> Result<SnapshotMeta, String> {
        let membership = self.membership.into_membership()?;
        Ok(SnapshotMeta {
            last_log_id: self.last.map(Into::into),
            last_membership: StoredMembership::new(self.membership_at.map(Into::into), membership),
        })
    }
}
