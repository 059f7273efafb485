//! Linearizable reads at every replica, and failover.

use crate::cluster::{Cluster, leader, propose, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_read_at_any_replica_sees_every_acknowledged_word() {
    let mut cluster = Cluster::of([1, 2, 3]).await;
    let mut nodes = Vec::new();
    for id in [1, 2, 3] {
        nodes.push(cluster.start(id).await);
    }
    for round in 0..100 {
        let index = propose(&nodes, &round.to_string()).await;
        for node in &nodes {
            let read = node.replica.read_index(soon()).await.expect("a quorum");
            assert!(read.index >= index, "round {round}: {read:?}");
            assert!(node.words().words.contains_key(&index), "round {round}: an old read");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn acknowledged_words_survive_the_leader() {
    let mut cluster = Cluster::of([1, 2, 3]).await;
    let mut nodes = Vec::new();
    for id in [1, 2, 3] {
        nodes.push(cluster.start(id).await);
    }
    propose(&nodes, "before").await;
    let old = leader(&nodes).await.replica.status().node_id;
    let position = nodes.iter().position(|n| n.replica.status().node_id == old).unwrap();
    nodes.remove(position).replica.shutdown().await;
    propose(&nodes, "after").await;
    for node in &nodes {
        node.until_read(&["before", "after"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_a_quorum_nothing_is_read_or_written() {
    let mut cluster = Cluster::of([1, 2, 3]).await;
    let mut nodes = Vec::new();
    for id in [1, 2, 3] {
        nodes.push(cluster.start(id).await);
    }
    propose(&nodes, "before").await;
    let alone = nodes.pop().unwrap();
    for node in &nodes {
        node.replica.shutdown().await;
    }
    drop(nodes);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(2);
    assert!(alone.replica.read_index(deadline).await.is_err());
    let written = alone.replica.propose("lost".into(), deadline).await;
    assert!(written.is_err(), "{written:?}");
    assert_eq!(alone.values(), ["before"]);
}
