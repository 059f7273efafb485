//! The task behind a watch.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::{RouteTable, WatchOptions};
use crate::call::{Floor, Request, Verdict};
use crate::client::routes::waiting_request;
use crate::client::{Client, ReadMode, parse};
use crate::connection::Endpoint;
use crate::outcome::{Answer, CallError, Cause};
use crate::types::Routes;

/// How long a linearizable read may take before a local one has to do.
const QUORUM_PATIENCE: Duration = Duration::from_millis(300);
/// The pause after a failed read; doubles up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause between tries while no replica answers.
const MAX_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Task {
    client: Client,
    options: WatchOptions,
    wanted: watch::Receiver<BTreeSet<String>>,
    tell: watch::Sender<Arc<RouteTable>>,
    failures: u32,
}

/// Why a wait ended.
enum Ended {
    /// Routes were answered.
    Answered(Answer<Routes>),
    /// It is time for the backstop, or the topics are others now.
    Due,
    /// The replica is of no use: leave it.
    Useless(Cause),
}

impl Task {
    pub(super) fn new(
        client: Client,
        options: WatchOptions,
        wanted: watch::Receiver<BTreeSet<String>>,
        tell: watch::Sender<Arc<RouteTable>>,
    ) -> Self {
        Self { client, options, wanted, tell, failures: 0 }
    }

    /// Runs until it is cancelled or the watch is gone.
    pub(super) async fn run(mut self) {
        loop {
            let topics = self.wanted.borrow_and_update().clone();
            if topics.is_empty() {
                if self.wanted.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let generation = self.client.history().borrow().generation;
            match self.read(&topics).await {
                Ok(answer) => {
                    self.failures = 0;
                    self.publish(&topics, generation, answer);
                    self.wait_while_useful(&topics).await;
                }
                Err(error) => {
                    tracing::debug!(%error, "routes could not be read; the last ones stand");
                    self.pause().await;
                }
            }
        }
    }

    /// A read without waiting: linearizable if that is to be had quickly.
    async fn read(&self, topics: &BTreeSet<String>) -> Result<Answer<Routes>, CallError> {
        let names = || topics.iter().map(String::as_str);
        let patient = self.client.with_timeout(QUORUM_PATIENCE);
        match patient.routes(names(), ReadMode::Linearizable).await {
            Ok(answer) => Ok(answer),
            Err(_no_quorum) => self.client.routes(names(), ReadMode::Local).await,
        }
    }

    /// Waits again and again, until the backstop is due, the topics change or something fails.
    async fn wait_while_useful(&mut self, topics: &BTreeSet<String>) {
        let poll_at = Instant::now() + self.options.poll;
        loop {
            let table = self.tell.borrow().clone();
            let generation = self.client.history().borrow().generation;
            if generation != table.generation {
                return;
            }
            let chosen = self.client.shared.replicas().next(Instant::now(), &[]);
            let Some((at, endpoint)) = chosen else { return };
            match self.wait(topics, table.index, at, &endpoint, poll_at).await {
                Ended::Answered(answer) => {
                    self.failures = 0;
                    self.publish(topics, generation, answer);
                }
                Ended::Due => return,
                Ended::Useless(cause) => {
                    let replica = &endpoint.authority;
                    tracing::debug!(%replica, %cause, "no longer waiting at this replica");
                    self.client.shared.replicas().failed(at, Instant::now());
                    self.pause().await;
                    return;
                }
            }
        }
    }

    /// One waiting read at one replica, which is probed meanwhile.
    async fn wait(
        &self,
        topics: &BTreeSet<String>,
        index: u64,
        at: usize,
        endpoint: &Arc<Endpoint>,
        poll_at: Instant,
    ) -> Ended {
        let shared = &self.client.shared;
        let names = topics.iter().map(String::as_str);
        let request = waiting_request(names, index, self.options.wait, ReadMode::Local);
        let deadline = Instant::now() + self.options.wait + shared.options.attempt_timeout;
        let answer = shared.attempt(&request, at, Arc::clone(endpoint), deadline);
        let probes = self.probe(at, endpoint);
        let mut wanted = self.wanted.clone();
        tokio::select! {
            biased;
            verdict = answer => match verdict {
                Verdict::Done(raw, freshness) => match parse(&raw, &freshness.replica) {
                    Ok(value) => Ended::Answered(Answer { value, freshness }),
                    Err(cause) => Ended::Useless(cause),
                },
                Verdict::Retry { cause, .. } => Ended::Useless(cause),
                Verdict::Stop(error) => Ended::Useless(error.cause().clone()),
            },
            cause = probes => Ended::Useless(cause),
            // A receiver of its own: the loop that reads all topics still sees the change.
            _ = wanted.changed() => Ended::Due,
            () = sleep_until(poll_at) => Ended::Due,
        }
    }

    /// Ends when the replica has shown itself to be of no use.
    async fn probe(&self, at: usize, endpoint: &Arc<Endpoint>) -> Cause {
        let shared = &self.client.shared;
        let request = Request::read("/livez".to_owned(), Floor::Apart);
        loop {
            sleep(self.options.probe).await;
            let deadline = Instant::now() + shared.options.attempt_timeout;
            match shared.attempt(&request, at, Arc::clone(endpoint), deadline).await {
                Verdict::Done(_, freshness) => {
                    let age = freshness.quorum_age_ms.map(Duration::from_millis);
                    if age.is_some_and(|age| age > self.options.max_quorum_age) {
                        return Cause::NoAnswer("it has lost its quorum".to_owned());
                    }
                }
                Verdict::Retry { cause, .. } => return cause,
                Verdict::Stop(error) => return error.cause().clone(),
            }
        }
    }

    async fn pause(&mut self) {
        let jitter = &self.client.shared.jitter;
        sleep(jitter.backoff(self.failures, MIN_PAUSE, MAX_PAUSE)).await;
        self.failures = self.failures.saturating_add(1);
    }

    /// Takes an answer in, unless it is older than what is known.
    fn publish(&self, topics: &BTreeSet<String>, began_in: u64, answer: Answer<Routes>) {
        let generation = self.client.history().borrow().generation;
        if generation != began_in && !self.answers_present_history(&answer) {
            return;
        }
        let index = answer.freshness.index;
        let mut answered = answer.value.routes;
        self.tell.send_if_modified(|table| {
            let same_history = table.generation == generation;
            if same_history && index < table.index {
                return false;
            }
            let mut next = RouteTable { generation, index, ..RouteTable::default() };
            for topic in topics {
                let known = table.routes.get(topic).filter(|_| same_history);
                let route = match (answered.remove(topic), known) {
                    // An equal route stays the same object.
                    (Some(route), Some(known)) if route.as_ref() == known.as_deref() => {
                        known.clone()
                    }
                    (Some(route), _) => route.map(Arc::new),
                    (None, Some(known)) => known.clone(),
                    (None, None) => continue,
                };
                next.routes.insert(topic.clone(), route);
            }
            let news = !same_history || next.routes != table.routes;
            *table = Arc::new(next);
            news
        });
    }

    /// The history changed while the read was under way: is the answer of the new one?
    fn answers_present_history(&self, answer: &Answer<Routes>) -> bool {
        self.client.history().borrow().cluster == answer.freshness.cluster
    }
}
