//! [`RouteWatch`]: the routes of a set of topics, as they change.
//!
//! A task of its own keeps one waiting read open for all topics; a change arrives as soon as the
//! replica has applied it. Three things guard it, each against what the others cannot see:
//!
//! - a **probe** of the replica that it waits at: a replica that hangs, or has lost its quorum,
//!   would otherwise keep it waiting for nothing;
//! - a **poll** now and then, linearizable if there is a quorum: should waiting fail in any way;
//! - the **index**: no answer older than the one before is taken, whichever replica sends it.
//!
//! While no replica answers, the last table stands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::client::Client;
use crate::types::{Route, headers};

mod task;

/// Encoded topic names of one watch: what fits into a request line everywhere.
const MAX_TOPICS_BYTES: usize = 48 << 10;
/// Topics of one watch: what the name service answers at once.
const MAX_TOPICS: usize = 1000;
/// Longest name that the name service takes.
const MAX_TOPIC_BYTES: usize = 255;
/// Longest wait that the name service grants.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// How a watch behaves.
#[derive(Debug, Clone)]
pub struct WatchOptions {
    /// How long a replica is asked to wait for a change, each time; a minute at most.
    pub wait: Duration,
    /// The backstop: routes are read anew at least this often.
    pub poll: Duration,
    /// How often the replica that is waited at is probed.
    pub probe: Duration,
    /// A replica that has been without a quorum for longer is left for another.
    pub max_quorum_age: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(30),
            poll: Duration::from_secs(30),
            probe: Duration::from_secs(2),
            max_quorum_age: Duration::from_secs(5),
        }
    }
}

/// Routes as of one index. A topic is absent until it has been answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteTable {
    /// The history that the index belongs to (see [`History`](crate::History)).
    pub generation: u64,
    /// The index at which all were read.
    pub index: u64,
    /// By topic; None: it does not exist.
    pub routes: BTreeMap<String, Option<Arc<Route>>>,
}

/// Why topics cannot be watched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// One request could not name them all.
    #[error(
        "too many topics to watch: expected at most {MAX_TOPICS}, of {MAX_TOPICS_BYTES} bytes in \
         all; use several watches"
    )]
    TooMany,
    /// The name service would refuse it, and with it all others.
    #[error("{0:?} is no topic: expected 1 to 255 letters, digits, and any of % | - _")]
    BadTopic(String),
}

/// A running watch; ends when dropped.
#[derive(Debug)]
pub struct RouteWatch {
    topics: watch::Sender<BTreeSet<String>>,
    routes: watch::Receiver<Arc<RouteTable>>,
    _ends_task: DropGuard,
}

impl Client {
    /// Watches topics, from now on until the watch is dropped; none yet is fine. Spawns a task on
    /// the present tokio runtime.
    ///
    /// # Errors
    /// When a topic cannot be one, or they do not fit into one request.
    pub fn watch<I>(&self, topics: I, options: WatchOptions) -> Result<RouteWatch, WatchError>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let topics: BTreeSet<String> = topics.into_iter().map(Into::into).collect();
        check(&topics)?;
        let (topics, wanted) = watch::channel(topics);
        let (tell, routes) = watch::channel(Arc::new(RouteTable::default()));
        let cancelled = CancellationToken::new();
        let options = WatchOptions { wait: options.wait.min(MAX_WAIT), ..options };
        let task = task::Task::new(self.clone(), options, wanted, tell);
        tokio::spawn(cancelled.clone().run_until_cancelled_owned(task.run()));
        Ok(RouteWatch { topics, routes, _ends_task: cancelled.drop_guard() })
    }
}

impl RouteWatch {
    /// Watches one more topic; true if it is new. It is read at once.
    ///
    /// # Errors
    /// When it cannot be one, or they do not fit into one request; the watch stays as it was.
    pub fn add(&self, topic: &str) -> Result<bool, WatchError> {
        let mut result = Ok(false);
        self.topics.send_if_modified(|topics| {
            if !topics.insert(topic.to_owned()) {
                return false;
            }
            result = check(topics).map(|()| true);
            if result.is_err() {
                topics.remove(topic);
            }
            result.is_ok()
        });
        result
    }

    /// Watches a topic no longer.
    pub fn remove(&self, topic: &str) {
        self.topics.send_if_modified(|topics| topics.remove(topic));
    }

    /// The last table.
    #[must_use]
    pub fn routes(&self) -> Arc<RouteTable> {
        self.routes.borrow().clone()
    }

    /// Told whenever a route changes, a topic is answered first, or the history changes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Arc<RouteTable>> {
        self.routes.clone()
    }
}

fn check(topics: &BTreeSet<String>) -> Result<(), WatchError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"%|-_".contains(&byte);
    let is_topic =
        |topic: &&String| (1..=MAX_TOPIC_BYTES).contains(&topic.len()) && topic.bytes().all(legal);
    if let Some(bad) = topics.iter().find(|topic| !is_topic(topic)) {
        return Err(WatchError::BadTopic(bad.chars().take(MAX_TOPIC_BYTES).collect()));
    }
    let bytes: usize = topics.iter().map(|topic| headers::encode_name(topic).len() + 1).sum();
    if topics.len() > MAX_TOPICS || bytes > MAX_TOPICS_BYTES {
        return Err(WatchError::TooMany);
    }
    Ok(())
}
