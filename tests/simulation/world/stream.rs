//! What a program sees of the network: streams, listeners, dialling.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::net::{HostId, Net, PipeId};

/// A process's way into the network.
#[derive(Clone)]
pub(crate) struct Nic {
    pub(super) net: Net,
    pub(super) host: HostId,
    pub(super) life: u64,
}

impl Nic {
    /// Listens on a port.
    pub(crate) fn bind(&self, port: u16) -> Listener {
        self.net.bind(self.host, self.life, port);
        Listener { nic: self.clone(), port }
    }

    /// Dials `name:port`.
    pub(crate) async fn dial(&self, address: &str) -> io::Result<Stream> {
        let ends = address.rsplit_once(':');
        let parsed = ends.and_then(|(name, port)| Some((name, port.parse::<u16>().ok()?)));
        let (name, port) = parsed.ok_or(io::ErrorKind::InvalidInput)?;
        let stream = self.net.dial(self, name, port)?;
        poll_fn(|context| match self.net.connected(stream.incoming, context.waker()) {
            Some(connected) => Poll::Ready(connected),
            None => Poll::Pending,
        })
        .await?;
        Ok(stream)
    }
}

/// A bound port.
pub(crate) struct Listener {
    nic: Nic,
    port: u16,
}

impl Listener {
    pub(crate) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let Nic { net, host, life } = &self.nic;
        let accepted =
            poll_fn(|context| match net.accept(*host, *life, self.port, context.waker()) {
                Some(accepted) => Poll::Ready(accepted),
                None => Poll::Pending,
            });
        let (stream, from) = accepted.await?;
        Ok((stream, address(from, 0)))
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        address(self.nic.host, self.port)
    }
}

fn address(host: HostId, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, host as u8)), port)
}

/// One end of a connection.
pub(crate) struct Stream {
    pub(super) nic: Nic,
    pub(super) incoming: PipeId,
    pub(super) outgoing: PipeId,
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.nic.net.read(self.incoming, buffer.remaining(), context.waker()) {
            Some(Ok(bytes)) => {
                buffer.put_slice(&bytes);
                Poll::Ready(Ok(()))
            }
            Some(Err(error)) => Poll::Ready(Err(error)),
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let pipes = (self.incoming, self.outgoing);
        match self.nic.net.write(pipes, bytes, context.waker()) {
            Some(written) => Poll::Ready(written),
            None => Poll::Pending,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.nic.net.shut(self.outgoing);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.nic.net.close(&self.nic, self.incoming, self.outgoing);
    }
}
