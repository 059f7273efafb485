//! Who listens where, and with which options each process is started.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use signpost_raft::machine::NodeId;

use super::ports::Ports;
use crate::network::{Kind, namespaces};

/// Ports of every replica inside its namespace: RocketMQ's protocol, HTTP, peers.
const PORTS: [u16; 3] = [9876, 8876, 7876];
/// The port of the first broker there; the next one's is ten higher.
const BROKER_PORT: u16 = 10911;
/// The RocketMQ cluster of the embedded brokers.
const BROKER_CLUSTER: &str = "DefaultCluster";

/// How a cluster is made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The `signpost` binary.
    pub program: PathBuf,
    /// Data, logs and journals of all processes.
    pub dir: PathBuf,
    /// How many replicas found it.
    pub replicas: u64,
    /// How many embedded brokers there are.
    pub brokers: u64,
    /// How the network is made.
    pub network: Kind,
    /// Each replica has a small file system of its own (in namespaces only), to be filled up.
    pub small_disks: bool,
    /// How long a broker lives without a heartbeat.
    pub lease_ttl: Duration,
    /// Between two looks for silent brokers.
    pub scan_interval: Duration,
    /// Further options of every replica, as on its command line.
    pub options: BTreeMap<String, String>,
}

/// Where one replica is.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where it serves HTTP.
    pub http: SocketAddr,
    /// Where it serves RocketMQ's protocol.
    pub remoting: SocketAddr,
    /// Where its peers dial it.
    pub peer: SocketAddr,
    /// Where it listens for them.
    pub peer_listen: SocketAddr,
    /// The words before its command.
    pub launcher: Vec<String>,
    /// It is no founder, but waits to be added.
    pub joins: bool,
}

impl Place {
    /// In a network namespace of its own.
    #[must_use]
    pub fn in_namespace(id: NodeId, joins: bool) -> Place {
        let [remoting, http, peer] = PORTS.map(|port| (namespaces::address(id), port).into());
        let launcher = namespaces::launcher(id);
        Place { http, remoting, peer, peer_listen: peer, launcher, joins }
    }

    /// On loopback, with a proxy before the peers' port.
    ///
    /// # Errors
    /// When there are no ports left.
    pub fn on_loopback(ports: &mut Ports, joins: bool) -> io::Result<Place> {
        let (http, remoting) = (ports.take()?, ports.take()?);
        let (peer, peer_listen) = (ports.take()?, ports.take()?);
        Ok(Place { http, remoting, peer, peer_listen, launcher: Vec::new(), joins })
    }
}

/// The whole cluster, before it runs.
#[derive(Debug)]
pub struct Layout {
    settings: Settings,
    /// A broker that is started again serves where it served.
    brokers: Mutex<BTreeMap<String, SocketAddr>>,
}

impl Layout {
    /// A layout of a cluster made so.
    #[must_use]
    pub fn new(settings: Settings) -> Layout {
        Layout { settings, brokers: Mutex::default() }
    }

    /// How it is made.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The data directory of a process.
    #[must_use]
    pub fn dir_of(&self, process: &str) -> PathBuf {
        self.settings.dir.join(process)
    }

    /// The files with everything that the processes say.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.settings.dir.join("logs")
    }

    /// The file with everything that one process says.
    #[must_use]
    pub fn log_of(&self, process: &str) -> PathBuf {
        self.logs().join(format!("{process}.log"))
    }

    /// The file that a replica writes its journal to.
    #[must_use]
    pub fn journal(&self, id: NodeId) -> PathBuf {
        self.settings.dir.join(format!("journal-{id}"))
    }

    /// The command of a replica.
    #[must_use]
    pub fn replica(
        &self,
        id: NodeId,
        place: &Place,
        founders: &BTreeMap<NodeId, SocketAddr>,
    ) -> Vec<String> {
        let millis = |duration: Duration| format!("{}ms", duration.as_millis());
        let mut peers = founders.clone();
        peers.insert(id, place.peer);
        let peers: Vec<String> = peers.iter().map(|(id, peer)| format!("{id}={peer}")).collect();
        let mut options = BTreeMap::from([
            ("cluster-id", "chaos".to_owned()),
            ("node-id", id.to_string()),
            ("data-dir", self.dir_of(&replica_name(id)).display().to_string()),
            ("http-addr", place.http.to_string()),
            ("http-advertise", place.http.to_string()),
            ("remoting-addr", place.remoting.to_string()),
            ("peer-addr", place.peer_listen.to_string()),
            ("peers", peers.join(",")),
            ("lease-ttl", millis(self.settings.lease_ttl)),
            ("scan-interval", millis(self.settings.scan_interval)),
            ("first-scan", millis(self.settings.scan_interval)),
            ("journal", self.journal(id).display().to_string()),
        ]);
        options.extend(self.settings.options.iter().map(|(name, of)| (name.as_str(), of.clone())));
        let mut words = vec![self.settings.program.display().to_string(), "namesrv".to_owned()];
        if place.joins {
            words.push("--join".to_owned());
        }
        words.extend(options.into_iter().flat_map(|(name, of)| [format!("--{name}"), of]));
        words
    }

    /// Where a broker serves, beside the bridge of the namespaces.
    #[must_use]
    pub fn broker_in_namespaces(&self, name: &str) -> SocketAddr {
        let number = (0..self.settings.brokers).position(|number| broker_name(number) == name);
        let step = u16::try_from(number.unwrap_or(0) * 10).unwrap_or(0);
        (IpAddr::V4(namespaces::hub()), BROKER_PORT + step).into()
    }

    /// Where a broker serves on loopback, from its first start on.
    ///
    /// # Errors
    /// When there are no ports left.
    pub fn broker_on_loopback(&self, name: &str, ports: &mut Ports) -> io::Result<SocketAddr> {
        let mut brokers = self.brokers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = brokers.get(name) {
            return Ok(*known);
        }
        let address = ports.take()?;
        brokers.insert(name.to_owned(), address);
        Ok(address)
    }

    /// The command of a broker.
    #[must_use]
    pub fn broker(&self, name: &str, address: SocketAddr, namesrv: &[String]) -> Vec<String> {
        let options = [
            ("--namesrv", namesrv.join(",")),
            ("--cluster", BROKER_CLUSTER.to_owned()),
            ("--name", name.to_owned()),
            ("--listen", address.to_string()),
            ("--advertise", address.to_string()),
            ("--data-dir", self.dir_of(name).display().to_string()),
            ("--segment-size", "64MiB".to_owned()),
        ];
        let mut words = vec![self.settings.program.display().to_string(), "broker".to_owned()];
        words.extend(options.into_iter().flat_map(|(name, of)| [name.to_owned(), of]));
        words
    }
}

/// The name of a replica's process, directory and log.
#[must_use]
pub fn replica_name(id: NodeId) -> String {
    format!("namesrv-{id}")
}

/// The name of an embedded broker: broker-a, broker-b, …
#[must_use]
pub fn broker_name(number: u64) -> String {
    let letter = char::from(b'a' + u8::try_from(number % 26).unwrap_or(0));
    match number / 26 {
        0 => format!("broker-{letter}"),
        round => format!("broker-{letter}{round}"),
    }
}

/// This machine itself, on which clients dial from.
#[must_use]
pub fn client_ip(inside: bool) -> IpAddr {
    IpAddr::V4(if inside { namespaces::hub() } else { Ipv4Addr::LOCALHOST })
}
