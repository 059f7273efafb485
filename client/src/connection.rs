//! Connections to one replica, and one attempt at one request.
//!
//! A pool of our own over hyper's connections, because the outcome depends on it: only here is it
//! known whether a request had been handed to a connection when it failed. Before that moment the
//! failure is definite; after it the request may have been executed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout, timeout_at};

use crate::options::Options;
use crate::transport::Dial;

/// One replica's address and its idle connections.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// `host:port`, as dialled and as sent in `Host`.
    pub(crate) authority: String,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<Full<Bytes>>,
    since: Instant,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// An attempt without an answer.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The request was never handed over: it surely did not happen.
    NotSent(String),
    /// It was handed over and may have been executed.
    Lost(String),
}

impl Endpoint {
    pub(crate) fn new(authority: String) -> Self {
        Self { authority, idle: Mutex::new(Vec::new()) }
    }

    /// Sends `request` and reads the whole answer before `deadline`.
    pub(crate) async fn attempt(
        &self,
        dialer: &dyn Dial,
        options: &Options,
        request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<Raw, Broken> {
        let sent = AtomicBool::new(false);
        let whole = self.exchange(dialer, options, request, &sent);
        timeout_at(deadline, whole).await.unwrap_or_else(|_elapsed| {
            let replica = &self.authority;
            Err(if sent.load(Ordering::Relaxed) {
                Broken::Lost(format!("{replica} did not answer in time"))
            } else {
                Broken::NotSent(format!("{replica} was not reached in time"))
            })
        })
    }

    async fn exchange(
        &self,
        dialer: &dyn Dial,
        options: &Options,
        mut request: Request<Full<Bytes>>,
        sent: &AtomicBool,
    ) -> Result<Raw, Broken> {
        let replica = &self.authority;
        loop {
            let (mut sender, pooled) = match self.take_idle(options).await {
                Some(sender) => (sender, true),
                None => (self.connect(dialer, options).await?, false),
            };
            sent.store(true, Ordering::Relaxed);
            let response = match sender.try_send_request(request).await {
                Ok(response) => response,
                Err(mut error) => match error.take_message() {
                    // The connection had gone before it took the request: a pooled one says
                    // nothing about the replica, so try a new one.
                    Some(unsent) => {
                        sent.store(false, Ordering::Relaxed);
                        if !pooled {
                            let why = format!("{replica}: {}", error.error());
                            return Err(Broken::NotSent(why));
                        }
                        request = unsent;
                        continue;
                    }
                    None => return Err(Broken::Lost(format!("{replica}: {}", error.error()))),
                },
            };
            let (head, body) = response.into_parts();
            let body = Limited::new(body, options.max_answer_bytes)
                .collect()
                .await
                .map_err(|error| Broken::Lost(format!("{replica}: {error}")))?
                .to_bytes();
            self.put_idle(sender, options);
            return Ok(Raw { status: head.status, headers: head.headers, body });
        }
    }

    async fn connect(
        &self,
        dialer: &dyn Dial,
        options: &Options,
    ) -> Result<SendRequest<Full<Bytes>>, Broken> {
        let replica = &self.authority;
        let not_sent = |why: String| Broken::NotSent(format!("{replica}: {why}"));
        let stream = timeout(options.connect_timeout, dialer.dial(replica))
            .await
            .map_err(|_elapsed| not_sent("not connected in time".to_owned()))?
            .map_err(|error| not_sent(error.to_string()))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| not_sent(error.to_string()))?;
        let replica = replica.clone();
        tokio::spawn(async move {
            // Whoever waits for an answer gets the error from the sender; here it is only noted.
            if let Err(error) = connection.await {
                tracing::trace!(%replica, %error, "connection to a name replica ended");
            }
        });
        Ok(sender)
    }

    /// The most recently used idle connection that is still good.
    async fn take_idle(&self, options: &Options) -> Option<SendRequest<Full<Bytes>>> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            let mut sender = idle.sender;
            if idle.since.elapsed() <= options.max_idle
                && !sender.is_closed()
                && sender.ready().await.is_ok()
            {
                return Some(sender);
            }
        }
    }

    fn put_idle(&self, sender: SendRequest<Full<Bytes>>, options: &Options) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !sender.is_closed() && idle.len() < options.max_idle_connections {
            idle.push(Idle { sender, since: Instant::now() });
        }
    }
}
