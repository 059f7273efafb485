//! A stock RocketMQ name server, from its Maven artifacts, for comparison.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::Result;
use crate::ports::Ports;
use crate::process::Process;

/// One name server; its process dies with it.
pub(crate) struct StockNameServer {
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
    _dir: TempDir,
    _ports: Ports,
}

impl StockNameServer {
    /// A name server just started, with a heap of 512 MB; None when there is no folder of jars.
    pub(crate) async fn start(jars: &Path) -> Result<Option<Self>> {
        if !jars.is_dir() {
            return Ok(None);
        }
        let (mut ports, dir) = (Ports::reserve(), tempfile::tempdir()?);
        let (address, home) = (ports.take(), dir.path().display());
        let config = dir.path().join("namesrv.conf");
        fs::write(&config, format!("listenPort={}\n", address.port()))?;
        let mut command = Command::new("java");
        command
            .args(["-Xms512m", "-Xmx512m", &format!("-Duser.home={home}")])
            .args(["-cp", &format!("{}/*", jars.display())])
            .args(["org.apache.rocketmq.namesrv.NamesrvStartup", "-c"])
            .arg(&config)
            .env("ROCKETMQ_HOME", dir.path());
        let mut process = Process::spawn(&mut command, &dir.path().join("namesrv.log"))?;
        process.says("boot success").await?;
        Ok(Some(Self { address, process, _dir: dir, _ports: ports }))
    }
}
