//! A cluster of real processes: replicas and embedded brokers, started, killed, paused, replaced.
//!
//! | module | holds |
//! | --- | --- |
//! | [`layout`] | who listens where, and with which options each is started |
//! | [`ports`] | ports of loopback that nobody else has |

pub mod layout;
pub mod ports;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use signpost_client::types::ClusterStatus;
use signpost_client::{Client, Options, Secret};
use signpost_namesrv::http::{ADMIN_TOKEN_FILE, admin_token};
use signpost_raft::machine::NodeId;
use tokio::time::{Instant, sleep};

use self::layout::{Layout, Place, Settings, broker_name, replica_name};
use self::ports::Ports;
use crate::ask;
use crate::error::Error;
use crate::network::namespaces::{self, Namespaces};
use crate::network::proxy::Proxies;
use crate::network::{Kind, Network};
use crate::process::{Process, ending};
use crate::workload::client::Replicas;

/// How long the cluster may take to come up.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks at something that is awaited.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// How long a child may take to stop after SIGTERM.
const STOP_GRACE: Duration = Duration::from_secs(8);
/// How long one replica may take to say how it stands.
const STATUS_TIMEOUT: Duration = Duration::from_millis(500);
/// A replica's disk, where disks are to be filled up.
const SMALL_DISK_MEBIBYTES: u64 = 96;

/// A replica and what is meant to be the matter with it.
#[derive(Debug)]
struct Replica {
    place: Place,
    process: Option<Process>,
    paused: bool,
    /// How many faults go on that may end it: its disk is being filled, or was damaged.
    ends_allowed: u32,
    /// It was removed from the cluster, or is about to be.
    gone: bool,
}

/// A running cluster. Its processes die with it.
#[derive(Debug)]
pub struct Cluster {
    layout: Layout,
    /// The network between the replicas.
    pub network: Network,
    replicas: Mutex<BTreeMap<NodeId, Replica>>,
    brokers: Mutex<BTreeMap<String, Process>>,
    ports: Mutex<Ports>,
    token: Secret,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cluster {
    /// Prepares directories and network; nothing runs yet. `inside`: this process is inside
    /// namespaces of its own ([`namespaces::enter`]).
    ///
    /// # Errors
    /// When the system refuses something.
    pub async fn prepare(settings: Settings, inside: bool) -> Result<Cluster, Error> {
        fs::create_dir_all(settings.dir.join("logs"))?;
        let network = match settings.network {
            Kind::Auto | Kind::Namespaces if inside => {
                Network::Namespaces(Namespaces::create().await?)
            }
            Kind::Namespaces => {
                return Err(Error::new(
                    "this machine does not allow network namespaces: run as root with iproute2 and \
                     nftables installed, or with the network `proxies`",
                ));
            }
            Kind::Auto | Kind::Proxies => Network::Proxies(Proxies::default()),
        };
        let token_dir = settings.dir.join("token");
        fs::create_dir_all(&token_dir)?;
        admin_token(&token_dir)?;
        let token = fs::read_to_string(token_dir.join(ADMIN_TOKEN_FILE))?;
        let token = Secret::from(token.trim());
        let cluster = Cluster {
            layout: Layout::new(settings),
            network,
            replicas: Mutex::default(),
            brokers: Mutex::default(),
            ports: Mutex::default(),
            token,
        };
        for id in 1..=cluster.settings().replicas {
            cluster.add_place(id, false).await?;
        }
        Ok(cluster)
    }

    /// What it was made of.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        self.layout.settings()
    }

    async fn add_place(&self, id: NodeId, joins: bool) -> Result<(), Error> {
        let dir = self.layout.dir_of(&replica_name(id));
        fs::create_dir_all(&dir)?;
        let place = match &self.network {
            Network::Namespaces(made) => {
                made.add(id).await?;
                if self.settings().small_disks {
                    namespaces::small_disk(&dir, SMALL_DISK_MEBIBYTES).await?;
                }
                Place::in_namespace(id, joins)
            }
            Network::Proxies(proxies) => {
                let place = Place::on_loopback(&mut lock(&self.ports), joins)?;
                proxies.lay(id, place.peer, place.peer_listen).await?;
                place
            }
        };
        // Before it mints one of its own: whoever leads takes the same token. `copy` keeps the mode.
        let minted = self.layout.dir_of("token").join(ADMIN_TOKEN_FILE);
        fs::copy(minted, dir.join(ADMIN_TOKEN_FILE))?;
        let replica = Replica { place, process: None, paused: false, ends_allowed: 0, gone: false };
        lock(&self.replicas).insert(id, replica);
        Ok(())
    }

    /// Starts everything and waits until all replicas are ready and all brokers registered.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn start(&self) -> Result<(), Error> {
        for id in self.nodes() {
            self.start_replica(id, None).await?;
        }
        for id in self.nodes() {
            self.until_ready(id, START_TIMEOUT).await?;
        }
        for number in 0..self.settings().brokers {
            self.start_broker(&broker_name(number))?;
        }
        let client = self.client()?;
        let begun = Instant::now();
        loop {
            let known = client.brokers(signpost_client::ReadMode::Linearizable).await;
            let count = known.map_or(0, |known| known.value.brokers.len() as u64);
            if count >= self.settings().brokers {
                return Ok(());
            }
            self.give_up_after(begun, START_TIMEOUT, "not all brokers are registered")?;
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Waits until this replica is ready.
    ///
    /// # Errors
    /// When it ends, or time is up.
    pub async fn until_ready(&self, id: NodeId, within: Duration) -> Result<(), Error> {
        let begun = Instant::now();
        while !ask::is_ready(self.http(id), STATUS_TIMEOUT).await {
            if let Some(end) = self.end_of(id) {
                let words = self.last_words(id);
                return Err(Error::new(format!("replica {id}: {end}; its last words:\n{words}")));
            }
            self.give_up_after(begun, within, &format!("replica {id} is not ready"))?;
            sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }

    fn give_up_after(&self, begun: Instant, within: Duration, what: &str) -> Result<(), Error> {
        if begun.elapsed() < within {
            return Ok(());
        }
        let logs = self.layout.logs();
        Err(Error::new(format!("{what} after {within:?}; the logs are in {}", logs.display())))
    }

    /// The replicas that are meant to be members, by number.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeId> {
        let replicas = lock(&self.replicas);
        replicas.iter().filter(|(_, replica)| !replica.gone).map(|(id, _)| *id).collect()
    }

    /// All that ever were.
    #[must_use]
    pub fn nodes_ever(&self) -> Vec<NodeId> {
        lock(&self.replicas).keys().copied().collect()
    }

    /// Whether it runs and is not paused.
    #[must_use]
    pub fn is_up(&self, id: NodeId) -> bool {
        lock(&self.replicas).get(&id).is_some_and(|one| one.process.is_some() && !one.paused)
    }

    /// Where a replica serves HTTP, `host:port`; nowhere when there is no such replica.
    #[must_use]
    pub fn http(&self, id: NodeId) -> std::net::SocketAddr {
        let replicas = lock(&self.replicas);
        let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        replicas.get(&id).map_or(nowhere, |replica| replica.place.http)
    }

    /// The processes of the replicas that run.
    #[must_use]
    pub fn pids(&self) -> Vec<(NodeId, u32)> {
        let replicas = lock(&self.replicas);
        let running = replicas.iter();
        running.filter_map(|(id, one)| Some((*id, one.process.as_ref()?.pid()))).collect()
    }

    /// A client of all members.
    ///
    /// # Errors
    /// When there are none.
    pub fn client(&self) -> Result<Client, Error> {
        let addresses: Vec<String> =
            self.nodes().iter().map(|id| self.http(*id).to_string()).collect();
        let options = Options { admin_token: Some(self.token.clone()), ..Options::default() };
        Client::new(addresses, options).map_err(Error::new)
    }

    /// The file that a replica writes its journal to.
    #[must_use]
    pub fn journal(&self, id: NodeId) -> PathBuf {
        self.layout.journal(id)
    }

    /// The data directories of the brokers, by name.
    #[must_use]
    pub fn broker_dirs(&self) -> BTreeMap<String, PathBuf> {
        let names = (0..self.settings().brokers).map(broker_name);
        names.map(|name| (name.clone(), self.layout.dir_of(&name))).collect()
    }

    /// The data directory of a replica.
    #[must_use]
    pub fn replica_dir(&self, id: NodeId) -> PathBuf {
        self.layout.dir_of(&replica_name(id))
    }

    /// The log files of all processes.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.layout.logs()
    }

    /// Starts a replica, for the first time or again; on a monotonic clock that is ahead, if wanted.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub async fn start_replica(&self, id: NodeId, clock_ahead_s: Option<u64>) -> Result<(), Error> {
        let (program, mut launcher) = {
            let replicas = lock(&self.replicas);
            let Some(replica) = replicas.get(&id) else { return Ok(()) };
            if replica.process.is_some() {
                return Ok(());
            }
            let founders = replicas.iter().filter(|(_, one)| !one.place.joins);
            let founders = founders.map(|(id, one)| (*id, one.place.peer)).collect();
            let program = self.layout.replica(id, &replica.place, &founders);
            (program, replica.place.launcher.clone())
        };
        if let Some(ahead) = clock_ahead_s {
            let (monotonic, boot) = (ahead.to_string(), ahead.to_string());
            let words = ["unshare", "-T", "--fork", "--kill-child", "--monotonic", &monotonic];
            launcher.extend(words.into_iter().chain(["--boottime", &boot]).map(str::to_owned));
        }
        let name = replica_name(id);
        let mut process = Process::spawn(&name, &launcher, program, self.layout.log_of(&name))?;
        if clock_ahead_s.is_some() {
            process.follow_fork().await?;
        }
        if let Some(replica) = lock(&self.replicas).get_mut(&id) {
            replica.process = Some(process);
            replica.paused = false;
        }
        Ok(())
    }

    /// A new, empty replica under a number never used before, which waits to be added.
    ///
    /// # Errors
    /// When it cannot be made or started.
    pub async fn start_joining(&self) -> Result<NodeId, Error> {
        let id = self.nodes_ever().last().copied().unwrap_or(0) + 1;
        self.add_place(id, true).await?;
        self.start_replica(id, None).await?;
        Ok(id)
    }

    /// The address of a replica's peers' port, as the others dial it.
    #[must_use]
    pub fn peer(&self, id: NodeId) -> String {
        let replicas = lock(&self.replicas);
        replicas.get(&id).map(|replica| replica.place.peer.to_string()).unwrap_or_default()
    }

    /// kill -9; answers whether it ran.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill(&self, id: NodeId) -> Result<bool, Error> {
        let process = lock(&self.replicas).get_mut(&id).and_then(|replica| {
            replica.paused = false;
            replica.process.take()
        });
        let Some(mut process) = process else { return Ok(false) };
        process.kill().await?;
        Ok(true)
    }

    /// SIGTERM, and waits until it has ended.
    pub async fn stop_replica(&self, id: NodeId) {
        let process = lock(&self.replicas).get_mut(&id).and_then(|replica| replica.process.take());
        if let Some(mut process) = process {
            process.stop(STOP_GRACE).await;
        }
    }

    /// SIGSTOP; answers whether it ran.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn pause(&self, id: NodeId) -> Result<bool, Error> {
        let mut replicas = lock(&self.replicas);
        let Some(replica) = replicas.get_mut(&id) else { return Ok(false) };
        let Some(process) = &replica.process else { return Ok(false) };
        process.pause()?;
        replica.paused = true;
        Ok(true)
    }

    /// SIGCONT, if it is paused.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn resume(&self, id: NodeId) -> Result<(), Error> {
        let mut replicas = lock(&self.replicas);
        let Some(replica) = replicas.get_mut(&id) else { return Ok(()) };
        if let (true, Some(process)) = (replica.paused, &replica.process) {
            process.resume()?;
        }
        replica.paused = false;
        Ok(())
    }

    /// A fault has begun that may end this replica.
    pub fn allow_end(&self, id: NodeId) {
        if let Some(replica) = lock(&self.replicas).get_mut(&id) {
            replica.ends_allowed += 1;
        }
    }

    /// That fault is over, and nothing can come of it any more.
    pub fn forbid_end(&self, id: NodeId) {
        if let Some(replica) = lock(&self.replicas).get_mut(&id) {
            replica.ends_allowed = replica.ends_allowed.saturating_sub(1);
        }
    }

    /// It is no member any more: it stays as it is, but nobody counts on it.
    pub fn forget(&self, id: NodeId) {
        if let Some(replica) = lock(&self.replicas).get_mut(&id) {
            replica.gone = true;
        }
    }

    /// How a replica ended that was not told to; it can be started again afterwards.
    #[must_use]
    pub fn end_of(&self, id: NodeId) -> Option<String> {
        let mut replicas = lock(&self.replicas);
        let replica = replicas.get_mut(&id)?;
        let end = replica.process.as_mut()?.ended()?;
        replica.process = None;
        Some(ending(end))
    }

    /// Members that have ended by themselves although nothing was the matter with them.
    #[must_use]
    pub fn unexpected_ends(&self) -> Vec<(NodeId, String)> {
        let mut ends = Vec::new();
        for (id, replica) in lock(&self.replicas).iter_mut() {
            let end = replica.process.as_mut().and_then(Process::ended);
            if let (Some(end), 0, false) = (end, replica.ends_allowed, replica.gone) {
                let words = replica.process.take().map(|process| process.last_words());
                ends.push((*id, format!("{}:\n{}", ending(end), words.unwrap_or_default())));
            }
        }
        ends
    }

    /// The end of a replica's log.
    #[must_use]
    pub fn last_words(&self, id: NodeId) -> String {
        crate::process::tail(&self.layout.log_of(&replica_name(id))).unwrap_or_default()
    }

    /// Starts a broker, if it does not run.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start_broker(&self, name: &str) -> Result<(), Error> {
        let mut brokers = lock(&self.brokers);
        if brokers.get_mut(name).is_some_and(|broker| broker.ended().is_none()) {
            return Ok(());
        }
        let address = match &self.network {
            Network::Namespaces(_) => self.layout.broker_in_namespaces(name),
            Network::Proxies(_) => self.layout.broker_on_loopback(name, &mut lock(&self.ports))?,
        };
        let founders: Vec<String> =
            self.nodes().iter().map(|id| self.http(*id).to_string()).collect();
        let program = self.layout.broker(name, address, &founders);
        let process = Process::spawn(name, &[], program, self.layout.log_of(name))?;
        brokers.insert(name.to_owned(), process);
        Ok(())
    }

    /// kill -9 of a broker.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill_broker(&self, name: &str) -> Result<(), Error> {
        let process = lock(&self.brokers).remove(name);
        if let Some(mut process) = process {
            process.kill().await?;
        }
        Ok(())
    }

    /// How each member says that it stands; None for those that do not answer.
    pub async fn statuses(&self) -> BTreeMap<NodeId, Option<ClusterStatus>> {
        let asked = self
            .replicas()
            .into_iter()
            .map(|(id, at)| async move { (id, ask::status(at, STATUS_TIMEOUT).await.ok()) });
        futures_util::future::join_all(asked).await.into_iter().collect()
    }

    /// Stops everything, brokers first: they unregister.
    pub async fn stop(&self) {
        let mut brokers = std::mem::take(&mut *lock(&self.brokers));
        let stopping = brokers.values_mut().map(|process| process.stop(STOP_GRACE));
        futures_util::future::join_all(stopping).await;
        let mut processes: Vec<Process> = Vec::new();
        for replica in lock(&self.replicas).values_mut() {
            processes.extend(replica.process.take());
        }
        let stopping = processes.iter_mut().map(|process| process.stop(STOP_GRACE));
        futures_util::future::join_all(stopping).await;
        if self.settings().small_disks {
            for id in self.nodes_ever() {
                namespaces::remove_disk(&self.replica_dir(id)).await;
            }
        }
    }
}

impl Replicas for Cluster {
    fn replicas(&self) -> Vec<(NodeId, std::net::SocketAddr)> {
        self.nodes().into_iter().map(|id| (id, self.http(id))).collect()
    }
}

/// Who leads, by the words of the leader itself, in the highest term.
#[must_use]
pub fn leader_of(statuses: &BTreeMap<NodeId, Option<ClusterStatus>>) -> Option<(u64, NodeId)> {
    let leading = statuses.values().flatten().filter(|status| status.role == "leader");
    leading.map(|status| (status.term, status.node_id)).max()
}
