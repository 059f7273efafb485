//! A follower that was away for too long is sent a snapshot, while writes go on.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, propose, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lagging_follower_catches_up_by_snapshot_under_load() {
    let mut cluster = Cluster::of([1, 2, 3]).await;
    cluster.snapshot_every_entries = 50;
    cluster.log_keep_entries = 10;
    let mut nodes = Vec::new();
    for id in [1, 2, 3] {
        nodes.push(cluster.start(id).await);
    }
    propose(&nodes, "0").await;
    let away = nodes.pop().unwrap();
    away.replica.shutdown().await;
    drop(away);
    for word in 1..400 {
        propose(&nodes, &word.to_string()).await;
    }
    let deadline = soon();
    while nodes[0].replica.log_counters().purged_index < 100 {
        assert!(Instant::now() < deadline, "the log was not purged");
        sleep(Duration::from_millis(5)).await;
    }
    let back = cluster.start(3).await;
    for word in 400..500 {
        propose(&nodes, &word.to_string()).await;
    }
    let wanted: Vec<String> = (0..500).map(|word| word.to_string()).collect();
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    back.until_read(&wanted).await;
    assert!(back.replica.log_counters().purged_index > 0, "it was fed entries, not a snapshot");
    // What it was sent is its own now: a restart needs nobody.
    let index = back.replica.snapshot(soon()).await.expect("a snapshot");
    back.replica.shutdown().await;
    drop(back);
    let again = cluster.start(3).await;
    assert!(again.words().applied >= index);
    assert_eq!(again.values()[..500], wanted[..]);
}
