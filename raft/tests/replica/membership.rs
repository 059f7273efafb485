//! Adding, promoting, removing and replacing replicas.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use signpost_raft::disk::Table;
use signpost_raft::disk::simulated::{Loss, SimulatedDisk};
use signpost_raft::members::MemberError;
use signpost_raft::status::{MemberRole, Role};
use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, Node, leader, propose, soon};

/// Longer than a test.
const STUCK: Duration = Duration::from_secs(3_600);

async fn started(cluster: &mut Cluster, ids: &[u64]) -> Vec<Node> {
    let mut nodes = Vec::new();
    for id in ids {
        nodes.push(cluster.start(*id).await);
    }
    nodes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_dead_replica_is_replaced_under_a_new_number() {
    let mut cluster = Cluster::of([1, 2, 3, 4]).await;
    let fourth = cluster.peers.remove(&4).unwrap();
    let mut nodes = started(&mut cluster, &[1, 2, 3]).await;
    propose(&nodes, "before").await;
    nodes.pop().unwrap().replica.shutdown().await;

    cluster.peers.insert(4, fourth.clone());
    let mut config = cluster.config(4);
    config.join = true;
    let new = cluster.start_with(config).await.unwrap();
    let lead = &leader(&nodes).await.replica;
    lead.remove(3, soon()).await.expect("remove 3");
    lead.add_learner(4, fourth.clone(), soon()).await.expect("add 4");
    new.until("4 is fed", |status| status.fed && status.caught_up).await;
    // It has to be followed for the leader to know that it has caught up.
    let promoted = loop {
        match lead.promote(4, soon()).await {
            Err(MemberError::Refused(why)) if why.contains("fed") || why.contains("lags") => {
                tokio::task::yield_now().await;
            }
            other => break other,
        }
    };
    promoted.expect("promote 4");
    nodes.push(new);
    propose(&nodes, "after").await;
    nodes[2].until_read(&["before", "after"]).await;
    let members = leader(&nodes).await.replica.status().members;
    let ids: Vec<_> = members.iter().map(|member| (member.id, member.role)).collect();
    assert_eq!(ids, [1, 2, 4].map(|id| (id, MemberRole::Voter)));
    // A number is never given again.
    let again = leader(&nodes).await.replica.add_learner(3, fourth, soon()).await;
    assert!(matches!(again, Err(MemberError::Refused(_))), "{again:?}");
}

/// What it knows of the membership after a power cut is from before its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_that_just_joined_does_not_take_itself_for_removed_after_a_power_cut() {
    let mut cluster = Cluster::of([1, 2, 3, 4]).await;
    let fourth = cluster.peers.remove(&4).unwrap();
    let nodes = started(&mut cluster, &[1, 2, 3]).await;
    propose(&nodes, "before").await;

    cluster.peers.insert(4, fourth.clone());
    let mut config = cluster.config(4);
    config.join = true;
    // Slow enough for a cut between what is synced one after the other.
    let slow = Some(Duration::from_millis(20)..=Duration::from_millis(20));
    let mut disk = SimulatedDisk::new(4);
    disk.set_sync_latency(slow.clone());
    let mut new = cluster.start_on(config.clone(), Arc::new(disk.clone())).await.unwrap();
    let said_by = |disk: &SimulatedDisk| disk.durable(Table::Meta, b"identity");
    let mut said = said_by(&disk);
    let lead = leader(&nodes).await.replica.clone();
    let added = tokio::spawn(async move { lead.add_learner(4, fourth, soon()).await });
    // A power cut after each change of what it says of itself: which cluster it is of, that it was counted
    // in, and last, at the end of the row, the highest number that it knows of. It takes the last mark of
    // how far the log is committed.
    while !said.as_ref().is_some_and(|said| said.ends_with(&4_u64.to_le_bytes())) {
        let deadline = soon();
        while said_by(&disk) == said {
            assert!(Instant::now() < deadline, "it stands at {:?}", new.replica.status());
            sleep(Duration::from_millis(1)).await;
        }
        said = said_by(&disk);
        disk = disk.crash(Loss::Kept);
        disk.set_sync_latency(slow.clone());
        new.replica.shutdown().await;
        new = cluster.start_on(config.clone(), Arc::new(disk.clone())).await.unwrap();
    }
    let fed = new.until("it is fed", |status| status.caught_up && status.includes(4)).await;
    assert!(!fed.removed, "{fed:?}");
    added.await.unwrap().expect("add 4");
}

/// A leader counts it in, and is gone before a quorum has heard of that.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_that_was_counted_in_to_no_avail_can_be_added_again() {
    let mut cluster = Cluster::of([1, 2, 3, 4]).await;
    let fourth = cluster.peers.remove(&4).unwrap();
    let mut nodes = Vec::new();
    let mut disks = BTreeMap::new();
    for id in [1, 2, 3] {
        let disk = SimulatedDisk::new(id);
        let config = cluster.config(id);
        nodes.push(cluster.start_on(config, Arc::new(disk.clone())).await.unwrap());
        disks.insert(id, disk);
    }
    propose(&nodes, "before").await;
    let lead = leader(&nodes).await.replica.clone();
    let leader_id = lead.status().node_id;
    disks.remove(&leader_id);
    for disk in disks.values() {
        disk.set_sync_latency(Some(STUCK..=STUCK));
    }
    cluster.peers.insert(4, fourth.clone());
    let mut config = cluster.config(4);
    config.join = true;
    let new = cluster.start_with(config).await.unwrap();
    let added = tokio::spawn({
        let (lead, fourth) = (lead.clone(), fourth.clone());
        async move { lead.add_learner(4, fourth, soon()).await }
    });
    new.until("it was counted in", |status| status.cluster.is_some()).await;

    // The others lose their power, and with it what they have not synced, and then there are those two.
    for node in nodes {
        tokio::spawn(async move { node.replica.shutdown().await });
    }
    let added = added.await.unwrap();
    assert!(matches!(added, Err(MemberError::Unknown(_) | MemberError::Stopped)), "{added:?}");
    let mut nodes = Vec::new();
    for (id, disk) in disks {
        let config = cluster.config(id);
        nodes.push(cluster.start_on(config, Arc::new(disk.crash(Loss::Lost))).await.unwrap());
    }
    let lead = leader(&nodes).await.replica.clone();
    assert!(!lead.status().includes(4), "{:?}", lead.status());
    lead.add_learner(4, fourth, soon()).await.expect("add 4 again");
    new.until("it is fed", |status| status.caught_up && status.includes(4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_removed_replica_learns_and_remembers_it() {
    let mut cluster = Cluster::of([1, 2, 3]).await;
    let mut nodes = started(&mut cluster, &[1, 2, 3]).await;
    propose(&nodes, "word").await;
    let lead = leader(&nodes).await.replica.clone();
    let leader_id = lead.status().node_id;
    let position = nodes.iter().position(|n| n.replica.status().node_id != leader_id).unwrap();
    let out = nodes.remove(position);
    let out_id = out.replica.status().node_id;
    lead.remove(out_id, soon()).await.expect("remove");
    out.until("it knows", |status| status.removed && status.role == Role::Removed).await;
    assert!(out.replica.read_index(soon()).await.is_err());
    out.replica.shutdown().await;
    drop(out);
    let again = cluster.start(out_id).await;
    assert!(again.replica.status().removed);
    propose(&nodes, "on").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_leader_itself_can_be_removed() {
    let mut cluster = Cluster::of([1, 2, 3]).await;
    let mut nodes = started(&mut cluster, &[1, 2, 3]).await;
    propose(&nodes, "before").await;
    let id = leader(&nodes).await.replica.status().node_id;
    let position = nodes.iter().position(|n| n.replica.status().node_id == id).unwrap();
    let out = nodes.remove(position);
    out.replica.remove(id, soon()).await.expect("remove");
    propose(&nodes, "after").await;
    out.until("it knows", |status| status.removed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn leadership_goes_where_it_is_sent() {
    let mut cluster = Cluster::of([1, 2, 3]).await;
    let nodes = started(&mut cluster, &[1, 2, 3]).await;
    propose(&nodes, "word").await;
    for to in [1, 2, 3, 1] {
        leader(&nodes).await.replica.transfer(to, soon()).await.expect("transfer");
        assert_eq!(leader(&nodes).await.replica.status().node_id, to);
    }
}
