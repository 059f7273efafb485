//! Three replicas as turmoil hosts: the real `raft` and `namesrv` code, as `signpost namesrv` puts
//! it together, on simulated disks that outlive a crash.

use std::collections::BTreeMap;
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
use turmoil::Sim;
use turmoil::net::TcpListener;
use uuid::Uuid;

use crate::network::{ClientListener, PeerListener, SimulatedNetwork};
use crate::random::Random;
use signpost_chaos::checks::convergence::Standing;

/// All replicas.
pub(crate) const NODES: RangeInclusive<NodeId> = 1..=3;

/// The longest election time: the product's default.
pub(crate) const ELECTION_MAX: Duration = Duration::from_millis(250);

const PEER_PORT: u16 = 7876;
pub(crate) const HTTP_PORT: u16 = 8876;

/// With the first, a replica that was away for a second is sent a snapshot. With the last there are
/// hardly any, and what they synchronise does not hide what nobody else did.
const SNAPSHOT_EVERY_ENTRIES: [u64; 3] = [15, 60, 1_000];
const LOG_KEEP_ENTRIES: u64 = 3;

/// The name of a replica's host.
pub(crate) fn host(node: NodeId) -> String {
    format!("replica-{node}")
}

/// What outlives a replica's process.
struct Node {
    id: NodeId,
    seed: u64,
    disk: Mutex<SimulatedDisk>,
    sync_latency: RangeInclusive<Duration>,
    snapshot_every_entries: u64,
    journal: PathBuf,
    starts: AtomicU64,
    /// Only looked at from outside; a process that crashed leaves nothing behind in here.
    service: Mutex<Weak<NameService>>,
}

/// The replicas of one run.
pub(crate) struct Cluster {
    nodes: BTreeMap<NodeId, Arc<Node>>,
    _dir: TempDir,
}

impl Cluster {
    /// Registers all replicas with the simulation; they start with its first step.
    pub(crate) fn start(sim: &mut Sim<'static>, seed: u64) -> Result<Cluster, String> {
        let dir = TempDir::new().map_err(|error| format!("a temporary directory: {error}"))?;
        let mut random = Random::fork(seed, 1);
        let longest_ms = *random.pick(&[1, 5, 20]);
        let snapshot_every_entries = *random.pick(&SNAPSHOT_EVERY_ENTRIES);
        let mut nodes = BTreeMap::new();
        for id in NODES {
            let sync_latency = Duration::ZERO..=Duration::from_millis(longest_ms);
            let disk = SimulatedDisk::new(random.next());
            disk.set_sync_latency(Some(sync_latency.clone()));
            let node = Arc::new(Node {
                id,
                seed,
                disk: Mutex::new(disk),
                sync_latency,
                snapshot_every_entries,
                journal: dir.path().join(format!("journal-{id}")),
                starts: AtomicU64::new(0),
                service: Mutex::new(Weak::new()),
            });
            nodes.insert(id, Arc::clone(&node));
            sim.host(host(id), move || Arc::clone(&node).run());
        }
        Ok(Cluster { nodes, _dir: dir })
    }

    /// Kills a replica; its disk keeps what was synchronised, and what `loss` leaves of the rest.
    pub(crate) fn crash(&self, sim: &mut Sim<'static>, id: NodeId, loss: Loss) {
        let node = &self.nodes[&id];
        let mut disk = node.disk.lock().unwrap_or_else(PoisonError::into_inner);
        let found = disk.crash(loss);
        found.set_sync_latency(Some(node.sync_latency.clone()));
        *disk = found;
        drop(disk);
        sim.crash(host(id));
    }

    /// Starts a replica that was killed.
    pub(crate) fn restart(&self, sim: &mut Sim<'static>, id: NodeId) {
        sim.bounce(host(id));
    }

    /// Makes a replica's disk slow, or as it was.
    pub(crate) fn slow_disk(&self, id: NodeId, latency: Option<RangeInclusive<Duration>>) {
        let node = &self.nodes[&id];
        let disk = node.disk.lock().unwrap_or_else(PoisonError::into_inner);
        disk.set_sync_latency(Some(latency.unwrap_or_else(|| node.sync_latency.clone())));
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

    /// How the living replicas stand.
    pub(crate) fn standings(&self) -> Vec<Standing> {
        let services = self.nodes.values().filter_map(|node| node.service());
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
        let read = |(id, node): (&NodeId, &Arc<Node>)| match read_journal(&node.journal) {
            Ok(records) => Ok((*id, records)),
            Err(error) => Err(format!("the journal of replica {id}: {error}")),
        };
        self.nodes.iter().map(read).collect()
    }
}

impl Node {
    fn service(&self) -> Option<Arc<NameService>> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    /// One life of the replica's process. Ends only when the replica cannot go on.
    async fn run(self: Arc<Self>) -> turmoil::Result {
        let start = self.starts.fetch_add(1, Ordering::Relaxed);
        let chance = Random::fork(self.seed, 1_000 * self.id + start).next();
        let peers = TcpListener::bind(("0.0.0.0", PEER_PORT)).await?;
        let clients = TcpListener::bind(("0.0.0.0", HTTP_PORT)).await?;
        let disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (assembly, machine) = Assembly::new(self.node_config())?;
        let replica = Replica::open(
            self.raft_config(chance),
            Arc::new(disk),
            Arc::new(SimulatedNetwork),
            Box::new(PeerListener(peers)),
            machine,
        )
        .await?;
        let service = assembly.start_on(&replica);
        *self.service.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&service);
        let token = AdminToken::new("the-simulations-own-token")?;
        let router = http::router(Arc::clone(&service), token);
        let limits = ServeLimits::default();
        tokio::spawn(http::serve(
            ClientListener(clients),
            router,
            limits,
            CancellationToken::new(),
        ));
        let why = replica.failed().await;
        Err(format!("replica {} stopped: {why}", self.id).into())
    }

    fn raft_config(&self, chance: u64) -> Config {
        Config {
            node_id: self.id,
            cluster_name: "simulation".into(),
            peers: NODES.map(|id| (id, format!("{}:{PEER_PORT}", host(id)))).collect(),
            http_advertise: format!("{}:{HTTP_PORT}", host(self.id)),
            remoting_advertise: String::new(),
            join: false,
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
