//! [`Producer`]: the public face.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use signpost_client::{Client as Names, RouteTable};
use signpost_remoting::message::id::{Process, unique_id};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::brokers::Brokers;
use crate::config::{ConfigError, ProducerConfig};
use crate::detector;
use crate::faults::FaultTable;
use crate::heartbeat::Heartbeats;
use crate::hooks::CommunicationMode;
use crate::message::Message;
use crate::outcome::{Cause, SendError, Sent};
use crate::pending::Pending;
use crate::queues::TopicQueues;
use crate::routes::Routes;
use crate::selector::QueueSelector;

/// Sends messages. Clones share everything; it ends with the last one and the sends under way.
#[derive(Clone)]
pub struct Producer(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: ProducerConfig,
    pub(crate) routes: Routes,
    pub(crate) brokers: Arc<Brokers>,
    /// One permit for each send under way, and one for each byte of their bodies.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) bytes: Arc<Semaphore>,
    faults: Option<Arc<Mutex<FaultTable>>>,
    heartbeats: Heartbeats,
    process: Process,
    counter: AtomicU16,
    _ends_detector: DropGuard,
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("group", &self.0.config.group).finish_non_exhaustive()
    }
}

impl Producer {
    /// A producer that asks `names` for its routes. Spawns the route watch, the heartbeats and, if
    /// asked for, the detector on the present tokio runtime, each a task of its own; nothing is
    /// asked before the first topic.
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
        let pid = std::process::id();
        let process = Process { ip: config.client_ip, pid: pid as u16, nonce: seed as u32 };
        let brokers = Arc::new(Brokers::new(config.brokers.clone(), config.hooks.rpc.clone()));
        let client_id = format!("{}@{pid}#{seed}", config.client_ip);
        let heartbeats = Heartbeats::start(
            Arc::clone(&brokers),
            routes.changes(),
            (config.group.clone(), client_id),
            config.heartbeat_interval,
        );
        let faults = config.fault_avoidance.clone();
        let faults = faults.map(|rules| Arc::new(Mutex::new(FaultTable::new(rules))));
        let detector_ends = CancellationToken::new();
        let rules = config.fault_avoidance.as_ref().and_then(|rules| rules.detector);
        if let Some((faults, detector)) = faults.clone().zip(rules) {
            let run = detector::run(faults, detector, Arc::clone(&brokers), routes.changes());
            tokio::spawn(detector_ends.clone().run_until_cancelled_owned(run));
        }
        Ok(Self(Arc::new(Inner {
            brokers,
            places: Arc::new(Semaphore::new(config.max_in_flight)),
            bytes: Arc::new(Semaphore::new(config.max_in_flight_bytes)),
            faults,
            heartbeats,
            config,
            routes,
            process,
            counter: AtomicU16::new(0),
            _ends_detector: detector_ends.drop_guard(),
        })))
    }

    /// Sends a message and waits until a broker has it (RocketMQ's sync mode). May be called as
    /// often at once as wished; [`ProducerConfig::max_in_flight`] are under way at a time.
    ///
    /// # Errors
    /// [`SendError::Failed`]: surely not stored. [`SendError::Unknown`]: it may have been, as also
    /// when the future is dropped before it ends.
    pub async fn send(&self, message: &Message) -> Result<Sent, SendError> {
        let job = self.0.job(message, None, CommunicationMode::Sync).await?;
        job.run(&self.0).await.map(only)
    }

    /// Sends a message to the queue that `selector` chooses, once: see [`QueueSelector`].
    ///
    /// # Errors
    /// As [`Producer::send`].
    pub async fn send_to(
        &self,
        message: &Message,
        selector: &dyn QueueSelector,
    ) -> Result<Sent, SendError> {
        let job = self.0.job(message, Some(selector), CommunicationMode::Sync).await?;
        job.run(&self.0).await.map(only)
    }

    /// Begins to send a message (RocketMQ's async mode): waits for a place among those under way
    /// and no longer. The send goes on whether or not the answer is awaited, and the producer lives
    /// on until it has ended.
    ///
    /// # Errors
    /// When it was not begun: the message or the topic's route is wrong, or no place got free
    /// within the send's time. It surely was not stored then.
    pub async fn send_async(&self, message: &Message) -> Result<Pending, SendError> {
        self.begin(message, None).await
    }

    /// The same to the queue that `selector` chooses.
    ///
    /// # Errors
    /// As [`Producer::send_async`].
    pub async fn send_async_to(
        &self,
        message: &Message,
        selector: &dyn QueueSelector,
    ) -> Result<Pending, SendError> {
        self.begin(message, Some(selector)).await
    }

    async fn begin(
        &self,
        message: &Message,
        selector: Option<&dyn QueueSelector>,
    ) -> Result<Pending, SendError> {
        let job = self.0.job(message, selector, CommunicationMode::Async).await?;
        let inner = Arc::clone(&self.0);
        Ok(Pending(tokio::spawn(async move { job.run(&inner).await.map(only) })))
    }

    /// Sends a message without waiting for an answer, once. Ok means that it was handed to a
    /// connection, no more.
    ///
    /// # Errors
    /// As [`Producer::send`].
    pub async fn send_oneway(&self, message: &Message) -> Result<(), SendError> {
        let job = self.0.job(message, None, CommunicationMode::OneWay).await?;
        job.run(&self.0).await.map(|_none| ())
    }

    /// Sends messages of one topic together, to one queue, where they lie one after the other;
    /// they are stored all or none, as far as one attempt goes. See
    /// [`split_into_batches`](crate::split_into_batches) for more than
    /// [`ProducerConfig::max_message_bytes`].
    ///
    /// # Errors
    /// As [`Producer::send`], of all of them; also when they cannot go together: another topic or
    /// order key, a delay, a retry topic.
    pub async fn send_batch(&self, messages: &[Message]) -> Result<Vec<Sent>, SendError> {
        self.0.batch_job(messages, CommunicationMode::Sync).await?.run(&self.0).await
    }

    /// The same as [`Producer::send_async`].
    ///
    /// # Errors
    /// As [`Producer::send_async`].
    pub async fn send_batch_async(
        &self,
        messages: &[Message],
    ) -> Result<Pending<Vec<Sent>>, SendError> {
        let job = self.0.batch_job(messages, CommunicationMode::Async).await?;
        let inner = Arc::clone(&self.0);
        Ok(Pending(tokio::spawn(async move { job.run(&inner).await })))
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

    /// Takes no more messages; once those under way have ended, tells the brokers that this
    /// producer is gone, and closes the connections.
    pub async fn close(&self) {
        let all = u32::try_from(self.0.config.max_in_flight).unwrap_or(u32::MAX);
        let _under_way = self.0.places.acquire_many(all).await;
        self.0.places.close();
        self.0.heartbeats.stop().await;
        self.0.brokers.close();
    }
}

impl Inner {
    /// The fault table, if slow and failing brokers are to be avoided.
    pub(crate) fn faults(&self) -> Option<MutexGuard<'_, FaultTable>> {
        let table = self.faults.as_ref()?;
        Some(table.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An id that no other message has.
    pub(crate) fn next_message_id(&self, now_ms: i64) -> String {
        unique_id(&self.process, now_ms, self.counter.fetch_add(1, Ordering::Relaxed))
    }
}

/// Now, in ms since 1970.
pub(crate) fn wall_clock_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The outcome of the one message.
fn only(sent: Vec<Sent>) -> Sent {
    sent.into_iter().next().expect("one message has one outcome")
}
