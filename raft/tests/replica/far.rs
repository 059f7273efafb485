//! Replicas far from each other: a dialling, its handshake and a heartbeat together take longer than a
//! heartbeat's time.

use std::sync::Arc;
use std::time::Duration;

use signpost_raft::network::{Network, NetworkFuture, Stream, Tcp};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, duplex, split};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::cluster::{Cluster, leader, propose};

/// One way. There and back it is less than the interval of heartbeats; three times it is more.
const ONE_WAY: Duration = Duration::from_millis(20);
/// Several elections' worth of time.
const ELECTIONS: Duration = Duration::from_secs(4);

/// TCP, with everything under way for [`ONE_WAY`] longer.
struct Far;

impl Network for Far {
    fn dial<'a>(&'a self, address: &'a str) -> NetworkFuture<'a, Box<dyn Stream>> {
        Box::pin(async move {
            sleep(ONE_WAY * 2).await;
            let (near, far) = duplex(64 * 1024);
            let (from_near, to_near) = split(far);
            let (from_peer, to_peer) = split(Tcp.dial(address).await?);
            tokio::spawn(carry(from_near, to_peer));
            tokio::spawn(carry(from_peer, to_near));
            Ok(Box::new(near) as Box<dyn Stream>)
        })
    }
}

/// Carries bytes, each [`ONE_WAY`] later, until either end closes.
async fn carry(
    mut from: impl AsyncRead + Unpin + Send + 'static,
    mut to: impl AsyncWrite + Unpin + Send + 'static,
) {
    let (sent, mut under_way) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            if sent.send((Instant::now() + ONE_WAY, buffer[..read].to_vec())).is_err() {
                return;
            }
        }
    });
    while let Some((due, bytes)) = under_way.recv().await {
        sleep_until(due).await;
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    to.shutdown().await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_leader_keeps_followers_that_are_far_away() {
    let mut cluster = Cluster::of([1, 2, 3]).await;
    cluster.network = Arc::new(Far);
    let mut nodes = Vec::new();
    for id in [1, 2, 3] {
        nodes.push(cluster.start(id).await);
    }
    propose(&nodes, "word").await;
    let first = leader(&nodes).await.replica.status();
    for node in &nodes {
        let mut watch = node.replica.watch();
        let later = watch.wait_for(|status| status.term > first.term);
        let election = timeout(ELECTIONS / 3, later).await;
        assert!(election.is_err(), "somebody stood for election: {:?}", node.replica.status());
        assert_eq!(node.replica.status().leader, Some(first.node_id));
    }
}
