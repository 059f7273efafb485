//! A network in memory, for tests whose clock stands still while nobody works.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use signpost_remoting::connection::CloseReason;
use signpost_remoting::server::Listener;
use signpost_remoting::{
    ClientOptions, Connection, FrameCodec, Handler, RemotingCommand, Reply, ServerLimits, serve,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::codec::Decoder;
use tokio_util::sync::CancellationToken;

/// What a pipe of this network holds before its writer waits.
pub const PIPE_BYTES: usize = 1024;

/// Where connections of the network arrive.
pub struct Arrivals(pub mpsc::UnboundedReceiver<DuplexStream>);

impl Listener for Arrivals {
    type Io = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, SocketAddr)> {
        match self.0.recv().await {
            Some(stream) => Ok((stream, peer())),
            None => std::future::pending().await,
        }
    }
}

pub fn peer() -> SocketAddr {
    ([192, 0, 2, 1], 4711).into()
}

/// The way into the network.
#[derive(Clone)]
pub struct Net(mpsc::UnboundedSender<DuplexStream>);

impl Net {
    pub fn new() -> (Self, Arrivals) {
        let (net, arrivals) = mpsc::unbounded_channel();
        (Self(net), Arrivals(arrivals))
    }

    /// A new connection; fails as a refused one does when nobody listens any more.
    pub fn connect(&self) -> io::Result<DuplexStream> {
        let (near, far) = duplex(PIPE_BYTES);
        self.0.send(far).map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        Ok(near)
    }

    pub fn client_options(&self) -> ClientOptions {
        let net = self.clone();
        ClientOptions {
            dial: Arc::new(move |_address| {
                let stream = net.connect();
                Box::pin(async move { Ok((Box::new(stream?) as Box<_>, peer())) })
            }),
            ..ClientOptions::default()
        }
    }
}

/// A server on the network; `stop` shuts it down, `done` ends when it has drained.
pub struct Running {
    pub net: Net,
    pub stop: CancellationToken,
    pub done: JoinHandle<()>,
}

pub fn start(handler: impl Handler, limits: ServerLimits) -> Running {
    let (net, arrivals) = Net::new();
    let stop = CancellationToken::new();
    let done = tokio::spawn(serve(arrivals, Arc::new(handler), limits, stop.clone()));
    Running { net, stop, done }
}

/// A peer that reads and writes frames itself.
pub struct Raw {
    pub stream: DuplexStream,
    inbox: BytesMut,
}

impl Raw {
    pub fn new(stream: DuplexStream) -> Self {
        Self { stream, inbox: BytesMut::new() }
    }

    pub async fn send(&mut self, command: &RemotingCommand) {
        let mut bytes = BytesMut::new();
        FrameCodec::default().encode_into(command, &mut bytes).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// The next command; none at the connection's end.
    pub async fn receive(&mut self) -> Option<RemotingCommand> {
        loop {
            if let Some(command) = FrameCodec::default().decode(&mut self.inbox).unwrap() {
                return Some(command);
            }
            if self.stream.read_buf(&mut self.inbox).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// The next command, which must not come within this time.
    pub async fn receives_nothing_for(&mut self, time: Duration) {
        if let Ok(command) = tokio::time::timeout(time, self.receive()).await {
            panic!("received {command:?}");
        }
    }
}

/// Remembers why connections ended; answers by the given function.
pub struct Recording<F> {
    pub answer: F,
    pub ended: Ended,
}

pub type Ended = Arc<Mutex<Vec<CloseReason>>>;

impl<F: Fn(&Connection, RemotingCommand) -> Reply + Send + Sync + 'static> Handler
    for Recording<F>
{
    fn request(&self, connection: &Connection, request: RemotingCommand) -> Reply {
        (self.answer)(connection, request)
    }

    fn closed(&self, _connection: &Connection, reason: &CloseReason) {
        self.ended.lock().unwrap().push(reason.clone());
    }
}

/// A handler made of a function, and the list it fills.
pub fn handler<F>(answer: F) -> (Recording<F>, Ended)
where
    F: Fn(&Connection, RemotingCommand) -> Reply + Send + Sync + 'static,
{
    let ended = Ended::default();
    (Recording { answer, ended: ended.clone() }, ended)
}

/// Answers at once with the request's body.
pub fn echo(_connection: &Connection, request: RemotingCommand) -> Reply {
    Reply::Now(RemotingCommand::response(0).with_body(request.body))
}

/// Answers after as many milliseconds as the request's code says.
pub fn after_code_ms(_connection: &Connection, request: RemotingCommand) -> Reply {
    Reply::later(async move {
        tokio::time::sleep(Duration::from_millis(request.code as u64)).await;
        RemotingCommand::response(0).with_body(request.body)
    })
}

pub fn request(code: i32, opaque: i32) -> RemotingCommand {
    RemotingCommand { opaque, ..RemotingCommand::request(code) }
}
