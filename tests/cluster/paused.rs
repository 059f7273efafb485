//! Claim 7 with paused replicas: neither a SIGSTOP of the leader, nor of both followers, for longer
//! than the ttl expires a broker that kept renewing, while a silent broker beside it does go.

use std::time::Duration;

use signpost_client::LeaseKeeper;
use tokio::time::{Instant, sleep_until};

use crate::support::brokers::{claimed, identity, keep, listed_until, renewed, status};
use crate::support::cluster::{Cluster, Settings};
use crate::support::http;
use crate::support::wait::throughout;

const TTL: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_paused_leader_expires_nobody_who_renews() {
    let mut cluster = Cluster::start(Settings::ttl(TTL)).await;
    let (keeper, _) = (keep(cluster.client(), "kept", &["topic"]).await, silent(&cluster).await);
    renewed(&keeper, 1).await;
    let (leader, term) = cluster.leader().await;
    cluster.pause(leader).await;
    throughout(PAUSE, async || is_routed(&cluster, &keeper).await).await;
    let (successor, newer) = cluster.leader().await;
    assert!(successor != leader && newer > term, "the others went on without it");
    // What the former leader thinks of its leases is five seconds old.
    cluster.resume(leader);
    throughout(TTL + TTL / 2, async || is_routed(&cluster, &keeper).await).await;
    only_the_kept_is_left(&cluster, &keeper).await;
}

#[tokio::test]
async fn a_leader_without_followers_expires_nobody_who_tries_to_renew() {
    let mut cluster = Cluster::start(Settings::ttl(TTL)).await;
    let (keeper, _) = (keep(cluster.client(), "kept", &["topic"]).await, silent(&cluster).await);
    renewed(&keeper, 1).await;
    let (leader, _) = cluster.leader().await;
    let followers = cluster.others(leader);
    for follower in &followers {
        cluster.pause(*follower).await;
    }
    // No quorum: heartbeats cannot be acknowledged, and all leases are overdue before it is over.
    throughout(PAUSE, async || is_routed(&cluster, &keeper).await).await;
    let held = keeper.status().borrow().held_until.expect("it was registered");
    assert!(held < Instant::now(), "the lease was overdue");
    for follower in followers {
        cluster.resume(follower);
    }
    throughout(TTL + TTL / 2, async || is_routed(&cluster, &keeper).await).await;
    status(&keeper, "it renews again", |status| status.last_error.is_none()).await;
    renewed(&keeper, 2).await;
    only_the_kept_is_left(&cluster, &keeper).await;
}

#[tokio::test]
async fn a_leader_that_stood_still_in_its_own_term_gives_every_broker_its_full_ttl() {
    let settings = Settings::ttl(TTL)
        .allow("this replica was removed from the cluster")
        .allow("a peer refuses this replica")
        .allow("refused a replica's connection");
    let mut cluster = Cluster::start(settings).await;
    let (leader, term) = cluster.leader().await;
    // Alone it is deposed by nobody.
    let others = cluster.others(leader);
    for other in &others {
        let removed = cluster.command(leader, &["remove", &other.to_string()]).await;
        assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    }
    others.into_iter().for_each(|other| cluster.kill(other));
    let door = cluster.admin(leader);
    let registration = claimed("kept", &["topic"], 1, 1);
    let registered = door.register(&identity("kept"), &registration, false).await;
    let epoch = registered.expect("registered").value.epoch;
    cluster.pause(leader).await;
    // Whatever is sent to it meanwhile may be lost.
    sleep_until(Instant::now() + TTL * 2).await;
    let resumed = Instant::now();
    cluster.resume(leader);
    listed_until(&door, "kept", epoch, resumed + TTL, "its leader stood still").await;
    assert_eq!(cluster.leader().await, (leader, term), "nobody else has led meanwhile");
}

/// A broker that never renews: what proves that the scanner works at all.
async fn silent(cluster: &Cluster) -> u64 {
    let registration = claimed("silent", &["topic", "of-silent"], 1, 1);
    let registered = cluster.client().register(&identity("silent"), &registration, false).await;
    registered.expect("registered").value.epoch
}

/// Every replica that can answer routes the broker that renews.
async fn is_routed(cluster: &Cluster, keeper: &LeaseKeeper) {
    for id in cluster.up() {
        let path = "/v1/routes/topic?consistency=local";
        let answered = http::get(cluster.http(id), path).await.expect("it is up");
        let routed = answered.status == 200 && answered.text().contains("kept.test");
        assert!(routed, "at replica {id}: {answered:?}; {:?}", *keeper.status().borrow());
    }
}

async fn only_the_kept_is_left(cluster: &Cluster, keeper: &LeaseKeeper) {
    cluster.same_everywhere("/v1/routes/of-silent", |seen| seen.status == 404).await;
    let left = cluster.same_everywhere("/v1/routes/topic", |_| true).await.ok();
    assert!(!left.text().contains("silent"), "{}", left.text());
    assert!(left.text().contains("kept.test"), "{}", left.text());
    let status = keeper.status().borrow().clone();
    assert_eq!(status.registrations, 1, "it never had to register again: {status:?}");
}
