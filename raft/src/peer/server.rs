//! The accepting side: handshake, then requests until the connection ends.
//!
//! Log, heartbeat and snapshot connections are served in order, one request at a time; on a call
//! connection requests overtake each other, within a bound.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use openraft::alias::{SnapshotMetaOf, SnapshotOf, VoteOf};
use openraft::raft::AppendEntriesResponse;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, interval, timeout};
use uuid::Uuid;

use super::frame::{CallId, Frames};
use super::hello::{Hello, Purpose, Refusal, Verdict, Welcome, judge};
use super::message::{Answer, Ask};
use crate::machine::{Machine, NodeId};
use crate::network::{Listener, Stream};
use crate::rounds::{self, ReadError};
use crate::shared::Core;
use crate::store::snapshot::{SnapshotHeader, SnapshotWriter};
use crate::types::TypeConfig;

/// Connections that are open at once. A peer needs four.
const CONNECTIONS_MAX: usize = 256;

/// Calls of one peer that are under way at once.
const CALLS_MAX: usize = 4096;

/// How often a peer that waits for long work is told that it goes on.
const WORKING_INTERVAL: Duration = Duration::from_millis(500);

/// A refused replica is told of in the log at most once in this time.
const REFUSAL_SILENCE: Duration = Duration::from_secs(30);

/// Refused replicas that are told apart.
const REFUSALS_MAX: usize = 64;

/// How long a handshake may take.
const HELLO_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a peer may leave an answer unread.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves peers until `stop` turns true.
pub(crate) async fn serve<M: Machine>(
    mut listener: Box<dyn Listener>,
    core: Core<M>,
    mut stop: watch::Receiver<bool>,
) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                let serving = core.serving.clone();
                let (core, mut stop) = (core.clone(), stop.clone());
                serving.spawn(async move {
                    tokio::select! {
                        _ = stop.wait_for(|stop| *stop) => {}
                        ended = connection(stream, from, &core) => if let Err(error) = ended {
                            tracing::debug!(%from, %error, "a peer's connection ended");
                        }
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: give the others time to end.
                tracing::warn!(%error, "cannot accept a peer's connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection<M: Machine>(
    stream: Box<dyn Stream>,
    from: SocketAddr,
    core: &Core<M>,
) -> io::Result<()> {
    let mut frames = Frames::new(stream);
    let hello = match timeout(HELLO_TIMEOUT, frames.receive::<Hello>()).await {
        Ok(Ok(Some((_, hello)))) => hello,
        Ok(Ok(None)) => return Ok(()),
        Ok(Err(error)) => return Err(error),
        Err(_) => return Err(io::ErrorKind::TimedOut.into()),
    };
    let identity = core.identity();
    let refusal = match judge(&hello, &identity.cluster_name, &identity.portrait()) {
        Verdict::Accept => None,
        Verdict::Adopt(cluster) => {
            core.adopt(cluster).await?;
            tracing::info!(%cluster, by = hello.from, "this replica was counted into a cluster");
            None
        }
        Verdict::Refuse(refusal) => Some(refusal),
    };
    if let Some(refusal) = refusal {
        if core.refusals.is_news(hello.from, hello.from_disk) {
            warn_of(&hello, from, &refusal);
        }
        return frames.send(0, &Welcome::Refused(refusal)).await;
    }
    frames.send(0, &Welcome::Accepted(identity.portrait())).await?;
    frames.trust();
    match hello.purpose {
        Purpose::Probe => Ok(()),
        Purpose::Log | Purpose::Heartbeat => in_order(frames, core).await,
        Purpose::Snapshot => snapshots(frames, core).await,
        Purpose::Call => calls(frames, hello.from, core).await,
    }
}

/// Who was refused lately: a replica that dials on and on is told of once in a while.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<BTreeMap<(NodeId, Uuid), Instant>>);

impl Refusals {
    fn is_news(&self, from: NodeId, disk: Uuid) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        told.retain(|_, at| now < *at + REFUSAL_SILENCE);
        if told.len() >= REFUSALS_MAX || told.contains_key(&(from, disk)) {
            return false;
        }
        told.insert((from, disk), now);
        true
    }
}

fn warn_of(hello: &Hello, from: SocketAddr, refusal: &Refusal) {
    let name: String = hello.cluster_name.chars().take(64).collect();
    tracing::warn!(
        peer = hello.from,
        disk = %hello.from_disk,
        cluster_name = ?name,
        %from,
        %refusal,
        "refused a replica's connection"
    );
}

async fn in_order<M: Machine>(mut frames: Frames, core: &Core<M>) -> io::Result<()> {
    while let Some((id, ask)) = frames.receive::<Ask>().await? {
        let raft = &core.raft;
        let answer = match ask {
            Ask::Append(rpc) => {
                let appended = raft.append_entries(rpc).await;
                // The word of a leader that has been deposed does not count.
                if !matches!(appended, Ok(AppendEntriesResponse::HigherVote(_)) | Err(_)) {
                    core.heard_of_leader();
                }
                appended.map(Answer::Append).map_err(failed)
            }
            Ask::Vote(rpc) => raft.vote(rpc).await.map(Answer::Vote).map_err(failed),
            Ask::PreVote(rpc) => raft.pre_vote(rpc).await.map(Answer::Vote).map_err(failed),
            Ask::Transfer(request) => {
                raft.handle_transfer_leader(request).await.map(Answer::Transfer).map_err(failed)
            }
            _ => return Err(unexpected()),
        };
        answer_in_time(&mut frames, id, &answer.unwrap_or_else(Answer::Failed)).await?;
    }
    Ok(())
}

/// A snapshot that is being received: spooled to the disk chunk by chunk, verified as a whole
/// before anything of it counts.
struct Incoming {
    vote: VoteOf<TypeConfig>,
    meta: SnapshotMetaOf<TypeConfig>,
    header: SnapshotHeader,
    writer: SnapshotWriter,
}

async fn snapshots<M: Machine>(mut frames: Frames, core: &Core<M>) -> io::Result<()> {
    let mut incoming: Option<Incoming> = None;
    while let Some((id, ask)) = frames.receive::<Ask>().await? {
        let answer = match (ask, &mut incoming) {
            (Ask::SnapshotBegin { vote, meta, header }, _) => {
                let writer = core.store.snapshots.begin();
                incoming = Some(Incoming { vote, meta, header, writer });
                Answer::Received
            }
            (Ask::SnapshotChunk(chunk), Some(incoming)) => {
                incoming.writer.put(&chunk)?;
                Answer::Received
            }
            (Ask::SnapshotEnd, received) => {
                let Some(Incoming { vote, meta, header, writer }) = received.take() else {
                    return Err(unexpected());
                };
                let install = async {
                    let snapshot = writer.finish_received(header).await?;
                    let snapshot = SnapshotOf::<TypeConfig, _> { meta, snapshot };
                    io::Result::Ok(match core.raft.install_full_snapshot(vote, snapshot).await {
                        Ok(response) => Answer::Snapshot(response),
                        Err(error) => Answer::Failed(error.to_string()),
                    })
                };
                working(&mut frames, id, install).await?
            }
            _ => return Err(unexpected()),
        };
        answer_in_time(&mut frames, id, &answer).await?;
    }
    Ok(())
}

/// Does long work, and tells the other end all the while that it goes on.
async fn working(
    frames: &mut Frames,
    id: CallId,
    work: impl Future<Output = io::Result<Answer>>,
) -> io::Result<Answer> {
    let mut work = std::pin::pin!(work);
    let mut signs = interval(WORKING_INTERVAL);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = signs.tick() => answer_in_time(frames, id, &Answer::Pong).await?,
        }
    }
}

async fn calls<M: Machine>(mut frames: Frames, from: NodeId, core: &Core<M>) -> io::Result<()> {
    let permits = Arc::new(Semaphore::new(CALLS_MAX));
    let (answers, mut answered) = mpsc::channel::<(CallId, Answer)>(CALLS_MAX);
    // Read indices wait for others and compute nothing: they need no task of their own.
    let mut reads = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some((id, answer)) = reads.next() => answer_in_time(&mut frames, id, &answer).await?,
            Some((id, answer)) = answered.recv() => answer_in_time(&mut frames, id, &answer).await?,
            received = frames.receive::<Ask>() => {
                let Some((id, ask)) = received? else { return Ok(()) };
                let Ok(permit) = permits.clone().try_acquire_owned() else {
                    answer_in_time(&mut frames, id, &Answer::Overloaded).await?;
                    continue;
                };
                if matches!(ask, Ask::ReadIndex { .. }) {
                    reads.push(async move {
                        let answer = call(ask, from, core).await;
                        drop(permit);
                        (id, answer)
                    });
                    continue;
                }
                let serving = core.serving.clone();
                let (core, answers) = (core.clone(), answers.clone());
                serving.spawn(async move {
                    let answer = call(ask, from, &core).await;
                    answers.send((id, answer)).await.ok();
                    drop(permit);
                });
            }
        }
    }
}

async fn call<M: Machine>(ask: Ask, from: NodeId, core: &Core<M>) -> Answer {
    let leads = core.leader().is_some_and(|(leader, _)| leader == core.node_id());
    let (is_member, membership_index) = core.identity().is_member(from);
    match ask {
        Ask::Ping => Answer::Pong,
        // Only the leader knows the members well enough to say so: a follower may have missed the
        // entry that added the caller.
        _ if leads && !is_member => Answer::Removed { membership_index },
        Ask::ReadIndex { .. } if !leads => Answer::NotLeader,
        Ask::ReadIndex { vote } => {
            if let Some((index, term)) = rounds::acknowledged(core, from, vote).await {
                return Answer::ReadIndex { index, term };
            }
            let deadline = Instant::now() + core.round_timeout();
            match core.rounds().confirm(deadline).await {
                Ok(round) if round.leader == core.node_id() => {
                    Answer::ReadIndex { index: round.index, term: round.term }
                }
                Ok(_) | Err(ReadError::NoLeader) => Answer::NotLeader,
                Err(_) => Answer::NoQuorum,
            }
        }
        Ask::Call(request) => match core.call_handler() {
            Some(handler) => Answer::Call(Bytes::from(handler.handle(from, request.into()).await)),
            None => Answer::Failed("this replica is still starting".into()),
        },
        _ => Answer::Failed("not a call".into()),
    }
}

async fn answer_in_time(frames: &mut Frames, id: CallId, answer: &Answer) -> io::Result<()> {
    match timeout(SEND_TIMEOUT, frames.send(id, answer)).await {
        Ok(sent) => sent,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn failed(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn unexpected() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a request that this connection is not for")
}
