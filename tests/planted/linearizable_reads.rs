//! Linearizable reads, on followers too, are never older than an acknowledged write (claim 1): with
//! one follower's applies slowed down, and the leader stopped, deposed and resumed. And the same
//! test on a build whose follower reads without waiting.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use signpost_client::{Client, Options};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::brokers::{claimed, identity};
use crate::support::cluster::{Cluster, Settings};
use crate::support::http;
use crate::support::wait::until;

/// The replica whose applies are slow.
const SLOW: u64 = 3;
/// By how much, in milliseconds.
const SLOW_APPLY: &str = "slow-apply=200";
const READS: u64 = 3000;
const DEPOSITIONS: u64 = 4;
/// Longer than an election takes.
const AWAY: Duration = Duration::from_millis(1200);

#[tokio::test]
async fn no_linearizable_read_is_older_than_an_acknowledged_write() {
    let seen = watch(Settings::default().plant(SLOW, SLOW_APPLY), READS, DEPOSITIONS).await;
    eprintln!("{seen:?}");
    assert_eq!(seen.stale, 0, "{seen:?}");
    assert!(seen.reads >= READS && seen.by_slow > 0 && seen.by_resumed > 0, "{seen:?}");
}

#[tokio::test]
async fn the_test_notices_a_follower_that_reads_without_waiting() {
    let planted = format!("{SLOW_APPLY},read-without-waiting");
    let seen = watch(Settings::default().plant(SLOW, &planted), READS / 10, 0).await;
    eprintln!("{seen:?}");
    assert!(seen.stale > 0, "the planted bug went unnoticed: {seen:?}");
}

/// What the readers saw.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    reads: u64,
    /// Older than a write that was acknowledged before the read began.
    stale: u64,
    /// Answered by the slow replica.
    by_slow: u64,
    /// Answered by a leader that was just resumed.
    by_resumed: u64,
    refused: u64,
}

/// Shared by all.
#[derive(Debug, Default)]
struct Board {
    /// Index of the latest write acknowledged.
    acknowledged: AtomicU64,
    writes: AtomicU64,
    reads: AtomicU64,
    stop: AtomicBool,
}

/// Reads everywhere while one route changes all the time, and leaders are deposed meanwhile.
async fn watch(settings: Settings, reads: u64, depositions: u64) -> Seen {
    let mut cluster = Cluster::start(settings).await;
    let board = Arc::new(Board::default());
    let patient = Options { call_timeout: Duration::from_secs(20), ..Options::default() };
    let writer = tokio::spawn(write(cluster.client_with(patient), Arc::clone(&board)));
    until("the first write", || async {
        if board.writes.load(Ordering::SeqCst) > 0 { Ok(()) } else { Err("none yet") }
    })
    .await;
    let mut readers = JoinSet::new();
    for id in cluster.ids() {
        for _ in 0..4 {
            readers.spawn(read(cluster.http(id), id, Arc::clone(&board)));
        }
    }
    let mut seen = Seen::default();
    for _ in 0..depositions {
        // Not the slow one, which would hold up everybody as a leader.
        let (leader, term) = cluster.leader().await;
        let before = board.writes.load(Ordering::SeqCst);
        cluster.pause(leader).await;
        sleep(AWAY).await;
        let (_, newer) = cluster.leader().await;
        assert!(newer > term, "it was deposed");
        until("a write under the new leader", || async {
            let writes = board.writes.load(Ordering::SeqCst);
            if writes > before { Ok(()) } else { Err(writes) }
        })
        .await;
        // It still thinks that it leads: whatever it answers must be true all the same.
        let floor = board.acknowledged.load(Ordering::SeqCst);
        let mut asked = JoinSet::new();
        for _ in 0..8 {
            asked.spawn(http::get(cluster.http(leader), "/v1/routes/topic"));
        }
        cluster.resume(leader);
        while let Some(answer) = asked.join_next().await {
            if let Ok(answered) = answer.expect("no panic")
                && answered.status == 200
            {
                seen.by_resumed += 1;
                seen.stale += u64::from(answered.modified < Some(floor));
            }
        }
    }
    until("enough reads", || async {
        let done = board.reads.load(Ordering::SeqCst);
        if done >= reads { Ok(()) } else { Err(done) }
    })
    .await;
    board.stop.store(true, Ordering::SeqCst);
    while let Some(reader) = readers.join_next().await {
        let one = reader.expect("no panic");
        seen.reads += one.reads;
        seen.stale += one.stale;
        seen.by_slow += one.by_slow;
        seen.refused += one.refused;
    }
    writer.await.expect("no write failed");
    seen
}

/// Changes the route again and again.
async fn write(client: Client, board: Arc<Board>) {
    for seq in 1.. {
        let topics: &[&str] = if seq % 2 == 0 { &["topic"] } else { &["topic", "other"] };
        let mut registration = claimed("writer", topics, 1, seq);
        for config in registration.topics.values_mut() {
            config.write_queue_nums = 1 + u32::try_from(seq % 100).expect("small");
        }
        let written = client.register(&identity("writer"), &registration, false).await;
        let index = written.expect("a write").value.index;
        board.acknowledged.fetch_max(index, Ordering::SeqCst);
        board.writes.fetch_add(1, Ordering::SeqCst);
        if board.stop.load(Ordering::SeqCst) {
            return;
        }
    }
}

/// Reads at one replica, and compares.
async fn read(replica: SocketAddr, id: u64, board: Arc<Board>) -> Seen {
    let mut seen = Seen::default();
    while !board.stop.load(Ordering::SeqCst) {
        let floor = board.acknowledged.load(Ordering::SeqCst);
        match http::get(replica, "/v1/routes/topic").await {
            Ok(answered) if answered.status == 200 => {
                seen.reads += 1;
                seen.by_slow += u64::from(id == SLOW);
                seen.stale += u64::from(answered.modified < Some(floor));
                board.reads.fetch_add(1, Ordering::SeqCst);
            }
            // No leader for the moment, or paused for longer than a request may take.
            Ok(_) | Err(_) => {
                seen.refused += 1;
                sleep(Duration::from_millis(10)).await;
            }
        }
    }
    seen
}
