//! The handshake between replicas, and the rules by which it is judged (pure).
//!
//! A replica is its number *and* its disk: membership binds the two for ever. So a replica that
//! came back with an empty disk can neither vote nor be fed under its old number, and two clusters
//! can never mix, whatever addresses they were given (docs/GUARANTEES.md, "Identity of replicas").

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::machine::{Index, NodeId};
use crate::planted::{Bug, planted};

/// The version of the peers' protocol.
pub const PROTOCOL_VERSION: u16 = 2;

/// What a connection is for. Each purpose has its own, so that none waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// Log entries, votes and leadership transfer.
    Log,
    /// Heartbeats alone.
    Heartbeat,
    /// Snapshots.
    Snapshot,
    /// Read indices and the application's calls.
    Call,
    /// Only to ask who is there; allowed to everybody who names the right cluster.
    Probe,
}

/// What the dialling replica says first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL_VERSION`] of the dialling side.
    pub version: u16,
    /// The cluster's name, from the configuration.
    pub cluster_name: String,
    /// The cluster's uuid; none before the founding.
    pub cluster: Option<Uuid>,
    /// Who dials.
    pub from: NodeId,
    /// The disk of who dials.
    pub from_disk: Uuid,
    /// Who is meant; none for a probe of an address.
    pub to: Option<NodeId>,
    /// The disk that is meant, as the membership binds it.
    pub to_disk: Option<Uuid>,
    /// What for.
    pub purpose: Purpose,
}

/// A member as a replica knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its number.
    pub id: NodeId,
    /// Whether it votes.
    pub role: MemberRole,
    /// Where its peers' port is, `host:port`.
    pub peer: String,
    /// Where its HTTP port is, `host:port`.
    pub http: String,
    /// Where its port for the application's own protocol is, `host:port`; empty: it has none.
    pub remoting: String,
    /// The disk that its number is bound to.
    pub disk_id: Uuid,
}

/// Whether a member votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberRole {
    /// Counts for the quorum.
    Voter,
    /// Is fed, but does not count.
    Learner,
}

/// What a replica says of itself when it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfPortrait {
    /// Its number.
    pub id: NodeId,
    /// Its disk.
    pub disk_id: Uuid,
    /// Its cluster; none while it is empty.
    pub cluster: Option<Uuid>,
    /// Whether a committed membership has ever held it. A leader's word that it was counted in may come to
    /// nothing: when that leader is deposed before a quorum has heard of it.
    pub was_member: bool,
    /// Where its HTTP port is.
    pub http: String,
    /// Where its port for the application's own protocol is; empty: it has none.
    pub remoting: String,
    /// The members as its tables know them (applied, so committed).
    pub members: Vec<Member>,
    /// The log index of that membership; 0: none yet.
    pub membership_index: Index,
}

/// The answer to a [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Welcome {
    /// Go on.
    Accepted(SelfPortrait),
    /// Go away, and why.
    Refused(Refusal),
}

/// Why a connection was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Another version of the protocol.
    Version {
        /// Ours.
        ours: u16,
    },
    /// Another cluster's name.
    ClusterName {
        /// Ours.
        ours: String,
    },
    /// The same name, another cluster.
    Cluster {
        /// Ours.
        ours: Option<Uuid>,
    },
    /// Another replica listens here.
    Node {
        /// Who we are.
        ours: NodeId,
    },
    /// This replica, but on another disk: it was wiped, or the address was given to another.
    Disk {
        /// Ours.
        ours: Uuid,
    },
    /// The dialling replica's number is bound to another disk.
    SenderDisk {
        /// The one it is bound to.
        bound: Uuid,
    },
    /// The dialling replica is no member (any more).
    Removed {
        /// The log index of the membership that does not hold it.
        membership_index: Index,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Version { ours } => {
                write!(f, "the peers' protocol here is version {ours}, yours is another")
            }
            Refusal::ClusterName { ours } => write!(
                f,
                "this replica belongs to the cluster named {ours:?}: check --cluster-id and --peers"
            ),
            Refusal::Cluster { ours: Some(ours) } => write!(
                f,
                "this replica belongs to cluster {ours}, founded apart from yours under the same \
                 name: one of the two data directories is not of this cluster"
            ),
            Refusal::Cluster { ours: None } => {
                f.write_str("this replica belongs to no cluster yet, and was not expected in yours")
            }
            Refusal::Node { ours } => write!(
                f,
                "replica {ours} listens at this address, not the one that was meant: check --peers"
            ),
            Refusal::Disk { ours } => write!(
                f,
                "this replica stands on disk {ours}, not on the one that its number is bound to: \
                 it was wiped; replace it under a new number (signpost cluster remove, add)"
            ),
            Refusal::SenderDisk { bound } => write!(
                f,
                "your number is bound to disk {bound}: a wiped replica may not come back under \
                 its old number; replace it under a new one (signpost cluster remove, add)"
            ),
            Refusal::Removed { membership_index } => {
                write!(f, "you were removed from the cluster at log index {membership_index}")
            }
        }
    }
}

/// What the accepting side does about a [`Hello`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Serve it.
    Accept,
    /// Adopt this cluster first (durably), then serve it: a member that knows our disk dialled an
    /// empty replica, so the founder has counted us in.
    Adopt(Uuid),
    /// Refuse it.
    Refuse(Refusal),
}

/// Judges a handshake by what we know of ourselves.
pub(crate) fn judge(hello: &Hello, cluster_name: &str, us: &SelfPortrait) -> Verdict {
    if hello.version != PROTOCOL_VERSION {
        return Verdict::Refuse(Refusal::Version { ours: PROTOCOL_VERSION });
    }
    if hello.cluster_name != cluster_name {
        return Verdict::Refuse(Refusal::ClusterName { ours: cluster_name.to_owned() });
    }
    if hello.to.is_some_and(|to| to != us.id) {
        return Verdict::Refuse(Refusal::Node { ours: us.id });
    }
    if hello.purpose == Purpose::Probe {
        return Verdict::Accept;
    }
    if hello.to_disk != Some(us.disk_id) && !planted(Bug::WipedReplicaVotes) {
        return Verdict::Refuse(Refusal::Disk { ours: us.disk_id });
    }
    match (hello.cluster, us.cluster) {
        (Some(theirs), Some(ours)) if theirs == ours => {}
        (Some(theirs), None) => return Verdict::Adopt(theirs),
        (_, ours) => return Verdict::Refuse(Refusal::Cluster { ours }),
    }
    // A sender that we do not know is a member that we have not heard of yet: it proved itself by
    // knowing our disk and our cluster. One that we know must stand on the disk we know.
    match us.members.iter().find(|member| member.id == hello.from) {
        Some(member) if member.disk_id != hello.from_disk && !planted(Bug::WipedReplicaVotes) => {
            Verdict::Refuse(Refusal::SenderDisk { bound: member.disk_id })
        }
        _ => Verdict::Accept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: NodeId, disk: u128) -> Member {
        Member {
            id,
            role: MemberRole::Voter,
            peer: String::new(),
            http: String::new(),
            remoting: String::new(),
            disk_id: Uuid::from_u128(disk),
        }
    }

    fn us() -> SelfPortrait {
        SelfPortrait {
            id: 2,
            disk_id: Uuid::from_u128(22),
            cluster: Some(Uuid::from_u128(7)),
            was_member: true,
            http: String::new(),
            remoting: String::new(),
            members: vec![member(1, 11), member(2, 22)],
            membership_index: 1,
        }
    }

    fn hello() -> Hello {
        Hello {
            version: PROTOCOL_VERSION,
            cluster_name: "names".into(),
            cluster: Some(Uuid::from_u128(7)),
            from: 1,
            from_disk: Uuid::from_u128(11),
            to: Some(2),
            to_disk: Some(Uuid::from_u128(22)),
            purpose: Purpose::Log,
        }
    }

    #[test]
    fn a_member_on_its_disk_is_accepted() {
        assert_eq!(judge(&hello(), "names", &us()), Verdict::Accept);
    }

    #[test]
    fn a_member_that_we_have_not_heard_of_yet_is_accepted() {
        let hello = Hello { from: 9, from_disk: Uuid::from_u128(99), ..hello() };
        assert_eq!(judge(&hello, "names", &us()), Verdict::Accept);
    }

    #[test]
    fn each_wrong_identity_is_refused() {
        type Change = fn(&mut Hello);
        let wrong: [(Change, Refusal); 6] = [
            (|h| h.version = 9, Refusal::Version { ours: PROTOCOL_VERSION }),
            (|h| h.cluster_name = "other".into(), Refusal::ClusterName { ours: "names".into() }),
            (
                |h| h.cluster = Some(Uuid::from_u128(8)),
                Refusal::Cluster { ours: Some(Uuid::from_u128(7)) },
            ),
            (|h| h.to = Some(3), Refusal::Node { ours: 2 }),
            (
                |h| h.to_disk = Some(Uuid::from_u128(23)),
                Refusal::Disk { ours: Uuid::from_u128(22) },
            ),
            (
                |h| h.from_disk = Uuid::from_u128(12),
                Refusal::SenderDisk { bound: Uuid::from_u128(11) },
            ),
        ];
        for (change, refusal) in wrong {
            let mut hello = hello();
            change(&mut hello);
            assert_eq!(judge(&hello, "names", &us()), Verdict::Refuse(refusal));
        }
    }

    #[test]
    fn an_empty_replica_adopts_only_a_cluster_that_knows_its_disk() {
        let empty = SelfPortrait { cluster: None, members: vec![], ..us() };
        assert_eq!(judge(&hello(), "names", &empty), Verdict::Adopt(Uuid::from_u128(7)));
        let stranger = Hello { to_disk: Some(Uuid::from_u128(1)), ..hello() };
        assert!(matches!(judge(&stranger, "names", &empty), Verdict::Refuse(_)));
        let unfounded = Hello { cluster: None, ..hello() };
        assert!(matches!(judge(&unfounded, "names", &empty), Verdict::Refuse(_)));
    }

    #[test]
    fn a_wiped_replica_can_still_ask_who_is_there() {
        let probe = Hello {
            cluster: None,
            from_disk: Uuid::from_u128(1),
            to: None,
            to_disk: None,
            purpose: Purpose::Probe,
            ..hello()
        };
        assert_eq!(judge(&probe, "names", &us()), Verdict::Accept);
    }
}
