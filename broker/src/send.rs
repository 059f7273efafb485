//! One send, from the request to its answer: codes 10, 310 and 320.
//!
//! What can be judged without waiting is judged, and the messages handed to the store, before the
//! handler returns; so a message whose sender hangs up at once is stored all the same.
//! Source: RocketMQ `SendMessageProcessor`, `AbstractSendMessageProcessor.msgCheck`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use signpost_client::types::TopicConfig;
use signpost_remoting::message::{
    MAX_PROPERTIES_BYTES, StoredMessage, batch, properties, sys_flag,
};
use signpost_remoting::send::{SendHeader, SendResponse};
use signpost_remoting::{Connection, RemotingCommand, Reply, request, response};
use tokio_util::task::TaskTracker;

use crate::adopt::Adopter;
use crate::store::{Placed, Store, StoreError};
use crate::topic_file::{ChangeError, TopicFile};
use crate::topics::{self, NoTopic, perm};

/// Most messages of one batch.
const MAX_BATCH_MESSAGES: usize = 4096;

/// What sends need.
pub(crate) struct Sends {
    pub(crate) store: Store,
    pub(crate) topics: Arc<TopicFile>,
    pub(crate) adopter: Adopter,
    pub(crate) cluster: String,
    /// Where this broker is found; goes into every message and its id.
    pub(crate) store_host: SocketAddr,
    pub(crate) max_message_bytes: usize,
    /// Turns through the queues for senders that leave the choice to us.
    pub(crate) next_queue: AtomicU32,
    /// Sends that have to find or make their topic first.
    pub(crate) tasks: TaskTracker,
}

/// A refusal: response code and remark.
type Refused = (i32, String);

/// A send that has been read and found in order, as far as it says itself.
struct Send {
    header: SendHeader,
    messages: Vec<batch::BatchMessage>,
    born_host: SocketAddr,
}

impl Sends {
    /// Begins a send.
    pub(crate) fn begin(
        self: &Arc<Self>,
        connection: &Connection,
        asked: RemotingCommand,
    ) -> Reply {
        let send = match self.read(connection, asked) {
            Ok(send) => send,
            Err(refused) => return refuse(refused),
        };
        let known = self.topics.table().topics.get(&send.header.topic).cloned();
        let connection = connection.clone();
        match known {
            Some(topic) if has_queue(&topic, send.header.queue_id) => {
                match self.store(send, &topic) {
                    Ok(stored) => Reply::Later(Box::pin(answer(connection, stored))),
                    Err(refused) => refuse(refused),
                }
            }
            known => {
                let sends = self.clone();
                // In a task of its own, so that it is done whether or not the sender stays.
                let task = self.tasks.spawn(async move {
                    match sends.find_topic(&send.header, known).await {
                        Ok(topic) => match sends.store(send, &topic) {
                            Ok(stored) => answer(connection, stored).await,
                            Err((code, remark)) => Some(RemotingCommand::error(code, remark)),
                        },
                        Err((code, remark)) => Some(RemotingCommand::error(code, remark)),
                    }
                });
                Reply::Later(Box::pin(async move { task.await.ok().flatten() }))
            }
        }
    }

    /// Reads a request and judges it without looking at the topic table.
    fn read(&self, connection: &Connection, asked: RemotingCommand) -> Result<Send, Refused> {
        let system_error = |text: String| (response::SYSTEM_ERROR, text);
        let illegal = |text: String| (response::MESSAGE_ILLEGAL, text);
        let header = SendHeader::decode(asked.code, &asked.ext)
            .map_err(|error| system_error(error.to_string()))?;
        topics::check_name(&header.topic)
            .map_err(|problem| system_error(format!("The specified topic {problem}")))?;
        if topics::is_forbidden(&header.topic) {
            let text = format!("Sending message to topic[{}] is forbidden.", header.topic);
            return Err((response::NO_PERMISSION, text));
        }
        if asked.body.len() > self.max_message_bytes {
            let (size, limit) = (asked.body.len(), self.max_message_bytes);
            return Err(illegal(format!("the body has {size} bytes, at most {limit} are taken")));
        }
        let messages = match asked.code {
            request::SEND_BATCH_MESSAGE => batch::decode(asked.body, MAX_BATCH_MESSAGES)
                .map_err(|error| illegal(format!("the batch cannot be read: {error}")))?,
            _ => vec![batch::BatchMessage {
                flag: header.flag,
                body: asked.body,
                properties: header.properties.clone(),
            }],
        };
        if messages.is_empty() {
            return Err(illegal("the batch is empty".to_owned()));
        }
        for message in &messages {
            if header.sys_flag & sys_flag::TRANSACTION_MASK != 0
                || properties::get(&message.properties, properties::TRANSACTION_PREPARED)
                    .is_some_and(|prepared| prepared.eq_ignore_ascii_case("true"))
            {
                let text = "the broker sending transaction message is forbidden";
                return Err((response::NO_PERMISSION, text.to_owned()));
            }
            // Stored as they are they would be delivered at once, which is not what was asked for.
            if properties::get(&message.properties, properties::DELAY)
                .is_some_and(|level| level.parse::<i64>().is_ok_and(|level| level > 0))
            {
                return Err(illegal("delayed messages are not served by this broker".to_owned()));
            }
        }
        let peer = connection.peer();
        let born_host = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        Ok(Send { header, messages, born_host })
    }

    /// The topic of a send that is unknown, or has no such queue here: the name cluster may know
    /// more than we do; else it is made, if that is allowed.
    async fn find_topic(
        &self,
        header: &SendHeader,
        known: Option<TopicConfig>,
    ) -> Result<TopicConfig, Refused> {
        let told = self.adopter.ask(&header.topic).await;
        let may_make = known.is_none();
        let decide = |table: &topics::TopicTable| {
            let present = table.topics.get(&header.topic);
            match (told, present) {
                (Some(told), present) if present != Some(&told) => Ok(Some(told)),
                (None, None) if may_make => {
                    let asked = header.default_topic_queue_nums;
                    table.made_by_send(&header.topic, &header.default_topic, asked).map(Some)
                }
                _ => Ok(None),
            }
        };
        let changed = self.topics.change(&header.topic, now_ms(), decide).await;
        let topic = match changed {
            Ok(Some(topic)) => topic,
            Ok(None) => return Err(no_topic(&NoTopic::Unknown(header.topic.clone()))),
            Err(ChangeError::Refused(refused)) => return Err(no_topic(&refused)),
            Err(ChangeError::Disk(error)) => {
                tracing::error!(topic = %header.topic, %error, "cannot make a topic");
                let text = format!("topic[{}] not made: {error}", header.topic);
                return Err((response::SERVICE_NOT_AVAILABLE, text));
            }
        };
        if !has_queue(&topic, header.queue_id) {
            let (queue, topic) = (header.queue_id, &header.topic);
            let text = format!("request queueId[{queue}] is illegal, topic[{topic}]");
            return Err((response::SYSTEM_ERROR, text));
        }
        Ok(topic)
    }

    /// Hands the messages to the store.
    fn store(
        &self,
        send: Send,
        topic: &TopicConfig,
    ) -> Result<Stored<impl Future<Output = Result<Vec<Placed>, StoreError>> + use<>>, Refused>
    {
        let Send { header, messages, born_host } = send;
        if topic.perm & perm::WRITE == 0 {
            let text = format!("the topic[{}] sending message is forbidden", header.topic);
            return Err((response::NO_PERMISSION, text));
        }
        let queue_id = match u32::try_from(header.queue_id) {
            Ok(_) => header.queue_id,
            Err(_) => self.choose_queue(topic),
        };
        let transaction_id =
            properties::get(&header.properties, properties::UNIQ_KEY).map(str::to_owned);
        let mut records = Vec::with_capacity(messages.len());
        for message in messages {
            let mut text = properties::without(&message.properties, properties::WAIT);
            properties::append(&mut text, properties::CLUSTER, &self.cluster);
            if text.len() > MAX_PROPERTIES_BYTES {
                let (bytes, limit) = (text.len(), MAX_PROPERTIES_BYTES);
                let text = format!("the properties have {bytes} bytes, at most {limit} are taken");
                return Err((response::MESSAGE_ILLEGAL, text));
            }
            records.push(StoredMessage {
                queue_id,
                flag: message.flag,
                queue_offset: 0,
                physical_offset: 0,
                sys_flag: sys_flag::with_hosts(header.sys_flag, born_host, self.store_host),
                born_timestamp_ms: header.born_timestamp_ms,
                born_host,
                store_timestamp_ms: 0,
                store_host: self.store_host,
                reconsume_times: header.reconsume_times,
                prepared_transaction_offset: 0,
                body: message.body,
                topic: header.topic.clone(),
                properties: text,
            });
        }
        let placed = self.store.append(records).map_err(|error| refusal(&error))?;
        Ok(Stored { placed, queue_id, transaction_id, store_host: self.store_host })
    }

    fn choose_queue(&self, topic: &TopicConfig) -> i32 {
        let turn = self.next_queue.fetch_add(1, Ordering::Relaxed);
        (turn % topic.write_queue_nums.max(1)).cast_signed()
    }
}

/// Messages on their way to the disk.
struct Stored<F> {
    placed: F,
    queue_id: i32,
    transaction_id: Option<String>,
    store_host: SocketAddr,
}

/// The answer once they are there; none when nobody knows whether they are.
async fn answer(
    connection: Connection,
    stored: Stored<impl Future<Output = Result<Vec<Placed>, StoreError>>>,
) -> Option<RemotingCommand> {
    let Stored { placed, queue_id, transaction_id, store_host } = stored;
    match placed.await {
        Ok(placed) => {
            use signpost_remoting::message::id::offset_id;
            let ids: Vec<_> =
                placed.iter().map(|placed| offset_id(store_host, placed.physical_offset)).collect();
            let queue_offset = placed.first().map_or(0, |first| first.queue_offset);
            let message_id = ids.join(",");
            let sent = SendResponse { message_id, queue_id, queue_offset, transaction_id };
            Some(RemotingCommand::response(response::SUCCESS).with_ext(sent.encode()))
        }
        Err(error) if error.is_definite() => {
            let (code, remark) = refusal(&error);
            Some(RemotingCommand::error(code, remark))
        }
        // Any code would say either "stored" or "not stored". A broken connection says neither.
        Err(_unknown) => {
            connection.close();
            None
        }
    }
}

fn refuse((code, remark): Refused) -> Reply {
    Reply::Now(RemotingCommand::error(code, remark))
}

fn no_topic(refused: &NoTopic) -> Refused {
    match refused {
        NoTopic::Unknown(_) => (response::TOPIC_NOT_EXIST, refused.to_string()),
        NoTopic::TooMany { .. } => (response::SYSTEM_ERROR, refused.to_string()),
    }
}

/// RocketMQ's code for what the store refused, surely.
fn refusal(error: &StoreError) -> Refused {
    let code = match error {
        StoreError::Busy { .. } => response::SYSTEM_BUSY,
        StoreError::Illegal(_) | StoreError::TooLarge { .. } => response::MESSAGE_ILLEGAL,
        _ => response::SERVICE_NOT_AVAILABLE,
    };
    (code, error.to_string())
}

/// Whether a topic has this queue; a negative one is left to us to choose.
fn has_queue(topic: &TopicConfig, queue_id: i32) -> bool {
    let queues = topic.write_queue_nums.max(topic.read_queue_nums);
    u32::try_from(queue_id).map_or(true, |queue_id| queue_id < queues)
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_refuses_has_rocketmq_s_codes() {
        let full = StoreError::Full(Arc::new(std::io::ErrorKind::StorageFull.into()));
        for (error, code) in [
            (full, response::SERVICE_NOT_AVAILABLE),
            (StoreError::Closed, response::SERVICE_NOT_AVAILABLE),
            (StoreError::Busy { pending: 2, limit: 1 }, response::SYSTEM_BUSY),
            (StoreError::TooLarge { bytes: 2, limit: 1 }, response::MESSAGE_ILLEGAL),
        ] {
            assert!(error.is_definite());
            assert_eq!(refusal(&error).0, code, "{error}");
        }
    }
}
