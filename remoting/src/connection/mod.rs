//! One connection, both directions: requests that arrive go to a [`Handler`], requests we send get
//! their responses by id.
//!
//! [`Connection`] is the handle that programs hold; `engine` is the one task that owns the stream, `calls`
//! what it has asked, `woken` what wakes it but the stream.

mod call;
mod calls;
mod ended;
mod engine;
mod woken;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{FrameLimits, Prepared, RemotingCommand};

pub use call::{Cause, InvokeError};
pub use ended::{CloseReason, Ended};
pub(crate) use engine::run;

/// What a program does with the requests of a peer.
pub trait Handler: Send + Sync + 'static {
    /// The answer to a request, if it is there already and keeps nothing of the request: what is
    /// asked most is answered without a move or an allocation. None: [`Handler::request`] is asked.
    fn ready(&self, _connection: &Connection, _request: &RemotingCommand) -> Option<Ready<'_>> {
        None
    }

    /// Begins one request. This runs on the connection's own task: what takes time goes into
    /// [`Reply::Later`], whose future is dropped when the connection closes first. Work that must
    /// be done all the same is handed over (to a task, a thread, a log) before it first waits.
    fn request(&self, connection: &Connection, request: RemotingCommand) -> Reply;

    /// A connection has been opened.
    fn connected(&self, _connection: &Connection) {}

    /// A connection has ended; called exactly once for each that was opened.
    fn closed(&self, _connection: &Connection, _reason: &CloseReason) {}

    /// The same with the state that it was in; called instead by those who want to know.
    fn ended(&self, connection: &Connection, ended: &Ended) {
        self.closed(connection, &ended.reason);
    }
}

/// An answer of which everything is written already but what it repeats of its request.
pub struct Ready<'h> {
    /// All but the body.
    pub answer: &'h Prepared,
    /// The body.
    pub body: Bytes,
}

/// A handler's answer. Id and header kind are set by the connection; the answer to a one-way
/// request is dropped.
pub enum Reply {
    /// The answer, at once.
    Now(RemotingCommand),
    /// The answer, in a while; answers may overtake each other.
    Later(Pin<Box<dyn Future<Output = Option<RemotingCommand>> + Send>>),
    /// None, ever: the peer waits in vain unless its request was one-way.
    Nothing,
}

impl Reply {
    /// An answer that a future will give.
    pub fn later(answer: impl Future<Output = RemotingCommand> + Send + 'static) -> Self {
        Self::Later(Box::pin(async move { Some(answer.await) }))
    }
}

/// Answers every request with "not supported" (3), as clients do that serve nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServeNothing;

impl Handler for ServeNothing {
    fn request(&self, _connection: &Connection, request: RemotingCommand) -> Reply {
        Reply::Now(RemotingCommand::not_supported(request.code))
    }
}

/// Bounds on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Bounds on each frame.
    pub frame: FrameLimits,
    /// Most requests of the peer being handled at once; at the bound we read no further.
    pub max_in_flight: usize,
    /// Bytes waiting for the peer at which we neither read nor answer further.
    pub max_unsent_bytes: usize,
    /// Most calls of ours that wait for their responses; further ones wait for a place.
    pub max_calls: usize,
    /// A connection on which nothing moves for this long is closed, at most an eighth of it later.
    /// RocketMQ: 120 s.
    pub idle: Duration,
    /// A peer that takes none of the bytes waiting for it for this long is cut off.
    pub stall: Duration,
    /// A peer that has begun a frame and not ended it after this long is cut off.
    pub frame_time: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            frame: FrameLimits::default(),
            max_in_flight: 256,
            max_unsent_bytes: 1024 * 1024,
            max_calls: 1024,
            idle: Duration::from_secs(120),
            stall: Duration::from_secs(15),
            frame_time: Duration::from_secs(60),
        }
    }
}

/// Handle to one open connection; clones are the same connection.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

struct Shared {
    id: u64,
    peer: SocketAddr,
    outgoing: mpsc::Sender<Outgoing>,
    /// One permit for each call that waits for its response.
    calls: Semaphore,
    closed: CancellationToken,
    /// Bytes read so far: tells a slow answer from a peer that has gone silent.
    received_bytes: AtomicU64,
}

/// What ends all connections of a server or a client.
#[derive(Clone, Default)]
pub(crate) struct Stop {
    /// Answers what was begun, begins nothing, and ends then.
    pub(crate) drain: CancellationToken,
    /// Ends at once.
    pub(crate) close: CancellationToken,
}

/// A request of ours on its way to the engine.
struct Outgoing {
    command: RemotingCommand,
    /// None for one-way requests.
    reply: Option<oneshot::Sender<Result<RemotingCommand, InvokeError>>>,
}

impl Connection {
    fn new(
        id: u64,
        peer: SocketAddr,
        max_calls: usize,
        closed: CancellationToken,
    ) -> (Self, mpsc::Receiver<Outgoing>) {
        let (outgoing, receiver) = mpsc::channel(max_calls.clamp(1, 1024));
        let shared = Shared {
            id,
            peer,
            outgoing,
            calls: Semaphore::new(max_calls),
            closed,
            received_bytes: AtomicU64::new(0),
        };
        (Self(Arc::new(shared)), receiver)
    }

    /// Number of this connection, unique within its server or client.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// The peer's address.
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// Closes it at once: what was not yet sent is dropped.
    pub fn close(&self) {
        self.0.closed.cancel();
    }

    /// Whether it has ended or been told to.
    pub fn is_closed(&self) -> bool {
        self.0.closed.is_cancelled()
    }

    /// Waits until it has ended or been told to.
    pub async fn closed(&self) {
        self.0.closed.cancelled().await;
    }

    /// Sends a request and waits for its response. The error says whether the request surely never
    /// left, or may have been carried out.
    pub async fn invoke(
        &self,
        command: RemotingCommand,
        deadline: Instant,
    ) -> Result<RemotingCommand, InvokeError> {
        let _place = timeout_at(deadline, self.0.calls.acquire())
            .await
            .map_err(|_| InvokeError::NotSent(Cause::TimedOut))?
            .map_err(|_| InvokeError::NotSent(Cause::Closed))?;
        let (reply, response) = oneshot::channel();
        self.enqueue(Outgoing { command, reply: Some(reply) }, deadline).await?;
        match timeout_at(deadline, response).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(_engine_gone)) => Err(InvokeError::Unknown(Cause::Closed)),
            Err(_elapsed) => Err(InvokeError::Unknown(Cause::TimedOut)),
        }
    }

    /// Sends a one-way request; ok means that it stands in the connection's queue.
    pub async fn notify(
        &self,
        mut command: RemotingCommand,
        deadline: Instant,
    ) -> Result<(), InvokeError> {
        command.mark_oneway();
        self.enqueue(Outgoing { command, reply: None }, deadline).await
    }

    /// Sends a one-way request if there is room in the connection's queue; says whether there was.
    pub fn try_notify(&self, mut command: RemotingCommand) -> bool {
        command.mark_oneway();
        self.0.outgoing.try_send(Outgoing { command, reply: None }).is_ok()
    }

    async fn enqueue(&self, outgoing: Outgoing, deadline: Instant) -> Result<(), InvokeError> {
        match timeout_at(deadline, self.0.outgoing.send(outgoing)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_engine_gone)) => Err(InvokeError::NotSent(Cause::Closed)),
            Err(_elapsed) => Err(InvokeError::NotSent(Cause::TimedOut)),
        }
    }

    /// Counts bytes that were read; only the engine does.
    fn received(&self, bytes: usize) {
        let received_bytes = self.received_bytes() + bytes as u64;
        self.0.received_bytes.store(received_bytes, Ordering::Relaxed);
    }

    pub(crate) fn received_bytes(&self) -> u64 {
        self.0.received_bytes.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({} with {})", self.0.id, self.0.peer)
    }
}
