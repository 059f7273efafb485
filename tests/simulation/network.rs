//! The seams' network over turmoil: the peers' connections of `signpost-raft`, and the listener of
//! the HTTP door.
//!
//! turmoil's TCP does not retransmit: a segment that a partition swallows stalls its connection for
//! ever. Only deadlines end it, which is what a long partition looks like to real TCP.

use std::io;
use std::net::SocketAddr;

use signpost_raft::network::{Listener, Network, NetworkFuture, Stream};
use turmoil::net::{TcpListener, TcpStream};

/// Dials through the simulated network.
pub(crate) struct SimulatedNetwork;

impl Network for SimulatedNetwork {
    fn dial<'a>(&'a self, address: &'a str) -> NetworkFuture<'a, Box<dyn Stream>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

/// Accepts peers from the simulated network.
pub(crate) struct PeerListener(pub(crate) TcpListener);

impl Listener for PeerListener {
    fn accept(&mut self) -> NetworkFuture<'_, (Box<dyn Stream>, SocketAddr)> {
        Box::pin(async move {
            let (stream, from) = self.0.accept().await?;
            Ok((Box::new(stream) as Box<dyn Stream>, from))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Accepts clients from the simulated network.
pub(crate) struct ClientListener(pub(crate) TcpListener);

impl axum::serve::Listener for ClientListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            if let Ok(accepted) = self.0.accept().await {
                return accepted;
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
