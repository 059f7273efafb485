//! [`Service`]: all that requests are served from. What it does stands in a file for each
//! capability; `requests.rs` says which request goes where.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use signpost_client::types::TopicConfig;
use signpost_remoting::{Connection, response};
use tokio_util::task::TaskTracker;

use crate::adopt::Adopter;
use crate::clients::Clients;
use crate::config::BrokerConfig;
use crate::gate::Gate;
use crate::groups::Groups;
use crate::held::Held;
use crate::locks::QueueLocks;
use crate::metrics::Metrics;
use crate::offsets::Offsets;
use crate::refused::Refused;
use crate::schedule::Schedule;
use crate::store::Store;
use crate::store::read::Reader;
use crate::topic_file::TopicFile;
use crate::topics::{perm, rw_topic};

/// What a running broker serves from.
pub(crate) struct Service {
    pub(crate) config: BrokerConfig,
    pub(crate) store: Store,
    pub(crate) reader: Reader,
    pub(crate) topics: TopicFile,
    pub(crate) adopter: Adopter,
    pub(crate) groups: Groups,
    pub(crate) offsets: Arc<Offsets>,
    pub(crate) clients: Mutex<Clients<Connection>>,
    pub(crate) locks: Mutex<QueueLocks>,
    pub(crate) held: Arc<Held>,
    pub(crate) schedule: Schedule,
    pub(crate) metrics: Metrics,
    /// Reads of the store.
    pub(crate) reads: Gate,
    /// Where this broker is found; goes into every message and its id.
    pub(crate) store_host: SocketAddr,
    /// Turns through the queues for senders that leave the choice to us.
    pub(crate) next_queue: AtomicU32,
    /// Work that is done whether or not the one who asked for it stays.
    pub(crate) tasks: TaskTracker,
    /// Set when no more is to be stored: the broker is stopping.
    pub(crate) stopping: AtomicBool,
}

impl Service {
    pub(crate) fn clients(&self) -> MutexGuard<'_, Clients<Connection>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn locks(&self) -> MutexGuard<'_, QueueLocks> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs what reads files where that may take its time, when it is its turn.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let _turn = self.reads.enter().await?;
        let service = self.clone();
        let worked = self.tasks.spawn_blocking(move || work(&service)).await;
        worked.unwrap_or_else(|error| Err(Refused::system(error.to_string())))
    }

    /// A topic, which must exist and, for a queue of it that is named, have that queue to read.
    pub(crate) fn readable(
        &self,
        topic: &str,
        queue_id: Option<u32>,
    ) -> Result<TopicConfig, Refused> {
        let found = self.topics.get(topic).ok_or_else(|| {
            let text = format!("topic[{topic}] not exist, apply first please!");
            Refused::new(response::TOPIC_NOT_EXIST, text)
        })?;
        match queue_id {
            Some(queue_id) if queue_id >= found.read_queue_nums => Err(Refused::system(format!(
                "queueId[{queue_id}] is illegal, topic:[{topic}] topicConfig.readQueueNums:[{}]",
                found.read_queue_nums
            ))),
            _ => Ok(found),
        }
    }

    /// A topic of so many queues that consumer groups need, made if there is none.
    pub(crate) async fn ensure_topic(
        &self,
        topic: &str,
        queues: u32,
    ) -> Result<TopicConfig, Refused> {
        if let Some(known) = self.topics.get(topic) {
            return Ok(known);
        }
        let made = rw_topic(queues.max(1));
        let decide = |table: &crate::topics::TopicTable| {
            Ok((!table.topics.contains_key(topic)).then(|| made.clone()))
        };
        let changed = self.topics.change(topic, now_ms(), decide).await?;
        Ok(changed.unwrap_or(made))
    }

    /// Refuses what would be stored while the broker is stopping; another one may take it.
    pub(crate) fn may_store(&self) -> Result<(), Refused> {
        match self.stopping.load(Ordering::Relaxed) {
            true => Err(Refused::new(response::SERVICE_NOT_AVAILABLE, "the broker is stopping")),
            false => Ok(()),
        }
    }

    /// One of a topic's queues to write to, in turns.
    pub(crate) fn choose_queue(&self, topic: &TopicConfig) -> i32 {
        let turn = self.next_queue.fetch_add(1, Ordering::Relaxed);
        (turn % topic.write_queue_nums.max(1)).cast_signed()
    }

    /// What the broker does every ten seconds, too: old messages go, and a full disk is noticed.
    pub(crate) async fn clean(self: &Arc<Self>) {
        let service = self.clone();
        let cleaned = self.tasks.spawn_blocking(move || service.store.clean(now_ms())).await;
        match cleaned {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(%error, "cannot remove old messages"),
            Err(error) => tracing::error!(%error, "removing old messages panicked"),
        }
    }

    /// What the broker does every ten seconds: it takes out clients that have fallen silent.
    /// Source: RocketMQ `ClientHousekeepingService`.
    pub(crate) fn scan(&self, now_ms: i64) {
        self.locks().expire(now_ms);
        let (changed, silent) = self.clients().expire(now_ms);
        for connection in silent {
            tracing::info!(peer = %connection.peer(), "no heartbeat for two minutes: closing");
            connection.close();
        }
        crate::membership::notify(changed);
    }
}

/// Whether a topic may be written.
pub(crate) fn check_writable(name: &str, topic: &TopicConfig) -> Result<(), Refused> {
    match topic.perm & perm::WRITE {
        0 => {
            let text = format!("the topic[{name}] sending message is forbidden");
            Err(Refused::new(response::NO_PERMISSION, text))
        }
        _ => Ok(()),
    }
}

/// The wall clock, in ms since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
