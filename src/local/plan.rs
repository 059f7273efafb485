//! Who listens where, and with which options each process is started. Pure but for
//! [`Plan::check_ports`].

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use crate::units::exact_duration;

/// Numbers of the replicas.
pub(crate) const REPLICAS: [u64; 3] = [1, 2, 3];
/// Names of the brokers.
pub(crate) const BROKERS: [&str; 2] = ["broker-a", "broker-b"];
/// The RocketMQ cluster that they belong to, under RocketMQ's own default name.
pub(crate) const BROKER_CLUSTER: &str = "DefaultCluster";

/// Ports of replica 1; those of the next one are 10 higher.
const REMOTING_PORT: u16 = 9876;
const HTTP_PORT: u16 = 8876;
const PEER_PORT: u16 = 7876;
const REPLICA_STEP: u16 = 10;
/// Ports of the brokers.
const BROKER_PORTS: [u16; 2] = [10911, 10921];

/// The highest offset that keeps all ports below 65536.
pub(crate) const PORT_OFFSET_MAX: u16 = u16::MAX - BROKER_PORTS[1];

/// A local cluster, before it runs.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Each process has a directory in it; logs are in `logs`.
    pub(crate) data_dir: PathBuf,
    /// Added to every port.
    pub(crate) port_offset: u16,
    /// The brokers' leases.
    pub(crate) lease_ttl: Duration,
    /// How often the leader looks for silent brokers.
    pub(crate) scan_interval: Duration,
}

impl Plan {
    fn loopback(&self, port: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, port + self.port_offset).into()
    }

    fn of_replica(&self, id: u64, port_of_first: u16) -> SocketAddr {
        let before = REPLICAS.iter().take_while(|known| **known != id).count();
        let step = REPLICA_STEP * u16::try_from(before).unwrap_or(0);
        self.loopback(port_of_first + step)
    }

    /// Where replica `id` serves HTTP.
    pub(crate) fn http(&self, id: u64) -> SocketAddr {
        self.of_replica(id, HTTP_PORT)
    }

    /// Where it serves its peers.
    pub(crate) fn peer(&self, id: u64) -> SocketAddr {
        self.of_replica(id, PEER_PORT)
    }

    /// Where it serves RocketMQ's protocol.
    pub(crate) fn remoting(&self, id: u64) -> SocketAddr {
        self.of_replica(id, REMOTING_PORT)
    }

    /// Where a broker serves.
    pub(crate) fn broker(&self, name: &str) -> SocketAddr {
        let at = BROKERS.iter().position(|known| *known == name).unwrap_or(0);
        self.loopback(BROKER_PORTS[at])
    }

    /// All replicas, as `--namesrv` takes them.
    pub(crate) fn namesrv(&self) -> String {
        REPLICAS.map(|id| format!("http://{}", self.http(id))).join(",")
    }

    /// All replicas, as RocketMQ's programs take them (`namesrvAddr`, `mqadmin -n`).
    pub(crate) fn namesrv_addr(&self) -> String {
        REPLICAS.map(|id| self.remoting(id).to_string()).join(";")
    }

    /// The data directory of a process.
    pub(crate) fn dir_of(&self, process: &str) -> PathBuf {
        self.data_dir.join(process)
    }

    /// The file with everything that a process says.
    pub(crate) fn log_of(&self, process: &str) -> PathBuf {
        self.data_dir.join("logs").join(format!("{process}.log"))
    }

    /// The options of replica `id`.
    pub(crate) fn replica_args(&self, id: u64) -> Vec<String> {
        let peers = REPLICAS.map(|id| format!("{id}={}", self.peer(id))).join(",");
        args(
            "namesrv",
            [
                ("--node-id", id.to_string()),
                ("--cluster-id", "signpost-local".to_owned()),
                ("--data-dir", self.dir_of(&replica_name(id)).display().to_string()),
                ("--remoting-addr", self.remoting(id).to_string()),
                ("--http-addr", self.http(id).to_string()),
                ("--peer-addr", self.peer(id).to_string()),
                ("--peers", peers),
                ("--lease-ttl", exact_duration(self.lease_ttl)),
                ("--scan-interval", exact_duration(self.scan_interval)),
                ("--first-scan", exact_duration(self.scan_interval)),
            ],
        )
    }

    /// The options of a broker.
    pub(crate) fn broker_args(&self, name: &str) -> Vec<String> {
        let address = self.broker(name).to_string();
        args(
            "broker",
            [
                ("--namesrv", self.namesrv()),
                ("--cluster", BROKER_CLUSTER.to_owned()),
                ("--name", name.to_owned()),
                ("--id", "0".to_owned()),
                ("--listen", address.clone()),
                ("--advertise", address),
                ("--data-dir", self.dir_of(name).display().to_string()),
                ("--segment-size", "64MiB".to_owned()),
                // Whoever tries it out may have a disk that is full of other things.
                ("--disk-clean-above", "1".to_owned()),
                ("--disk-refuse-above", "1".to_owned()),
            ],
        )
    }

    /// All addresses that will be bound, with who binds them.
    fn listeners(&self) -> Vec<(String, SocketAddr)> {
        let replicas = REPLICAS.into_iter().flat_map(|id| {
            [
                (format!("replica {id}, RocketMQ's protocol"), self.remoting(id)),
                (format!("replica {id}, HTTP"), self.http(id)),
                (format!("replica {id}, peers"), self.peer(id)),
            ]
        });
        let brokers = BROKERS.iter().map(|name| ((*name).to_owned(), self.broker(name)));
        replicas.chain(brokers).collect()
    }

    /// Looks whether every port is free.
    ///
    /// # Errors
    /// A sentence that names each port that is not, and a way out.
    pub(crate) fn check_ports(&self) -> Result<(), String> {
        let taken: Vec<String> = self
            .listeners()
            .into_iter()
            .filter_map(|(who, address)| {
                let error = TcpListener::bind(address).err()?;
                Some(format!("  {address} ({who}): {error}"))
            })
            .collect();
        if taken.is_empty() {
            return Ok(());
        }
        let other = (u32::from(self.port_offset) + 100) % u32::from(PORT_OFFSET_MAX);
        Err(format!(
            "these ports cannot be used:\n{}\nstop what listens there, or shift all ports, e.g. \
             with --port-offset {other}",
            taken.join("\n")
        ))
    }
}

/// The name of a replica's process, directory and log.
pub(crate) fn replica_name(id: u64) -> String {
    format!("namesrv-{id}")
}

fn args<const N: usize>(command: &str, options: [(&str, String); N]) -> Vec<String> {
    let options = options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
    std::iter::once(command.to_owned()).chain(options).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    fn plan(port_offset: u16) -> Plan {
        Plan {
            data_dir: "/data dir".into(),
            port_offset,
            lease_ttl: Duration::from_secs(15),
            scan_interval: Duration::from_millis(500),
        }
    }

    #[test]
    fn ports_are_ten_apart_and_all_are_shifted() {
        let plain = plan(0);
        let ports = |plan: &Plan| {
            let replica = |id| [plan.remoting(id), plan.http(id), plan.peer(id)].map(|a| a.port());
            (REPLICAS.map(replica), BROKERS.map(|name| plan.broker(name).port()))
        };
        let expected = [[9876, 8876, 7876], [9886, 8886, 7886], [9896, 8896, 7896]];
        assert_eq!(ports(&plain), (expected, [10911, 10921]));
        let shifted = expected.map(|replica| replica.map(|port| port + 100));
        assert_eq!(ports(&plan(100)), (shifted, [11011, 11021]));
        assert_eq!(plan(PORT_OFFSET_MAX).broker("broker-b").port(), u16::MAX);
        let namesrv = "http://127.0.0.1:8876,http://127.0.0.1:8886,http://127.0.0.1:8896";
        assert_eq!(plain.namesrv(), namesrv);
        assert_eq!(plain.namesrv_addr(), "127.0.0.1:9876;127.0.0.1:9886;127.0.0.1:9896");
    }

    #[test]
    fn the_children_understand_their_options() {
        let plan = plan(7);
        for args in [plan.replica_args(3), plan.broker_args("broker-b")] {
            let line = std::iter::once("signpost".to_owned()).chain(args);
            Cli::try_parse_from(line).expect("understood");
        }
    }

    #[test]
    fn a_port_in_use_is_named_before_anything_starts() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = holder.local_addr().expect("bound").port();
        let Some(port_offset) = port.checked_sub(BROKER_PORTS[0]) else { return };
        if port_offset <= PORT_OFFSET_MAX {
            let said = plan(port_offset).check_ports().expect_err("in use");
            assert!(said.contains(&port.to_string()) && said.contains("broker-a"), "{said}");
            assert!(said.contains("--port-offset"), "{said}");
        }
    }
}
