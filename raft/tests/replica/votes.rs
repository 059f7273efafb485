//! A vote counts when it is durable and not before (Raft paper, figure 2): a voter that forgot it in a
//! power cut could vote a second time in the same term.

use std::sync::Arc;
use std::time::Duration;

use signpost_raft::disk::simulated::SimulatedDisk;
use signpost_raft::status::Role;
use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, Node, leader, propose};

/// Longer than a test.
const STUCK: Duration = Duration::from_secs(3_600);
/// Several elections' worth of time.
const ELECTIONS: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_elected_by_votes_that_are_not_durable() {
    let mut cluster = Cluster::of([1, 2, 3]).await;
    let disks = [1, 2, 3].map(|id| (id, SimulatedDisk::new(id)));
    let mut nodes: Vec<Node> = Vec::new();
    for (id, disk) in &disks {
        let config = cluster.config(*id);
        let started = cluster.start_on(config, Arc::new(disk.clone())).await;
        nodes.push(started.expect("started"));
    }
    propose(&nodes, "founded").await;
    let first = leader(&nodes).await.replica.status();
    for (_, disk) in disks.iter().filter(|(id, _)| *id != first.node_id) {
        disk.set_sync_latency(Some(STUCK..=STUCK));
    }
    let gone = nodes.iter().position(|node| node.replica.status().node_id == first.node_id);
    nodes.swap_remove(gone.expect("one of them")).replica.shutdown().await;

    let end = Instant::now() + ELECTIONS;
    while Instant::now() < end {
        for node in &nodes {
            let status = node.replica.status();
            assert_ne!(status.role, Role::Leader, "elected by a vote that may be lost: {status:?}");
        }
        sleep(Duration::from_millis(5)).await;
    }
}
