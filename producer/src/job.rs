//! [`Job`]: a send that has been checked and has its place among those under way.

use std::sync::Arc;

use bytes::Bytes;
use signpost_remoting::message::properties;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::attempt::Outgoing;
use crate::batch;
use crate::compression::Compression;
use crate::hooks::{CommunicationMode, MessageType};
use crate::message::Message;
use crate::outcome::{Cause, SendError, Sent};
use crate::producer::{Inner, wall_clock_ms};
use crate::queues::TopicQueues;
use crate::routes::Topic;
use crate::selector::{QueueSelector, index_of_key};
use crate::send::Target;

/// Compressing longer bodies takes milliseconds: not on the threads that serve connections.
const COMPRESS_ELSEWHERE_FROM_BYTES: usize = 64 << 10;

/// A send about to begin.
pub(crate) struct Job {
    topic: Arc<Topic>,
    outgoing: Outgoing,
    target: Target,
    mode: CommunicationMode,
    deadline: Instant,
    compression: Option<Compression>,
    _place: Place,
}

/// A place among the sends under way, until dropped.
struct Place {
    _count: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Inner {
    /// Checks one message.
    pub(crate) async fn job(
        &self,
        message: &Message,
        selector: Option<&dyn QueueSelector>,
        mode: CommunicationMode,
    ) -> Result<Job, SendError> {
        let deadline = Instant::now() + self.config.send_timeout;
        let now_ms = wall_clock_ms();
        let id = self.next_message_id(now_ms);
        let properties = message.check(self.config.max_message_bytes, &id);
        let outgoing = Outgoing {
            topic: message.topic.clone(),
            message_ids: vec![id],
            properties: properties.map_err(SendError::early)?,
            body: message.body.clone(),
            sys_flag: 0,
            flag: message.flag,
            born_timestamp_ms: now_ms,
            message_type: match message.delay_level {
                Some(_) => MessageType::Delay,
                None => MessageType::Normal,
            },
            batch: false,
        };
        let topic = self.routes.topic(&message.topic).map_err(SendError::early)?;
        let target = match (selector, &message.order_key) {
            (Some(selector), _) => {
                self.target(&topic, |queues| selector.select(message, queues), deadline).await
            }
            (None, key) => self.target_of_key(&topic, key.as_deref(), deadline).await,
        };
        let target = target.map_err(SendError::early)?;
        let compression = self.config.compression;
        let _place = self.place(outgoing.body.len(), deadline).await?;
        Ok(Job { topic, outgoing, target, mode, deadline, compression, _place })
    }

    /// Checks messages that go together.
    pub(crate) async fn batch_job(
        &self,
        messages: &[Message],
        mode: CommunicationMode,
    ) -> Result<Job, SendError> {
        let deadline = Instant::now() + self.config.send_timeout;
        let now_ms = wall_clock_ms();
        let message_ids: Vec<_> = messages.iter().map(|_| self.next_message_id(now_ms)).collect();
        let checked = batch::check(messages, &message_ids, self.config.max_message_bytes)
            .map_err(SendError::early)?;
        // No id for the whole: a 4.9 broker would give it to each message, in place of its own.
        let mut text = String::new();
        properties::append(&mut text, properties::WAIT, "true");
        let outgoing = Outgoing {
            topic: checked.topic,
            message_ids,
            properties: text,
            body: checked.body,
            sys_flag: 0,
            flag: 0,
            born_timestamp_ms: now_ms,
            message_type: MessageType::Normal,
            batch: true,
        };
        let topic = self.routes.topic(&outgoing.topic).map_err(SendError::early)?;
        let target = self.target_of_key(&topic, checked.order_key.as_deref(), deadline).await;
        let target = target.map_err(SendError::early)?;
        let _place = self.place(outgoing.body.len(), deadline).await?;
        Ok(Job { topic, outgoing, target, mode, deadline, compression: None, _place })
    }

    async fn target_of_key(
        &self,
        topic: &Topic,
        key: Option<&str>,
        deadline: Instant,
    ) -> Result<Target, Cause> {
        match key {
            None => Ok(Target::Any),
            Some(key) => self.target(topic, |queues| index_of_key(key, queues), deadline).await,
        }
    }

    async fn target(
        &self,
        topic: &Topic,
        select: impl FnOnce(&TopicQueues) -> Option<usize>,
        deadline: Instant,
    ) -> Result<Target, Cause> {
        let queues = self.routes.queues(topic, deadline).await?;
        let chosen = select(&queues).and_then(|index| queues.nth(index));
        let (broker_name, queue_id) =
            chosen.ok_or_else(|| Cause::NotSelected { topic: topic.name().to_owned() })?;
        Ok(Target::Queue(broker_name, queue_id))
    }

    async fn place(&self, body_bytes: usize, deadline: Instant) -> Result<Place, SendError> {
        let acquire = async |semaphore: &Arc<Semaphore>, permits: usize| {
            let permits = u32::try_from(permits).unwrap_or(u32::MAX);
            match timeout_at(deadline, Arc::clone(semaphore).acquire_many_owned(permits)).await {
                Ok(Ok(permits)) => Ok(permits),
                Ok(Err(_closed)) => Err(SendError::early(Cause::Closed)),
                Err(_elapsed) => Err(SendError::early(Cause::Deadline)),
            }
        };
        let _count = acquire(&self.places, 1).await?;
        // A body larger than all places together still goes, alone.
        let bytes = body_bytes.min(self.config.max_in_flight_bytes);
        let _bytes = acquire(&self.bytes, bytes).await?;
        Ok(Place { _count, _bytes })
    }
}

impl Job {
    /// Sends it. One outcome for each message; none if one-way.
    pub(crate) async fn run(mut self, inner: &Inner) -> Result<Vec<Sent>, SendError> {
        if let Some(compression) = self.compression {
            let (body, bits) = compress(compression, &self.outgoing.body).await;
            (self.outgoing.body, self.outgoing.sys_flag) = (body, bits);
        }
        let Self { topic, outgoing, target, mode, deadline, .. } = &self;
        inner.deliver(topic, outgoing, target, *mode, *deadline).await
    }
}

async fn compress(compression: Compression, body: &Bytes) -> (Bytes, i32) {
    if body.len() < COMPRESS_ELSEWHERE_FROM_BYTES {
        return compression.apply(body);
    }
    let plain = body.clone();
    let compressed = tokio::task::spawn_blocking(move || compression.apply(&plain)).await;
    // Only a runtime that is being stopped ends it: nothing will be sent then either.
    compressed.unwrap_or_else(|_stopped| (body.clone(), 0))
}
