//! [`Client`]: calls by address, over one connection for each.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{FutureExt, Shared};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::RemotingCommand;
use crate::connection::{self, Connection, ConnectionLimits, Handler, ServeNothing, Stop};
pub use crate::connection::{Cause, InvokeError};

/// A byte stream to a peer.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection being made.
pub type Dialing = Pin<Box<dyn Future<Output = io::Result<(Box<dyn Stream>, SocketAddr)>> + Send>>;

/// How to reach an address (`host:port`): TCP, or what a simulation puts in its place.
pub type Dial = Arc<dyn Fn(String) -> Dialing + Send + Sync>;

/// How a [`Client`] behaves.
#[derive(Clone)]
pub struct ClientOptions {
    /// Bounds on each connection. The client closes idle connections before a server would, so
    /// that a call does not meet a closing server.
    pub connection: ConnectionLimits,
    /// Most time for making a connection. RocketMQ: 3 s.
    pub connect_timeout: Duration,
    /// Answers the requests that servers send; by default with "not supported" (3).
    pub handler: Arc<dyn Handler>,
    /// Makes the connections.
    pub dial: Dial,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connection: ConnectionLimits {
                idle: Duration::from_secs(100),
                ..ConnectionLimits::default()
            },
            connect_timeout: Duration::from_secs(3),
            handler: Arc::new(ServeNothing),
            dial: Arc::new(|address| Box::pin(dial_tcp(address))),
        }
    }
}

async fn dial_tcp(address: String) -> io::Result<(Box<dyn Stream>, SocketAddr)> {
    let stream = TcpStream::connect(&address).await?;
    stream.set_nodelay(true)?;
    let peer = stream.peer_addr()?;
    Ok((Box::new(stream), peer))
}

/// Calls peers by address. Clones share the connections, which close with the last clone.
///
/// All calls to one address share one connection, and one attempt to make it. A connection that
/// ended is made anew by the next call. One on which a call timed out and nothing at all arrived
/// meanwhile is given up for new calls: its peer may have gone without a word.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    options: ClientOptions,
    connections: Mutex<BTreeMap<String, Slot>>,
    next_id: AtomicU64,
    closed: CancellationToken,
    _close_on_drop: DropGuard,
}

/// A connection, made or being made; shared by all that wait for it.
type Slot = Shared<Pin<Box<dyn Future<Output = Result<Connection, Arc<io::Error>>> + Send>>>;

impl Client {
    /// A client without connections.
    pub fn new(options: ClientOptions) -> Self {
        let closed = CancellationToken::new();
        Self(Arc::new(Inner {
            options,
            connections: Mutex::default(),
            next_id: AtomicU64::new(1),
            _close_on_drop: closed.clone().drop_guard(),
            closed,
        }))
    }

    /// Sends a request to `address` (`host:port`) and waits for the response, connecting first if
    /// need be, all within `timeout`. Any response is an `Ok`, whatever its code.
    pub async fn invoke(
        &self,
        address: &str,
        command: RemotingCommand,
        timeout: Duration,
    ) -> Result<RemotingCommand, InvokeError> {
        let deadline = Instant::now() + timeout;
        let connection = self.connection(address, deadline).await?;
        let received_before = connection.received_bytes();
        let answered = connection.invoke(command, deadline).await;
        if let Err(error) = &answered
            && matches!(error.cause(), Cause::TimedOut)
            && connection.received_bytes() == received_before
        {
            self.forget(address, &connection);
        }
        answered
    }

    /// Sends a one-way request; ok means that it stands in the connection's queue.
    pub async fn notify(
        &self,
        address: &str,
        command: RemotingCommand,
        timeout: Duration,
    ) -> Result<(), InvokeError> {
        let deadline = Instant::now() + timeout;
        self.connection(address, deadline).await?.notify(command, deadline).await
    }

    /// The connection to an address, made if there is none.
    pub async fn connection(
        &self,
        address: &str,
        deadline: Instant,
    ) -> Result<Connection, InvokeError> {
        if self.0.closed.is_cancelled() {
            return Err(InvokeError::NotSent(Cause::Closed));
        }
        loop {
            match timeout_at(deadline, self.slot(address)).await {
                // One that was made while nobody waited may have ended since.
                Ok(Ok(connection)) if connection.is_closed() => continue,
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => return Err(InvokeError::NotSent(Cause::Connect(error))),
                Err(_elapsed) => return Err(InvokeError::NotSent(Cause::TimedOut)),
            }
        }
    }

    /// Closes all connections; calls from now on fail.
    pub fn close(&self) {
        self.0.closed.cancel();
    }

    fn slot(&self, address: &str) -> Slot {
        let mut connections = self.0.connections.lock().unwrap_or_else(PoisonError::into_inner);
        match connections.get(address) {
            Some(slot) if is_usable(slot) => slot.clone(),
            _ => {
                let slot = self.connect(address.to_owned());
                connections.insert(address.to_owned(), slot.clone());
                slot
            }
        }
    }

    /// Begins to connect, in a task of its own: a caller that gives up does not undo it for others.
    fn connect(&self, address: String) -> Slot {
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let options = self.0.options.clone();
        let closed = self.0.closed.clone();
        let (opened, connection) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let dialed = timeout(options.connect_timeout, (options.dial)(address)).await;
            let (io, peer) = match dialed {
                Ok(Ok(dialed)) => dialed,
                failed => {
                    let error = match failed {
                        Ok(Err(error)) => error,
                        _ => io::ErrorKind::TimedOut.into(),
                    };
                    // Nobody listens if all callers have given up.
                    let _ = opened.send(Err(Arc::new(error)));
                    return;
                }
            };
            let ClientOptions { handler, connection: limits, .. } = options;
            let stop = Stop { drain: CancellationToken::new(), close: closed };
            let run = connection::run(io, id, peer, handler, limits, stop, |connection| {
                let _ = opened.send(Ok(connection.clone()));
            });
            let reason = run.await;
            tracing::debug!(%peer, %reason, "connection closed");
        });
        let outcome = async move {
            connection.await.unwrap_or_else(|_| Err(Arc::new(io::ErrorKind::NotConnected.into())))
        };
        outcome.boxed().shared()
    }

    /// Makes the next call to this address connect anew, if this is still its connection.
    fn forget(&self, address: &str, connection: &Connection) {
        let mut connections = self.0.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |slot: &Slot| matches!(slot.peek(), Some(Ok(at)) if at.id() == connection.id());
        if connections.get(address).is_some_and(is_it) {
            connections.remove(address);
        }
    }
}

/// Whether a slot is being made, or made and still open.
fn is_usable(slot: &Slot) -> bool {
    match slot.peek() {
        None => true,
        Some(Ok(connection)) => !connection.is_closed(),
        Some(Err(_)) => false,
    }
}
