//! A graceful stop of the leader hands leadership over first: no write fails, and none waits for an
//! election.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signpost_client::Client;
use tokio::time::Instant;

use crate::support::brokers::{claimed, identity};
use crate::support::cluster::{Cluster, Settings};

const ROUNDS: usize = 5;
/// An election takes 300 ms and more with this timeout, so nobody can mistake one for a handover.
const ELECTION: &str = "1500ms..2500ms";
/// What a write may wait for a handover, in the middle of the rounds: the machine may be busy in
/// one of them.
const USUAL_WAIT_MAX: Duration = Duration::from_millis(100);
/// In any round; still less than an election.
const WAIT_MAX: Duration = Duration::from_millis(1000);

#[tokio::test]
async fn a_graceful_stop_of_the_leader_costs_no_election() {
    let mut cluster =
        Cluster::start_alone(Settings::default().option("--election-timeout", ELECTION)).await;
    let mut longest_waits = Vec::new();
    for round in 1..=ROUNDS {
        let (leader, term) = cluster.leader().await;
        let stop = Arc::new(AtomicBool::new(false));
        let writer = tokio::spawn(write(cluster.client(), round as u64, Arc::clone(&stop)));
        let mut process = cluster.terminate(leader);
        let end = process.ended().await;
        assert_eq!(end.code(), Some(0), "{}", process.log());
        assert!(process.log().contains("handed leadership over"), "{}", process.log());
        let (successor, newer) = cluster.leader().await;
        assert!(successor != leader && newer == term + 1, "one handover, no election");
        stop.store(true, Ordering::Relaxed);
        let (writes, longest) = writer.await.expect("no write failed");
        eprintln!("round {round}: {writes} writes, none failed, the longest took {longest:?}");
        longest_waits.push(longest);
        cluster.start_replica(leader).await;
    }
    longest_waits.sort_unstable();
    assert!(longest_waits[ROUNDS / 2] <= USUAL_WAIT_MAX, "{longest_waits:?}");
    assert!(longest_waits[ROUNDS - 1] <= WAIT_MAX, "{longest_waits:?}");
}

/// Writes one after the other until told to stop, and two more; answers how many, and how long the
/// longest took.
async fn write(client: Client, incarnation: u64, stop: Arc<AtomicBool>) -> (u64, Duration) {
    let (mut seq, mut longest, mut more) = (0, Duration::ZERO, 2);
    while more > 0 {
        seq += 1;
        more -= u64::from(stop.load(Ordering::Relaxed));
        let topic = format!("topic-{}", seq % 7);
        let registration = claimed("writer", &[&topic], incarnation, seq);
        let begun = Instant::now();
        client.register(&identity("writer"), &registration, false).await.expect("a write");
        longest = longest.max(begun.elapsed());
    }
    (seq, longest)
}
