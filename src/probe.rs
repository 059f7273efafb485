//! One request to one replica, answered in raw bytes: to compare what replicas say byte for byte,
//! and to see which one said it. Everything else goes through the client, which is free to ask
//! another replica.

use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{HeaderMap, Request, header};
use hyper_util::rt::TokioIo;
use signpost_client::types::{ClusterStatus, headers};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::units::readable_duration;

/// No answer that is asked for here is longer.
const BODY_BYTES_MAX: usize = 16 << 20;

/// What a replica answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answered {
    /// HTTP status.
    pub(crate) status: u16,
    /// The index at which it was read.
    pub(crate) index: Option<u64>,
    /// The index at which what was read changed last.
    pub(crate) modified: Option<u64>,
    /// The body, byte for byte.
    pub(crate) body: Bytes,
}

/// `GET path` at the replica `host:port`, once, on a connection of its own.
///
/// # Errors
/// What went wrong, in words.
pub(crate) async fn get(replica: &str, path: &str, within: Duration) -> Result<Answered, String> {
    let asked = timeout(within, ask(replica, path)).await;
    asked.map_err(|_| format!("no answer within {}", readable_duration(within)))?
}

/// How this replica says that it stands.
///
/// # Errors
/// What went wrong, in words.
pub(crate) async fn status(replica: &str, within: Duration) -> Result<ClusterStatus, String> {
    let answered = get(replica, "/v1/cluster", within).await?;
    match answered.status {
        200 => serde_json::from_slice(&answered.body).map_err(|error| error.to_string()),
        status => Err(format!("status {status}: {}", String::from_utf8_lossy(&answered.body))),
    }
}

/// Whether this replica says that it is ready.
pub(crate) async fn is_ready(replica: &str, within: Duration) -> bool {
    get(replica, "/readyz", within).await.is_ok_and(|answered| answered.status == 200)
}

async fn ask(replica: &str, path: &str) -> Result<Answered, String> {
    let stream = TcpStream::connect(replica).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let driver = tokio::spawn(connection);
    let request = Request::get(path)
        .header(header::HOST, replica)
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
    driver.abort();
    Ok(Answered {
        status,
        index: number(&headers, headers::INDEX),
        modified: number(&headers, headers::MODIFIED),
        body: body.map_err(|error| error.to_string())?.to_bytes(),
    })
}

fn number(map: &HeaderMap, name: &str) -> Option<u64> {
    map.get(name)?.to_str().ok()?.parse().ok()
}
