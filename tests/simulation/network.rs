//! The seams' network over the simulated one: the peers' connections of `signpost-raft`, and the
//! listener of the HTTP door.

use std::io;
use std::net::SocketAddr;

use signpost_raft::network::{Listener, Network, NetworkFuture, Stream};

use crate::world::stream::{self, Nic};

/// Dials through the simulated network.
pub(crate) struct SimulatedNetwork(pub(crate) Nic);

impl Network for SimulatedNetwork {
    fn dial<'a>(&'a self, address: &'a str) -> NetworkFuture<'a, Box<dyn Stream>> {
        Box::pin(async move {
            let stream = self.0.dial(address).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

/// Accepts peers from the simulated network.
pub(crate) struct PeerListener(pub(crate) stream::Listener);

impl Listener for PeerListener {
    fn accept(&mut self) -> NetworkFuture<'_, (Box<dyn Stream>, SocketAddr)> {
        Box::pin(async move {
            let (stream, from) = self.0.accept().await?;
            Ok((Box::new(stream) as Box<dyn Stream>, from))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.local_addr())
    }
}

/// Accepts clients from the simulated network.
pub(crate) struct ClientListener(pub(crate) stream::Listener);

impl axum::serve::Listener for ClientListener {
    type Io = stream::Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (stream::Stream, SocketAddr) {
        match self.0.accept().await {
            Ok(accepted) => accepted,
            // Of an earlier life: there is nothing left to accept.
            Err(_) => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.local_addr())
    }
}
