//! Starting, stopping and asking replicas.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use signpost_raft::config::Config;
use signpost_raft::disk::Disk;
use signpost_raft::disk::sled::SledDisk;
use signpost_raft::machine::NodeId;
use signpost_raft::network::{Network, Tcp};
use signpost_raft::replica::{OpenError, Replica};
use signpost_raft::status::Status;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::machine::{WordMachine, Words};

/// Nothing in these tests takes as long as this unless it is broken.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn soon() -> Instant {
    Instant::now() + DEADLINE
}

/// A running replica.
pub(crate) struct Node {
    pub(crate) replica: Replica<WordMachine>,
    pub(crate) published: Arc<Mutex<Words>>,
}

impl Node {
    pub(crate) fn words(&self) -> Words {
        self.published.lock().unwrap().clone()
    }

    pub(crate) fn values(&self) -> Vec<String> {
        self.words().words.into_values().collect()
    }

    pub(crate) async fn until(&self, what: &str, condition: impl FnMut(&Status) -> bool) -> Status {
        let mut watch = self.replica.watch();
        let reached = timeout(DEADLINE, watch.wait_for(condition)).await;
        match reached {
            Ok(status) => status.expect("the replica stopped").clone(),
            Err(_) => panic!("not in time: {what}; it stands at {:?}", self.replica.status()),
        }
    }

    /// Waits until a linearizable read here sees these words.
    pub(crate) async fn until_read(&self, wanted: &[&str]) {
        let deadline = soon();
        while Instant::now() < deadline {
            if self.replica.read_index(deadline).await.is_ok() && self.values() == wanted {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("read {:?} instead of {wanted:?}", self.values());
    }
}

/// The places of some replicas: their ports, their directories.
pub(crate) struct Cluster {
    listeners: BTreeMap<NodeId, TcpListener>,
    pub(crate) peers: BTreeMap<NodeId, String>,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) dir: TempDir,
    pub(crate) snapshot_every_entries: u64,
    pub(crate) log_keep_entries: u64,
    pub(crate) log_bytes_max: u64,
}

impl Cluster {
    /// Reserves a port for each replica by listening on it until it starts.
    pub(crate) async fn of(ids: impl IntoIterator<Item = NodeId>) -> Cluster {
        let mut cluster = Cluster {
            listeners: BTreeMap::new(),
            peers: BTreeMap::new(),
            network: Arc::new(Tcp),
            dir: TempDir::new().unwrap(),
            snapshot_every_entries: 1_000_000,
            log_keep_entries: 1_000,
            log_bytes_max: 1 << 30,
        };
        for id in ids {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            cluster.peers.insert(id, listener.local_addr().unwrap().to_string());
            cluster.listeners.insert(id, listener);
        }
        cluster
    }

    pub(crate) fn path(&self, id: NodeId) -> std::path::PathBuf {
        self.dir.path().join(id.to_string())
    }

    pub(crate) fn config(&self, id: NodeId) -> Config {
        Config {
            node_id: id,
            cluster_name: "words".into(),
            peers: self.peers.clone(),
            http_advertise: format!("http-of-{id}:1"),
            remoting_advertise: format!("remoting-of-{id}:2"),
            join: false,
            election_timeout_min: Duration::from_millis(300),
            election_timeout_max: Duration::from_millis(600),
            heartbeat_interval: Duration::from_millis(60),
            snapshot_every_entries: self.snapshot_every_entries,
            log_keep_entries: self.log_keep_entries,
            log_bytes_max: self.log_bytes_max,
            proposals_max: 1_000,
            seed: id,
            fresh_disk_id: Uuid::new_v4(),
            journal: None,
        }
    }

    pub(crate) async fn start(&mut self, id: NodeId) -> Node {
        let config = self.config(id);
        self.start_with(config).await.unwrap_or_else(|error| panic!("replica {id}: {error}"))
    }

    pub(crate) async fn start_with(&mut self, config: Config) -> Result<Node, OpenError> {
        let listener = self.listener(config.node_id).await;
        let path = self.path(config.node_id);
        self.start_in(config, &path, listener).await
    }

    async fn listener(&mut self, id: NodeId) -> TcpListener {
        if let Some(listener) = self.listeners.remove(&id) {
            return listener;
        }
        // The former replica may be about to let go of it.
        let deadline = soon();
        loop {
            match TcpListener::bind(&self.peers[&id]).await {
                Ok(listener) => return listener,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn start_in(
        &self,
        config: Config,
        path: &Path,
        listener: TcpListener,
    ) -> Result<Node, OpenError> {
        // The former replica in this directory lets go of it when the last of its tasks has ended.
        let deadline = soon();
        let disk = loop {
            match SledDisk::open(path, 16 * 1024 * 1024) {
                Ok(disk) => break disk,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::task::yield_now().await;
        };
        self.open(config, Arc::new(disk), listener).await
    }

    /// Starts one on a disk of the test's own.
    pub(crate) async fn start_on(
        &mut self,
        config: Config,
        disk: Arc<dyn Disk>,
    ) -> Result<Node, OpenError> {
        let listener = self.listener(config.node_id).await;
        self.open(config, disk, listener).await
    }

    async fn open(
        &self,
        config: Config,
        disk: Arc<dyn Disk>,
        listener: TcpListener,
    ) -> Result<Node, OpenError> {
        let machine = WordMachine::default();
        let published = machine.published.clone();
        let network = Arc::clone(&self.network);
        let replica = Replica::open(config, disk, network, Box::new(listener), machine).await?;
        Ok(Node { replica, published })
    }
}

/// Waits until one of the nodes leads and answers it.
pub(crate) async fn leader<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> &'a Node {
    let nodes: Vec<&Node> = nodes.into_iter().collect();
    let deadline = soon();
    loop {
        for node in &nodes {
            let status = node.replica.status();
            if status.leader == Some(status.node_id)
                && node.replica.read_index(deadline).await.is_ok()
            {
                return node;
            }
        }
        assert!(Instant::now() < deadline, "nobody leads");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Proposes a word wherever the leader is, until it is acknowledged. Returns its index.
pub(crate) async fn propose<'a>(
    nodes: impl IntoIterator<Item = &'a Node> + Clone,
    word: &str,
) -> u64 {
    let deadline = soon();
    loop {
        let leader = leader(nodes.clone()).await;
        match leader.replica.propose(word.to_owned(), deadline).await {
            Ok(applied) => return applied.index,
            Err(error) => assert!(error.is_definite(), "{word}: {error}"),
        }
    }
}
