//! A graceful stop of the leader hands leadership over first: no write fails, and none waits for an
//! election.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use signpost_client::Client;
use tokio::time::Instant;

use crate::support::brokers::{claimed, identity};
use crate::support::cluster::{Cluster, Settings};
use crate::support::wait::until;

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
    let settings = Settings::default()
        .option("--election-timeout", ELECTION)
        // openraft's words when a peer's call arrives while it is being stopped.
        .allow("ERROR openraft::raft::raft_inner");
    let mut cluster = Cluster::start_alone(settings).await;
    let mut longest_waits = Vec::new();
    for round in 1..=ROUNDS {
        let (leader, term) = cluster.leader().await;
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, count) = (Arc::clone(&stop), Arc::clone(&written));
        let writer = tokio::spawn(write(cluster.client(), round as u64, told, count));
        until("writes are under way", || async {
            let written = written.load(Ordering::Relaxed);
            if written >= 10 { Ok(()) } else { Err(written) }
        })
        .await;
        let mut process = cluster.terminate(leader);
        let end = process.ended().await;
        assert_eq!(end.code(), Some(0), "{}", process.log());
        assert!(process.log().contains("handed leadership over"), "{}", process.log());
        let (successor, newer) = cluster.leader().await;
        assert!(successor != leader && newer == term + 1, "one handover, no election");
        stop.store(true, Ordering::Relaxed);
        let longest = writer.await.expect("no write failed");
        let writes = written.load(Ordering::Relaxed);
        eprintln!("round {round}: {writes} writes, none failed, the longest took {longest:?}");
        longest_waits.push(longest);
        cluster.start_replica(leader).await;
    }
    longest_waits.sort_unstable();
    assert!(longest_waits[ROUNDS / 2] <= USUAL_WAIT_MAX, "{longest_waits:?}");
    assert!(longest_waits[ROUNDS - 1] <= WAIT_MAX, "{longest_waits:?}");
}

/// Writes one after the other until told to stop, and two more; answers how long the longest took.
async fn write(
    client: Client,
    incarnation: u64,
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
) -> Duration {
    let (mut longest, mut more) = (Duration::ZERO, 2);
    while more > 0 {
        more -= u64::from(stop.load(Ordering::Relaxed));
        let seq = written.load(Ordering::Relaxed) + 1;
        let topic = format!("topic-{}", seq % 7);
        let registration = claimed("writer", &[&topic], incarnation, seq);
        let begun = Instant::now();
        client.register(&identity("writer"), &registration, false).await.expect("a write");
        longest = longest.max(begun.elapsed());
        written.store(seq, Ordering::Relaxed);
    }
    longest
}
