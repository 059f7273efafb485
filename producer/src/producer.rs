//! [`Producer`]: the public face.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use signpost_client::{Client as Names, RouteTable};
use signpost_remoting::Client as Brokers;
use signpost_remoting::message::id::{Process, unique_id};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, timeout_at};

use crate::config::{ConfigError, ProducerConfig};
use crate::message::Message;
use crate::outcome::{Cause, SendError, Sent};
use crate::queues::TopicQueues;
use crate::routes::Routes;
use crate::send::Checked;

/// Sends messages. Clones share everything; it ends with the last one.
#[derive(Clone)]
pub struct Producer(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: ProducerConfig,
    pub(crate) routes: Routes,
    pub(crate) brokers: Brokers,
    places: Semaphore,
    process: Process,
    counter: AtomicU16,
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("group", &self.0.config.group).finish_non_exhaustive()
    }
}

impl Producer {
    /// A producer that asks `names` for its routes. Spawns the route watch on the present tokio
    /// runtime; nothing is asked before the first topic.
    ///
    /// # Errors
    /// When the configuration cannot work.
    pub fn start(names: &Names, config: ProducerConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let seed = config.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        let routes = Routes::new(
            names,
            config.watch.clone(),
            config.default_topic.clone(),
            config.default_topic_queue_nums,
            // Producers that start together do not all begin with the same queue.
            (seed >> 48) as usize,
        );
        let routes = routes
            .map_err(|cause| ConfigError { field: "default_topic", expected: cause.to_string() })?;
        let process =
            Process { ip: config.client_ip, pid: std::process::id() as u16, nonce: seed as u32 };
        Ok(Self(Arc::new(Inner {
            brokers: Brokers::new(config.brokers.clone()),
            places: Semaphore::new(config.max_in_flight),
            config,
            routes,
            process,
            counter: AtomicU16::new(0),
        })))
    }

    /// Sends a message and waits until a broker has it (RocketMQ's sync mode). May be called as
    /// often at once as wished; [`ProducerConfig::max_in_flight`] are under way at a time.
    ///
    /// # Errors
    /// [`SendError::Failed`]: surely not stored. [`SendError::Unknown`]: it may have been, as also
    /// when the future is dropped before it ends.
    pub async fn send(&self, message: &Message) -> Result<Sent, SendError> {
        let deadline = Instant::now() + self.0.config.send_timeout;
        let checked = self.check(message)?;
        let topic = self.0.routes.topic(&message.topic).map_err(SendError::early)?;
        let _place = self.place(deadline).await?;
        self.0.deliver(&topic, &checked, deadline).await
    }

    /// Sends a message without waiting for an answer, once. Ok means that it was handed to a
    /// connection, no more.
    ///
    /// # Errors
    /// As [`Producer::send`].
    pub async fn send_oneway(&self, message: &Message) -> Result<(), SendError> {
        let deadline = Instant::now() + self.0.config.send_timeout;
        let checked = self.check(message)?;
        let topic = self.0.routes.topic(&message.topic).map_err(SendError::early)?;
        let _place = self.place(deadline).await?;
        self.0.deliver_oneway(&topic, &checked, deadline).await
    }

    /// The queues that a send to this topic would choose from now, and begins to watch it.
    ///
    /// # Errors
    /// When there is no route, or none known within the time of a send.
    pub async fn queues(&self, topic: &str) -> Result<Arc<TopicQueues>, Cause> {
        let deadline = Instant::now() + self.0.config.send_timeout;
        let topic = self.0.routes.topic(topic)?;
        self.0.routes.queues(&topic, deadline).await
    }

    /// The routes of all topics used so far, and each change of them.
    #[must_use]
    pub fn routes(&self) -> watch::Receiver<Arc<RouteTable>> {
        self.0.routes.changes()
    }

    /// Takes no more messages and closes the connections once those under way have ended.
    pub async fn close(&self) {
        let all = u32::try_from(self.0.config.max_in_flight).unwrap_or(u32::MAX);
        let _under_way = self.0.places.acquire_many(all).await;
        self.0.places.close();
        self.0.brokers.close();
    }

    fn check<'a>(&self, message: &'a Message) -> Result<Checked<'a>, SendError> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let born_timestamp_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        let counter = self.0.counter.fetch_add(1, Ordering::Relaxed);
        let message_id = unique_id(&self.0.process, born_timestamp_ms, counter);
        let properties = message
            .check(self.0.config.max_message_bytes, &message_id)
            .map_err(SendError::early)?;
        Ok(Checked { message, message_id, properties, born_timestamp_ms })
    }

    async fn place(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, SendError> {
        match timeout_at(deadline, self.0.places.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_closed)) => Err(SendError::early(Cause::Closed)),
            Err(_elapsed) => Err(SendError::early(Cause::Deadline)),
        }
    }
}
