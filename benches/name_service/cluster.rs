//! Three replicas of the real binary on loopback.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use signpost_client::types::ClusterStatus;
use signpost_client::{Client, Options};
use tempfile::TempDir;

use crate::Result;
use crate::http;
use crate::ports::Ports;
use crate::process::{Process, until};

/// The binary that is measured, built with the same profile as this.
pub(crate) const SIGNPOST: &str = env!("CARGO_BIN_EXE_signpost");

/// Longer than a start or an election takes.
const PATIENCE: Duration = Duration::from_secs(30);

struct Replica {
    http: SocketAddr,
    remoting: SocketAddr,
    peer: SocketAddr,
    process: Option<Process>,
}

/// A cluster of three; its processes die with it.
pub(crate) struct Cluster {
    replicas: BTreeMap<u64, Replica>,
    options: Vec<(&'static str, String)>,
    ports: Ports,
    dir: TempDir,
}

impl Cluster {
    /// Three replicas, ready, with the defaults but for these options. Leases are long, so that
    /// registrations made by hand stay, unless an option says otherwise.
    pub(crate) async fn start(options: &[(&'static str, &str)]) -> Result<Self> {
        let (mut ports, dir) = (Ports::reserve(), tempfile::tempdir()?);
        let mut replica = || Replica {
            http: ports.take(),
            remoting: ports.take(),
            peer: ports.take(),
            process: None,
        };
        let replicas = [1, 2, 3].map(|id| (id, replica())).into();
        let mut all = vec![("--lease-ttl", "12h".to_owned())];
        for (name, value) in options {
            all.retain(|(known, _)| known != name);
            all.push((name, (*value).to_owned()));
        }
        let mut cluster = Self { replicas, options: all, ports, dir };
        for id in [1, 2, 3] {
            cluster.launch(id)?;
        }
        for id in [1, 2, 3] {
            cluster.ready(id).await?;
        }
        Ok(cluster)
    }

    /// All numbers.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.replicas.keys().copied().collect()
    }

    /// Where a replica serves HTTP.
    pub(crate) fn http(&self, id: u64) -> SocketAddr {
        self.replicas[&id].http
    }

    /// Where a replica speaks RocketMQ's protocol.
    pub(crate) fn remoting(&self, id: u64) -> SocketAddr {
        self.replicas[&id].remoting
    }

    /// All replicas, as `--namesrv` takes them.
    pub(crate) fn namesrv(&self) -> String {
        let urls = self.replicas.values().map(|replica| format!("http://{}", replica.http));
        urls.collect::<Vec<_>>().join(",")
    }

    /// A client of all replicas that knows nothing yet.
    pub(crate) fn client(&self) -> Result<Client> {
        Ok(Client::new(self.namesrv().split(','), Options::default())?)
    }

    /// A place for a scenario's own files.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A port for a broker.
    pub(crate) fn broker_port(&mut self) -> SocketAddr {
        self.ports.take()
    }

    /// Starts a replica, for the first time or again.
    pub(crate) fn launch(&mut self, id: u64) -> Result<()> {
        let peers = self.replicas.iter().map(|(id, replica)| format!("{id}={}", replica.peer));
        let peers = peers.collect::<Vec<_>>().join(",");
        let Replica { http, remoting, peer, .. } = self.replicas[&id];
        let mut command = Command::new(SIGNPOST);
        command
            .args(["namesrv", "--exit-on-stdin-close", "--cluster-id", "bench"])
            .args(["--node-id", &id.to_string(), "--peers", &peers])
            .args(["--http-addr", &http.to_string(), "--peer-addr", &peer.to_string()])
            .args(["--remoting-addr", &remoting.to_string()])
            .arg("--data-dir")
            .arg(self.path(&format!("namesrv-{id}")));
        for (name, value) in &self.options {
            command.args([name, value.as_str()]);
        }
        let process = Process::spawn(&mut command, &self.path(&format!("namesrv-{id}.log")))?;
        self.replica(id).process = Some(process);
        Ok(())
    }

    /// Waits until a replica is ready.
    pub(crate) async fn ready(&mut self, id: u64) -> Result<()> {
        let address = self.http(id);
        let ready = until(PATIENCE, || async move {
            match http::once(address, "GET", "/readyz", &[]).await? {
                (200, _) => Ok(()),
                (_, reasons) => Err(reasons.into()),
            }
        });
        let ready = ready.await;
        if let Some(process) = &mut self.replica(id).process {
            process.still_runs()?;
        }
        ready
    }

    /// kill -9.
    pub(crate) fn kill(&mut self, id: u64) {
        if let Some(mut process) = self.replica(id).process.take() {
            process.kill();
        }
    }

    /// How a replica says that it stands.
    pub(crate) async fn status(&self, id: u64) -> Result<ClusterStatus> {
        let (_, body) = http::once(self.http(id), "GET", "/v1/cluster", &[]).await?;
        Ok(serde_json::from_str(&body)?)
    }

    /// Waits until all running replicas name the same leader in the same term; its number and term.
    pub(crate) async fn leader(&self) -> Result<(u64, u64)> {
        let running = self.replicas.iter().filter(|(_, replica)| replica.process.is_some());
        let ids: Vec<u64> = running.map(|(id, _)| *id).collect();
        until(PATIENCE, || async {
            let mut views = Vec::new();
            for id in &ids {
                let status = self.status(*id).await?;
                views.push((status.leader, status.term));
            }
            match views.first() {
                Some((Some(leader), term)) if views.iter().all(|view| *view == views[0]) => {
                    Ok((*leader, *term))
                }
                _ => Err(format!("leaders and terms: {views:?}").into()),
            }
        })
        .await
    }

    /// Waits until all running replicas have applied the same index.
    pub(crate) async fn settled(&self) -> Result<u64> {
        until(PATIENCE, || async {
            let mut applied = Vec::new();
            for id in self.ids() {
                applied.push(self.status(id).await?.applied);
            }
            match applied.iter().all(|index| *index == applied[0]) {
                true => Ok(applied[0]),
                false => Err(format!("applied: {applied:?}").into()),
            }
        })
        .await
    }

    /// A counter or gauge without labels of a replica's /metrics.
    pub(crate) async fn metric(&self, id: u64, name: &str) -> Result<f64> {
        let (_, text) = http::once(self.http(id), "GET", "/metrics", &[]).await?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let missing = || format!("no {name} in /metrics");
        Ok(value.ok_or_else(missing)?.split(' ').next().unwrap_or_default().parse()?)
    }

    /// CPU time that all replicas have used.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let processes = self.replicas.values().filter_map(|replica| replica.process.as_ref());
        processes.map(Process::cpu).sum()
    }

    /// A replica's process.
    pub(crate) fn process(&self, id: u64) -> Result<&Process> {
        let process = self.replicas[&id].process.as_ref();
        Ok(process.ok_or_else(|| format!("replica {id} does not run"))?)
    }

    /// The admin token of a replica.
    pub(crate) fn token(&self, id: u64) -> Result<String> {
        let path = self.path(&format!("namesrv-{id}")).join("admin-token");
        Ok(fs::read_to_string(path)?.trim().to_owned())
    }

    fn replica(&mut self, id: u64) -> &mut Replica {
        self.replicas.get_mut(&id).expect("one of the three that it was made with")
    }
}
