//! Heartbeats, and registrations that change nothing, leave the log index unchanged (promise 2).

use std::time::Duration;

use signpost_client::types::Heartbeat;

use crate::support::brokers::{claimed, identity, keep, renewed};
use crate::support::cluster::{Cluster, Settings};

/// How often the measurement is begun anew when an election falls into it.
const TRIES: usize = 10;

#[tokio::test]
async fn heartbeats_leave_the_log_index_unchanged() {
    let cluster = Cluster::start(Settings::ttl(Duration::from_millis(800))).await;
    let kept = [
        keep(cluster.client(), "kept-a", &["topic"]).await,
        keep(cluster.client(), "kept-b", &["topic"]).await,
    ];
    let client = cluster.client();
    let by_hand = identity("by-hand");
    let registration = signpost_client::types::Registration {
        lease_ttl_ms: Some(60_000),
        ..claimed("by-hand", &["topic", "other"], 5, 1)
    };
    let registered = client.register(&by_hand, &registration, false).await.expect("registered");
    let epoch = registered.value.epoch;

    for _ in 0..TRIES {
        let (index, before) = (cluster.settled().await, cluster.leader().await);
        for keeper in &kept {
            renewed(keeper, 5).await;
        }
        for _ in 0..100 {
            let beat = Heartbeat { incarnation: Some(5), epoch };
            client.heartbeat(&by_hand, beat).await.expect("renewed");
            let again = client.register(&by_hand, &registration, false).await.expect("unchanged");
            assert_eq!(again.value.epoch, epoch);
        }
        let (after_index, after) = (cluster.settled().await, cluster.leader().await);
        if after == before {
            assert_eq!(after_index, index, "210 heartbeats wrote to the log");
            for keeper in &kept {
                assert_eq!(keeper.status().borrow().registrations, 1);
            }
            return;
        }
        // A new term's first entry moves the index; that proves nothing.
    }
    panic!("no time without an election in {TRIES} tries");
}
