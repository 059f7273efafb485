//! One replica's door for RocketMQ's protocol over a fake log, and a client that checks what every
//! answer must be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use serde_json::Value;
use signpost_namesrv::config::NodeConfig;
use signpost_namesrv::fake_log::{FakeLog, registration};
use signpost_namesrv::gateway::door;
use signpost_namesrv::http::{AdminToken, router};
use signpost_namesrv::routes::command::{Register, RouteCommand, RouteOutcome};
use signpost_namesrv::service::NameService;
use signpost_remoting::{ExtFields, FrameCodec, FrameLimits, RemotingCommand};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::codec::Framed;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Nothing here takes so long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// RocketMQ's version 4.9.8: the first that is answered in standard JSON is 4.9.4.
pub(crate) const NEW: i32 = 409;
/// RocketMQ's version 4.5.2, which is also what Go clients say.
pub(crate) const OLD: i32 = 317;

/// A replica that leads a founded cluster, and its door.
pub(crate) struct Door {
    pub(crate) log: Arc<FakeLog>,
    pub(crate) service: Arc<NameService>,
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl Door {
    pub(crate) async fn open() -> Self {
        Self::open_with(|_| ()).await
    }

    pub(crate) async fn open_with(change: impl FnOnce(&mut NodeConfig)) -> Self {
        let mut config = NodeConfig::new(1, "tests");
        change(&mut config);
        let (log, service) = FakeLog::lead(config);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let stop = CancellationToken::new();
        let task = tokio::spawn(door::serve_on(Arc::clone(&service), listener, stop.clone()));
        Self { log, service, address, stop, task }
    }

    /// Puts a registration into the log.
    pub(crate) fn register(&self, register: Register) -> u64 {
        let applied = self.log.apply(RouteCommand::Register(register));
        assert!(matches!(applied.outcome, RouteOutcome::Registered { .. }), "{applied:?}");
        applied.index
    }

    /// Puts a master with these topics into the log.
    pub(crate) fn master(&self, name: &str, topics: &[&str]) -> u64 {
        self.register(registration(name, 1, topics))
    }

    pub(crate) fn apply(&self, command: RouteCommand) {
        let applied = self.log.apply(command);
        assert!(!matches!(applied.outcome, RouteOutcome::Refused(_)), "{applied:?}");
    }

    pub(crate) async fn dial(&self) -> Peer {
        let stream = TcpStream::connect(self.address).await.expect("the door is open");
        stream.set_nodelay(true).expect("an open socket");
        Peer { frames: Framed::new(stream, codec()), opaque: 0 }
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, request: RemotingCommand) -> RemotingCommand {
        self.dial().await.ask(request).await
    }

    /// The body of the same replica's HTTP door.
    pub(crate) async fn http(&self, uri: &str) -> (u16, Bytes) {
        let token = AdminToken::new("an-admin-token-for-tests").expect("long enough");
        let router = router(Arc::clone(&self.service), token);
        let request = Request::get(uri).body(Body::empty()).expect("a well-formed request");
        let Ok(response) = router.oneshot(request).await;
        let status = response.status().as_u16();
        (status, response.into_body().collect().await.expect("in memory").to_bytes())
    }
}

fn codec() -> FrameCodec {
    let limits = FrameLimits { max_frame_bytes: 128 * 1024 * 1024, ..FrameLimits::default() };
    FrameCodec::new(limits)
}

/// A connection to the door.
pub(crate) struct Peer {
    pub(crate) frames: Framed<TcpStream, FrameCodec>,
    opaque: i32,
}

impl Peer {
    /// Sends a request under the next id, and answers that.
    pub(crate) async fn send(&mut self, mut request: RemotingCommand) -> i32 {
        self.opaque += 1;
        request.opaque = self.opaque;
        self.frames.send(request).await.expect("the connection is open");
        self.opaque
    }

    /// The next answer; None when the door has closed the connection.
    pub(crate) async fn hear(&mut self) -> Option<RemotingCommand> {
        let next = timeout(DEADLINE, self.frames.next()).await.expect("an answer or an end");
        next.and_then(Result::ok)
    }

    pub(crate) async fn ask(&mut self, request: RemotingCommand) -> RemotingCommand {
        let header = request.header;
        let opaque = self.send(request).await;
        let answer = self.hear().await.expect("an answer");
        assert!(answer.is_response() && !answer.is_oneway(), "{answer:?}");
        assert_eq!((answer.opaque, answer.header), (opaque, header), "{answer:?}");
        if answer.code != 0 {
            let remark = answer.remark.as_deref().unwrap_or_default();
            assert!(!remark.is_empty(), "an error says why: {answer:?}");
        }
        answer
    }
}

/// A request with these header fields.
pub(crate) fn request(code: i32, fields: &[(&str, &str)]) -> RemotingCommand {
    RemotingCommand::request(code).with_ext(fields.iter().copied().collect::<ExtFields>())
}

/// A route look-up by a client of this version.
pub(crate) fn look_up(topic: &str, version: i32) -> RemotingCommand {
    RemotingCommand { version, ..request(105, &[("topic", topic)]) }
}

/// A body that is standard JSON.
pub(crate) fn json(answer: &RemotingCommand) -> Value {
    assert_eq!(answer.code, 0, "{answer:?}");
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

/// A body as text.
pub(crate) fn text(answer: &RemotingCommand) -> &str {
    std::str::from_utf8(&answer.body).expect("UTF-8")
}

/// What the answer says of its freshness.
pub(crate) fn consistency(answer: &RemotingCommand) -> Option<&str> {
    answer.ext.get("signpostConsistency")
}
