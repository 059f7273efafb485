//! Linearizable reads, on followers too, are never older than an acknowledged write (claim 1): with
//! one replica's applies slowed down, and the leader stopped, deposed and resumed. And the same
//! test on a build whose follower reads without waiting.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use signpost_client::{Client, Options};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::brokers::{claimed, identity};
use crate::support::cluster::{Cluster, Settings};
use crate::support::http::{self, Answered};
use crate::support::wait::until;

/// The replica whose applies are slow.
const SLOW: u64 = 3;
/// For how long they stand still, again and again, in milliseconds.
const SLOW_APPLY: &str = "slow-apply=200";
const READS: u64 = 3000;
/// Writes are told apart by two numbers below this.
const BASE: u64 = 1000;
const DEPOSITIONS: u64 = 4;
/// Longer than an election takes.
const AWAY: Duration = Duration::from_millis(1200);

#[tokio::test]
async fn no_linearizable_read_is_older_than_an_acknowledged_write() {
    let seen = watch(SLOW_APPLY, READS, DEPOSITIONS).await;
    eprintln!("{seen:?}");
    assert_eq!(seen.stale, 0, "{seen:?}");
    assert!(seen.reads >= READS && seen.by_slow > 0 && seen.by_resumed > 0, "{seen:?}");
}

#[tokio::test]
async fn the_test_notices_a_follower_that_reads_without_waiting() {
    let planted = format!("{SLOW_APPLY},read-without-waiting");
    let seen = watch(&planted, READS / 10, 0).await;
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
    /// The latest write acknowledged, counted from 1.
    acknowledged: AtomicU64,
    reads: AtomicU64,
    stop: AtomicBool,
}

/// Reads everywhere while one route changes all the time, and leaders are deposed meanwhile.
async fn watch(planted: &str, reads: u64, depositions: u64) -> Seen {
    let planted = BTreeMap::from([(SLOW, planted.to_owned())]);
    let settings = Settings { planted, ..Settings::default() };
    let mut cluster = Cluster::start(settings).await;
    let board = Arc::new(Board::default());
    let patient = Options { call_timeout: Duration::from_secs(20), ..Options::default() };
    let writer = tokio::spawn(write(cluster.client_with(patient), Arc::clone(&board)));
    until("the first write", || async {
        if board.acknowledged.load(Ordering::SeqCst) > 0 { Ok(()) } else { Err("none yet") }
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
        let (leader, term) = cluster.leader().await;
        let before = board.acknowledged.load(Ordering::SeqCst);
        cluster.pause(leader).await;
        sleep(AWAY).await;
        let (_, newer) = cluster.leader().await;
        assert!(newer > term, "it was deposed");
        until("a write under the new leader", || async {
            let writes = board.acknowledged.load(Ordering::SeqCst);
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
            if let Some(write) = answer.expect("no panic").ok().and_then(|a| write_in(&a)) {
                seen.by_resumed += 1;
                seen.stale += u64::from(write < floor);
            }
        }
        // Those that arrived before it learned of its successor may all have been refused.
        let write = until("an answer of the resumed leader", || async {
            let answered = http::get(cluster.http(leader), "/v1/routes/topic").await?;
            write_in(&answered).ok_or_else(|| answered.text())
        })
        .await;
        seen.by_resumed += 1;
        seen.stale += u64::from(write < floor);
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

/// Changes the route again and again: its numbers of queues tell which write it was.
async fn write(client: Client, board: Arc<Board>) {
    for seq in 1.. {
        let mut registration = claimed("writer", &["topic"], 1, seq);
        for config in registration.topics.values_mut() {
            let digit = |number: u64| u32::try_from(number).expect("a small number");
            config.read_queue_nums = 1 + digit(seq / BASE);
            config.write_queue_nums = 1 + digit(seq % BASE);
        }
        let written = client.register(&identity("writer"), &registration, false).await;
        written.expect("a write");
        board.acknowledged.store(seq, Ordering::SeqCst);
        if board.stop.load(Ordering::SeqCst) {
            return;
        }
    }
}

/// Which write an answer shows; 0: none yet. None: it was refused.
fn write_in(answered: &Answered) -> Option<u64> {
    match answered.status {
        200 => {
            let queues = answered.json()["queueDatas"][0].clone();
            let digit = |name: &str| queues[name].as_u64().expect("a number") - 1;
            Some(BASE * digit("readQueueNums") + digit("writeQueueNums"))
        }
        404 => Some(0),
        503 => None,
        _ => panic!("{answered:?}"),
    }
}

/// Reads at one replica, and compares.
async fn read(replica: SocketAddr, id: u64, board: Arc<Board>) -> Seen {
    let mut seen = Seen::default();
    while !board.stop.load(Ordering::SeqCst) {
        let floor = board.acknowledged.load(Ordering::SeqCst);
        let answered = http::get(replica, "/v1/routes/topic").await;
        if let Some(write) = answered.ok().and_then(|answered| write_in(&answered)) {
            seen.reads += 1;
            seen.by_slow += u64::from(id == SLOW);
            seen.stale += u64::from(write < floor);
            board.reads.fetch_add(1, Ordering::SeqCst);
        } else {
            // No leader for the moment, or paused for longer than a request may take.
            seen.refused += 1;
            sleep(Duration::from_millis(10)).await;
        }
    }
    seen
}
