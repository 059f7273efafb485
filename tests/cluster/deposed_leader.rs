//! A leader that was deposed while it stood still acknowledges no heartbeat, not even those that lay
//! in its sockets and that it reads before anything tells it (claim 7): its successor has expired the
//! broker meanwhile.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::brokers::{claimed, identity, path};
use crate::support::cluster::{Cluster, Settings};
use crate::support::http;
use crate::support::wait::{PATIENCE, until};

const TTL: Duration = Duration::from_millis(800);
const ROUNDS: u64 = 3;
/// In the sockets of each leader.
const HEARTBEATS: usize = 16;

#[tokio::test]
async fn a_leader_that_was_deposed_unawares_acknowledges_no_heartbeat() {
    let mut cluster = Cluster::start(Settings::ttl(TTL)).await;
    for round in 1..=ROUNDS {
        let (leader, _) = cluster.leader().await;
        let name = format!("broker-{round}");
        let registration = claimed(&name, &[&name], 1, 1);
        let door = cluster.admin(leader);
        let registered = door.register(&identity(&name), &registration, false).await;
        let epoch = registered.expect("registered").value.epoch;
        cluster.pause(leader).await;
        let (successor, _) = cluster.leader().await;
        until("its successor has expired the broker", || async {
            let answered =
                http::get(cluster.http(successor), &format!("/v1/routes/{name}")).await?;
            if answered.status == 404 { Ok(()) } else { Err(answered.text()) }
        })
        .await;

        let mut sent = Vec::new();
        for _ in 0..HEARTBEATS {
            sent.push(send(cluster.http(leader), &name, epoch).await);
        }
        cluster.resume(leader);
        let mut answers: JoinSet<String> = sent.into_iter().map(answer_on).collect();
        while let Some(answer) = answers.join_next().await {
            let answer = answer.expect("no panic");
            let status = answer.get("HTTP/1.1 ".len()..).unwrap_or_default();
            assert!(!status.starts_with("200"), "{name} was expired and renewed: {answer}");
        }
    }
}

/// Writes a heartbeat into a connection that nobody may have accepted yet.
async fn send(replica: SocketAddr, name: &str, epoch: u64) -> TcpStream {
    let body = format!("{{\"incarnation\":1,\"epoch\":{epoch}}}");
    let request = format!(
        "POST {}/heartbeat HTTP/1.1\r\nhost: {replica}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        path(name),
        body.len()
    );
    let mut stream = TcpStream::connect(replica).await.expect("its system accepts for it");
    stream.write_all(request.as_bytes()).await.expect("there is room for so little");
    stream
}

async fn answer_on(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    read.expect("answered in time").expect("an answer, and the end of the connection");
    String::from_utf8_lossy(&answer).into_owned()
}
