//! [`Broker`]: one broker from its start to its end.
//!
//! Order of a start: configuration, data directory and incarnation, topic table, commit log,
//! listener, registration. Order of a stop: unregister (sends are still served meanwhile), stop
//! serving, store what is queued.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fmt, io};

use signpost_client::types::Registration;
use signpost_client::{
    BrokerIdentity, Client, LeaseKeeper, LeaseOptions, LeaseStatus, Options, OptionsError,
    StopCause, TopicChange,
};
use signpost_remoting::connection::{CloseReason, ConnectionLimits};
use signpost_remoting::{
    Connection, Handler, RemotingCommand, Reply, ServerLimits, request, response, serve,
};
use tokio::net::{TcpListener, lookup_host};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::adopt::Adopter;
use crate::config::{BrokerConfig, ConfigError};
use crate::data_dir::{DataDir, DataDirError};
use crate::send::Sends;
use crate::store::{Recovery, Store, StoreError, StoreOptions};
use crate::topic_file::TopicFile;

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting cannot be.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// The list of name replicas cannot be read.
    #[error("configuration: `namesrv`: {0}")]
    Namesrv(#[from] OptionsError),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The commit log cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The topic table cannot be used.
    #[error("the topic table cannot be used: {0}")]
    Topics(io::Error),
    /// The port cannot be listened on, or an address does not resolve.
    #[error("`{field}` {address}: {source}")]
    Address {
        /// `listen` or `advertise`.
        field: &'static str,
        /// As configured.
        address: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a broker has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It was asked to.
    Stopped {
        /// Whether the name cluster acknowledged that the registration is gone; else it expires.
        unregistered: bool,
    },
    /// Another process holds this broker's identity.
    Superseded,
    /// It cannot go on: the commit log failed, say; a restart finds out what is stored.
    Failed(String),
}

impl Exit {
    /// Whether nothing went wrong.
    pub fn is_clean(&self) -> bool {
        matches!(self, Self::Stopped { .. })
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped { unregistered: true } => f.write_str("stopped and unregistered"),
            Self::Stopped { unregistered: false } => {
                f.write_str("stopped; the name cluster was not reached, the registration expires")
            }
            Self::Superseded => f.write_str(
                "another process with this cluster, name and id has registered with a higher \
                 incarnation: stopped serving; only one of them may run",
            ),
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}

/// A running broker. Dropping it ends it at once, as a crash would: nothing acknowledged is lost,
/// and its registration expires.
pub struct Broker {
    addr: SocketAddr,
    advertised: String,
    incarnation: u64,
    recovery: Recovery,
    lease: watch::Receiver<LeaseStatus>,
    stop: CancellationToken,
    task: JoinHandle<Exit>,
    _kill_on_drop: DropGuard,
}

impl Broker {
    /// Starts a broker: recovers its log, listens, and registers. It does not wait for the name
    /// cluster: while no replica is reachable it serves those who know it, and keeps trying.
    pub async fn start(config: BrokerConfig) -> Result<Self, StartError> {
        config.check()?;
        let client = Client::new(&config.namesrv, Options::default())?;
        let (changes, told) = mpsc::unbounded_channel();
        let (opened, config) = tokio::task::spawn_blocking(move || {
            open(&config, changes).map(|opened| (opened, config))
        })
        .await
        .map_err(|error| StartError::Topics(io::Error::other(error.to_string())))??;
        let Opened { incarnation, topics, store, recovery } = opened;

        let address = |field, address: &str| {
            let address = address.to_owned();
            move |source| StartError::Address { field, address, source }
        };
        let listener =
            TcpListener::bind(&config.listen).await.map_err(address("listen", &config.listen))?;
        let addr = listener.local_addr().map_err(address("listen", &config.listen))?;
        let advertised = config.advertise.clone().unwrap_or_else(|| addr.to_string());
        let store_host = resolve(&advertised).await.map_err(address("advertise", &advertised))?;

        let table = topics.table();
        let registration = Registration {
            address: advertised.clone(),
            data_version: Some(table.data_version),
            topics: table.topics.clone(),
            lease_ttl_ms: config.lease_ttl_ms,
            ..Registration::default()
        };
        let BrokerConfig { cluster, name, id, takeover, .. } = config.clone();
        let adopter = Adopter::new(&client, &name);
        let identity = BrokerIdentity { cluster: cluster.clone(), name, id };
        let options = LeaseOptions { incarnation, takeover, seed: None };
        let keeper = LeaseKeeper::start(client, identity, registration, options);
        let lease = keeper.status();

        let sends = Arc::new(Sends {
            store,
            topics,
            adopter,
            cluster,
            store_host,
            max_message_bytes: config.max_message_bytes,
            next_queue: AtomicU32::new(0),
            tasks: TaskTracker::new(),
        });
        tracing::info!(
            %addr, advertised, incarnation, messages = recovery.messages,
            log_end = recovery.end_offset, "broker started"
        );
        let (stop, kill) = (CancellationToken::new(), CancellationToken::new());
        let running = Running { config, listener, sends, keeper, told, stop: stop.clone() };
        let killed = kill.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                exit = running.run() => exit,
                () = killed.cancelled() => Exit::Stopped { unregistered: false },
            }
        });
        let _kill_on_drop = kill.drop_guard();
        Ok(Self { addr, advertised, incarnation, recovery, lease, stop, task, _kill_on_drop })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where clients are told to find it.
    pub fn advertised(&self) -> &str {
        &self.advertised
    }

    /// This process among all that had this data directory.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// What the start found in the commit log.
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// How its registration stands, and each change of that.
    pub fn lease(&self) -> watch::Receiver<LeaseStatus> {
        self.lease.clone()
    }

    /// Waits until it has ended by itself: superseded, or its store failed.
    pub async fn ended(&mut self) -> Exit {
        joined((&mut self.task).await)
    }

    /// Unregisters, answers what is in flight, stores what is queued, and ends.
    pub async fn shutdown(mut self) -> Exit {
        self.stop.cancel();
        self.ended().await
    }
}

fn joined(outcome: Result<Exit, tokio::task::JoinError>) -> Exit {
    outcome.unwrap_or_else(|error| Exit::Failed(format!("the broker's task ended: {error}")))
}

/// What is on disk, opened.
struct Opened {
    incarnation: u64,
    topics: Arc<TopicFile>,
    store: Store,
    recovery: Recovery,
}

fn open(
    config: &BrokerConfig,
    changes: mpsc::UnboundedSender<TopicChange>,
) -> Result<Opened, StartError> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = u64::try_from(since.as_millis()).unwrap_or(0);
    let data_dir = DataDir::open(config, now_ms)?;
    let topics = TopicFile::open(
        data_dir.topics(),
        config.max_topics,
        |table| table.add_system_topics(config, now_ms.cast_signed()),
        changes,
    )
    .map_err(StartError::Topics)?;
    let options = StoreOptions {
        segment_bytes: config.segment_bytes,
        max_pending_bytes: config.max_pending_bytes,
        log_id: data_dir.log_id,
    };
    let (directory, incarnation) = (data_dir.commit_log(), data_dir.incarnation);
    // The log keeps the lock: however the broker ends, nobody else opens the directory before the
    // log's writer has gone.
    let (store, recovery) = Store::open(&directory, options, Vec::new(), Some(data_dir.lock))?;
    Ok(Opened { incarnation, topics: Arc::new(topics), store, recovery })
}

/// The address that goes into messages: IPv4 if there is one, which every client can read.
async fn resolve(advertised: &str) -> io::Result<SocketAddr> {
    let mut found: Vec<_> = lookup_host(advertised).await?.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    let address = found.first().copied().ok_or(io::ErrorKind::NotFound)?;
    if address.ip().is_unspecified() {
        let problem = "is no address that clients can dial: set `advertise` to one";
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, problem));
    }
    Ok(address)
}

/// A broker at work.
struct Running {
    config: BrokerConfig,
    listener: TcpListener,
    sends: Arc<Sends>,
    keeper: LeaseKeeper,
    told: mpsc::UnboundedReceiver<TopicChange>,
    stop: CancellationToken,
}

impl Running {
    async fn run(self) -> Exit {
        let Self { config, listener, sends, keeper, mut told, stop } = self;
        let drain = Duration::from_millis(config.drain_ms);
        let limits = ServerLimits {
            connection: ConnectionLimits {
                idle: Duration::from_millis(config.idle_ms),
                ..ConnectionLimits::default()
            },
            max_connections: config.max_connections,
            drain,
        };
        let stop_serving = CancellationToken::new();
        let handler = Arc::new(Requests(sends.clone()));
        let mut serving = std::pin::pin!(serve(listener, handler, limits, stop_serving.clone()));

        let mut status = keeper.status();
        let mut failure = sends.store.failure();
        let watch = async {
            loop {
                tokio::select! {
                    Some(change) = told.recv() => keeper.change_topics(change),
                    stopped = status.wait_for(|status| status.stopped.is_some()) => {
                        return match stopped {
                            // Nobody but us asks it to stop, so this is the one other cause.
                            Ok(_) => Exit::Superseded,
                            Err(_gone) => Exit::Failed("the lease keeper has died".to_owned()),
                        };
                    }
                    Ok(reason) = failure.wait_for(Option::is_some) => {
                        let reason = reason.as_deref().unwrap_or("unknown");
                        return Exit::Failed(format!("the commit log failed: {reason}"));
                    }
                    () = stop.cancelled() => return Exit::Stopped { unregistered: false },
                }
            }
        };
        let mut exit = tokio::select! {
            exit = watch => exit,
            // It returns only when told to.
            () = &mut serving => Exit::Stopped { unregistered: false },
        };
        match &exit {
            Exit::Stopped { .. } => {
                let unregistering = keeper.stop(drain);
                let cause = tokio::select! {
                    cause = unregistering => cause,
                    () = &mut serving => StopCause::Asked { unregistered: false },
                };
                exit = match cause {
                    StopCause::Superseded => Exit::Superseded,
                    StopCause::Asked { unregistered } => Exit::Stopped { unregistered },
                };
            }
            // It is not ours to take out; another one's registration stands there.
            Exit::Superseded | Exit::Failed(_) => {
                tracing::error!(reason = %exit, "broker stops");
                drop(keeper);
            }
        }
        stop_serving.cancel();
        serving.await;
        close(sends).await;
        tracing::info!(reason = %exit, "broker stopped");
        exit
    }
}

/// Waits until everything queued is stored.
async fn close(sends: Arc<Sends>) {
    // Sends to new topics may still be on their way in tasks of their own.
    let tasks = sends.tasks.clone();
    tasks.close();
    tasks.wait().await;
    let Some(sends) = Arc::into_inner(sends) else {
        return tracing::error!("the commit log is still in use; it closes with its last user");
    };
    if tokio::task::spawn_blocking(move || sends.store.close()).await.is_err() {
        tracing::error!("closing the commit log panicked");
    }
}

/// The broker's request codes.
struct Requests(Arc<Sends>);

impl Handler for Requests {
    fn request(&self, connection: &Connection, asked: RemotingCommand) -> Reply {
        let (code, peer) = (asked.code, connection.peer());
        tracing::debug!(code, name = request::name(code), %peer, "request");
        match code {
            request::SEND_MESSAGE | request::SEND_MESSAGE_V2 | request::SEND_BATCH_MESSAGE => {
                self.0.begin(connection, asked)
            }
            // Clients must be able to say that they are there; nothing is done with it yet.
            request::HEART_BEAT | request::UNREGISTER_CLIENT => {
                Reply::Now(RemotingCommand::response(response::SUCCESS))
            }
            other => Reply::Now(RemotingCommand::not_supported(other)),
        }
    }

    fn closed(&self, connection: &Connection, reason: &CloseReason) {
        tracing::debug!(peer = %connection.peer(), %reason, "client gone");
    }
}
