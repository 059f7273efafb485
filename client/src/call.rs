//! One call: attempts at replicas until one answers, within one deadline.
//!
//! | what came back | read | idempotent write | other write |
//! | --- | --- | --- | --- |
//! | never sent, 503, 421 | next replica | next replica | next replica |
//! | 429 | next replica, then Retry-After | Retry-After | Retry-After |
//! | sent, no answer; 504 and other 5xx | next replica | next replica | **unknown** |
//! | other 4xx | failed | failed | failed |
//!
//! A write one of whose attempts may have happened is never reported as failed afterwards: a
//! later refusal says nothing about the earlier attempt. Reads that are slow are asked of another
//! replica beside (hedged); writes never are.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http_body_util::Full;
use hyper::{Method, Request as HttpRequest, StatusCode, header};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::connection::{Broken, Endpoint, Raw};
use crate::jitter::Jitter;
use crate::options::Options;
use crate::outcome::{CallError, Cause, Freshness};
use crate::replicas::Replicas;
use crate::session::{History, Seen, Session};
use crate::transport::Dial;
use crate::types::headers;

mod verdict;

/// The pause after all replicas have been asked in vain doubles from here.
const MIN_PAUSE: Duration = Duration::from_millis(10);
/// It grows no further than a tenth of the time that the call has taken so far, within these
/// bounds: the usual reason is an election, and a call should go on as soon as it is over, but
/// a long outage must not be a hail of calls.
const MAX_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// See [`Shared::attempt_deadline`].
const BODY_BYTES_PER_ATTEMPT_TIMEOUT: usize = 128 << 10;

/// May a request be sent again when its first attempt may have been executed?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Changes nothing: yes, and to several replicas at a time.
    Read,
    /// The name service recognises a repetition (by incarnation and seq): yes.
    Idempotent,
    /// No.
    Once,
}

/// Below which index an answer is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Floor {
    /// None at all.
    None,
    /// None, nor does the answer's index count: it shows nothing of the tables.
    Apart,
    /// The highest index seen when the call began.
    Seen,
    /// The same or this, if higher; sent as `min_index`, so that the replica waits for it.
    Sent(u64),
}

/// A request, independent of the replica that it goes to.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// Encoded `name=value` pairs.
    pub(crate) query: Vec<String>,
    /// JSON; empty: none.
    pub(crate) body: Bytes,
    pub(crate) kind: Kind,
    pub(crate) floor: Floor,
    /// How long the replica is asked to wait before it answers.
    pub(crate) wait: Duration,
    /// It names an epoch or index, which mean nothing in another history.
    pub(crate) history_bound: bool,
    /// A status that is an answer although it is no success (404: it does not exist).
    pub(crate) also_an_answer: Option<StatusCode>,
    /// Sends the admin token.
    pub(crate) admin: bool,
}

/// What all clones of a client share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) dialer: Arc<dyn Dial>,
    pub(crate) replicas: Mutex<Replicas>,
    pub(crate) session: Mutex<Session>,
    pub(crate) history: watch::Sender<History>,
    pub(crate) jitter: Jitter,
}

/// What is to be done after an attempt.
#[expect(clippy::large_enum_variant, reason = "one a call, and never kept")]
pub(crate) enum Verdict {
    /// It is the answer.
    Done(Raw, Freshness),
    /// No other attempt could do better.
    Stop(CallError),
    /// Another attempt may.
    Retry {
        /// What went wrong.
        cause: Cause,
        /// The request may have been executed.
        maybe_done: bool,
        /// When to come again.
        pause: Option<Duration>,
    },
}

impl Shared {
    pub(crate) fn replicas(&self) -> MutexGuard<'_, Replicas> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls until an answer, a refusal, or the deadline.
    pub(crate) async fn call(
        &self,
        request: &Request,
        timeout: Duration,
    ) -> Result<(Raw, Freshness), CallError> {
        let begun = Instant::now();
        let deadline = begun + timeout + request.wait;
        let never = deadline + Duration::from_secs(1);
        let mut in_flight = FuturesUnordered::new();
        let mut tried: Vec<usize> = Vec::new();
        let mut rounds = 0;
        let mut launch_at = begun;
        let mut pause: Option<Duration> = None;
        let mut maybe_done = false;
        let mut last = Cause::Unreachable("the call's deadline is zero".to_owned());
        loop {
            let now = Instant::now();
            if now >= launch_at && now < deadline {
                let next = self.replicas().next(now, &tried);
                if let Some((at, endpoint)) = next {
                    tried.push(at);
                    let until = self.attempt_deadline(request, now, deadline);
                    in_flight.push(self.attempt(request, at, endpoint, until));
                    let hedge = request.kind == Kind::Read && request.wait.is_zero();
                    launch_at = if hedge { now + self.options.hedge_after } else { never };
                } else if in_flight.is_empty() {
                    tried.clear();
                    let cap = (begun.elapsed() / 10).clamp(MAX_PAUSE.0, MAX_PAUSE.1);
                    let backoff = self.jitter.backoff(rounds, MIN_PAUSE, cap);
                    launch_at = now + backoff.max(pause.take().unwrap_or_default());
                    rounds += 1;
                } else {
                    launch_at = never;
                }
            }
            // Timers are coarse: one that was due before the deadline may fire after it.
            if in_flight.is_empty() && launch_at.max(now) >= deadline {
                return Err(settle(request.kind, maybe_done, last));
            }
            tokio::select! {
                biased;
                Some(verdict) = in_flight.next(), if !in_flight.is_empty() => match verdict {
                    Verdict::Done(raw, freshness) => return Ok((raw, freshness)),
                    Verdict::Stop(error) => {
                        let maybe_done = maybe_done || !error.is_definite();
                        return Err(settle(request.kind, maybe_done, error.cause().clone()));
                    }
                    Verdict::Retry { cause, maybe_done: this_one, pause: asked } => {
                        last = cause;
                        maybe_done |= this_one;
                        if maybe_done && request.kind == Kind::Once {
                            return Err(CallError::Unknown(last));
                        }
                        launch_at = Instant::now();
                        match asked {
                            Some(asked) if request.kind == Kind::Read => {
                                pause = Some(pause.unwrap_or_default().max(asked));
                            }
                            Some(asked) => launch_at += self.jitter.between(asked, asked * 5 / 4),
                            None => {}
                        }
                    }
                },
                () = sleep_until(launch_at), if launch_at < deadline => {}
            }
        }
    }

    /// A write that may not be repeated gains nothing from a second replica once it was sent:
    /// its only attempt may take all the time there is. A big body takes longer to be sent and
    /// logged: it gets as much again for each [`BODY_BYTES_PER_ATTEMPT_TIMEOUT`].
    fn attempt_deadline(&self, request: &Request, now: Instant, deadline: Instant) -> Instant {
        match request.kind {
            Kind::Once => deadline,
            Kind::Read | Kind::Idempotent => {
                let times = 1 + request.body.len() / BODY_BYTES_PER_ATTEMPT_TIMEOUT;
                let times = u32::try_from(times).unwrap_or(u32::MAX);
                let patience = self.options.attempt_timeout.saturating_mul(times);
                deadline.min(now + request.wait + patience)
            }
        }
    }

    /// One attempt at the replica `at`, judged.
    pub(crate) async fn attempt(
        &self,
        request: &Request,
        at: usize,
        endpoint: Arc<Endpoint>,
        deadline: Instant,
    ) -> Verdict {
        let (history, seen) = {
            let session = self.session();
            (session.history().clone(), session.highest_index())
        };
        let floor = match request.floor {
            Floor::None | Floor::Apart => 0,
            Floor::Seen => seen,
            Floor::Sent(least) => seen.max(least),
        };
        let built = self.build(request, &endpoint.authority, &history, floor, deadline);
        let outgoing = match built {
            Ok(outgoing) => outgoing,
            Err(error) => {
                let why = format!("the request could not be formed: {error}");
                return Verdict::Stop(CallError::Failed(Cause::Malformed(why)));
            }
        };
        let attempt = endpoint.attempt(&*self.dialer, &self.options, outgoing, deadline).await;
        let raw = match attempt {
            Ok(raw) => raw,
            Err(broken) => {
                self.replicas().failed(at, Instant::now());
                let writes = request.kind != Kind::Read;
                let (cause, maybe_done) = match broken {
                    Broken::NotSent(why) => (Cause::Unreachable(why), false),
                    Broken::Lost(why) => (Cause::NoAnswer(why), writes),
                };
                return Verdict::Retry { cause, maybe_done, pause: None };
            }
        };
        let freshness = Freshness::read(&raw.headers, &endpoint.authority);
        let seen = self.observe(history.generation, &freshness);
        let verdict = verdict::judge(request, raw, freshness, seen, floor);
        self.note(request, at, &verdict);
        verdict
    }

    fn build(
        &self,
        request: &Request,
        authority: &str,
        history: &History,
        floor: u64,
        deadline: Instant,
    ) -> Result<HttpRequest<Full<Bytes>>, hyper::http::Error> {
        let mut target = request.path.clone();
        let min_index = match request.floor {
            Floor::Sent(_) if floor > 0 => Some(format!("min_index={floor}")),
            _ => None,
        };
        for (n, pair) in request.query.iter().chain(min_index.as_ref()).enumerate() {
            target.push(if n == 0 { '?' } else { '&' });
            target.push_str(pair);
        }
        // A little less than we wait, so that a definite answer just in time still arrives.
        let left = deadline.saturating_duration_since(Instant::now());
        let left = left.saturating_sub((left / 10).min(Duration::from_millis(50)));
        let mut builder = HttpRequest::builder()
            .method(request.method.clone())
            .uri(target)
            .header(header::HOST, authority)
            .header(headers::DEADLINE_MS, left.as_millis().max(1).to_string());
        if let Some(cluster) = &history.cluster {
            builder = builder.header(headers::CLUSTER, cluster);
        }
        if !request.body.is_empty() {
            builder = builder.header(header::CONTENT_TYPE, "application/json");
        }
        if let (true, Some(token)) = (request.admin, &self.options.admin_token) {
            builder = builder.header(header::AUTHORIZATION, format!("Bearer {}", token.0));
        }
        builder.body(Full::new(request.body.clone()))
    }

    /// Tells the session, and whoever waits for another history.
    fn observe(&self, generation: u64, freshness: &Freshness) -> Seen {
        let mut session = self.session();
        let seen = session.observe(generation, freshness.cluster.as_deref());
        if seen == Seen::Changed {
            let history = session.history().clone();
            tracing::warn!(cluster = ?history.cluster, replica = %freshness.replica,
                "the name cluster is another than before: indices, epochs and caches are dropped");
        }
        let history = session.history().clone();
        self.history.send_if_modified(|told| {
            let news = *told != history;
            *told = history;
            news
        });
        seen
    }

    /// Keeps what an attempt taught about its replica.
    fn note(&self, request: &Request, at: usize, verdict: &Verdict) {
        match verdict {
            Verdict::Done(_, freshness) => {
                self.replicas().succeeded(at);
                if request.floor != Floor::Apart {
                    self.session().raise(freshness.index, freshness.cluster.as_deref());
                }
            }
            Verdict::Retry { cause: Cause::Refused { problem, .. }, .. }
                if problem.status == 421 =>
            {
                self.replicas().removed(at, problem.peers.clone());
            }
            Verdict::Retry { .. } | Verdict::Stop(_) => {}
        }
    }
}

/// The outcome when nothing more will be tried.
fn settle(kind: Kind, maybe_done: bool, cause: Cause) -> CallError {
    if maybe_done && kind != Kind::Read {
        CallError::Unknown(cause)
    } else {
        CallError::Failed(cause)
    }
}
