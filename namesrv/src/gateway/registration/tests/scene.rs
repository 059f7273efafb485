//! Three replicas with a door each, and brokers that speak as stock ones do.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use signpost_raft::machine::{Index, NodeId};
use signpost_remoting::body::{DataVersion, RegisterBody, TopicConfig};
use signpost_remoting::connection::Ended;
use signpost_remoting::namesrv::{
    BrokerHeartbeatHeader, RegisterBrokerHeader, UnregisterBrokerHeader,
};
use signpost_remoting::server::Listener;
use signpost_remoting::{
    Connection, FrameCodec, FrameLimits, Handler, RemotingCommand, Reply, ServerLimits, request,
    response, serve,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::codec::Decoder;
use tokio_util::sync::CancellationToken;

use super::super::Registrations;
use crate::config::NodeConfig;
use crate::fake_log::FakeLog;
use crate::routes::command::{BrokerKey, RouteCommand};
use crate::service::{Forwarded, NameService};

/// Bytes that a connection holds before its writer waits.
const PIPE_BYTES: usize = 256 * 1024;

/// One replica and its door.
pub(super) struct Replica {
    pub(super) log: Arc<FakeLog>,
    pub(super) service: Arc<NameService>,
    pub(super) registrations: Arc<Registrations>,
    arrivals: mpsc::UnboundedSender<DuplexStream>,
    /// Shuts the door.
    pub(super) stop: CancellationToken,
}

/// Replicas 1 (the leader), 2 and 3.
pub(super) struct Scene {
    pub(super) replicas: BTreeMap<NodeId, Replica>,
}

struct Arrivals(mpsc::UnboundedReceiver<DuplexStream>);

impl Listener for Arrivals {
    type Io = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, SocketAddr)> {
        match self.0.recv().await {
            Some(stream) => Ok((stream, ([192, 0, 2, 1], 4711).into())),
            None => std::future::pending().await,
        }
    }
}

struct Door(Arc<Registrations>);

impl Handler for Door {
    fn request(&self, connection: &Connection, asked: RemotingCommand) -> Reply {
        match asked.code {
            request::REGISTER_BROKER => self.0.register(connection, asked),
            request::UNREGISTER_BROKER => self.0.unregister(connection, asked),
            request::BROKER_HEARTBEAT => self.0.heartbeat(connection, asked),
            other => Reply::Now(RemotingCommand::not_supported(other)),
        }
    }

    fn ended(&self, connection: &Connection, ended: &Ended) {
        self.0.ended(connection, ended);
    }
}

fn limits() -> ServerLimits {
    let mut limits = ServerLimits::default();
    limits.connection.frame = frame_limits();
    limits
}

fn frame_limits() -> FrameLimits {
    FrameLimits { max_frame_bytes: 65 * 1024 * 1024, ..FrameLimits::default() }
}

impl Replica {
    fn open(log: Arc<FakeLog>, service: Arc<NameService>) -> Self {
        let registrations = Registrations::start(&service);
        let (arrivals, incoming) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let door = Arc::new(Door(Arc::clone(&registrations)));
        tokio::spawn(serve(Arrivals(incoming), door, limits(), stop.clone()));
        Self { log, service, registrations, arrivals, stop }
    }

    /// The door of a replica that was restarted: it remembers nothing.
    pub(super) fn reopen(&mut self) {
        self.stop.cancel();
        let (log, service) = (Arc::clone(&self.log), Arc::clone(&self.service));
        *self = Self::open(log, service);
    }

    pub(super) fn connect(&self) -> Wire {
        let (near, far) = duplex(PIPE_BYTES);
        self.arrivals.send(far).expect("the door is open");
        Wire { stream: near, inbox: BytesMut::new(), opaque: 0 }
    }
}

impl Scene {
    pub(super) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(super) fn with(change: impl Fn(&mut NodeConfig)) -> Self {
        let mut replicas = BTreeMap::new();
        for id in 1..=3 {
            let mut config = NodeConfig::new(id, "test");
            change(&mut config);
            let (log, service) = FakeLog::lead(config);
            if id > 1 {
                log.begin_term(1, 1);
            }
            replicas.insert(id, Replica::open(log, service));
        }
        for of in replicas.values() {
            for (id, other) in &replicas {
                of.log.set_peer_of(*id, Arc::new(Forwarded::to(&other.service)));
            }
        }
        Self { replicas }
    }

    pub(super) fn replica(&self, id: NodeId) -> &Replica {
        &self.replicas[&id]
    }

    pub(super) fn leader(&self) -> &Replica {
        self.replica(1)
    }

    /// The live epoch of a broker, as the leader's tables hold it.
    pub(super) fn epoch(&self, name: &str) -> Option<Index> {
        let view = self.leader().service.reads().peek();
        view.tables.registration(&key(name, 0)).map(|live| live.epoch)
    }

    pub(super) fn is_alive(&self, name: &str) -> bool {
        self.epoch(name).is_some()
    }

    pub(super) fn expiries(&self) -> usize {
        let proposed = self.leader().log.proposed();
        proposed.iter().filter(|command| matches!(command, RouteCommand::Expire(_))).count()
    }

    /// A broker connected to, and registered at, all three.
    pub(super) async fn broker(&self, broker: &Stock) -> BTreeMap<NodeId, Wire> {
        let mut wires = BTreeMap::new();
        for (id, replica) in &self.replicas {
            let mut wire = replica.connect();
            wire.register_ok(broker).await;
            wires.insert(*id, wire);
        }
        wires
    }

    /// Waits until it holds.
    pub(super) async fn until(&self, within: Duration, holds: impl Fn(&Self) -> bool) {
        let end = Instant::now() + within;
        while !holds(self) {
            assert!(Instant::now() < end, "waited in vain for {within:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

pub(super) fn key(name: &str, id: u64) -> BrokerKey {
    BrokerKey { cluster: "C".into(), name: name.into(), id }
}

/// A stock broker, as it describes itself.
#[derive(Debug, Clone)]
pub(super) struct Stock {
    pub(super) header: RegisterBrokerHeader,
    pub(super) body: RegisterBody,
    pub(super) version: i32,
}

impl Stock {
    /// The master of this name with these topics, of 4.9.8.
    pub(super) fn new(name: &str, topics: &[&str]) -> Self {
        let header = RegisterBrokerHeader {
            broker_name: name.into(),
            broker_addr: format!("{name}:10911"),
            cluster_name: "C".into(),
            ha_server_addr: format!("{name}:10912"),
            ..RegisterBrokerHeader::default()
        };
        let topic = |topic: &&str| ((*topic).to_owned(), TopicConfig::default());
        let body = RegisterBody {
            topics: topics.iter().map(topic).collect(),
            data_version: DataVersion { state_version: 0, counter: 1, timestamp_ms: 1_000 },
            filter_servers: Some(Vec::new()),
            ..RegisterBody::default()
        };
        Self { header, body, version: 409 }
    }

    /// With one topic more, and so another data version.
    pub(super) fn and(mut self, topic: &str) -> Self {
        self.body.topics.insert(topic.into(), TopicConfig::default());
        self.body.data_version.counter += 1;
        self.body.data_version.timestamp_ms += 1;
        self
    }

    pub(super) fn registration(&self) -> RemotingCommand {
        self.registration_of(self.body.encode_json(self.version).into())
    }

    /// The same with a body that was encoded before.
    pub(super) fn registration_of(&self, body: Bytes) -> RemotingCommand {
        let mut command = RemotingCommand::request(request::REGISTER_BROKER)
            .with_ext(self.header.to_ext())
            .with_body(body);
        command.version = self.version;
        command
    }

    pub(super) fn unregistration(&self) -> RemotingCommand {
        let header = UnregisterBrokerHeader {
            broker_name: self.header.broker_name.clone(),
            broker_addr: self.header.broker_addr.clone(),
            cluster_name: self.header.cluster_name.clone(),
            broker_id: self.header.broker_id,
        };
        RemotingCommand::request(request::UNREGISTER_BROKER).with_ext(header.to_ext())
    }

    pub(super) fn heartbeat(&self) -> RemotingCommand {
        let header = BrokerHeartbeatHeader {
            cluster_name: self.header.cluster_name.clone(),
            broker_addr: self.header.broker_addr.clone(),
            broker_name: self.header.broker_name.clone(),
            ..BrokerHeartbeatHeader::default()
        };
        RemotingCommand::request(request::BROKER_HEARTBEAT).with_ext(header.to_ext())
    }
}

/// One connection of a broker. Dropped, it says farewell.
pub(super) struct Wire {
    stream: DuplexStream,
    inbox: BytesMut,
    opaque: i32,
}

impl Wire {
    pub(super) async fn send(&mut self, command: RemotingCommand) {
        self.try_send(command).await.expect("the door reads");
    }

    async fn try_send(&mut self, mut command: RemotingCommand) -> io::Result<()> {
        self.opaque += 1;
        command.opaque = self.opaque;
        let mut bytes = BytesMut::new();
        FrameCodec::new(frame_limits()).encode_into(&command, &mut bytes).expect("a frame");
        self.stream.write_all(&bytes).await
    }

    /// The next answer; None: the connection has ended.
    pub(super) async fn receive(&mut self) -> Option<RemotingCommand> {
        loop {
            let mut codec = FrameCodec::new(frame_limits());
            if let Some(command) = codec.decode(&mut self.inbox).expect("frames only") {
                return Some(command);
            }
            if self.stream.read_buf(&mut self.inbox).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub(super) async fn ask(&mut self, command: RemotingCommand) -> RemotingCommand {
        self.send(command).await;
        let answer = timeout(Duration::from_secs(60), self.receive()).await;
        answer.expect("an answer in time").expect("an open connection")
    }

    /// The answer; None: the connection has ended.
    pub(super) async fn try_ask(&mut self, command: RemotingCommand) -> Option<RemotingCommand> {
        self.try_send(command).await.ok()?;
        timeout(Duration::from_secs(60), self.receive()).await.expect("an answer in time")
    }

    pub(super) async fn register(&mut self, broker: &Stock) -> RemotingCommand {
        self.ask(broker.registration()).await
    }

    pub(super) async fn register_ok(&mut self, broker: &Stock) -> RemotingCommand {
        self.ask_ok(broker.registration()).await
    }

    pub(super) async fn ask_ok(&mut self, command: RemotingCommand) -> RemotingCommand {
        let answer = self.ask(command).await;
        assert_eq!((answer.code, &answer.remark), (response::SUCCESS, &None));
        answer
    }

    pub(super) async fn unregister_ok(&mut self, broker: &Stock) {
        self.ask_ok(broker.unregistration()).await;
    }

    /// Is it closed by the other end within this time?
    pub(super) async fn closes_within(&mut self, time: Duration) -> bool {
        timeout(time, self.receive()).await.is_ok_and(|received| received.is_none())
    }
}
