//! The replicas as hosts of the simulated world: the real `raft` and `namesrv` code, as `signpost
//! namesrv` puts it together, on simulated disks that outlive a crash. Three found the cluster; others
//! may take their places.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use signpost_namesrv::config::NodeConfig;
use signpost_namesrv::http::{self, AdminToken, ServeLimits};
use signpost_namesrv::log::Role;
use signpost_namesrv::node::Assembly;
use signpost_namesrv::service::NameService;
use signpost_raft::config::Config;
use signpost_raft::disk::simulated::{Loss, SimulatedDisk};
use signpost_raft::machine::{NodeId, Term};
use signpost_raft::replica::Replica;
use signpost_raft::store::journal::{JournalRecord, read_journal};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::logs;
use crate::network::{ClientListener, PeerListener, SimulatedNetwork};
use crate::world::stream::Nic;
use crate::world::{Death, Ended, World};
use signpost_chaos::checks::convergence::Standing;
use signpost_chaos::random::Random;

/// The founders.
const FOUNDERS: RangeInclusive<NodeId> = 1..=3;

/// The longest election time: the product's default.
pub(crate) const ELECTION_MAX: Duration = Duration::from_millis(250);

const PEER_PORT: u16 = 7876;
const HTTP_PORT: u16 = 8876;

/// What operators show.
pub(crate) const ADMIN_TOKEN: &str = "the-simulations-own-token";

/// With the first, a replica that was away for a second is sent a snapshot. With the last there are
/// hardly any, and what they synchronise does not hide what nobody else did.
const SNAPSHOT_EVERY_ENTRIES: [u64; 3] = [15, 60, 1_000];
const LOG_KEEP_ENTRIES: u64 = 3;

/// The name of a replica's host.
fn host(node: NodeId) -> String {
    format!("replica-{node}")
}

/// Where a replica's peers dial it.
pub(crate) fn peer_address(node: NodeId) -> String {
    format!("{}:{PEER_PORT}", host(node))
}

/// Where clients dial a replica.
pub(crate) fn http_address(node: NodeId) -> String {
    format!("{}:{HTTP_PORT}", host(node))
}

/// The replicas that clients know of.
#[derive(Debug, Clone)]
pub(crate) struct Members(Arc<Mutex<Vec<NodeId>>>);

impl Members {
    pub(crate) fn all(&self) -> Vec<NodeId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Vec<NodeId>)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What outlives a replica's process.
struct Node {
    id: NodeId,
    seed: u64,
    disk: Mutex<SimulatedDisk>,
    sync_latency: RangeInclusive<Duration>,
    snapshot_every_entries: u64,
    journal: PathBuf,
    /// Of a replica that joined: who was there then.
    joins: Option<Vec<NodeId>>,
    starts: AtomicU64,
    /// Ends the process gracefully.
    stop: Mutex<CancellationToken>,
    /// Only looked at from outside; a process that crashed leaves nothing behind in here.
    service: Mutex<Weak<NameService>>,
}

/// The replicas of one run.
pub(crate) struct Cluster {
    seed: u64,
    nodes: BTreeMap<NodeId, Arc<Node>>,
    members: Members,
    /// Those that never come back.
    gone: BTreeSet<NodeId>,
    sync_latency: RangeInclusive<Duration>,
    snapshot_every_entries: u64,
    dir: TempDir,
}

impl Cluster {
    /// Founds a cluster of three.
    pub(crate) fn start(world: &mut World, seed: u64) -> Result<Cluster, String> {
        let dir = TempDir::new().map_err(|error| format!("a temporary directory: {error}"))?;
        let mut random = Random::fork(seed, 1);
        let longest_ms = *random.pick(&[1, 5, 20]);
        let mut cluster = Cluster {
            seed,
            nodes: BTreeMap::new(),
            members: Members(Arc::new(Mutex::new(FOUNDERS.collect()))),
            gone: BTreeSet::new(),
            sync_latency: Duration::ZERO..=Duration::from_millis(longest_ms),
            snapshot_every_entries: *random.pick(&SNAPSHOT_EVERY_ENTRIES),
            dir,
        };
        for id in FOUNDERS {
            cluster.add(id, None);
            cluster.restart(world, id);
        }
        Ok(cluster)
    }

    fn add(&mut self, id: NodeId, joins: Option<Vec<NodeId>>) {
        let disk = SimulatedDisk::new(Random::fork(self.seed, 500 + id).next());
        disk.set_sync_latency(Some(self.sync_latency.clone()));
        let node = Node {
            id,
            seed: self.seed,
            disk: Mutex::new(disk),
            sync_latency: self.sync_latency.clone(),
            snapshot_every_entries: self.snapshot_every_entries,
            journal: self.dir.path().join(format!("journal-{id}")),
            joins,
            starts: AtomicU64::new(0),
            stop: Mutex::default(),
            service: Mutex::new(Weak::new()),
        };
        self.nodes.insert(id, Arc::new(node));
    }

    /// Starts an empty replica under a new number. It is a member once operators have made it one.
    pub(crate) fn join(&mut self, world: &mut World) -> NodeId {
        let id = self.nodes.keys().max().map_or(1, |highest| highest + 1);
        self.add(id, Some(self.members.all()));
        self.members.change(|members| members.push(id));
        self.restart(world, id);
        id
    }

    /// Kills a replica that never comes back.
    pub(crate) fn bury(&mut self, world: &mut World, id: NodeId, death: Death) {
        self.gone.insert(id);
        world.kill(id, death);
    }

    /// Clients no longer ask it.
    pub(crate) fn forget(&mut self, id: NodeId) {
        self.members.change(|members| members.retain(|member| *member != id));
    }

    /// Kills a replica; its disk keeps what was synchronised, and what `loss` leaves of the rest.
    pub(crate) fn crash(&self, world: &mut World, id: NodeId, death: Death, loss: Loss) {
        world.kill(id, death);
        self.nodes[&id].crash_disk(loss);
    }

    /// Starts a replica, unless it runs, or never comes back.
    pub(crate) fn restart(&self, world: &mut World, id: NodeId) {
        if self.gone.contains(&id) || world.is_alive(id) {
            return;
        }
        let node = Arc::clone(&self.nodes[&id]);
        *node.stop.lock().unwrap_or_else(PoisonError::into_inner) = CancellationToken::new();
        world.boot(id, &host(id), move |nic| node.run(nic));
    }

    /// Lets a replica stop as an operator would.
    pub(crate) fn stop(&self, id: NodeId) {
        self.nodes[&id].stop.lock().unwrap_or_else(PoisonError::into_inner).cancel();
    }

    /// A replica's disk, to be tampered with. Errors that it logs from now on are no surprise.
    pub(crate) fn tamper(&self, id: NodeId, tamper: impl FnOnce(&SimulatedDisk)) {
        logs::excuse(id);
        tamper(&self.nodes[&id].disk.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Makes a disk well again. If it has failed meanwhile, its replica starts again on what it kept.
    /// Answers whether it had.
    pub(crate) fn heal(&self, world: &mut World, id: NodeId, loss: Loss) -> bool {
        let node = &self.nodes[&id];
        let failed = {
            let disk = node.disk.lock().unwrap_or_else(PoisonError::into_inner);
            disk.heal();
            disk.set_sync_latency(Some(node.sync_latency.clone()));
            disk.failures() > 0
        };
        if failed {
            self.crash(world, id, Death::Killed, loss);
            self.restart(world, id);
        }
        logs::end_excuse(id);
        failed
    }

    pub(crate) fn members(&self) -> &Members {
        &self.members
    }

    /// The members that are there, or will be.
    pub(crate) fn present(&self) -> Vec<NodeId> {
        let members = self.members.all();
        members.into_iter().filter(|id| !self.gone.contains(id)).collect()
    }

    /// Who leads the highest term, as far as any living replica says of itself.
    pub(crate) fn leader(&self) -> Option<(Term, NodeId)> {
        let services = self.nodes.values().filter_map(|node| node.service());
        let leading = services.filter_map(|service| {
            let status = service.status();
            (status.role == Role::Leader).then_some((status.term, status.node_id))
        });
        leading.max()
    }

    /// How the living members stand.
    pub(crate) fn standings(&self) -> Vec<Standing> {
        let members = self.members.all();
        let nodes = self.nodes.values().filter(|node| members.contains(&node.id));
        let services = nodes.filter_map(|node| node.service());
        let standing = |service: Arc<NameService>| {
            let (status, view) = (service.status(), service.reads().peek());
            Standing {
                node: status.node_id,
                leader: status.leader,
                applied: view.applied,
                digest: view.tables.digest(),
            }
        };
        services.map(standing).collect()
    }

    /// Everything that each replica has applied, in all its lives.
    pub(crate) fn journals(&self) -> Result<BTreeMap<NodeId, Vec<JournalRecord>>, String> {
        // One that died before it was fed has none.
        let nodes = self.nodes.iter().filter(|(_, node)| node.journal.exists());
        let read = |(id, node): (&NodeId, &Arc<Node>)| match read_journal(&node.journal) {
            Ok(records) => Ok((*id, records)),
            Err(error) => Err(format!("the journal of replica {id}: {error}")),
        };
        nodes.map(read).collect()
    }
}

impl Node {
    fn service(&self) -> Option<Arc<NameService>> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    fn crash_disk(&self, loss: Loss) {
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        let found = disk.crash(loss);
        found.set_sync_latency(Some(self.sync_latency.clone()));
        *disk = found;
    }

    /// One life of the replica's process. Ends when it is asked to, or when the replica cannot go on.
    async fn run(self: Arc<Self>, nic: Nic) -> Ended {
        let start = self.starts.fetch_add(1, Ordering::Relaxed);
        let chance = Random::fork(self.seed, 1_000 * self.id + start).next();
        let (peers, clients) = (nic.bind(PEER_PORT), nic.bind(HTTP_PORT));
        let disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (assembly, machine) =
            Assembly::new(self.node_config()).map_err(|error| error.to_string())?;
        let replica = Replica::open(
            self.raft_config(chance),
            Arc::new(disk),
            Arc::new(SimulatedNetwork(nic)),
            Box::new(PeerListener(peers)),
            machine,
        )
        .await
        .map_err(|error| error.to_string())?;
        let service = assembly.start_on(&replica);
        *self.service.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&service);
        let token = AdminToken::new(ADMIN_TOKEN)?;
        let router = http::router(Arc::clone(&service), token);
        let (limits, doors) = (ServeLimits::default(), CancellationToken::new());
        let door = http::serve(ClientListener(clients), router, limits, doors.clone());
        let door = tokio::spawn(door);
        tokio::select! {
            () = stop.cancelled() => {}
            why = replica.failed() => return Err(format!("replica {} stopped: {why}", self.id)),
        }
        doors.cancel();
        service.shutdown().await;
        door.await.map_err(|error| error.to_string())?;
        replica.shutdown().await;
        Ok(())
    }

    fn peers(&self) -> BTreeMap<NodeId, String> {
        let founders = || FOUNDERS.collect();
        let mut known = self.joins.clone().unwrap_or_else(founders);
        known.push(self.id);
        known.into_iter().map(|id| (id, peer_address(id))).collect()
    }

    fn raft_config(&self, chance: u64) -> Config {
        Config {
            node_id: self.id,
            cluster_name: "simulation".into(),
            peers: self.peers(),
            http_advertise: http_address(self.id),
            remoting_advertise: String::new(),
            join: self.joins.is_some(),
            election_timeout_min: Duration::from_millis(150),
            election_timeout_max: ELECTION_MAX,
            heartbeat_interval: Duration::from_millis(50),
            snapshot_every_entries: self.snapshot_every_entries,
            log_keep_entries: LOG_KEEP_ENTRIES,
            log_bytes_max: 1 << 30,
            proposals_max: 1_000,
            seed: chance,
            fresh_disk_id: Uuid::from_u64_pair(self.id, chance),
            journal: Some(self.journal.clone()),
        }
    }

    fn node_config(&self) -> NodeConfig {
        let mut config = NodeConfig::new(self.id, "simulation");
        let timings = &mut config.timings;
        timings.lease_ttl = Duration::from_secs(3);
        timings.heartbeat = Duration::from_secs(1);
        timings.first_scan = Duration::from_millis(100);
        timings.scan_interval = Duration::from_millis(100);
        timings.election_timeout_max = ELECTION_MAX;
        timings.call_timeout = Duration::from_secs(2);
        config
    }
}
