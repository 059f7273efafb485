//! One replica of the name service: disk → log → name service → HTTP and RocketMQ's protocol, and
//! back down again.

use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use signpost_client::{Client, Options as ClientOptions};
use signpost_namesrv::config::{BrakeConfig, NodeConfig, RemotingConfig, RemotingReads};
use signpost_namesrv::gateway::door::{self, ClosedDoor};
use signpost_namesrv::http::{self, ServeLimits, Storage};
use signpost_namesrv::node::Assembly;
use signpost_raft::config::Config as RaftConfig;
use signpost_raft::disk::sled::{OpenError as DiskError, SledDisk};
use signpost_raft::disk::{Disk, may_pass};
use signpost_raft::network::Tcp;
use signpost_raft::replica::{OpenError, Replica, StopReason};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

use crate::cli::namesrv::{Options, RemotingReads as ReadsOption};
use crate::failure::{Failure, OK};
use crate::stop;
use crate::units::{host_of, is_every_address, peers_by_id};

/// The log and its snapshots, in the data directory.
const RAFT_DIR: &str = "raft";

/// How often a starting replica looks whether it is ready.
const READY_LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long a replica that cannot go on waits for the requests that it has: there is little that it
/// could still answer, and until it has stopped nobody can start it again.
const FAILED_DRAIN: Duration = Duration::from_millis(200);

/// Runs a replica until it is told to stop, or cannot go on.
///
/// # Errors
/// When it cannot start, or cannot go on.
pub(crate) async fn run(options: &Options) -> Result<u8, Failure> {
    let raft_config = raft_config(options).map_err(Failure::usage)?;
    let node_config = node_config(options, &raft_config.remoting_advertise);
    let stop = stop::on_signals()?;
    if options.exit_on_stdin_close {
        stop::when_stdin_closes(stop.clone())?;
    }

    std::fs::create_dir_all(&options.data_dir).map_err(|error| in_dir(&options.data_dir, error))?;
    let token =
        http::admin_token(&options.data_dir).map_err(|error| in_dir(&options.data_dir, error))?;
    // All ports before the disk: a second start with the same options ends here, in clear words.
    let peers = bind("peer-addr", &options.peer_addr).await?;
    let clients = bind("http-addr", &options.http_addr).await?;
    let remoting = closed_door(&options.remoting_addr).await?;

    let (assembly, machine) = Assembly::new(node_config).map_err(Failure::usage)?;
    let disk = open_disk(&options.data_dir.join(RAFT_DIR), options.disk_cache).await?;
    let http_advertise = raft_config.http_advertise.clone();
    let opened = Replica::open(raft_config, disk, Arc::new(Tcp), Box::new(peers), machine).await;
    let replica = opened.map_err(|error| match error {
        OpenError::Config(why) => Failure::usage(why),
        OpenError::Disk(error) if may_pass(&error) => in_dir(&options.data_dir, error),
        damaged => Failure::cannot_go_on(damaged),
    })?;
    let service = assembly.start_on(&replica);

    let http_stop = stop.child_token();
    let http_addr = clients.local_addr()?;
    tracing::info!(
        node_id = options.node_id, http = %http_addr, peers = %options.peer_addr,
        advertised = %http_advertise, data_dir = %options.data_dir.display(), "serving"
    );
    let limits =
        ServeLimits { connections_max: options.connections_max as usize, ..ServeLimits::default() };
    let disk_of = replica.clone();
    let storage = move || Storage::of(&disk_of);
    let router = http::router_with_storage(Arc::clone(&service), token, storage);
    let http_door =
        tokio::spawn(http::serve(http::nodelay(clients), router, limits, http_stop.clone()));
    let doors_stop = http_stop.clone();
    let mut gateway = tokio::spawn(door::serve(Arc::clone(&service), remoting, doors_stop));
    let readiness = tokio::spawn(tell_when_ready(http_addr));

    let end = tokio::select! {
        () = stop.cancelled() => Ok(OK),
        why = replica.failed() => Err(match why {
            StopReason::DiskFailed(_) => Failure::failed(why),
            StopReason::CannotGoOn(_) => Failure::cannot_go_on(why),
        }),
        why = not_opened(&mut gateway) => {
            Err(Failure::failed(format!("--remoting-addr {}: {why}", options.remoting_addr)))
        }
    };
    readiness.abort();
    http_stop.cancel();
    // Ends waiting reads, so that the door need not wait for them.
    service.shutdown().await;
    let doors = async {
        if let Err(error) = http_door.await {
            tracing::error!(%error, "the HTTP door did not end by itself");
        }
        if !gateway.is_finished()
            && let Err(error) = gateway.await
        {
            tracing::error!(%error, "the door of RocketMQ's protocol did not end by itself");
        }
    };
    let patience = if end.is_ok() { Duration::MAX } else { FAILED_DRAIN };
    if timeout(patience, doors).await.is_err() {
        tracing::debug!("clients are cut off: this replica has no answers any more");
    }
    replica.shutdown().await;
    tracing::info!("stopped");
    end
}

fn raft_config(options: &Options) -> Result<RaftConfig, String> {
    let peers = peers_by_id(&options.peers)?;
    let http_advertise = match (&options.http_advertise, peers.get(&options.node_id)) {
        (Some(address), _) => address.clone(),
        (None, Some(peer)) => {
            let port = options.http_addr.rsplit_once(':').map_or("", |(_, port)| port);
            format!("{}:{port}", host_of(peer))
        }
        (None, None) => options.http_addr.clone(),
    };
    if is_every_address(host_of(&http_advertise)) {
        return Err(format!(
            "http-advertise: expected HOST:PORT, or this replica's own entry in --peers, for \
             nobody can reach {http_advertise}"
        ));
    }
    let remoting_advertise = options.remoting_advertise.clone().unwrap_or_else(|| {
        let port = options.remoting_addr.rsplit_once(':').map_or("", |(_, port)| port);
        format!("{}:{port}", host_of(&http_advertise))
    });
    let config = RaftConfig {
        node_id: options.node_id,
        cluster_name: options.cluster_id.clone(),
        peers,
        http_advertise,
        remoting_advertise,
        join: options.join,
        election_timeout_min: options.election_timeout.min,
        election_timeout_max: options.election_timeout.max,
        heartbeat_interval: options.heartbeat_interval,
        snapshot_every_entries: options.snapshot_every,
        log_keep_entries: options.log_keep,
        log_bytes_max: options.log_bytes_max,
        proposals_max: options.proposals_max as usize,
        // Elections need no secret, only different numbers on different replicas.
        seed: RandomState::new().hash_one(options.node_id),
        fresh_disk_id: Uuid::new_v4(),
        journal: options.journal.clone(),
    };
    config.validate().map(|()| config)
}

fn node_config(options: &Options, remoting_advertise: &str) -> NodeConfig {
    let mut config = NodeConfig::new(options.node_id, &*options.cluster_id);
    config.timings.lease_ttl = options.lease_ttl;
    // RocketMQ's proportion: 30 s of 120 s.
    config.timings.heartbeat = options.lease_ttl / 4;
    config.timings.scan_interval = options.scan_interval;
    config.timings.first_scan = options.first_scan;
    config.timings.election_timeout_max = options.election_timeout.max;
    config.limits.proposals_in_flight = options.proposals_max as usize;
    config.limits.connections = options.connections_max as usize;
    config.brake = BrakeConfig {
        share: options.brake_share,
        hold: options.brake_hold,
        ..BrakeConfig::default()
    };
    config.order_message_enable = options.order_messages;
    config.limits.registration_bytes =
        usize::try_from(options.registration_bytes_max).unwrap_or(usize::MAX);
    config.remoting = remoting_config(options, remoting_advertise);
    config
}

fn remoting_config(options: &Options, advertise: &str) -> RemotingConfig {
    RemotingConfig {
        advertise: Some(advertise.to_owned()),
        reads: match options.remoting_reads {
            ReadsOption::Linearizable => RemotingReads::Linearizable,
            ReadsOption::Fallback => RemotingReads::Fallback,
            ReadsOption::Local => RemotingReads::Local,
        },
        read_patience: options.remoting_read_patience,
        support_acting_master: options.acting_masters,
        notify_min_id_changed: options.notify_min_id_changed,
        return_order_conf: options.return_order_conf,
        connections: options.remoting_connections_max as usize,
        requests_in_flight: options.remoting_in_flight_max as usize,
        close_grace: options.close_grace,
        ..RemotingConfig::default()
    }
}

async fn bind(option: &str, address: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address)
        .await
        .map_err(|error| Failure::failed(format!("--{option} {address}: {error}")))
}

/// Takes the address of RocketMQ's protocol, without listening yet.
async fn closed_door(address: &str) -> Result<ClosedDoor, Failure> {
    let failed = |error| Failure::failed(format!("--remoting-addr {address}: {error}"));
    let mut addresses = tokio::net::lookup_host(address).await.map_err(failed)?;
    let first = addresses.next().ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?;
    ClosedDoor::at(first).map_err(failed)
}

/// Why the door could not be opened; never, when it could.
async fn not_opened(gateway: &mut JoinHandle<std::io::Result<()>>) -> std::io::Error {
    match gateway.await {
        Ok(Err(error)) => error,
        // Closed as it should be, or a panic that has been told already.
        Ok(Ok(())) | Err(_) => std::future::pending().await,
    }
}

async fn open_disk(dir: &Path, cache_bytes: u64) -> Result<Arc<dyn Disk>, Failure> {
    let dir = dir.to_owned();
    let opened = tokio::task::spawn_blocking(move || SledDisk::open(&dir, cache_bytes)).await;
    let disk = opened.map_err(Failure::failed)?.map_err(|error| match error {
        DiskError::Damaged { .. } => Failure::cannot_go_on(error),
        DiskError::InUse { .. } | DiskError::Io { .. } => Failure::failed(error),
    })?;
    Ok(Arc::new(disk))
}

fn in_dir(dir: &Path, error: std::io::Error) -> Failure {
    Failure::failed(format!("data directory {}: {error}", dir.display()))
}

/// One log line once `/readyz` says yes, asked from outside as a load balancer would.
async fn tell_when_ready(mut http_addr: std::net::SocketAddr) {
    if http_addr.ip().is_unspecified() {
        http_addr.set_ip(match http_addr {
            std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    let Ok(client) = Client::new([http_addr.to_string()], ClientOptions::default()) else { return };
    loop {
        if client.ready(false).await.is_ok_and(|probe| probe.value.ok) {
            tracing::info!("ready");
            return;
        }
        tokio::time::sleep(READY_LOOK_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn options(more: &str) -> Options {
        let line = format!("signpost namesrv --node-id 2 --cluster-id c --data-dir d {more}");
        match Cli::try_parse_from(line.split_whitespace()).expect("options").command {
            Command::Namesrv(options) => *options,
            other => panic!("another command: {other:?}"),
        }
    }

    #[test]
    fn the_defaults_fit_together() {
        let options = options("--peers 1=a:7876,2=b:7876,3=c:7876");
        let raft = raft_config(&options).expect("valid");
        assert_eq!(raft.http_advertise, "b:8876", "its own host as the peers know it");
        assert_eq!(raft.remoting_advertise, "b:9876");
        let node = node_config(&options, &raft.remoting_advertise);
        node.validate().expect("valid");
        let e_max = raft.election_timeout_max;
        assert!(2 * e_max + Duration::from_millis(100) <= Duration::from_millis(600));
    }

    #[test]
    fn what_is_advertised_may_be_said() {
        let advertised = options("--peers 2=b:7876 --http-advertise name.example:80");
        assert_eq!(raft_config(&advertised).expect("valid").http_advertise, "name.example:80");
        let joining = options("--join --http-addr 10.0.0.4:8876");
        let joining = raft_config(&joining).expect("valid");
        assert_eq!(joining.http_advertise, "10.0.0.4:8876");
        let listed = raft_config(&options("--join --peers 2=b:7876")).expect("valid");
        assert_eq!((&*listed.http_advertise, &*listed.remoting_advertise), ("b:8876", "b:9876"));
        let elsewhere = options("--peers 2=b:7876 --remoting-advertise door.example:1234");
        let elsewhere = raft_config(&elsewhere).expect("valid");
        assert_eq!(elsewhere.remoting_advertise, "door.example:1234");
    }

    #[test]
    fn options_that_do_not_fit_together_are_refused() {
        for (more, named) in [
            ("--peers 1=a:1", "peers"),
            ("--peers 2=a:1,2=b:1", "peers"),
            ("--peers 2=a:1 --heartbeat-interval 200ms", "heartbeat"),
            ("--join", "http-advertise"),
            ("--peers 2=0.0.0.0:1", "http-advertise"),
        ] {
            let said = raft_config(&options(more)).expect_err(more);
            assert!(said.contains(named), "{said}");
        }
        let mut config = node_config(&options("--peers 2=a:1 --brake-share 1.5"), "a:9876");
        assert!(config.validate().is_err());
        config.brake.share = 1.0;
        config.validate().expect("valid");
    }

    #[test]
    fn settings_of_rocketmqs_protocol_arrive() {
        let line = "--peers 2=a:1 --remoting-reads local \
                    --remoting-read-patience 50ms --acting-masters --return-order-conf=false \
                    --close-grace 0s --registration-bytes-max 1MiB --worker-threads 3";
        let options = options(line);
        assert_eq!(options.worker_threads, Some(3));
        let config = node_config(&options, "name:1234");
        assert_eq!(config.limits.registration_bytes, 1024 * 1024);
        let expected = RemotingConfig {
            advertise: Some("name:1234".into()),
            reads: RemotingReads::Local,
            read_patience: Duration::from_millis(50),
            support_acting_master: true,
            return_order_conf: false,
            close_grace: Duration::ZERO,
            ..RemotingConfig::default()
        };
        assert_eq!(config.remoting, expected);
        config.validate().expect("valid");
    }

    #[test]
    fn short_ttls_for_tests_are_fine() {
        let short = options("--peers 2=a:1 --lease-ttl 100ms --scan-interval 5ms --first-scan 1ms");
        node_config(&short, "a:9876").validate().expect("valid");
    }
}
