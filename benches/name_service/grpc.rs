//! etcd's `Put` and `Range` over gRPC, each caller on a connection of its own: the messages are
//! written by hand, so that the caller is as cheap as the one it is compared with.

use std::io;
use std::net::SocketAddr;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use hyper::{HeaderMap, Request, StatusCode};
use tokio::net::TcpStream;

use crate::Result;
use crate::load::Caller;

/// One connection, for one kind of call.
#[derive(Debug)]
struct Calls {
    requests: SendRequest<Bytes>,
    uri: String,
}

/// One caller of `Put`.
#[derive(Debug)]
pub(crate) struct EtcdPut<F> {
    calls: Calls,
    /// Key and value of a turn.
    make: F,
}

impl<F> EtcdPut<F>
where
    F: FnMut(u64) -> (String, String) + Send + 'static,
{
    /// Connects.
    pub(crate) async fn at(address: SocketAddr, make: F) -> Result<Self> {
        Ok(Self { calls: Calls::at(address, "Put").await?, make })
    }
}

/// One caller of `Range`: a linearizable read of one key, again and again.
#[derive(Debug)]
pub(crate) struct EtcdRange {
    calls: Calls,
    request: Bytes,
}

impl EtcdRange {
    /// Connects.
    pub(crate) async fn at(address: SocketAddr, key: &str) -> Result<Self> {
        Ok(Self { calls: Calls::at(address, "Range").await?, request: message([(0x0a, key)]) })
    }
}

impl Calls {
    async fn at(address: SocketAddr, method: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (requests, connection) = h2::client::handshake(stream).await?;
        // Ends with its last request handle; a broken connection fails the next call.
        tokio::spawn(connection);
        Ok(Self { requests, uri: format!("http://{address}/etcdserverpb.KV/{method}") })
    }

    async fn call(&mut self, message: Bytes) -> Result<()> {
        let request = Request::post(&self.uri)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        self.requests = self.requests.clone().ready().await?;
        let (response, mut body) = self.requests.send_request(request, false)?;
        body.send_data(message, true)?;
        let response = response.await?;
        let status = response.status();
        let early = grpc_status(response.headers());
        let mut answer = response.into_body();
        while let Some(chunk) = answer.data().await {
            let length = chunk?.len();
            answer.flow_control().release_capacity(length)?;
        }
        let trailers = answer.trailers().await?;
        let grpc = trailers.as_ref().and_then(grpc_status).or(early);
        match (status, grpc.as_deref()) {
            (StatusCode::OK, Some("0")) => Ok(()),
            _ => Err(format!("status {status}, gRPC status {grpc:?}").into()),
        }
    }
}

impl<F> Caller for EtcdPut<F>
where
    F: FnMut(u64) -> (String, String) + Send + 'static,
{
    async fn call(&mut self, turn: u64) -> io::Result<()> {
        let (key, value) = (self.make)(turn);
        let request = message([(0x0a, &key), (0x12, &value)]);
        self.calls.call(request).await.map_err(io::Error::other)
    }
}

impl Caller for EtcdRange {
    async fn call(&mut self, _: u64) -> io::Result<()> {
        self.calls.call(self.request.clone()).await.map_err(io::Error::other)
    }
}

fn grpc_status(headers: &HeaderMap) -> Option<String> {
    Some(headers.get("grpc-status")?.to_str().ok()?.to_owned())
}

/// A gRPC frame around a message of texts: `PutRequest { key = 1, value = 2 }`,
/// `RangeRequest { key = 1 }`.
fn message<const FIELDS: usize>(fields: [(u8, &str); FIELDS]) -> Bytes {
    let mut message = BytesMut::new();
    for (tag, text) in fields {
        message.put_u8(tag);
        put_varint(&mut message, text.len());
        message.put_slice(text.as_bytes());
    }
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(&message);
    frame.freeze()
}

fn put_varint(to: &mut BytesMut, mut number: usize) {
    while number >= 0x80 {
        to.put_u8((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    to.put_u8(number as u8);
}
