//! Founding, identity and restarts.

use signpost_raft::status::Role;
use tokio::time::timeout;

use crate::cluster::{Cluster, DEADLINE, Node, leader, propose, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_empty_replicas_found_one_cluster_in_any_order() {
    for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1]] {
        let mut cluster = Cluster::of([1, 2, 3]).await;
        let mut nodes: Vec<Node> = Vec::new();
        for id in order {
            nodes.push(cluster.start(id).await);
        }
        propose(&nodes, "first").await;
        for node in &nodes {
            node.until_read(&["first"]).await;
        }
        let uuids: Vec<_> = nodes.iter().map(|node| node.replica.status().cluster).collect();
        assert!(uuids[0].is_some() && uuids.iter().all(|uuid| *uuid == uuids[0]), "{uuids:?}");
        for node in &nodes {
            node.replica.shutdown().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lone_replica_serves_what_it_had_after_a_restart() {
    let mut cluster = Cluster::of([1]).await;
    let node = cluster.start(1).await;
    propose([&node], "kept").await;
    node.replica.shutdown().await;
    drop(node);
    let again = cluster.start(1).await;
    // Served from its own disk, before any election.
    assert_eq!(again.values(), ["kept"]);
    assert!(again.replica.status().fed);
    again.until_read(&["kept"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_wiped_replica_is_refused_and_told_what_to_do() {
    let mut cluster = Cluster::of([1, 2, 3]).await;
    let mut nodes = Vec::new();
    for id in [1, 2, 3] {
        nodes.push(cluster.start(id).await);
    }
    propose(&nodes, "before").await;
    let wiped = nodes.remove(0);
    wiped.replica.shutdown().await;
    drop(wiped);
    std::fs::rename(cluster.path(1), cluster.dir.path().join("aside")).unwrap();

    let back = cluster.start(1).await;
    let why =
        timeout(DEADLINE, back.replica.failed()).await.expect("it did not give up").to_string();
    assert!(why.contains("signpost cluster remove 1"), "{why}");
    assert_eq!(back.replica.status().role, Role::Waiting);
    assert!(back.replica.read_index(soon()).await.is_err());
    // The others go on without it.
    propose(&nodes, "after").await;
    nodes[0].until_read(&["before", "after"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_directory_is_one_replicas_for_ever() {
    let mut cluster = Cluster::of([1]).await;
    let node = cluster.start(1).await;
    propose([&node], "mine").await;
    node.replica.shutdown().await;
    drop(node);
    let mut config = cluster.config(1);
    config.node_id = 2;
    config.peers.insert(2, "127.0.0.1:1".into());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let path = cluster.path(1);
    let Err(error) = cluster.start_in(config, &path, listener).await else { panic!("it started") };
    assert!(error.to_string().contains("replica 1's"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_graceful_stop_hands_leadership_over() {
    let mut cluster = Cluster::of([1, 2, 3]).await;
    let mut nodes = Vec::new();
    for id in [1, 2, 3] {
        nodes.push(cluster.start(id).await);
    }
    propose(&nodes, "first").await;
    let old = leader(&nodes).await.replica.status();
    let position = nodes.iter().position(|n| n.replica.status().node_id == old.node_id).unwrap();
    let stopping = nodes.remove(position);
    stopping.replica.shutdown().await;
    // It knew its successor before it went: nobody had to wait until it was missed.
    let last = stopping.replica.status();
    assert!(last.leader.is_some_and(|leader| leader != old.node_id), "{last:?}");
    assert!(last.term > old.term, "{last:?}");
    propose(&nodes, "second").await;
}
