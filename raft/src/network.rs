//! The network seam: how a replica listens and dials. Real sockets here; a simulation brings its
//! own.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// A byte stream between two replicas.
pub trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static> Stream for T {}

/// A boxed future of the network's operations.
pub type NetworkFuture<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// A bound listener.
pub trait Listener: Send + 'static {
    /// The next connection and where it comes from.
    fn accept(&mut self) -> NetworkFuture<'_, (Box<dyn Stream>, SocketAddr)>;

    /// Where this listens.
    ///
    /// # Errors
    /// When the socket is gone.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// How to dial.
pub trait Network: Send + Sync + 'static {
    /// Dials `address`, `host:port`; the name is resolved at each call, so that a peer may move.
    fn dial<'a>(&'a self, address: &'a str) -> NetworkFuture<'a, Box<dyn Stream>>;
}

/// TCP of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Network for Tcp {
    fn dial<'a>(&'a self, address: &'a str) -> NetworkFuture<'a, Box<dyn Stream>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            prepare(&stream)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

/// Small messages leave at once, and a connection whose other end vanished without a word is
/// closed by the kernel instead of being kept for ever.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

impl Listener for TcpListener {
    fn accept(&mut self) -> NetworkFuture<'_, (Box<dyn Stream>, SocketAddr)> {
        Box::pin(async move {
            let (stream, from) = TcpListener::accept(self).await?;
            prepare(&stream)?;
            Ok((Box::new(stream) as Box<dyn Stream>, from))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }
}
