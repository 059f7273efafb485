//! Founding, once: what an empty replica does about what it finds (pure).
//!
//! A cluster is founded when every listed peer answers that it is empty, by the lowest number, with
//! the disks of all. An empty replica whose disk stands in a founded cluster's membership waits to
//! be fed; one that does not was wiped, or is new, and must come in under a new number.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::machine::NodeId;
use crate::peer::hello::SelfPortrait;
use crate::planted::{Bug, planted};
use crate::types::Peer;

/// What an empty replica does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Ask again later; the reason is for people.
    Wait(String),
    /// Found the cluster with these members.
    Found(BTreeMap<NodeId, Peer>),
    /// Stop, for this cannot mend itself; the text says what to do.
    Refuse(String),
}

/// Decides by what the listed peers answered. `me` is this replica as it would stand in the
/// membership; `peers` are all listed replicas with their addresses.
pub(crate) fn decide(
    my_id: NodeId,
    me: &Peer,
    peers: &BTreeMap<NodeId, String>,
    answers: &BTreeMap<NodeId, SelfPortrait>,
    join: bool,
) -> Decision {
    if let Some(founded) = answers.values().find(|answer| !answer.members.is_empty()) {
        return in_founded_cluster(my_id, me.disk_id, founded, join);
    }
    if answers.values().any(|answer| answer.cluster.is_some()) {
        return Decision::Wait("a cluster is being founded".into());
    }
    if join {
        return Decision::Wait("to be added to a cluster (signpost cluster add)".into());
    }
    let mut members = BTreeMap::from([(my_id, me.clone())]);
    for (id, address) in peers.iter().filter(|(id, _)| **id != my_id) {
        match answers.get(id) {
            None => {
                return Decision::Wait(format!("replica {id} at {address} does not answer yet"));
            }
            Some(answer) if answer.id != *id => {
                return Decision::Wait(format!(
                    "replica {} answers at {address}, where replica {id} is listed: check --peers",
                    answer.id
                ));
            }
            Some(answer) => {
                let peer = Peer {
                    peer: address.clone(),
                    http: answer.http.clone(),
                    remoting: answer.remoting.clone(),
                    disk_id: answer.disk_id,
                };
                members.insert(*id, peer);
            }
        }
    }
    match members.first_key_value() {
        Some((lowest, _)) if *lowest == my_id => Decision::Found(members),
        Some((lowest, _)) => Decision::Wait(format!("replica {lowest} founds the cluster")),
        None => Decision::Wait("no peers are listed".into()),
    }
}

fn in_founded_cluster(
    my_id: NodeId,
    my_disk: Uuid,
    founded: &SelfPortrait,
    join: bool,
) -> Decision {
    let cluster = founded.cluster.unwrap_or_default();
    let bound = founded.members.iter().find(|member| member.id == my_id);
    match bound {
        Some(member) if member.disk_id == my_disk || planted(Bug::WipedReplicaVotes) => {
            Decision::Wait("to be fed".into())
        }
        Some(member) => Decision::Refuse(format!(
            "replica {my_id} of cluster {cluster} stands on disk {}, but this data directory is \
             empty (disk {my_disk}): it was wiped or moved. A replica that has forgotten its votes \
             must not vote again. To replace it: `signpost cluster remove {my_id}`, start it with \
             --join under a number never used before (say --node-id N), then `signpost cluster add \
             N <peer address>` and `signpost cluster promote N`",
            member.disk_id
        )),
        None if join => Decision::Wait(format!(
            "to be added to cluster {cluster} (signpost cluster add {my_id} <peer address>)"
        )),
        None => Decision::Refuse(format!(
            "cluster {cluster} has been founded without replica {my_id}. To add it, start it with \
             --join under a number never used before, then `signpost cluster add` and `promote`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::hello::{Member, MemberRole};

    fn peers() -> BTreeMap<NodeId, String> {
        (1..=3).map(|id| (id, format!("h{id}:7876"))).collect()
    }

    fn peer(id: NodeId) -> Peer {
        Peer {
            peer: format!("h{id}:7876"),
            http: format!("h{id}:8876"),
            remoting: format!("h{id}:9876"),
            disk_id: Uuid::from_u128(id.into()),
        }
    }

    fn empty(id: NodeId) -> SelfPortrait {
        SelfPortrait {
            id,
            disk_id: Uuid::from_u128(id.into()),
            cluster: None,
            was_member: false,
            http: format!("h{id}:8876"),
            remoting: format!("h{id}:9876"),
            members: vec![],
            membership_index: 0,
        }
    }

    fn founded(id: NodeId, members: &[(NodeId, u128)]) -> SelfPortrait {
        let member = |&(id, disk): &(NodeId, u128)| Member {
            id,
            role: MemberRole::Voter,
            peer: String::new(),
            http: String::new(),
            remoting: String::new(),
            disk_id: Uuid::from_u128(disk),
        };
        SelfPortrait {
            cluster: Some(Uuid::from_u128(77)),
            was_member: true,
            members: members.iter().map(member).collect(),
            ..empty(id)
        }
    }

    fn answers(of: impl IntoIterator<Item = SelfPortrait>) -> BTreeMap<NodeId, SelfPortrait> {
        of.into_iter().map(|answer| (answer.id, answer)).collect()
    }

    #[test]
    fn only_the_lowest_founds_and_only_when_all_answer_that_they_are_empty() {
        let all = answers([empty(2), empty(3)]);
        let members = (1..=3).map(|id| (id, peer(id))).collect();
        assert_eq!(decide(1, &peer(1), &peers(), &all, false), Decision::Found(members));
        let some = answers([empty(2)]);
        assert!(matches!(decide(1, &peer(1), &peers(), &some, false), Decision::Wait(_)));
        let others = answers([empty(1), empty(3)]);
        assert!(matches!(decide(2, &peer(2), &peers(), &others, false), Decision::Wait(_)));
    }

    #[test]
    fn a_lone_replica_founds_at_once() {
        let alone = BTreeMap::from([(1, "h1:7876".to_owned())]);
        let decision = decide(1, &peer(1), &alone, &BTreeMap::new(), false);
        assert!(matches!(decision, Decision::Found(members) if members.len() == 1));
    }

    #[test]
    fn a_replica_that_was_counted_in_waits_to_be_fed() {
        let seen = answers([founded(1, &[(1, 1), (2, 2), (3, 3)]), empty(3)]);
        assert_eq!(decide(2, &peer(2), &peers(), &seen, false), Decision::Wait("to be fed".into()));
    }

    #[test]
    fn a_wiped_replica_never_founds_and_is_told_how_to_be_replaced() {
        // Even the lowest number, even when the other peer is empty too.
        let seen = answers([founded(2, &[(1, 111), (2, 2), (3, 3)]), empty(3)]);
        let Decision::Refuse(why) = decide(1, &peer(1), &peers(), &seen, false) else {
            panic!("a wiped replica went on")
        };
        assert!(why.contains("signpost cluster remove 1"), "{why}");
    }

    #[test]
    fn a_stranger_needs_to_be_added() {
        let seen = answers([founded(2, &[(2, 2), (3, 3)])]);
        assert!(matches!(decide(1, &peer(1), &peers(), &seen, false), Decision::Refuse(_)));
        assert!(matches!(decide(1, &peer(1), &peers(), &seen, true), Decision::Wait(_)));
    }

    #[test]
    fn nobody_founds_while_a_cluster_is_being_founded() {
        let half = SelfPortrait { cluster: Some(Uuid::from_u128(7)), ..empty(2) };
        let seen = answers([half, empty(3)]);
        assert!(matches!(decide(1, &peer(1), &peers(), &seen, false), Decision::Wait(_)));
    }

    #[test]
    fn nobody_founds_with_a_peer_that_is_another() {
        let mut seen = answers([empty(3)]);
        seen.insert(2, empty(9));
        assert!(matches!(decide(1, &peer(1), &peers(), &seen, false), Decision::Wait(_)));
    }
}
