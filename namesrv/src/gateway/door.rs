//! The listener of 9876.
//!
//! A replica that has never been fed must not say "no such topic", and one that was removed must
//! not say anything any more: stock clients take the first name server that accepts their
//! connection, and go to another one only when none is made. So the door opens when the replica
//! has been fed for the first time in its life, and closes for good when it is removed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use signpost_remoting::connection::ConnectionLimits;
use signpost_remoting::server::{self, Listener};
use signpost_remoting::{FrameLimits, ServerLimits};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;

use super::Gateway;
use crate::config::NodeConfig;
use crate::service::NameService;

/// Connections that the kernel holds for us (RocketMQ's `serverSocketBacklog`).
const BACKLOG: u32 = 1024;

/// An address that is ours, on which nobody is listened to yet: whoever dials is refused.
#[derive(Debug)]
pub struct ClosedDoor(TcpSocket);

impl ClosedDoor {
    /// Takes the address.
    ///
    /// # Errors
    /// The system's: it is in use, or not one of this machine's.
    pub fn at(address: SocketAddr) -> io::Result<Self> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // A replica that is started again finds the address free at once.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self(socket))
    }

    /// The address, with the port that the system chose if it was asked to.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn open(self) -> io::Result<TcpListener> {
        self.0.listen(BACKLOG)
    }
}

/// Opens the door once the replica has been fed, serves until `shutdown` or its removal, lets
/// answers under way be given, and returns.
///
/// # Errors
/// When the address cannot be listened on after all.
pub async fn serve(
    service: Arc<NameService>,
    door: ClosedDoor,
    shutdown: CancellationToken,
) -> io::Result<()> {
    if until_fed(&service, &shutdown).await {
        let address = door.local_addr()?;
        let listener = door.open()?;
        tracing::info!(remoting = %address, "serving RocketMQ's protocol");
        serve_on(service, listener, shutdown).await;
    }
    Ok(())
}

/// Serves what this listener accepts until `shutdown`, or until the replica is removed.
pub async fn serve_on<L: Listener>(
    service: Arc<NameService>,
    listener: L,
    shutdown: CancellationToken,
) {
    let limits = limits_of(service.config());
    let mut status = service.log.watch();
    let gateway = Arc::new(Gateway::new(service));
    let closing = shutdown.child_token();
    let serving = server::serve(listener, gateway, limits, closing.clone());
    let removal = async {
        if status.wait_for(|status| status.removed).await.is_ok() {
            tracing::info!("the door for RocketMQ's protocol closes: this replica was removed");
            closing.cancel();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = serving => {}
        () = removal => {}
    }
}

/// Waits until the replica has been fed. False: it never will be.
async fn until_fed(service: &NameService, shutdown: &CancellationToken) -> bool {
    let mut status = service.log.watch();
    let settled = status.wait_for(|status| status.fed || status.removed || status.stopped);
    tokio::select! {
        () = shutdown.cancelled() => false,
        settled = settled => settled.is_ok_and(|status| status.fed && !status.removed),
    }
}

/// The bounds of the door. A frame may be as large as the largest registration.
fn limits_of(config: &NodeConfig) -> ServerLimits {
    let header = FrameLimits::default().max_header_bytes;
    let max_frame_bytes = config.limits.registration_bytes.saturating_add(header);
    ServerLimits {
        connection: ConnectionLimits {
            frame: FrameLimits { max_frame_bytes, max_header_bytes: header },
            max_in_flight: config.remoting.requests_in_flight,
            ..ConnectionLimits::default()
        },
        max_connections: config.remoting.connections,
        drain: config.remoting.drain,
    }
}
