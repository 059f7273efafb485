//! The send loop: RocketMQ's `DefaultMQProducerImpl.sendDefaultImpl`.

use std::sync::Arc;

use signpost_remoting::send::{SendHeader, SendResponse};
use signpost_remoting::{InvokeError, RemotingCommand, request, response};
use tokio::time::Instant;

use crate::message::Message;
use crate::outcome::{Attempt, Cause, SendError, SendStatus, Sent};
use crate::producer::Inner;
use crate::queues::{Choice, MessageQueue};
use crate::routes::Topic;

/// The broker belongs to another owner (RocketMQ `NO_BUYER_ID`).
const NO_BUYER_ID: i32 = 204;

/// Answers after which another broker is tried. The others would be the same everywhere.
const RETRIED: &[i32] = &[
    response::SYSTEM_ERROR,
    response::SYSTEM_BUSY,
    response::SERVICE_NOT_AVAILABLE,
    response::NO_PERMISSION,
    response::TOPIC_NOT_EXIST,
    NO_BUYER_ID,
    response::NOT_IN_CURRENT_UNIT,
    response::FLOW_CONTROL,
    response::GO_AWAY,
];

/// A message that has been checked.
pub(crate) struct Checked<'a> {
    pub(crate) message: &'a Message,
    pub(crate) message_id: String,
    pub(crate) properties: String,
    pub(crate) born_timestamp_ms: i64,
}

impl Inner {
    /// Sends until a broker has taken it, nothing more may be tried, or `deadline`.
    pub(crate) async fn deliver(
        &self,
        topic: &Topic,
        checked: &Checked<'_>,
        deadline: Instant,
    ) -> Result<Sent, SendError> {
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut avoid: Vec<Arc<str>> = Vec::new();
        let mut maybe_sent = false;
        let mut last = Cause::Deadline;
        for number in 1..=self.config.retries.saturating_add(1) {
            let now = Instant::now();
            if now >= deadline {
                break;
            }
            // Looked up anew each time: the route may have changed because of what just failed.
            let queues = match self.routes.queues(topic, deadline).await {
                Ok(queues) => queues,
                Err(cause) => {
                    last = cause;
                    break;
                }
            };
            let Some(choice) = queues.pick(topic.next_turn(), &avoid) else { break };
            let until = deadline.min(Instant::now() + self.config.attempt_timeout);
            let (cause, verdict) = match self.attempt(&choice, checked, until).await {
                Ok(sent) => return Ok(Sent { attempts: number, ..sent }),
                Err(failed) => failed,
            };
            tracing::debug!(message_id = %checked.message_id, broker = %choice.broker_name,
                attempt = number, %cause, "attempt to send failed");
            maybe_sent |= verdict.maybe_sent;
            attempts.push(Attempt {
                queue: queue_of(checked.message, &choice),
                address: choice.address.to_string(),
                cause: cause.clone(),
            });
            last = cause;
            if !verdict.elsewhere || (maybe_sent && !self.config.retry_unknown) {
                break;
            }
            avoid.push(choice.broker_name);
        }
        Err(if maybe_sent {
            SendError::Unknown { cause: last, attempts }
        } else {
            SendError::Failed { cause: last, attempts }
        })
    }

    async fn attempt(
        &self,
        choice: &Choice,
        checked: &Checked<'_>,
        until: Instant,
    ) -> Result<Sent, (Cause, Verdict)> {
        let command = self.command(choice, checked);
        let timeout = until.saturating_duration_since(Instant::now());
        let broker = choice.broker_name.to_string();
        let answer = match self.brokers.invoke(&choice.address, command, timeout).await {
            Ok(answer) => answer,
            Err(error) => {
                let verdict = Verdict { maybe_sent: !error.is_definite(), elsewhere: true };
                return Err((Cause::Transport { broker, error }, verdict));
            }
        };
        let status = match answer.code {
            response::SUCCESS => SendStatus::Ok,
            response::FLUSH_DISK_TIMEOUT => SendStatus::FlushDiskTimeout,
            response::FLUSH_SLAVE_TIMEOUT => SendStatus::FlushSlaveTimeout,
            response::SLAVE_NOT_AVAILABLE => SendStatus::SlaveNotAvailable,
            code => {
                let remark = answer.remark.unwrap_or_default();
                return Err((Cause::Broker { broker, code, remark }, Verdict::of_code(code)));
            }
        };
        match SendResponse::decode(&answer.ext) {
            Ok(response) => Ok(Sent {
                message_id: checked.message_id.clone(),
                offset_message_id: response.message_id,
                queue: MessageQueue {
                    // The broker's word: it may have chosen another queue.
                    queue_id: u32::try_from(response.queue_id).unwrap_or(choice.queue_id),
                    ..queue_of(checked.message, choice)
                },
                queue_offset: response.queue_offset,
                status,
                attempts: 1,
            }),
            Err(error) => {
                // It says that it is stored: elsewhere it would only be stored again.
                let verdict = Verdict { maybe_sent: true, elsewhere: false };
                Err((Cause::Answer { broker, problem: error.to_string() }, verdict))
            }
        }
    }

    /// Sends without waiting for an answer: ok means that it was handed to a connection.
    pub(crate) async fn deliver_oneway(
        &self,
        topic: &Topic,
        checked: &Checked<'_>,
        deadline: Instant,
    ) -> Result<(), SendError> {
        let queues = self.routes.queues(topic, deadline).await.map_err(SendError::early)?;
        let Some(choice) = queues.pick(topic.next_turn(), &[]) else {
            return Err(SendError::early(Cause::NoRoute { topic: checked.message.topic.clone() }));
        };
        let command = self.command(&choice, checked);
        let timeout = deadline.saturating_duration_since(Instant::now());
        self.brokers.notify(&choice.address, command, timeout).await.map_err(|error| {
            let definite = matches!(error, InvokeError::NotSent(_));
            let cause = Cause::Transport { broker: choice.broker_name.to_string(), error };
            let attempts = vec![Attempt {
                queue: queue_of(checked.message, &choice),
                address: choice.address.to_string(),
                cause: cause.clone(),
            }];
            if definite {
                SendError::Failed { cause, attempts }
            } else {
                SendError::Unknown { cause, attempts }
            }
        })
    }

    fn command(&self, choice: &Choice, checked: &Checked<'_>) -> RemotingCommand {
        let config = &self.config;
        let header = SendHeader {
            producer_group: config.group.clone(),
            topic: checked.message.topic.clone(),
            default_topic: config.default_topic.clone(),
            default_topic_queue_nums: bounded(config.default_topic_queue_nums),
            queue_id: bounded(choice.queue_id),
            sys_flag: 0,
            born_timestamp_ms: checked.born_timestamp_ms,
            flag: checked.message.flag,
            properties: checked.properties.clone(),
            reconsume_times: 0,
            unit_mode: false,
            max_reconsume_times: None,
            batch: false,
            broker_name: Some(choice.broker_name.to_string()),
        };
        RemotingCommand::request(request::SEND_MESSAGE_V2)
            .with_ext(header.encode(request::SEND_MESSAGE_V2))
            .with_body(checked.message.body.clone())
    }
}

/// What may be done after an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Verdict {
    /// The broker may have stored it.
    maybe_sent: bool,
    /// Another broker may do better.
    elsewhere: bool,
}

impl Verdict {
    /// Of a broker's error. `SYSTEM_ERROR` also stands for a store that failed halfway, and a code
    /// that we do not know for anything; all others are given before anything is stored.
    fn of_code(code: i32) -> Self {
        let before_storing = matches!(
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
        );
        Self { maybe_sent: !before_storing, elsewhere: RETRIED.contains(&code) }
    }
}

fn queue_of(message: &Message, choice: &Choice) -> MessageQueue {
    MessageQueue {
        topic: message.topic.clone(),
        broker_name: choice.broker_name.to_string(),
        queue_id: choice.queue_id,
    }
}

/// Queue numbers on the wire are signed.
fn bounded(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
