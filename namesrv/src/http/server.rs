//! The listener's loop: a permit before each accept, bounded connections, an end that comes.
//!
//! axum's own `serve` bounds neither connections nor the time that a header, an answer or the end
//! may take, so hyper's HTTP/1 connections are driven here.

use std::convert::Infallible;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::serve::{Listener, ListenerExt};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::door::Door;
use super::stall::Stall;
use crate::config::Limits;

/// Bounds of one HTTP listener.
#[derive(Debug, Clone)]
pub struct ServeLimits {
    /// Connections that are open at once; further ones wait in the kernel's accept queue.
    pub connections_max: usize,
    /// How long a request's head may take to arrive, and a kept-alive connection may idle, before
    /// it is closed; up to twice that passes before it is noticed.
    pub header_read_ms: u64,
    /// How long an answer may wait for its reader without any progress.
    pub write_stall_ms: u64,
    /// Largest request head (request line and headers), in bytes.
    pub head_bytes_max: usize,
    /// How long requests in flight may go on after the stop began.
    pub drain_ms: u64,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            header_read_ms: 30_000,
            write_stall_ms: 30_000,
            head_bytes_max: 128 * 1024,
            drain_ms: 10_000,
        }
    }
}

impl From<&Limits> for ServeLimits {
    fn from(limits: &Limits) -> Self {
        Self { connections_max: limits.connections, ..Self::default() }
    }
}

/// Where a request came from; in the request's extensions while somebody reads the debug log.
#[derive(Debug, Clone)]
pub(super) struct Peer(pub(super) Arc<str>);

/// A TCP listener whose connections send without delay (`TCP_NODELAY`).
pub fn nodelay(
    listener: TcpListener,
) -> impl Listener<Io = tokio::net::TcpStream, Addr = std::net::SocketAddr> {
    listener.tap_io(|stream| {
        // A connection that refuses the option is about to fail by itself.
        let _ = stream.set_nodelay(true);
    })
}

/// Serves `door` until `shutdown` is cancelled; then closes the listener, lets requests in
/// flight end for `limits.drain_ms`, and cuts those that have not. Waiting reads end when the name
/// service is stopped ([`NameService::shutdown`](crate::service::NameService::shutdown)): stop it
/// at the same time, or they use up that time.
pub async fn serve<L>(mut listener: L, door: Door, limits: ServeLimits, shutdown: CancellationToken)
where
    L: Listener,
    L::Addr: Debug,
{
    let permits = Arc::new(Semaphore::new(limits.connections_max));
    let mut connections = JoinSet::new();
    loop {
        // Ended connections are reaped as we go, or the set would grow for ever.
        while connections.try_join_next().is_some() {}
        let accepted = async {
            // The semaphore is never closed.
            let permit = Arc::clone(&permits).acquire_owned().await.ok();
            (permit, listener.accept().await)
        };
        let (permit, (io, peer)) = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = accepted => accepted,
        };
        let peer = Peer(format!("{peer:?}").into());
        let connection = drive(io, peer, door.clone(), limits.clone(), shutdown.child_token());
        connections.spawn(async move {
            connection.await;
            drop(permit);
        });
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_millis(limits.drain_ms), drained).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "cut the requests that did not end in time"
        );
        connections.shutdown().await;
    }
}

/// Drives one connection to its end.
async fn drive<Io>(io: Io, peer: Peer, door: Door, limits: ServeLimits, shutdown: CancellationToken)
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = Stall::new(io, Duration::from_millis(limits.write_stall_ms));
    let writes = stream.writes();
    let in_flight = Arc::new(AtomicUsize::new(0));
    let from = peer.clone();
    let answering = Arc::clone(&in_flight);
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        if tracing::enabled!(tracing::Level::DEBUG) {
            request.extensions_mut().insert(from.clone());
        }
        let (answering, door) = (Arc::clone(&answering), door.clone());
        async move {
            answering.fetch_add(1, Ordering::Relaxed);
            let response = door.answer(request).await;
            answering.fetch_sub(1, Ordering::Relaxed);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .max_buf_size(limits.head_bytes_max)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = idle(&in_flight, &writes, Duration::from_millis(limits.header_read_ms)) => {
            tracing::debug!(peer = %peer.0, "closed an idle connection");
            return;
        }
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %peer.0, %error, "connection ended");
    }
}

/// Returns when nothing was answered, written or being answered for `patience`: the peer sends no
/// request, or its head does not come to an end. It looks only so often, so it may take twice as
/// long; a timer for each request, as hyper has, costs a local read a tenth of its time.
async fn idle(in_flight: &AtomicUsize, writes: &AtomicU64, patience: Duration) {
    let mut seen = writes.load(Ordering::Relaxed);
    loop {
        tokio::time::sleep(patience).await;
        let now = writes.load(Ordering::Relaxed);
        if in_flight.load(Ordering::Relaxed) == 0 && now == seen {
            return;
        }
        seen = now;
    }
}
