//! A wire between a stock program and one replica that can be cut: nothing passes, no end of a
//! connection either, and nobody is told.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Passes connections on from one address to another until it is dropped.
#[derive(Debug)]
pub(crate) struct Link {
    address: SocketAddr,
    cut: watch::Sender<bool>,
    passing: JoinHandle<()>,
}

impl Link {
    /// Listens at `address`, and passes on to `to`.
    pub(crate) async fn lay(address: SocketAddr, to: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port of this test's own");
        let (cut, is_cut) = watch::channel(false);
        let passing = tokio::spawn(async move {
            let mut wires = JoinSet::new();
            while let Ok((from, _)) = listener.accept().await {
                let is_cut = is_cut.clone();
                wires.spawn(async move {
                    // Whatever ends it, both ends learn of it when the wire is dropped.
                    let _ = pass(from, to, is_cut).await;
                });
            }
        });
        Self { address, cut, passing }
    }

    /// Where programs reach it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing passes.
    pub(crate) fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Everything passes again, what was held up first.
    pub(crate) fn mend(&self) {
        self.cut.send_replace(false);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.passing.abort();
    }
}

async fn pass(
    mut from: TcpStream,
    to: SocketAddr,
    is_cut: watch::Receiver<bool>,
) -> io::Result<()> {
    whole(&mut is_cut.clone()).await;
    let mut to = TcpStream::connect(to).await?;
    from.set_nodelay(true)?;
    to.set_nodelay(true)?;
    let ((from_read, from_write), (to_read, to_write)) = (from.split(), to.split());
    tokio::try_join!(
        one_way(from_read, to_write, is_cut.clone()),
        one_way(to_read, from_write, is_cut),
    )?;
    Ok(())
}

async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut is_cut: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut bytes).await;
        whole(&mut is_cut).await;
        match read? {
            0 => return to.shutdown().await,
            length => to.write_all(&bytes[..length]).await?,
        }
    }
}

/// Waits while it is cut.
async fn whole(is_cut: &mut watch::Receiver<bool>) {
    // Its sender outlives every wire.
    let _ = is_cut.wait_for(|cut| !cut).await;
}
