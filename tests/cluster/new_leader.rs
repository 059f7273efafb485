//! A new leader gives every broker its full ttl (claim 7): it has not heard the heartbeats that its
//! predecessor has acknowledged, and knows of a registration only that it is old.

use std::time::Duration;

use signpost_client::types::{Heartbeat, Registration};
use tokio::time::{Instant, sleep_until};

use crate::support::brokers::{claimed, identity, listed_until, millis};
use crate::support::cluster::{Cluster, Settings};

/// Several times as long as an election and two scans.
const TTL: Duration = Duration::from_millis(2_400);

#[tokio::test]
async fn a_new_leader_keeps_who_renewed_under_the_old_one() {
    let settings = Settings { scan_interval: Duration::from_millis(50), ..Settings::ttl(TTL) };
    let mut cluster = Cluster::start(settings).await;
    let registration =
        Registration { lease_ttl_ms: Some(millis(TTL)), ..claimed("kept", &["topic"], 1, 1) };
    let (client, broker) = (cluster.client(), identity("kept"));
    let registered = client.register(&broker, &registration, false).await.expect("registered");
    let (epoch, begun) = (registered.value.epoch, Instant::now());
    let mut renewed = begun;
    while renewed < begun + TTL {
        sleep_until(renewed + TTL / 4).await;
        renewed = Instant::now();
        let beat = Heartbeat { incarnation: Some(1), epoch };
        client.heartbeat(&broker, beat).await.expect("renewed");
    }
    let (leader, _) = cluster.leader().await;
    cluster.kill(leader);
    cluster.leader().await;
    listed_until(&client, "kept", epoch, renewed + TTL, "an acknowledged heartbeat").await;
    cluster.start_replica(leader).await;
}
