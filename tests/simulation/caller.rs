//! A plain HTTP caller over the simulated network: one attempt at one replica, so that each call has
//! one outcome. (Retries and failover are `signpost-client`'s, and would hide it.)

use std::collections::BTreeMap;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
pub(crate) use signpost_chaos::ask::{Ask, Reply};
use signpost_client::types::headers;
use signpost_raft::machine::NodeId;
use tokio::time::timeout;

use crate::cluster::{ADMIN_TOKEN, http_address};
use crate::world::stream::Nic;

/// How long a connection may take to come up.
const DIAL_TIMEOUT: Duration = Duration::from_millis(500);

/// How much longer the caller waits than it tells the replica.
const GRACE: Duration = Duration::from_millis(300);

/// The connections of one client.
pub(crate) struct Caller {
    nic: Nic,
    open: BTreeMap<NodeId, SendRequest<Full<Bytes>>>,
}

impl Caller {
    pub(crate) fn new(nic: Nic) -> Caller {
        Caller { nic, open: BTreeMap::new() }
    }

    /// Asks a replica, which is told to answer within `patience`.
    pub(crate) async fn ask(&mut self, replica: NodeId, ask: &Ask, patience: Duration) -> Reply {
        let mut sender = match self.connection(replica).await {
            Ok(sender) => sender,
            Err(why) => return Reply::NotSent(why),
        };
        let request = Request::builder()
            .method(&ask.method)
            .uri(&ask.path)
            .header(header::HOST, http_address(replica))
            .header(header::CONTENT_TYPE, "application/json")
            .header(headers::DEADLINE_MS, patience.as_millis().to_string())
            // Only the operator's calls need it.
            .header(header::AUTHORIZATION, format!("Bearer {ADMIN_TOKEN}"));
        let body = ask.body.as_ref().map(Value::to_string).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body))).expect("well-formed");
        let exchange = async {
            let response = sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            let body = body.collect().await?.to_bytes().to_vec();
            Ok::<_, hyper::Error>((head, body))
        };
        match timeout(patience + GRACE, exchange).await {
            Ok(Ok((head, body))) => {
                self.open.insert(replica, sender);
                Reply::Answer { status: head.status.as_u16(), headers: head.headers, body }
            }
            Ok(Err(error)) => Reply::Lost(error.to_string()),
            Err(_) => Reply::Lost("no answer in time".into()),
        }
    }

    async fn connection(&mut self, replica: NodeId) -> Result<SendRequest<Full<Bytes>>, String> {
        if let Some(mut sender) = self.open.remove(&replica)
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        let dial = async {
            let stream = self.nic.dial(&http_address(replica)).await?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            // Ends with the connection; whoever waits for an answer is told by then.
            tokio::spawn(connection);
            Ok::<_, Box<dyn std::error::Error>>(sender)
        };
        match timeout(DIAL_TIMEOUT, dial).await {
            Ok(Ok(sender)) => Ok(sender),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no connection in time".into()),
        }
    }
}
