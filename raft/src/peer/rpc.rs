//! openraft's calls to a peer: one at a time on a connection of their own.
//!
//! A deadline that passes says little of the connection, and a heartbeat's is short: what comes late
//! is told by its number and passed over, and a dialling goes on for the next call. Only a peer that
//! has been silent for longer is dialled anew (and its name resolved again), or a path that needs
//! three ways for a dialling and a heartbeat would never see one answered. openraft must not confuse
//! a slow peer with an absent one: only a connection that was refused or broken is `Unreachable`
//! (and is backed off from), a deadline is a `Timeout`.

use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{
    NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::RPCOption;
use openraft::network::RPCTypes;
use openraft::network::v2::RaftNetworkV2;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, RaftNetworkFactory};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::dial::{DialError, Dialer};
use super::frame::{CallId, Frames};
use super::hello::Purpose;
use super::message::{Answer, Ask};
use crate::machine::NodeId;
use crate::store::snapshot::SnapshotData;
use crate::types::{Peer, TypeConfig};

/// How long the other side may be silent while it takes a snapshot: it says at least that it still
/// works on it. Short, for a connection that a partition has cut must be given up soon.
const SNAPSHOT_SILENCE: Duration = Duration::from_secs(2);

type RpcError = RPCError<TypeConfig>;

/// Makes the connections to each peer.
pub(crate) struct PeerRpcs {
    pub(crate) dialer: Dialer,
    /// How long a peer may be silent after something was sent to it, and a dialling may take. Also
    /// the least time for an append: openraft grants one heartbeat interval, which a sync on a busy
    /// disk may exceed without anything being wrong.
    pub(crate) silence_max: Duration,
}

impl PeerRpcs {
    fn client(&self, target: NodeId, peer: &Peer, purpose: Purpose) -> PeerRpc {
        PeerRpc {
            dialer: self.dialer.clone(),
            silence_max: self.silence_max,
            target,
            peer: peer.clone(),
            purpose,
            link: Link::Down,
            unanswered_since: None,
            last_id: 0,
            refused: false,
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for PeerRpcs {
    type Network = PeerRpc;

    async fn new_client(&mut self, target: NodeId, node: &Peer) -> PeerRpc {
        self.client(target, node, Purpose::Log)
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, node: &Peer) -> PeerRpc {
        self.client(target, node, Purpose::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: NodeId, node: &Peer) -> PeerRpc {
        self.client(target, node, Purpose::Snapshot)
    }
}

/// The way to a peer. openraft drops a call's future when its time is up: what is under way then
/// stays here.
enum Link {
    Down,
    Dialling(AbortOnDropHandle<Result<Frames, DialError>>),
    Up(Frames),
}

/// The calls to one peer for one purpose.
pub(crate) struct PeerRpc {
    dialer: Dialer,
    silence_max: Duration,
    target: NodeId,
    peer: Peer,
    purpose: Purpose,
    link: Link,
    /// Since when something that was sent has had no answer of any kind.
    unanswered_since: Option<Instant>,
    last_id: CallId,
    /// Whether a refusal has been told already; told again only after a success in between.
    refused: bool,
}

impl PeerRpc {
    async fn ask(
        &mut self,
        action: RPCTypes,
        ask: &Ask,
        within: Duration,
    ) -> Result<Answer, RpcError> {
        let answered = timeout(within, self.exchange(ask)).await;
        self.judge(action, answered, within)
    }

    /// Waits for another answer to the last request.
    async fn another(&mut self, action: RPCTypes, within: Duration) -> Result<Answer, RpcError> {
        let answered = timeout(within, self.answer()).await;
        self.judge(action, answered, within)
    }

    fn judge(
        &mut self,
        action: RPCTypes,
        answered: Result<Result<Answer, DialError>, Elapsed>,
        within: Duration,
    ) -> Result<Answer, RpcError> {
        match answered {
            Ok(Ok(Answer::Failed(why))) => Err(network(&io::Error::other(why))),
            Ok(Ok(answer)) => {
                self.refused = false;
                Ok(answer)
            }
            Ok(Err(error)) => {
                self.hang_up();
                Err(self.classify(error))
            }
            Err(_) => Err(RPCError::Timeout(Timeout {
                action,
                id: self.dialer.identity.node_id,
                target: self.target,
                timeout: within,
            })),
        }
    }

    async fn exchange(&mut self, ask: &Ask) -> Result<Answer, DialError> {
        self.connect().await?;
        let Link::Up(frames) = &mut self.link else { return Err(not_connected()) };
        self.last_id += 1;
        self.unanswered_since.get_or_insert_with(Instant::now);
        frames.send(self.last_id, ask).await?;
        self.answer().await
    }

    /// Goes on dialling, or begins to, unless there is a connection on which the peer is heard.
    async fn connect(&mut self) -> Result<(), DialError> {
        if self.unanswered_since.is_some_and(|since| since.elapsed() >= self.silence_max) {
            self.hang_up();
        }
        if matches!(self.link, Link::Down) {
            let (dialer, within) = (self.dialer.clone(), self.silence_max);
            let (peer, target, purpose) = (self.peer.clone(), self.target, self.purpose);
            self.link = Link::Dialling(AbortOnDropHandle::new(tokio::spawn(async move {
                timeout(within, dialer.dial(&peer.peer, target, peer.disk_id, purpose))
                    .await
                    .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
            })));
        }
        if let Link::Dialling(dialling) = &mut self.link {
            let dialled = dialling.await;
            self.link = Link::Down;
            self.link = Link::Up(dialled.map_err(io::Error::from)??);
        }
        Ok(())
    }

    async fn answer(&mut self) -> Result<Answer, DialError> {
        let Link::Up(frames) = &mut self.link else { return Err(not_connected()) };
        loop {
            let received = frames.receive::<Answer>().await?;
            self.unanswered_since = None;
            match received {
                Some((id, answer)) if id == self.last_id => return Ok(answer),
                // Nobody waits for it any more; the last one has still to be answered.
                Some(_) => self.unanswered_since = Some(Instant::now()),
                None => return Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
            }
        }
    }

    fn hang_up(&mut self) {
        self.link = Link::Down;
        self.unanswered_since = None;
    }

    fn classify(&mut self, error: DialError) -> RpcError {
        match error {
            DialError::Io(error) => match error.kind() {
                io::ErrorKind::InvalidData => network(&error),
                _ => RPCError::Unreachable(Unreachable::new(&error)),
            },
            DialError::Refused { .. } => {
                if !self.refused {
                    self.refused = true;
                    tracing::warn!(peer = self.target, %error, "a peer refuses this replica");
                }
                RPCError::Unreachable(Unreachable::new(&AnyError::error(error)))
            }
        }
    }

    async fn send_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, SnapshotData>,
    ) -> Result<SnapshotResponse<TypeConfig>, RpcError> {
        let action = RPCTypes::InstallSnapshot;
        let header = snapshot.snapshot.header();
        let begin = Ask::SnapshotBegin { vote, meta: snapshot.meta, header };
        self.expect_received(&begin).await?;
        for number in 0..header.chunks {
            let chunk = snapshot.snapshot.chunk(number).map_err(|error| network(&error))?;
            self.expect_received(&Ask::SnapshotChunk(Bytes::from(chunk))).await?;
        }
        // Installing verifies and stores the whole, which takes its time; the caller's deadline
        // bounds it.
        let mut answer = self.ask(action, &Ask::SnapshotEnd, SNAPSHOT_SILENCE).await?;
        while matches!(answer, Answer::Pong) {
            answer = self.another(action, SNAPSHOT_SILENCE).await?;
        }
        match answer {
            Answer::Snapshot(response) => Ok(response),
            _ => Err(self.confused()),
        }
    }

    async fn expect_received(&mut self, ask: &Ask) -> Result<(), RpcError> {
        match self.ask(RPCTypes::InstallSnapshot, ask, SNAPSHOT_SILENCE).await? {
            Answer::Received => Ok(()),
            _ => Err(self.confused()),
        }
    }

    fn confused(&mut self) -> RpcError {
        self.hang_up();
        network(&io::Error::new(io::ErrorKind::InvalidData, "a peer answered something else"))
    }
}

fn not_connected() -> DialError {
    io::Error::from(io::ErrorKind::NotConnected).into()
}

fn network(error: &io::Error) -> RpcError {
    RPCError::Network(NetworkError::new(error))
}

impl RaftNetworkV2<TypeConfig> for PeerRpc {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RpcError> {
        let within = match self.purpose {
            Purpose::Heartbeat => option.hard_ttl(),
            _ => option.hard_ttl().max(self.silence_max),
        };
        match self.ask(RPCTypes::AppendEntries, &Ask::Append(rpc), within).await? {
            Answer::Append(response) => Ok(response),
            _ => Err(self.confused()),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        match self.ask(RPCTypes::Vote, &Ask::Vote(rpc), option.hard_ttl()).await? {
            Answer::Vote(response) => Ok(response),
            _ => Err(self.confused()),
        }
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        match self.ask(RPCTypes::Vote, &Ask::PreVote(rpc), option.hard_ttl()).await? {
            Answer::Vote(response) => Ok(response),
            _ => Err(self.confused()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        tokio::select! {
            closed = cancel => {
                self.hang_up();
                Err(closed.into())
            }
            sent = timeout(option.hard_ttl(), self.send_snapshot(vote, snapshot)) => match sent {
                Ok(sent) => Ok(sent?),
                Err(_) => {
                    self.hang_up();
                    Err(StreamingError::Timeout(Timeout {
                        action: RPCTypes::InstallSnapshot,
                        id: self.dialer.identity.node_id,
                        target: self.target,
                        timeout: option.hard_ttl(),
                    }))
                }
            },
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        match self.ask(RPCTypes::TransferLeader, &Ask::Transfer(req), option.hard_ttl()).await? {
            Answer::Transfer(response) => Ok(response),
            _ => Err(self.confused()),
        }
    }
}
