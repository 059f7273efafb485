//! How a send ended.

use signpost_remoting::InvokeError;

use crate::message::InvalidMessage;
use crate::queues::MessageQueue;

/// A message that a broker has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its id, made by this producer (property `UNIQ_KEY`; Java's `SendResult.msgId`).
    pub message_id: String,
    /// Its id at the broker: store address and commit-log offset.
    pub offset_message_id: String,
    /// Where it lies.
    pub queue: MessageQueue,
    /// Its position in that queue; of a message of a batch, its own.
    pub queue_offset: i64,
    /// How safely it lies there.
    pub status: SendStatus,
    /// Attempts it took. After the first one whose outcome is not known, it may lie elsewhere as well.
    pub attempts: u32,
}

/// RocketMQ's `SendStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendStatus {
    /// As safely as the broker is configured to.
    Ok,
    /// Not synced to disk in time.
    FlushDiskTimeout,
    /// The slave has not confirmed in time.
    FlushSlaveTimeout,
    /// There was no slave in reach.
    SlaveNotAvailable,
}

/// A send without success.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SendError {
    /// Surely not stored anywhere.
    #[error("not sent: {cause}")]
    Failed {
        /// What went wrong last.
        cause: Cause,
        /// What was tried, in order.
        attempts: Vec<Attempt>,
    },
    /// May have been stored.
    #[error("may or may not have been sent: {cause}")]
    Unknown {
        /// What went wrong last.
        cause: Cause,
        /// What was tried, in order.
        attempts: Vec<Attempt>,
    },
}

/// One attempt that failed.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The queue that was chosen.
    pub queue: MessageQueue,
    /// The master's address at that moment.
    pub address: String,
    /// What went wrong.
    pub cause: Cause,
}

/// Why a send, or one attempt of it, had no success.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Cause {
    /// The message itself.
    #[error(transparent)]
    Invalid(#[from] InvalidMessage),
    /// Neither the topic nor the default topic has a writable queue (RocketMQ's 10005).
    #[error("no route: topic {topic} has no writable queue on any master")]
    NoRoute {
        /// The topic.
        topic: String,
    },
    /// No name replica has told the topic's route yet.
    #[error("the route of topic {topic} is not known: no name replica has answered in time")]
    RouteUnknown {
        /// The topic.
        topic: String,
    },
    /// More topics than one producer can watch.
    #[error(transparent)]
    Watch(#[from] signpost_client::WatchError),
    /// The broker answered with an error.
    #[error("broker {broker} answered {code}: {remark}")]
    Broker {
        /// Its name.
        broker: String,
        /// RocketMQ's response code.
        code: i32,
        /// Its words.
        remark: String,
    },
    /// The broker was not reached, or did not answer.
    #[error("broker {broker}: {error}")]
    Transport {
        /// Its name.
        broker: String,
        /// What happened to the request.
        error: InvokeError,
    },
    /// The broker stored it and answered something unreadable.
    #[error("broker {broker} gave an answer that cannot be read: {problem}")]
    Answer {
        /// Its name.
        broker: String,
        /// What was wrong with it.
        problem: String,
    },
    /// A [`CheckForbiddenHook`](crate::CheckForbiddenHook) refused it.
    #[error("forbidden by {hook}: {reason}")]
    Forbidden {
        /// The hook's name.
        hook: String,
        /// Its words.
        reason: String,
    },
    /// An [`RpcHook`](crate::RpcHook) failed.
    #[error("hook {hook} failed: {reason}")]
    Hook {
        /// The hook's name.
        hook: String,
        /// Its words.
        reason: String,
    },
    /// The selector named no queue of the topic.
    #[error("the selector chose no queue of topic {topic}")]
    NotSelected {
        /// The topic.
        topic: String,
    },
    /// The one queue that the message may go to is not there, or its broker has no master.
    #[error("queue {0} cannot be sent to: it is not in the route, or its broker has no master")]
    QueueGone(MessageQueue),
    /// The task of an async send was ended: its runtime stopped, or a hook panicked.
    #[error("the sending task was ended")]
    Ended,
    /// The send's own deadline came first.
    #[error("the send's deadline came first")]
    Deadline,
    /// The producer is closed.
    #[error("the producer is closed")]
    Closed,
}

impl SendError {
    /// Did it surely not happen?
    #[must_use]
    pub fn is_definite(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }

    /// What went wrong last.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        match self {
            Self::Failed { cause, .. } | Self::Unknown { cause, .. } => cause,
        }
    }

    /// What was tried, in order.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        match self {
            Self::Failed { attempts, .. } | Self::Unknown { attempts, .. } => attempts,
        }
    }

    /// Before anything was tried.
    pub(crate) fn early(cause: impl Into<Cause>) -> Self {
        Self::Failed { cause: cause.into(), attempts: Vec::new() }
    }
}
