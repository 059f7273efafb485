//! A plain TCP server that answers so many bytes with so many others: as quick as a lookup could be
//! at best.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::Result;
use crate::ports::Ports;
use crate::process::Process;

/// What is read from a socket at once.
const READ_BYTES: usize = 64 * 1024;

/// Options of the process that serves.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where to serve
    #[arg(long)]
    listen: SocketAddr,
    /// Bytes of a request
    #[arg(long)]
    request_bytes: usize,
    /// What to answer to each
    #[arg(long)]
    answer: PathBuf,
}

/// An echo in a process of its own.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    _process: Process,
    _dir: TempDir,
    _ports: Ports,
}

impl Echo {
    /// Starts one that gives this answer to each request of this length.
    pub(crate) async fn start(request_bytes: usize, answer: &[u8]) -> Result<Self> {
        let (mut ports, dir) = (Ports::reserve(), tempfile::tempdir()?);
        let path = dir.path().join("answer");
        fs::write(&path, answer)?;
        let address = ports.take();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["echo", "--listen", &address.to_string()]);
        command.args(["--request-bytes", &request_bytes.to_string()]).arg("--answer").arg(&path);
        let mut process = Process::spawn(&mut command, &dir.path().join("log"))?;
        process.says("serving").await?;
        Ok(Self { address, _process: process, _dir: dir, _ports: ports })
    }
}

/// What that process does.
pub(crate) async fn serve(options: Options) -> Result<()> {
    let answer = fs::read(&options.answer)?;
    let listener = TcpListener::bind(options.listen).await?;
    println!("serving");
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = answer.clone();
        // A caller that goes away ends its echo, and nothing else.
        tokio::spawn(async move { echo(stream, options.request_bytes, &answer).await.ok() });
    }
}

async fn echo(mut stream: TcpStream, request_bytes: usize, answer: &[u8]) -> std::io::Result<()> {
    let mut read = vec![0; READ_BYTES];
    let mut pending_bytes = 0;
    let mut answers = Vec::new();
    loop {
        match stream.read(&mut read).await? {
            0 => return Ok(()),
            bytes => pending_bytes += bytes,
        }
        let count = pending_bytes / request_bytes;
        pending_bytes %= request_bytes;
        let wanted = count * answer.len();
        while answers.len() < wanted {
            answers.extend_from_slice(answer);
        }
        stream.write_all(&answers[..wanted]).await?;
    }
}
