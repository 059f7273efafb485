//! The send loop: attempts, what is tried again and where, inside two deadlines. Source: RocketMQ
//! `DefaultMQProducerImpl.sendDefaultImpl`, `MQClientAPIImpl.onExceptionImpl`.
//!
//! | mode | attempts | tried again after |
//! | --- | --- | --- |
//! | sync | 1 + `retries` | no connection, no answer, a refusing hook, the codes of `retry_codes` |
//! | sync, one queue | 1 | |
//! | async | 1 + `async_retries` | no connection, no answer |
//! | one-way | 1 | |
//!
//! What is bound to one queue is tried again there, all else at another broker. Unlike a stock
//! producer's async retry, ours names the queue and broker that it goes to, not the first ones.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::attempt::{Failure, Outgoing};
use crate::faults::Verdict;
use crate::hooks::CommunicationMode;
use crate::outcome::{Attempt, Cause, SendError, SendStatus, Sent};
use crate::producer::Inner;
use crate::queues::{Choice, MessageQueue};
use crate::routes::Topic;

/// Where a message may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// To any writable queue.
    Any,
    /// To this one: broker name and number.
    Queue(Arc<str>, u32),
}

/// What has been tried so far.
#[derive(Default)]
struct Tried {
    attempts: Vec<Attempt>,
    /// Brokers that failed, in order.
    avoid: Vec<Arc<str>>,
    /// A broker may have it.
    maybe_sent: bool,
    /// A broker has it, less safely than it should.
    stored: Option<Vec<Sent>>,
}

impl Inner {
    /// Sends until a broker has taken it, nothing more may be tried, or `deadline`. One outcome for
    /// each message; none if one-way.
    pub(crate) async fn deliver(
        &self,
        topic: &Topic,
        outgoing: &Outgoing,
        target: &Target,
        mode: CommunicationMode,
        deadline: Instant,
    ) -> Result<Vec<Sent>, SendError> {
        let attempts = self.attempts(target, mode);
        let mut tried = Tried::default();
        let mut last = Cause::Deadline;
        for number in 1..=attempts {
            if Instant::now() >= deadline {
                break;
            }
            // Looked up anew each time: the route may have changed because of what just failed.
            let choice = match self.choose(topic, target, &tried.avoid, deadline).await {
                Ok(choice) => choice,
                Err(cause) => {
                    last = cause;
                    break;
                }
            };
            // From here on: a wait for the route is no fault of the broker.
            let begun = Instant::now();
            let until = match number < attempts {
                true => deadline.min(begun + self.config.attempt_timeout),
                false => deadline,
            };
            let ended = self.attempt(&choice, outgoing, mode, number, until).await;
            self.record(&choice, begun.elapsed(), &ended);
            let Failure { cause, maybe_sent } = match ended {
                Ok(sent) => {
                    let is_safe = sent.iter().all(|sent| sent.status == SendStatus::Ok);
                    if is_safe || !self.config.retry_not_store_ok {
                        return Ok(sent);
                    }
                    tried.stored = Some(sent);
                    tried.avoid.push(choice.broker_name);
                    continue;
                }
                Err(failure) => failure,
            };
            tracing::debug!(message_id = ?outgoing.message_ids.first(), %cause,
                broker = %choice.broker_name, attempt = number, "attempt to send failed");
            tried.maybe_sent |= maybe_sent;
            tried.attempts.push(Attempt {
                queue: outgoing.queue(&choice),
                address: choice.address.to_string(),
                cause: cause.clone(),
            });
            let again = self.may_try_again(&cause, mode);
            last = cause;
            if !again || (tried.maybe_sent && !self.config.retry_unknown) {
                break;
            }
            tried.avoid.push(choice.broker_name);
        }
        tried.outcome(last)
    }

    fn attempts(&self, target: &Target, mode: CommunicationMode) -> u32 {
        let retries = match (mode, target) {
            (CommunicationMode::OneWay, _) | (CommunicationMode::Sync, Target::Queue(..)) => 0,
            (CommunicationMode::Sync, Target::Any) => self.config.retries,
            (CommunicationMode::Async, _) => self.config.async_retries,
        };
        retries.saturating_add(1)
    }

    fn may_try_again(&self, cause: &Cause, mode: CommunicationMode) -> bool {
        match cause {
            Cause::Transport { .. } => true,
            Cause::Broker { code, .. } => {
                mode == CommunicationMode::Sync && self.config.retry_codes.contains(code)
            }
            Cause::Forbidden { .. } => mode == CommunicationMode::Sync,
            _ => false,
        }
    }

    /// The queue for the next attempt.
    async fn choose(
        &self,
        topic: &Topic,
        target: &Target,
        avoid: &[Arc<str>],
        deadline: Instant,
    ) -> Result<Choice, Cause> {
        let queues = self.routes.queues(topic, deadline).await?;
        if let Target::Queue(broker_name, queue_id) = target {
            return queues.find(broker_name, *queue_id).ok_or_else(|| {
                Cause::QueueGone(MessageQueue {
                    topic: topic.name().to_owned(),
                    broker_name: broker_name.to_string(),
                    queue_id: *queue_id,
                })
            });
        }
        let turn = topic.next_turn();
        let preferred = self.faults().and_then(|faults| {
            let now = Instant::now();
            queues
                .pick_among(turn, avoid, |broker| faults.is_available(broker, now))
                .or_else(|| queues.pick_among(turn, avoid, |broker| faults.is_reachable(broker)))
        });
        let choice = preferred.or_else(|| queues.pick(turn, avoid));
        choice.ok_or_else(|| Cause::NoRoute { topic: topic.name().to_owned() })
    }

    /// Tells the fault table, if there is one, how an attempt ended.
    fn record(&self, choice: &Choice, latency: Duration, ended: &Result<Vec<Sent>, Failure>) {
        let Some(mut faults) = self.faults() else { return };
        let verdict = match ended.as_ref().map_err(|failure| &failure.cause) {
            Ok(_) | Err(Cause::Forbidden { .. }) => Verdict::Answered,
            Err(Cause::Hook { .. }) => return,
            // As in 5.x: without a detector nobody would find it to be in reach again.
            Err(Cause::Transport { .. }) => {
                Verdict::Failed { unreachable: faults.detector().is_some() }
            }
            Err(_) => Verdict::Failed { unreachable: true },
        };
        faults.record(&choice.broker_name, latency, verdict, Instant::now());
    }
}

impl Tried {
    fn outcome(self, cause: Cause) -> Result<Vec<Sent>, SendError> {
        let Self { attempts, maybe_sent, stored, .. } = self;
        match stored {
            Some(stored) => Ok(stored),
            None if maybe_sent => Err(SendError::Unknown { cause, attempts }),
            None => Err(SendError::Failed { cause, attempts }),
        }
    }
}
