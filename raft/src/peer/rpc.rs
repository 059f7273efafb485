//! openraft's calls to a peer: one at a time on a connection of their own.
//!
//! A deadline that passes drops the connection, for what may still come on it belongs to a call
//! that nobody waits for; the next call dials again (and resolves the name again). openraft must
//! not confuse a slow peer with an absent one: only a connection that was refused or broken is
//! `Unreachable` (and is backed off from), a deadline is a `Timeout`.

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
use tokio::time::timeout;

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
    /// The least time that an append may take. openraft grants one heartbeat interval, which a
    /// sync on a busy disk may exceed without anything being wrong.
    pub(crate) append_timeout_min: Duration,
}

impl PeerRpcs {
    fn client(&self, target: NodeId, peer: &Peer, purpose: Purpose) -> PeerRpc {
        PeerRpc {
            dialer: self.dialer.clone(),
            append_timeout_min: self.append_timeout_min,
            target,
            peer: peer.clone(),
            purpose,
            connection: None,
            next_id: 0,
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

/// The calls to one peer for one purpose.
pub(crate) struct PeerRpc {
    dialer: Dialer,
    append_timeout_min: Duration,
    target: NodeId,
    peer: Peer,
    purpose: Purpose,
    connection: Option<Frames>,
    next_id: CallId,
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
                self.connection = None;
                Err(self.classify(error))
            }
            Err(_) => {
                self.connection = None;
                Err(RPCError::Timeout(Timeout {
                    action,
                    id: self.dialer.identity.node_id,
                    target: self.target,
                    timeout: within,
                }))
            }
        }
    }

    async fn exchange(&mut self, ask: &Ask) -> Result<Answer, DialError> {
        let frames = match &mut self.connection {
            Some(frames) => frames,
            none => {
                let (address, disk) = (&self.peer.peer, self.peer.disk_id);
                none.insert(self.dialer.dial(address, self.target, disk, self.purpose).await?)
            }
        };
        self.next_id += 1;
        frames.send(self.next_id, ask).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Answer, DialError> {
        let Some(frames) = &mut self.connection else {
            return Err(io::Error::from(io::ErrorKind::NotConnected).into());
        };
        loop {
            match frames.receive::<Answer>().await? {
                Some((id, answer)) if id == self.next_id => return Ok(answer),
                Some(_) => {}
                None => return Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
            }
        }
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
        self.connection = None;
        network(&io::Error::new(io::ErrorKind::InvalidData, "a peer answered something else"))
    }
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
            _ => option.hard_ttl().max(self.append_timeout_min),
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
                self.connection = None;
                Err(closed.into())
            }
            sent = timeout(option.hard_ttl(), self.send_snapshot(vote, snapshot)) => match sent {
                Ok(sent) => Ok(sent?),
                Err(_) => {
                    self.connection = None;
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
