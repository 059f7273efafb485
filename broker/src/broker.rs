//! [`Broker`]: one broker from its start to its end.
//!
//! Order of a start: configuration, data directory and incarnation, tables, store, listeners,
//! registration. The order of a stop: `running.rs`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex};
use std::{fmt, io};

use signpost_client::types::Registration;
use signpost_client::{
    BrokerIdentity, Client, LeaseKeeper, LeaseOptions, LeaseStatus, Options, OptionsError,
    TopicChange,
};
use tokio::net::{TcpListener, lookup_host};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::adopt::Adopter;
use crate::clients::Clients;
use crate::config::{BrokerConfig, ConfigError};
use crate::data_dir::{DataDir, DataDirError};
use crate::gate::Gate;
use crate::groups::Groups;
use crate::held::{Arrivals, Held};
use crate::locks::QueueLocks;
use crate::metrics::Metrics;
use crate::offsets::Offsets;
use crate::running::Running;
use crate::schedule::Schedule;
use crate::service::{Service, now_ms};
use crate::store::{Recovery, Store, StoreError};
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
    /// A table of topics, groups or offsets cannot be used.
    #[error("the broker's tables cannot be used: {0}")]
    Tables(io::Error),
    /// The port cannot be listened on, or an address does not resolve.
    #[error("`{field}` {address}: {source}")]
    Address {
        /// `listen`, `advertise` or `metrics-listen`.
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
    metrics_addr: Option<SocketAddr>,
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
        .map_err(|error| StartError::Tables(io::Error::other(error.to_string())))??;
        let address = |field, address: &str| {
            let address = address.to_owned();
            move |source| StartError::Address { field, address, source }
        };
        let listener =
            TcpListener::bind(&config.listen).await.map_err(address("listen", &config.listen))?;
        let addr = listener.local_addr().map_err(address("listen", &config.listen))?;
        let advertised = config.advertise.clone().unwrap_or_else(|| addr.to_string());
        let store_host = resolve(&advertised).await.map_err(address("advertise", &advertised))?;
        let (mut metrics_listener, mut metrics_addr) = (None, None);
        if let Some(listen) = &config.metrics_listen {
            let bound = TcpListener::bind(listen).await.and_then(|it| Ok((it.local_addr()?, it)));
            let (addr, listener) = bound.map_err(address("metrics-listen", listen))?;
            (metrics_listener, metrics_addr) = (Some(listener), Some(addr));
        }

        let Opened { incarnation, recovery, .. } = opened;
        let table = opened.topics.table();
        let registration = Registration {
            address: advertised.clone(),
            data_version: Some(table.data_version),
            topics: table.topics.clone(),
            lease_ttl_ms: config.lease_ttl_ms,
            ..Registration::default()
        };
        let BrokerConfig { cluster, name, id, takeover, .. } = config.clone();
        let adopter = Adopter::new(&client, &name);
        let identity = BrokerIdentity { cluster, name, id };
        let options = LeaseOptions { incarnation, takeover, seed: None };
        let keeper = LeaseKeeper::start(client, identity, registration, options);
        let lease = keeper.status();

        let service = Arc::new(opened.service(config, adopter, store_host));
        tracing::info!(
            %addr, advertised, incarnation, messages = recovery.messages,
            log_end = recovery.end_offset, replayed_from = recovery.replayed_from, "broker started"
        );
        let (stop, kill) = (CancellationToken::new(), CancellationToken::new());
        let running =
            Running { listener, metrics_listener, service, keeper, told, stop: stop.clone() };
        let killed = kill.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                exit = running.run() => exit,
                () = killed.cancelled() => Exit::Stopped { unregistered: false },
            }
        });
        let _kill_on_drop = kill.drop_guard();
        Ok(Self {
            addr,
            metrics_addr,
            advertised,
            incarnation,
            recovery,
            lease,
            stop,
            task,
            _kill_on_drop,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it serves metrics over HTTP, if it does.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_addr
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
    topics: TopicFile,
    groups: Groups,
    offsets: Offsets,
    schedule: Schedule,
    held: Arc<Held>,
    store: Store,
    recovery: Recovery,
}

fn open(
    config: &BrokerConfig,
    changes: mpsc::UnboundedSender<TopicChange>,
) -> Result<Opened, StartError> {
    let now_ms = now_ms();
    let data_dir = DataDir::open(config, now_ms.unsigned_abs())?;
    let tables = || {
        let prepare =
            |table: &mut crate::topics::TopicTable| table.add_system_topics(config, now_ms);
        let topics = TopicFile::open(data_dir.topics(), config.max_topics, prepare, changes)?;
        let groups = Groups::open(data_dir.groups(), config.max_groups)?;
        let offsets = Offsets::open(data_dir.offsets())?;
        let schedule = Schedule::open(data_dir.delays(), config.delay_levels_ms.clone())?;
        Ok((topics, groups, offsets, schedule))
    };
    let (topics, groups, offsets, schedule) = tables().map_err(StartError::Tables)?;
    let held_per_connection = config.max_in_flight - config.max_in_flight / 4;
    let held = Arc::new(Held::new(config.max_held_pulls, held_per_connection));
    let options = config.store_options(data_dir.log_id);
    let (directory, incarnation) = (data_dir.path.clone(), data_dir.incarnation);
    // The store keeps the lock: however the broker ends, nobody else opens the directory before
    // the log's writer has gone.
    let arrivals = Box::new(Arrivals(held.clone()));
    let (store, recovery) = Store::open(&directory, options, vec![arrivals], Some(data_dir.lock))?;
    Ok(Opened { incarnation, topics, groups, offsets, schedule, held, store, recovery })
}

impl Opened {
    fn service(self, config: BrokerConfig, adopter: Adopter, store_host: SocketAddr) -> Service {
        let metrics = Metrics::new(&config.cluster, &config.name, now_ms());
        Service {
            reader: self.store.reader(),
            store: self.store,
            topics: self.topics,
            adopter,
            groups: self.groups,
            offsets: Arc::new(self.offsets),
            clients: Mutex::new(Clients::default()),
            locks: Mutex::new(QueueLocks::default()),
            held: self.held,
            schedule: self.schedule,
            metrics,
            reads: Gate::new(config.reads_at_once, config.max_pending_reads),
            store_host,
            next_queue: AtomicU32::new(0),
            tasks: TaskTracker::new(),
            stopping: AtomicBool::new(false),
            config,
        }
    }
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
