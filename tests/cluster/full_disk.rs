//! A replica whose disk is full stops, says why, and may be started again: it is not taken for one
//! that must be replaced, which a supervisor would leave alone.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::cluster::{Cluster, Settings};
use crate::support::wait::until;

/// Room for the first start and some writes.
const KIBIBYTES: u64 = 256;
/// More writes than there is room for.
const WRITES_MAX: usize = 2_000;
/// Half of the time that a replica in good health gives the requests that it has.
const STOP_MAX: Duration = Duration::from_secs(5);
/// A request that never ends.
const ENDLESS: &[u8] = b"PUT /v1/kv/ns/endless HTTP/1.1\r\nhost: test\r\n\
    content-type: application/json\r\ncontent-length: 100\r\n\r\n{";
/// The exit code that says: it may be started again.
const FAILED: i32 = 1;

#[tokio::test]
async fn a_replica_whose_disk_was_full_comes_back_with_all_that_was_acknowledged() {
    let settings = Settings::default();
    let mut cluster =
        Cluster::prepare(settings.allow("File too large").allow("failed to receive from RaftCore"))
            .await;
    let full = cluster.ids()[0];
    for id in cluster.others(full) {
        cluster.launch(id);
    }
    cluster.launch_on_small_disk(full, KIBIBYTES);
    for id in cluster.ids() {
        cluster.ready(id).await;
    }
    let client = cluster.client();
    let mut process = cluster.take(full);
    let mut endless = TcpStream::connect(cluster.http(full)).await.expect("it serves");
    endless.write_all(ENDLESS).await.expect("sent");
    let value = "v".repeat(4096);
    let mut acknowledged = 0;
    let mut failed_at = None;
    let ended = loop {
        if let Some(ended) = process.end() {
            break ended;
        }
        if process.log().contains("the disk failed") {
            let since = *failed_at.get_or_insert_with(Instant::now);
            assert!(since.elapsed() < STOP_MAX, "it waits for what it cannot answer");
        }
        assert!(acknowledged < WRITES_MAX, "its disk never was full");
        let key = format!("key-{acknowledged}");
        // When it was the leader that stops, the first answer may be that nobody knows.
        until("the two others go on", || client.put_kv("ns", &key, &value, None)).await;
        acknowledged += 1;
    };
    assert_eq!(ended.code(), Some(FAILED), "{}", process.log());
    let log = process.log();
    let last = log.lines().last().unwrap_or_default();
    for words in ["its disk failed: File too large", "make room", "start it again"] {
        assert!(last.contains(words), "{words}: {last}");
    }

    // Nor when it is started in vain, which it is until there is room.
    cluster.launch_on_small_disk(full, KIBIBYTES);
    let mut in_vain = cluster.take(full);
    assert_eq!(in_vain.ended().await.code(), Some(FAILED), "{}", in_vain.log());
    assert!(in_vain.log().lines().last().unwrap_or_default().contains("File too large"));

    cluster.start_replica(full).await;
    for key in 0..acknowledged {
        let path = format!("/v1/kv/ns/key-{key}");
        let found = cluster.get(full, &path).await;
        assert_eq!(found.status, 200, "{path}: {}", found.text());
    }
    until("its vote counts again", || cluster.status(full)).await;
}
