//! Messages that a consumer could not consume: back to its group's retry topic after a delay, or
//! to its dead-letter topic. Source: RocketMQ `AbstractSendMessageProcessor`.

use std::sync::Arc;

use signpost_remoting::broker::SendBackHeader;
use signpost_remoting::message::{StoredMessage, properties};
use signpost_remoting::{RemotingCommand, response};

use crate::refused::{Answer, Refused, done};
use crate::schedule::Schedule;
use crate::service::{Service, check_writable, now_ms};
use crate::topics::{DEAD_LETTER_PREFIX, RETRY_PREFIX};

/// The first retry waits as long as this level; each further one a level longer.
const FIRST_LEVEL: i32 = 3;
/// Queues of a dead-letter topic.
const DEAD_LETTER_QUEUES: u32 = 1;

impl Service {
    /// CONSUMER_SEND_MSG_BACK (36).
    pub(crate) async fn send_back(self: Arc<Self>, asked: RemotingCommand) -> Answer {
        self.may_store()?;
        let header = SendBackHeader::from_ext(&asked.ext)?;
        let group = self.groups.ensure(&header.group, now_ms()).await?;
        if group.retry_queue_nums <= 0 {
            return Ok(done());
        }
        let record = self.record_at(header.offset).await?;
        let mut record = record.ok_or_else(|| {
            Refused::system(format!("look message by offset failed, {}", header.offset))
        })?;
        let mut message = StoredMessage::decode(&mut record)?;
        let retries_max = header.max_reconsume_times.unwrap_or(group.retry_max_times);
        let is_dead = header.delay_level < 0 || message.reconsume_times >= retries_max;
        let origin = message.property(properties::ORIGIN_MESSAGE_ID).map(str::to_owned);
        let origin = origin.unwrap_or_else(|| message.offset_id());
        let first_topic = message.property(properties::RETRY_TOPIC).map(str::to_owned);
        let first_topic = first_topic.unwrap_or_else(|| message.topic.clone());
        let text = &mut message.properties;
        properties::set(text, properties::RETRY_TOPIC, &first_topic);
        properties::set(text, properties::ORIGIN_MESSAGE_ID, &origin);
        if is_dead {
            properties::set(text, properties::DEAD_LETTER_TOPIC, &first_topic);
            properties::set(text, properties::DEAD_LETTER_MESSAGE_ID, &origin);
            self.to_dead_letters(&header.group, &mut message).await?;
        } else {
            let level = match header.delay_level {
                0 => FIRST_LEVEL.saturating_add(message.reconsume_times.max(0)),
                level => level,
            };
            properties::set(text, properties::DELAY, &level.to_string());
            let queues = u32::try_from(group.retry_queue_nums).unwrap_or_default();
            message.topic = format!("{RETRY_PREFIX}{}", header.group);
            let topic = self.ensure_topic(&message.topic, queues).await?;
            check_writable(&message.topic, &topic)?;
            message.queue_id = self.choose_queue(&topic);
            if let Some(level) = self.schedule.level(&message.properties) {
                Schedule::delay(&mut message, level);
            }
        }
        message.reconsume_times = message.reconsume_times.saturating_add(1);
        message.store_host = self.store_host;
        message.prepared_transaction_offset = 0;
        self.store.append(vec![message])?.await?;
        Ok(done())
    }

    /// Makes a message a dead letter of a group, with no delay.
    pub(crate) async fn to_dead_letters(
        &self,
        group: &str,
        message: &mut StoredMessage,
    ) -> Result<(), Refused> {
        message.topic = format!("{DEAD_LETTER_PREFIX}{group}");
        let topic = self.ensure_topic(&message.topic, DEAD_LETTER_QUEUES).await?;
        message.queue_id = self.choose_queue(&topic);
        message.properties = properties::without(&message.properties, properties::DELAY);
        self.metrics.dead_letter(group);
        tracing::debug!(group, topic = message.topic, "a message has become a dead letter");
        Ok(())
    }

    /// What becomes of a message that a client itself sends to a retry topic: as it is, or a dead
    /// letter if it has been consumed in vain too often.
    pub(crate) async fn divert_retry(
        &self,
        retries_max: Option<i32>,
        message: &mut StoredMessage,
    ) -> Result<(), Refused> {
        let Some(group) = message.topic.strip_prefix(RETRY_PREFIX).map(str::to_owned) else {
            return Ok(());
        };
        let settings = self.groups.ensure(&group, now_ms()).await.map_err(|error| {
            Refused::new(response::SUBSCRIPTION_GROUP_NOT_EXIST, error.to_string())
        })?;
        if message.reconsume_times > retries_max.unwrap_or(settings.retry_max_times) {
            self.to_dead_letters(&group, message).await?;
        }
        Ok(())
    }
}
