//! A follower that was away for longer than the log is kept catches up by a snapshot, under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use signpost_chaos::journal;
use tokio::task::JoinSet;

use crate::support::brokers::{claimed, identity};
use crate::support::cluster::{Cluster, Settings};
use crate::support::wait::until;

const LOG_KEEP: u64 = 50;
const MISSED: u64 = 1500;

#[tokio::test]
async fn a_follower_that_missed_more_than_the_log_holds_catches_up_under_load() {
    let settings =
        Settings::default().option("--snapshot-every", 200).option("--log-keep", LOG_KEEP);
    let mut cluster = Cluster::start(settings).await;
    let (leader, _) = cluster.leader().await;
    let lagging = cluster.others(leader)[0];
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut load = JoinSet::new();
    for n in 0..16 {
        let (client, stop) = (cluster.client(), Arc::clone(&stop));
        let written = Arc::clone(&written);
        load.spawn(async move {
            let name = format!("broker-{n}");
            for seq in 1.. {
                let topic = format!("topic-{}", seq % 10);
                let registration = claimed(&name, &[&name, &topic], 1, seq);
                let done = client.register(&identity(&name), &registration, false).await;
                done.expect("a write");
                written.fetch_add(1, Ordering::Relaxed);
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
    }
    cluster.pause(lagging).await;
    let goal = written.load(Ordering::Relaxed) + MISSED;
    until("it has missed enough", || async {
        let done = written.load(Ordering::Relaxed);
        if done >= goal { Ok(()) } else { Err(done) }
    })
    .await;
    cluster.resume(lagging);
    let (leader, _) = cluster.leader().await;
    let goal = cluster.status(leader).await.expect("a status").applied;
    until("it has caught up while writes go on", || async {
        let applied = cluster.status(lagging).await?.applied;
        if applied >= goal { Ok(()) } else { Err(format!("{applied} of {goal}")) }
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    while let Some(writer) = load.join_next().await {
        writer.expect("no write failed");
    }
    cluster.settled().await;
    // It has never applied these itself: they came in a snapshot.
    let applied = journal::indices(&cluster.journal(lagging)).expect("a readable journal");
    let applied: Vec<u64> = applied.into_iter().collect();
    let gap = applied.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
    assert!(gap > LOG_KEEP, "the longest gap in its journal is {gap}");
    for n in 0..16 {
        let path = format!("/v1/routes/broker-{n}");
        cluster.same_everywhere(&path, |_| true).await.ok();
    }
}
