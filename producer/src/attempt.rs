//! One attempt: from a message and a queue to what the broker says. Source: RocketMQ
//! `DefaultMQProducerImpl.sendKernelImpl`, `MQClientAPIImpl.processSendResponse`.

use bytes::Bytes;
use signpost_remoting::send::{SendHeader, SendResponse};
use signpost_remoting::{RemotingCommand, request, response};
use tokio::time::Instant;

use crate::brokers::RequestError;
use crate::config::NO_BUYER_ID;
use crate::hooks::{CommunicationMode, MessageType, SendContext};
use crate::outcome::{Cause, SendStatus, Sent};
use crate::producer::Inner;
use crate::queues::{Choice, MessageQueue};

/// A message, or a batch of them, that has been checked: what goes over the wire.
pub(crate) struct Outgoing {
    pub(crate) topic: String,
    /// One for each message, in order.
    pub(crate) message_ids: Vec<String>,
    /// Of a batch only what belongs to no message.
    pub(crate) properties: String,
    pub(crate) body: Bytes,
    pub(crate) sys_flag: i32,
    pub(crate) flag: i32,
    pub(crate) born_timestamp_ms: i64,
    pub(crate) message_type: MessageType,
    pub(crate) batch: bool,
}

impl Outgoing {
    pub(crate) fn queue(&self, choice: &Choice) -> MessageQueue {
        MessageQueue {
            topic: self.topic.clone(),
            broker_name: choice.broker_name.to_string(),
            queue_id: choice.queue_id,
        }
    }
}

/// An attempt without success.
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    /// The broker may have stored it.
    pub(crate) maybe_sent: bool,
}

impl Failure {
    fn surely(cause: Cause) -> Self {
        Self { cause, maybe_sent: false }
    }
}

impl Inner {
    /// Sends to this queue, once; hooks see it.
    pub(crate) async fn attempt(
        &self,
        choice: &Choice,
        outgoing: &Outgoing,
        mode: CommunicationMode,
        number: u32,
        until: Instant,
    ) -> Result<Vec<Sent>, Failure> {
        let queue = outgoing.queue(choice);
        let hooks = &self.config.hooks;
        if hooks.see_no_sends() {
            let command = self.command(choice, outgoing, outgoing.properties.clone());
            return self.exchange(&queue, choice, command, outgoing, mode, number, until).await;
        }
        let mut context = SendContext::new(
            (&self.config.group, mode, outgoing.message_type),
            (&queue, &choice.address),
            number,
            (&outgoing.message_ids, &outgoing.body, &outgoing.properties),
        );
        hooks.before(&mut context).map_err(Failure::surely)?;
        let command = self.command(choice, outgoing, context.properties().to_owned());
        let ended = self.exchange(&queue, choice, command, outgoing, mode, number, until).await;
        hooks.after(&context, ended.as_deref().map_err(|failure| &failure.cause));
        ended
    }

    #[allow(clippy::too_many_arguments, reason = "one call's parts, used once each")]
    async fn exchange(
        &self,
        queue: &MessageQueue,
        choice: &Choice,
        command: RemotingCommand,
        outgoing: &Outgoing,
        mode: CommunicationMode,
        number: u32,
        until: Instant,
    ) -> Result<Vec<Sent>, Failure> {
        let timeout = until.saturating_duration_since(Instant::now());
        let answered = match mode {
            CommunicationMode::OneWay => {
                let notified = self.brokers.notify(&choice.address, command, timeout).await;
                notified.map(|()| None)
            }
            _ => self.brokers.invoke(&choice.address, command, timeout).await.map(Some),
        };
        let broker = || choice.broker_name.to_string();
        let answer = answered.map_err(|error| match error {
            RequestError::Hook { hook, reason } => Failure::surely(Cause::Hook { hook, reason }),
            RequestError::Invoke(error) => {
                let maybe_sent = !error.is_definite();
                Failure { cause: Cause::Transport { broker: broker(), error }, maybe_sent }
            }
        })?;
        let Some(answer) = answer else { return Ok(Vec::new()) };
        let status = match answer.code {
            response::SUCCESS => SendStatus::Ok,
            response::FLUSH_DISK_TIMEOUT => SendStatus::FlushDiskTimeout,
            response::FLUSH_SLAVE_TIMEOUT => SendStatus::FlushSlaveTimeout,
            response::SLAVE_NOT_AVAILABLE => SendStatus::SlaveNotAvailable,
            code => {
                let remark = answer.remark.unwrap_or_default();
                let cause = Cause::Broker { broker: broker(), code, remark };
                return Err(Failure { cause, maybe_sent: !is_before_storing(code) });
            }
        };
        let response = SendResponse::decode(&answer.ext).map_err(|error| {
            let cause = Cause::Answer { broker: broker(), problem: error.to_string() };
            // It says that it is stored: elsewhere it would only be stored again.
            Failure { cause, maybe_sent: true }
        })?;
        Ok(stored(&outgoing.message_ids, queue, &response, status, number))
    }

    fn command(&self, choice: &Choice, outgoing: &Outgoing, properties: String) -> RemotingCommand {
        let config = &self.config;
        let header = SendHeader {
            producer_group: config.group.clone(),
            topic: outgoing.topic.clone(),
            default_topic: config.default_topic.clone(),
            default_topic_queue_nums: bounded(config.default_topic_queue_nums),
            queue_id: bounded(choice.queue_id),
            sys_flag: outgoing.sys_flag,
            born_timestamp_ms: outgoing.born_timestamp_ms,
            flag: outgoing.flag,
            properties,
            reconsume_times: 0,
            unit_mode: false,
            max_reconsume_times: None,
            batch: outgoing.batch,
            broker_name: Some(choice.broker_name.to_string()),
        };
        let code = match outgoing.batch {
            true => request::SEND_BATCH_MESSAGE,
            false => request::SEND_MESSAGE_V2,
        };
        RemotingCommand::request(code)
            .with_ext(header.encode(code))
            .with_body(outgoing.body.clone())
    }
}

/// Where each message lies: those of a batch one after the other.
fn stored(
    message_ids: &[String],
    queue: &MessageQueue,
    response: &SendResponse,
    status: SendStatus,
    attempts: u32,
) -> Vec<Sent> {
    let mut offset_ids = response.message_id.split(',');
    let sent = |(message_id, at): (&String, i64)| Sent {
        message_id: message_id.clone(),
        offset_message_id: offset_ids.next().unwrap_or_default().to_owned(),
        queue: MessageQueue {
            // The broker's word: it may have chosen another queue.
            queue_id: u32::try_from(response.queue_id).unwrap_or(queue.queue_id),
            ..queue.clone()
        },
        queue_offset: response.queue_offset.saturating_add(at),
        status,
        attempts,
    };
    message_ids.iter().zip(0..).map(sent).collect()
}

/// Is this code only given before anything is stored? `SYSTEM_ERROR` also stands for a store that
/// failed halfway, and a code that we do not know for anything.
fn is_before_storing(code: i32) -> bool {
    matches!(
        code,
        response::SYSTEM_BUSY
            | response::REQUEST_CODE_NOT_SUPPORTED
            | response::MESSAGE_ILLEGAL
            | response::SERVICE_NOT_AVAILABLE
            | response::VERSION_NOT_SUPPORTED
            | response::NO_PERMISSION
            | response::TOPIC_NOT_EXIST
            | response::INVALID_PARAMETER
            | NO_BUYER_ID
            | response::NOT_IN_CURRENT_UNIT
            | response::FLOW_CONTROL
            | response::GO_AWAY
    )
}

/// Queue numbers on the wire are signed.
fn bounded(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
