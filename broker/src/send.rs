//! One send, from the request to its answer: codes 10, 310 and 320.
//!
//! What can be judged without waiting is judged, and the messages handed to the store, before the
//! handler returns; so a message whose sender hangs up at once is stored all the same.
//! Source: RocketMQ `SendMessageProcessor`, `AbstractSendMessageProcessor.msgCheck`.

use std::net::SocketAddr;
use std::sync::Arc;

use signpost_client::types::TopicConfig;
use signpost_remoting::message::{
    MAX_PROPERTIES_BYTES, StoredMessage, batch, properties, sys_flag,
};
use signpost_remoting::send::{SendHeader, SendResponse};
use signpost_remoting::{Connection, RemotingCommand, Reply, request, response};

use crate::refused::Refused;
use crate::schedule::Schedule;
use crate::service::{Service, check_writable, now_ms};
use crate::store::{Placed, StoreError};
use crate::topic_file;
use crate::topics::{self, NoTopic, RETRY_PREFIX};

/// Most messages of one batch.
const MAX_BATCH_MESSAGES: usize = 4096;

/// A send that has been read and found in order, as far as it says itself.
struct Send {
    header: SendHeader,
    /// For the topic and the queue that the header names.
    messages: Vec<StoredMessage>,
}

impl Service {
    /// SEND_MESSAGE (10, 310), SEND_BATCH_MESSAGE (320).
    pub(crate) fn send(self: Arc<Self>, connection: Connection, asked: RemotingCommand) -> Reply {
        let send = match self.read_send(&connection, asked) {
            Ok(send) => send,
            Err(refused) => return Reply::Now(refused.into()),
        };
        let known = self.topics.get(&send.header.topic);
        match known {
            Some(topic) if has_queue(&topic, send.header.queue_id) && !is_retry(&send.header) => {
                match self.store_send(send, &topic) {
                    Ok(stored) => Reply::Later(Box::pin(answer(self, connection, stored))),
                    Err(refused) => Reply::Now(refused.into()),
                }
            }
            known => {
                let service = self.clone();
                // In a task of its own, so that it is done whether or not the sender stays.
                let task = self.tasks.spawn(async move {
                    match service.place_send(send, known).await {
                        Ok(stored) => answer(service, connection, stored).await,
                        Err(refused) => Some(refused.into()),
                    }
                });
                Reply::Later(Box::pin(async move { task.await.ok().flatten() }))
            }
        }
    }

    /// Finds or makes what a send needs first, and hands it to the store.
    async fn place_send(
        &self,
        mut send: Send,
        known: Option<TopicConfig>,
    ) -> Result<Stored<impl Future<Output = Result<Vec<Placed>, StoreError>> + use<>>, Refused>
    {
        let mut topic = match known.filter(|topic| has_queue(topic, send.header.queue_id)) {
            Some(topic) => topic,
            None => self.find_topic(&send.header).await?,
        };
        if is_retry(&send.header) {
            for message in &mut send.messages {
                self.divert_retry(send.header.max_reconsume_times, message).await?;
                if message.topic != send.header.topic {
                    topic = self.readable(&message.topic, None)?;
                }
            }
        }
        self.store_send(send, &topic)
    }

    /// Reads a request and judges it without looking at the topic table.
    fn read_send(&self, connection: &Connection, asked: RemotingCommand) -> Result<Send, Refused> {
        self.may_store()?;
        let illegal = |text: String| Refused::new(response::MESSAGE_ILLEGAL, text);
        let header = SendHeader::decode(asked.code, &asked.ext)?;
        topics::check_name(&header.topic)
            .map_err(|problem| Refused::system(format!("The specified topic {problem}")))?;
        if topics::is_forbidden(&header.topic) {
            let text = format!("Sending message to topic[{}] is forbidden.", header.topic);
            return Err(Refused::new(response::NO_PERMISSION, text));
        }
        if asked.body.len() > self.config.max_message_bytes {
            let (size, limit) = (asked.body.len(), self.config.max_message_bytes);
            return Err(illegal(format!("the body has {size} bytes, at most {limit} are taken")));
        }
        let is_batch = asked.code == request::SEND_BATCH_MESSAGE;
        let inner = match is_batch {
            true => batch::decode(asked.body, MAX_BATCH_MESSAGES)
                .map_err(|error| illegal(format!("the batch cannot be read: {error}")))?,
            false => vec![batch::BatchMessage {
                flag: header.flag,
                body: asked.body,
                properties: header.properties.clone(),
            }],
        };
        if inner.is_empty() {
            return Err(illegal("the batch is empty".to_owned()));
        }
        if is_batch && is_retry(&header) {
            return Err(illegal("a batch cannot be sent to a retry topic".to_owned()));
        }
        let peer = connection.peer();
        let born_host = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let mut messages = Vec::with_capacity(inner.len());
        for message in inner {
            self.check_properties(&header, &message.properties, is_batch)?;
            messages.push(self.message(&header, message, born_host)?);
        }
        Ok(Send { header, messages })
    }

    /// Refuses what would be delivered otherwise than it was asked for.
    fn check_properties(
        &self,
        header: &SendHeader,
        text: &str,
        is_batch: bool,
    ) -> Result<(), Refused> {
        if header.sys_flag & sys_flag::TRANSACTION_MASK != 0
            || properties::get(text, properties::TRANSACTION_PREPARED)
                .is_some_and(|prepared| prepared.eq_ignore_ascii_case("true"))
        {
            let text = "the broker sending transaction message is forbidden";
            return Err(Refused::new(response::NO_PERMISSION, text));
        }
        let illegal = |text: &str| Err(Refused::new(response::MESSAGE_ILLEGAL, text));
        if properties::TIMER.iter().any(|name| properties::get(text, name).is_some()) {
            return illegal("timer messages are not served by this broker: use a delay level");
        }
        if is_batch && self.schedule.level(text).is_some() {
            return illegal("a batch cannot hold delayed messages");
        }
        Ok(())
    }

    fn message(
        &self,
        header: &SendHeader,
        message: batch::BatchMessage,
        born_host: SocketAddr,
    ) -> Result<StoredMessage, Refused> {
        let mut text = properties::without(&message.properties, properties::WAIT);
        properties::append(&mut text, properties::CLUSTER, &self.config.cluster);
        if text.len() > MAX_PROPERTIES_BYTES {
            let (bytes, limit) = (text.len(), MAX_PROPERTIES_BYTES);
            let text = format!("the properties have {bytes} bytes, at most {limit} are taken");
            return Err(Refused::new(response::MESSAGE_ILLEGAL, text));
        }
        Ok(StoredMessage {
            queue_id: header.queue_id,
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
        })
    }

    /// The topic of a send that is unknown, or has no such queue here: the name cluster may know
    /// more than we do; else it is made, if that is allowed.
    async fn find_topic(&self, header: &SendHeader) -> Result<TopicConfig, Refused> {
        let told = self.adopter.ask(&header.topic).await;
        let decide = |table: &topics::TopicTable| {
            let present = table.topics.get(&header.topic);
            match (told, present) {
                (Some(told), present) if present != Some(&told) => Ok(Some(told)),
                (None, None) => {
                    let asked = header.default_topic_queue_nums;
                    table.made_by_send(&header.topic, &header.default_topic, asked).map(Some)
                }
                _ => Ok(None),
            }
        };
        let changed = self.topics.change(&header.topic, now_ms(), decide).await?;
        let topic = changed
            .ok_or_else(|| topic_file::ChangeError::from(NoTopic::Unknown(header.topic.clone())))?;
        if !has_queue(&topic, header.queue_id) {
            let (queue, topic) = (header.queue_id, &header.topic);
            return Err(Refused::system(format!(
                "request queueId[{queue}] is illegal, topic[{topic}]"
            )));
        }
        Ok(topic)
    }

    /// Hands the messages to the store.
    fn store_send(
        &self,
        send: Send,
        topic: &TopicConfig,
    ) -> Result<Stored<impl Future<Output = Result<Vec<Placed>, StoreError>> + use<>>, Refused>
    {
        let Send { header, mut messages } = send;
        check_writable(&header.topic, topic)?;
        let queue_id = match messages.first().map_or(0, |message| message.queue_id) {
            chosen @ 0.. => chosen,
            _ => self.choose_queue(topic),
        };
        let (count, bytes) = (messages.len(), messages.iter().map(|one| one.body.len()).sum());
        for message in &mut messages {
            message.queue_id = queue_id;
            if let Some(level) = self.schedule.level(&message.properties) {
                Schedule::delay(message, level);
            }
        }
        let placed = self.store.append(messages)?;
        let transaction_id =
            properties::get(&header.properties, properties::UNIQ_KEY).map(str::to_owned);
        Ok(Stored { placed, queue_id, transaction_id, topic: header.topic, count, bytes })
    }
}

/// Messages on their way to the disk.
struct Stored<F> {
    placed: F,
    queue_id: i32,
    transaction_id: Option<String>,
    topic: String,
    count: usize,
    bytes: usize,
}

/// The answer once they are there; none when nobody knows whether they are.
async fn answer(
    service: Arc<Service>,
    connection: Connection,
    stored: Stored<impl Future<Output = Result<Vec<Placed>, StoreError>>>,
) -> Option<RemotingCommand> {
    let Stored { placed, queue_id, transaction_id, topic, count, bytes } = stored;
    match placed.await {
        Ok(placed) => {
            use signpost_remoting::message::id::offset_id;
            service.metrics.stored(&topic, count, bytes);
            let host = service.store_host;
            let ids: Vec<_> =
                placed.iter().map(|placed| offset_id(host, placed.physical_offset)).collect();
            let queue_offset = placed.first().map_or(0, |first| first.queue_offset);
            let message_id = ids.join(",");
            let sent = SendResponse { message_id, queue_id, queue_offset, transaction_id };
            Some(RemotingCommand::response(response::SUCCESS).with_ext(sent.encode()))
        }
        Err(error) if error.is_definite() => Some(Refused::from(error).into()),
        // Any code would say either "stored" or "not stored". A broken connection says neither.
        Err(_unknown) => {
            connection.close();
            None
        }
    }
}

/// Whether it goes to the retry topic of a group.
fn is_retry(header: &SendHeader) -> bool {
    header.topic.starts_with(RETRY_PREFIX)
}

/// Whether a topic has this queue; a negative one is left to us to choose.
fn has_queue(topic: &TopicConfig, queue_id: i32) -> bool {
    let queues = topic.write_queue_nums.max(topic.read_queue_nums);
    u32::try_from(queue_id).map_or(true, |queue_id| queue_id < queues)
}
