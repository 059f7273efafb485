//! One HTTP request to one replica: one attempt, one outcome. (Retries and failover are the client
//! crate's, and would hide what is to be judged.)

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{HeaderMap, Method, Request, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use signpost_client::types::{ClusterStatus, headers};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a connection may take to come up.
const DIAL_TIMEOUT: Duration = Duration::from_millis(500);
/// How much longer the caller waits than it tells the replica.
const GRACE: Duration = Duration::from_millis(300);
/// No answer that is asked for here is longer.
const BODY_BYTES_MAX: usize = 64 << 20;

/// A request.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Its method.
    pub method: Method,
    /// Path and parameters.
    pub path: String,
    /// Its JSON, if it has a body.
    pub body: Option<Value>,
}

impl Ask {
    /// A `GET`.
    #[must_use]
    pub fn get(path: impl Into<String>) -> Ask {
        Ask { method: Method::GET, path: path.into(), body: None }
    }
}

/// What came of it.
#[derive(Debug)]
pub enum Reply {
    /// The replica answered.
    Answer {
        /// HTTP status.
        status: u16,
        /// Its headers.
        headers: HeaderMap,
        /// Its body, byte for byte.
        body: Vec<u8>,
    },
    /// The request never left.
    NotSent(String),
    /// It may have arrived.
    Lost(String),
}

/// The connections of one client.
#[derive(Debug, Default)]
pub struct Caller {
    open: BTreeMap<SocketAddr, SendRequest<Full<Bytes>>>,
}

impl Caller {
    /// Asks a replica, which is told to answer within `patience`.
    pub async fn ask(&mut self, replica: SocketAddr, ask: &Ask, patience: Duration) -> Reply {
        let mut sender = match self.connection(replica).await {
            Ok(sender) => sender,
            Err(why) => return Reply::NotSent(why),
        };
        let body = ask.body.as_ref().map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(&ask.method)
            .uri(&ask.path)
            .header(header::HOST, replica.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .header(headers::DEADLINE_MS, patience.as_millis().to_string())
            .body(Full::new(Bytes::from(body)));
        let request = match request {
            Ok(request) => request,
            Err(error) => return Reply::NotSent(error.to_string()),
        };
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes().to_vec();
            Ok::<_, String>((head, body))
        };
        match timeout(patience + GRACE, exchange).await {
            Ok(Ok((head, body))) => {
                self.open.insert(replica, sender);
                Reply::Answer { status: head.status.as_u16(), headers: head.headers, body }
            }
            Ok(Err(why)) => Reply::Lost(why),
            Err(_) => Reply::Lost("no answer in time".into()),
        }
    }

    async fn connection(
        &mut self,
        replica: SocketAddr,
    ) -> Result<SendRequest<Full<Bytes>>, String> {
        if let Some(mut sender) = self.open.remove(&replica)
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        let dial = async {
            let stream = TcpStream::connect(replica).await.map_err(|error| error.to_string())?;
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            let shaken = http1::handshake(TokioIo::new(stream)).await;
            let (sender, connection) = shaken.map_err(|error| error.to_string())?;
            // Ends with the connection; whoever waits for an answer is told by then.
            tokio::spawn(connection);
            Ok::<_, String>(sender)
        };
        timeout(DIAL_TIMEOUT, dial).await.unwrap_or_else(|_| Err("no connection in time".into()))
    }
}

/// How this replica says that it stands.
///
/// # Errors
/// What went wrong, in words.
pub async fn status(replica: SocketAddr, within: Duration) -> Result<ClusterStatus, String> {
    match once(replica, "/v1/cluster", within).await? {
        (200, body) => serde_json::from_slice(&body).map_err(|error| error.to_string()),
        (status, body) => Err(format!("status {status}: {}", String::from_utf8_lossy(&body))),
    }
}

/// Whether this replica says that it is ready.
pub async fn is_ready(replica: SocketAddr, within: Duration) -> bool {
    once(replica, "/readyz", within).await.is_ok_and(|(status, _)| status == 200)
}

/// What this replica counts, as it tells it to Prometheus.
///
/// # Errors
/// What went wrong, in words.
pub async fn metrics(replica: SocketAddr, within: Duration) -> Result<String, String> {
    let (_, body) = once(replica, "/metrics", within).await?;
    String::from_utf8(body).map_err(|error| error.to_string())
}

/// A whole number without labels among [`metrics`].
#[must_use]
pub fn metric(metrics: &str, name: &str) -> Option<u64> {
    let mut lines = metrics.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// `GET path` on a connection of its own: status and body.
///
/// # Errors
/// What went wrong, in words.
pub async fn once(
    replica: SocketAddr,
    path: &str,
    within: Duration,
) -> Result<(u16, Vec<u8>), String> {
    let mut caller = Caller::default();
    match timeout(within, caller.ask(replica, &Ask::get(path), within)).await {
        Ok(Reply::Answer { status, body, .. }) => Ok((status, body)),
        Ok(Reply::NotSent(why) | Reply::Lost(why)) => Err(why),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_found_by_their_whole_name() {
        let told = "# HELP signpost_term x\nsignpost_term_total 7\nsignpost_term 3\n";
        assert_eq!(metric(told, "signpost_term"), Some(3));
        assert_eq!(metric(told, "signpost_ter"), None);
        assert_eq!(metric("signpost_term -1\n", "signpost_term"), None);
    }
}
