//! One request to one replica, answered in raw bytes: to compare what replicas say byte for byte.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{HeaderMap, Method, Request, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use signpost_client::types::headers;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long one request may take, unless a test says otherwise.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What a replica answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// The index at which it was read.
    pub(crate) index: Option<u64>,
    /// The index at which what was read changed last.
    pub(crate) modified: Option<u64>,
    pub(crate) body: Bytes,
}

impl Answered {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What must be the same on every replica: all but the index of the read itself.
    pub(crate) fn content(&self) -> (u16, Option<u64>, String) {
        (self.status, self.modified, self.text())
    }

    /// This answer, which must be a success.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{}", self.text());
        self
    }
}

/// A `GET`.
///
/// # Errors
/// When there was no answer.
pub(crate) async fn get(replica: SocketAddr, path: &str) -> Result<Answered, String> {
    request(replica, Method::GET, path, None, None).await
}

/// Any request, with a JSON body and the admin token if given.
///
/// # Errors
/// When there was no answer.
pub(crate) async fn request(
    replica: SocketAddr,
    method: Method,
    path: &str,
    body: Option<Value>,
    token: Option<&str>,
) -> Result<Answered, String> {
    let asked = timeout(REQUEST_TIMEOUT, ask(replica, method, path, body, token)).await;
    asked.map_err(|_| format!("{replica}: no answer within {REQUEST_TIMEOUT:?}"))?
}

async fn ask(
    replica: SocketAddr,
    method: Method,
    path: &str,
    body: Option<Value>,
    token: Option<&str>,
) -> Result<Answered, String> {
    let said = |error: &dyn std::fmt::Display| format!("{replica}: {error}");
    let stream = TcpStream::connect(replica).await.map_err(|error| said(&error))?;
    stream.set_nodelay(true).map_err(|error| said(&error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| said(&error))?;
    let driver = tokio::spawn(connection);
    let mut request =
        Request::builder().method(method).uri(path).header(header::HOST, replica.to_string());
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let body = body.map_or_else(Bytes::new, |json| json.to_string().into());
    let request = request.body(Full::new(body)).map_err(|error| said(&error))?;
    let response = sender.send_request(request).await.map_err(|error| said(&error))?;
    let (status, map) = (response.status().as_u16(), response.headers().clone());
    let body = response.into_body().collect().await.map_err(|error| said(&error))?.to_bytes();
    driver.abort();
    let number = |name| number(&map, name);
    let (index, modified) = (number(headers::INDEX), number(headers::MODIFIED));
    Ok(Answered { status, index, modified, body })
}

fn number(map: &HeaderMap, name: &str) -> Option<u64> {
    map.get(name)?.to_str().ok()?.parse().ok()
}
