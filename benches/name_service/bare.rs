//! A bare axum handler that returns fixed bytes: as much as a route read could cost at best.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use clap::Args;
use tempfile::TempDir;

use crate::Result;
use crate::http::Answer;
use crate::ports::Ports;
use crate::process::Process;

/// Options of the process that serves.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where to serve
    #[arg(long)]
    listen: SocketAddr,
    /// What to answer
    #[arg(long)]
    body: PathBuf,
    /// Headers to answer with, one a line
    #[arg(long)]
    headers: PathBuf,
}

/// What a handler returns beside the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Headers {
    /// Its content type.
    ContentType,
    /// Every header of the answer that it stands beside: the same bytes on the wire.
    All,
}

/// A handler in a process of its own.
pub(crate) struct Bare {
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
    _dir: TempDir,
    _ports: Ports,
}

impl Bare {
    /// Starts one that returns the same as `answer`.
    pub(crate) async fn start(answer: &Answer<'_>, headers: Headers) -> Result<Self> {
        let (mut ports, dir) = (Ports::reserve(), tempfile::tempdir()?);
        let (body, head) = (dir.path().join("body"), dir.path().join("headers"));
        fs::write(&body, answer.body)?;
        let wanted = |line: &&str| {
            let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            match headers {
                Headers::ContentType => name == "content-type",
                // The server adds these by itself.
                Headers::All => !["date", "content-length"].contains(&&*name),
            }
        };
        let text = String::from_utf8_lossy(answer.head).into_owned();
        let lines: Vec<&str> = text.lines().skip(1).filter(wanted).collect();
        fs::write(&head, lines.join("\n"))?;
        let address = ports.take();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bare", "--listen", &address.to_string()]);
        command.arg("--body").arg(&body).arg("--headers").arg(&head);
        let mut process = Process::spawn(&mut command, &dir.path().join("log"))?;
        process.says("serving").await?;
        Ok(Self { address, process, _dir: dir, _ports: ports })
    }
}

/// What that process does.
pub(crate) async fn serve(options: Options) -> Result<()> {
    let body = Bytes::from(fs::read(&options.body)?);
    let headers = read_headers(&options.headers)?;
    let listener = tokio::net::TcpListener::bind(options.listen).await?;
    let listener = listener.tap_io(|stream| {
        // A connection that refuses the option is about to fail by itself.
        let _ = stream.set_nodelay(true);
    });
    let answer = move || {
        let (body, headers) = (body.clone(), headers.clone());
        async move {
            let mut response = Response::new(Body::from(body));
            *response.headers_mut() = headers;
            response.into_response()
        }
    };
    println!("serving");
    axum::serve(listener, Router::new().route("/v1/routes/{topic}", get(answer))).await?;
    Ok(())
}

fn read_headers(path: &Path) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in fs::read_to_string(path)?.lines() {
        let (name, value) = line.split_once(':').ok_or("a header without a colon")?;
        let name: HeaderName = name.parse()?;
        headers.insert(name, HeaderValue::from_str(value.trim())?);
    }
    Ok(headers)
}
