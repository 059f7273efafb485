//! [`Client`]: the calls of the contract. Their files are under `client/`.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::call::{Floor, Kind, Request, Shared};
use crate::connection::Raw;
use crate::jitter::Jitter;
use crate::options::{Options, OptionsError, parse_replica};
use crate::outcome::{Answer, CallError, Cause};
use crate::replicas::Replicas;
use crate::session::{History, Session};
use crate::transport::{Dial, TcpDialer};
use crate::types::headers::encode_name;

mod brokers;
mod operation;
pub(crate) mod routes;
mod tables;

pub use brokers::{BrokerIdentity, Claim};
pub use routes::ReadMode;

/// A client of one name cluster. Clones share connections, the remembered index and history.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
    call_timeout: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("replicas", &self.replicas()).finish_non_exhaustive()
    }
}

/// Result of a call.
pub type CallResult<T> = Result<Answer<T>, CallError>;

impl Client {
    /// A client over TCP. `replicas` are `http://host:port` or `host:port`; nothing is dialled yet.
    ///
    /// # Errors
    /// When there is no replica, or one cannot be read.
    pub fn new<I>(replicas: I, options: Options) -> Result<Self, OptionsError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Self::with_dialer(replicas, options, Arc::new(TcpDialer))
    }

    /// The same over any network.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_dialer<I>(
        replicas: I,
        options: Options,
        dialer: Arc<dyn Dial>,
    ) -> Result<Self, OptionsError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut authorities = Vec::new();
        for replica in replicas {
            let authority = parse_replica(replica.as_ref())?;
            if !authorities.contains(&authority) {
                authorities.push(authority);
            }
        }
        if authorities.is_empty() {
            return Err(OptionsError::NoReplica);
        }
        let jitter = Jitter::new(options.seed);
        let call_timeout = options.call_timeout;
        let shared = Shared {
            replicas: Mutex::new(Replicas::new(authorities, jitter.next())),
            session: Mutex::new(Session::default()),
            history: watch::Sender::new(History::default()),
            options,
            dialer,
            jitter,
        };
        Ok(Self { shared: Arc::new(shared), call_timeout })
    }

    /// The same client with another deadline for its calls.
    #[must_use]
    pub fn with_timeout(&self, call_timeout: Duration) -> Self {
        Self { shared: Arc::clone(&self.shared), call_timeout }
    }

    /// The deadline of a call.
    #[must_use]
    pub fn call_timeout(&self) -> Duration {
        self.call_timeout
    }

    /// `host:port` of all replicas known, those learnt included.
    #[must_use]
    pub fn replicas(&self) -> Vec<String> {
        self.shared.replicas().authorities()
    }

    /// Highest index answered so far in the present history. No later answer is older.
    #[must_use]
    pub fn highest_index(&self) -> u64 {
        self.shared.session().highest_index()
    }

    /// Which history the answers come from, and each change of it.
    #[must_use]
    pub fn history(&self) -> watch::Receiver<History> {
        self.shared.history.subscribe()
    }

    /// Calls and reads the answer as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, request: &Request) -> CallResult<T> {
        let (raw, freshness) = self.shared.call(request, self.call_timeout).await?;
        match parse(&raw, &freshness.replica) {
            Ok(value) => Ok(Answer { value, freshness }),
            Err(cause) if request.kind == Kind::Read => Err(CallError::Failed(cause)),
            Err(cause) => Err(CallError::Unknown(cause)),
        }
    }

    /// The same, where 404 means None.
    pub(crate) async fn json_or_absent<T: DeserializeOwned>(
        &self,
        request: Request,
    ) -> CallResult<Option<T>> {
        let request = Request { also_an_answer: Some(StatusCode::NOT_FOUND), ..request };
        let (raw, freshness) = self.shared.call(&request, self.call_timeout).await?;
        if raw.status == StatusCode::NOT_FOUND {
            return Ok(Answer { value: None, freshness });
        }
        match parse(&raw, &freshness.replica) {
            Ok(value) => Ok(Answer { value: Some(value), freshness }),
            Err(cause) => Err(CallError::Failed(cause)),
        }
    }
}

/// Reads an answer's body.
pub(crate) fn parse<T: DeserializeOwned>(raw: &Raw, replica: &str) -> Result<T, Cause> {
    serde_json::from_slice(&raw.body)
        .map_err(|error| Cause::Malformed(format!("{replica}: status {}: {error}", raw.status)))
}

impl Request {
    /// A read: `GET`, floor as given.
    pub(crate) fn read(path: String, floor: Floor) -> Self {
        Self {
            method: Method::GET,
            path,
            query: Vec::new(),
            body: Bytes::new(),
            kind: Kind::Read,
            floor,
            wait: Duration::ZERO,
            history_bound: false,
            also_an_answer: None,
            admin: false,
        }
    }

    /// A write without a body.
    pub(crate) fn write(method: Method, path: String, kind: Kind) -> Self {
        Self { method, kind, ..Self::read(path, Floor::None) }
    }

    /// Adds a body.
    pub(crate) fn body<T: Serialize>(mut self, body: &T) -> Result<Self, CallError> {
        let bytes = serde_json::to_vec(body).map_err(|error| {
            CallError::Failed(Cause::Malformed(format!("the body could not be written: {error}")))
        })?;
        self.body = bytes.into();
        Ok(self)
    }

    /// Adds a query parameter.
    pub(crate) fn query(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.query.push(format!("{name}={}", encode_name(&value.to_string())));
        self
    }
}
