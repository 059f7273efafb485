//! What the tests have in common: a name cluster, and a place for stock programs beside it.

use std::fs;
use std::path::PathBuf;

use crate::stock::Version;
use crate::stock::broker;
use crate::support::cluster::{Cluster, Settings};
use crate::support::ports::Ports;

/// The RocketMQ cluster of all stock brokers.
pub(crate) const CLUSTER: &str = "DefaultCluster";

/// A name cluster, with ports and directories for stock programs. Whoever plays on it is to be
/// dropped before it is.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) ports: Ports,
}

impl Stage {
    /// Three replicas, ready, while no other test runs.
    pub(crate) async fn start(settings: Settings) -> Self {
        // Fetched first: no time of the test's own.
        for version in [Version::Four, Version::Five] {
            version.artifacts().await;
        }
        let cluster = Cluster::start_alone(settings).await;
        Self { cluster, ports: Ports::reserve() }
    }

    /// All replicas as stock programs take them.
    pub(crate) fn name_servers(&self) -> String {
        let addresses = self.cluster.ids().into_iter().map(|id| self.cluster.remoting(id));
        addresses.map(|address| address.to_string()).collect::<Vec<_>>().join(";")
    }

    /// A directory for one stock program.
    pub(crate) fn home(&self, name: &str) -> PathBuf {
        let home = self.cluster.path(name);
        fs::create_dir_all(&home).expect("a directory of the test's own");
        home
    }

    /// A broker that registers with all replicas.
    pub(crate) fn broker(&self, version: Version, name: &str, id: u64) -> broker::Settings {
        broker::Settings {
            version,
            cluster: CLUSTER.to_owned(),
            name: name.to_owned(),
            id,
            name_servers: self.name_servers(),
            more: Vec::new(),
        }
    }
}
