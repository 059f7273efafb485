//! Entries of many megabytes: they hold up no heartbeat, and the log stays within its bound.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, leader, propose, soon};

const MIB: usize = 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn big_entries_start_no_election_and_are_compacted_away() {
    let mut cluster = Cluster::of([1, 2, 3]).await;
    cluster.log_bytes_max = 8 * MIB as u64;
    let mut nodes = Vec::new();
    for id in [1, 2, 3] {
        nodes.push(cluster.start(id).await);
    }
    propose(&nodes, "first").await;
    let lead = leader(&nodes).await;
    let term = lead.replica.status().term;
    for _ in 0..12 {
        let word = "x".repeat(2 * MIB);
        lead.replica.propose(word, soon()).await.expect("the same leader takes them all");
    }
    assert_eq!(leader(&nodes).await.replica.status().term, term, "an election took place");
    // Few entries, many bytes: it is the bytes that make the snapshot.
    let deadline = soon();
    for node in &nodes {
        while node.replica.log_counters().purged_index < 5 {
            assert!(Instant::now() < deadline, "{:?}", node.replica.log_counters());
            sleep(Duration::from_millis(10)).await;
        }
    }
}
