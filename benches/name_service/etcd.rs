//! Three processes of etcd (Debian package etcd-server), with its defaults, for comparison.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::Result;
use crate::http;
use crate::ports::Ports;
use crate::process::{Process, until};

/// A cluster of three; its processes die with it.
pub(crate) struct Etcd {
    members: Vec<(SocketAddr, Process)>,
    _dir: TempDir,
    _ports: Ports,
}

impl Etcd {
    /// Three members with a leader, on the same file system as the replicas; None when the program
    /// is not there.
    pub(crate) async fn start(program: &Path) -> Result<Option<Self>> {
        if Command::new(program).arg("--version").output().is_err() {
            return Ok(None);
        }
        let (mut ports, dir) = (Ports::reserve(), tempfile::tempdir()?);
        let places: Vec<_> = (1..=3).map(|n| (n, ports.take(), ports.take())).collect();
        let initial = places.iter().map(|(n, _, peer)| format!("n{n}=http://{peer}"));
        let initial = initial.collect::<Vec<_>>().join(",");
        let mut members = Vec::new();
        for (n, client, peer) in places {
            let (client_url, peer_url) = (format!("http://{client}"), format!("http://{peer}"));
            let mut command = Command::new(program);
            command
                .args(["--name", &format!("n{n}"), "--initial-cluster", &initial])
                .args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url])
                .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
                .args(["--logger", "zap", "--log-level", "warn", "--data-dir"])
                .arg(dir.path().join(format!("n{n}")));
            let log = dir.path().join(format!("n{n}.log"));
            members.push((client, Process::spawn(&mut command, &log)?));
        }
        let etcd = Self { members, _dir: dir, _ports: ports };
        etcd.leader().await?;
        Ok(Some(etcd))
    }

    /// Where the leader serves clients.
    pub(crate) async fn leader(&self) -> Result<SocketAddr> {
        until(Duration::from_secs(30), || async {
            for (address, _) in &self.members {
                let path = "/v3/maintenance/status";
                let (_, status) = http::once(*address, "POST", path, b"{}").await?;
                let status: serde_json::Value = serde_json::from_str(&status)?;
                let (leader, own) = (&status["leader"], &status["header"]["member_id"]);
                if leader.is_string() && leader == own {
                    return Ok(*address);
                }
            }
            Err("no member leads".into())
        })
        .await
    }

    /// Where all members serve clients.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|(address, _)| *address).collect()
    }

    /// CPU time that all members have used.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        self.members.iter().map(|(_, process)| process.cpu()).sum()
    }
}
