//! [`serve`]: the TCP server.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::{self, ConnectionLimits, Handler, Stop};

/// Longest pause after an accept that failed (out of descriptors, mostly).
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(5);

/// Bounds on a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimits {
    /// Bounds on each connection.
    pub connection: ConnectionLimits,
    /// Most connections at once; further ones wait in the system's backlog.
    pub max_connections: usize,
    /// How long a shutdown waits for answers in flight before it cuts the connections.
    pub drain: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connection: ConnectionLimits::default(),
            max_connections: 10_000,
            drain: Duration::from_secs(10),
        }
    }
}

/// Where connections come from: TCP, or what a simulation puts in its place.
pub trait Listener: Send + 'static {
    /// The byte stream of one connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection, ready for use, and its peer. Dropping the future loses none.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Io, SocketAddr)>> + Send;
}

impl Listener for TcpListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = TcpListener::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok((stream, peer))
    }
}

/// Serves connections until `shutdown`, then stops accepting and beginning requests, lets those
/// begun be answered for at most `limits.drain`, cuts what is left, and returns.
pub async fn serve<L: Listener>(
    mut listener: L,
    handler: Arc<dyn Handler>,
    limits: ServerLimits,
    shutdown: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let tasks = TaskTracker::new();
    let stop = Stop { drain: shutdown.clone(), close: CancellationToken::new() };
    let mut next_id = 0_u64;
    loop {
        // The place comes first: what is accepted is always served.
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            let place = place.expect("the semaphore is never closed");
            (place, accept(&mut listener).await)
        };
        let (place, (io, peer)) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accepted => accepted,
        };
        next_id += 1;
        let (handler, stop, id) = (handler.clone(), stop.clone(), next_id);
        tasks.spawn(async move {
            let _place = place;
            tracing::debug!(%peer, id, "connection opened");
            let run = connection::run(io, id, peer, handler, limits.connection, stop, |_| ());
            let reason = run.await;
            tracing::debug!(%peer, id, %reason, "connection closed");
        });
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(limits.drain, tasks.wait()).await.is_err() {
        tracing::warn!(connections = tasks.len(), "cutting connections that did not drain");
        stop.close.cancel();
        tasks.wait().await;
    }
}

/// Accepts, however often it takes: an error here is the system's, and passes.
async fn accept<L: Listener>(listener: &mut L) -> (L::Io, SocketAddr) {
    let mut pause = ACCEPT_PAUSE_MIN;
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => tracing::warn!(%error, "cannot accept a connection"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
    }
}
