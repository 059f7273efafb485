//! How a replica is dialled: the seam at which a simulation brings its own network.

use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A byte stream to a replica.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A dialled stream.
pub type BoxedStream = Box<dyn Stream>;

/// What [`Dial::dial`] returns.
pub type Dialing<'a> = Pin<Box<dyn Future<Output = io::Result<BoxedStream>> + Send + 'a>>;

/// Opens a stream to `host:port`. The caller sets the deadline.
pub trait Dial: Send + Sync + 'static {
    /// Dials; names are resolved anew each time.
    fn dial<'a>(&'a self, authority: &'a str) -> Dialing<'a>;
}

/// Real TCP, without Nagle's delay.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpDialer;

impl Dial for TcpDialer {
    fn dial<'a>(&'a self, authority: &'a str) -> Dialing<'a> {
        Box::pin(async move {
            let stream = TcpStream::connect(authority).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as BoxedStream)
        })
    }
}
