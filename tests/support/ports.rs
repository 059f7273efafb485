//! Ports that no other test has.

use std::net::SocketAddr;

use signpost_chaos::cluster::ports;

/// Ports of a test's own, until dropped.
#[derive(Debug)]
pub(crate) struct Ports(ports::Ports);

impl Ports {
    /// Takes none yet.
    pub(crate) fn reserve() -> Self {
        Self(ports::Ports::default())
    }

    /// The next port on loopback that no stranger listens on.
    pub(crate) fn take(&mut self) -> SocketAddr {
        self.0.take().expect("a port")
    }
}
