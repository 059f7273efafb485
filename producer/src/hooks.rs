//! What programs hang into the way of a message: refuse it, watch it, sign its requests.
//!
//! | hook | called | its error |
//! | --- | --- | --- |
//! | [`CheckForbiddenHook`] | before each attempt, first | the attempt fails, surely; as in RocketMQ another broker is tried |
//! | [`SendMessageHook::before`] | before each attempt, after those | is logged, and the send goes on |
//! | [`SendMessageHook::after`] | after each attempt, with its outcome | is logged |
//! | [`RpcHook::before`] | before each request to a broker, heartbeats included | the send fails at once, surely |
//! | [`RpcHook::after`] | after each response | |
//!
//! Hooks of a kind are called in their order. They run on the sending task: what takes time goes
//! elsewhere. Source: RocketMQ `CheckForbiddenHook`, `SendMessageHook`, `RPCHook`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use signpost_remoting::RemotingCommand;

use crate::message::{InvalidMessage, append_own};
use crate::outcome::{Cause, Sent};
use crate::queues::MessageQueue;

/// What a hook may fail with: any error, with words for those who send.
pub type HookError = Box<dyn std::error::Error + Send + Sync>;

/// How a send waits for its outcome (RocketMQ `CommunicationMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommunicationMode {
    /// The caller waits.
    Sync,
    /// The caller goes on.
    Async,
    /// Nobody learns of it.
    OneWay,
}

/// RocketMQ's `MessageType`, without transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageType {
    /// Any other.
    Normal,
    /// To be delivered later.
    Delay,
}

/// One attempt to send, as hooks see it.
#[derive(Debug)]
#[non_exhaustive]
pub struct SendContext<'a> {
    /// The producer's group.
    pub group: &'a str,
    /// How it waits.
    pub mode: CommunicationMode,
    /// What kind of message it is.
    pub message_type: MessageType,
    /// The queue chosen.
    pub queue: &'a MessageQueue,
    /// The broker's address.
    pub address: &'a str,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// The message's id; of a batch all of them.
    pub message_ids: &'a [String],
    /// The body as it is sent: compressed if that applies, all messages of a batch.
    pub body: &'a [u8],
    /// The hook's own notes, from before to after.
    pub notes: BTreeMap<String, String>,
    properties: String,
}

impl<'a> SendContext<'a> {
    pub(crate) fn new(
        (group, mode, message_type): (&'a str, CommunicationMode, MessageType),
        (queue, address): (&'a MessageQueue, &'a str),
        attempt: u32,
        (message_ids, body, properties): (&'a [String], &'a [u8], &str),
    ) -> Self {
        let (notes, properties) = (BTreeMap::new(), properties.to_owned());
        Self {
            group,
            mode,
            message_type,
            queue,
            address,
            attempt,
            message_ids,
            body,
            notes,
            properties,
        }
    }

    /// The message's properties as text (see [`signpost_remoting::message::properties`]); of a
    /// batch those that are nobody's own.
    #[must_use]
    pub fn properties(&self) -> &str {
        &self.properties
    }

    /// Adds a property to what this attempt sends, such as a trace's id. Has no effect after it.
    ///
    /// # Errors
    /// When it cannot be one, or is RocketMQ's own.
    pub fn add_property(&mut self, name: &str, value: &str) -> Result<(), InvalidMessage> {
        append_own(&mut self.properties, name, value)
    }
}

/// Refuses sends.
pub trait CheckForbiddenHook: Send + Sync {
    /// Its name, for errors.
    fn name(&self) -> &str;

    /// Ok: the attempt may be made.
    ///
    /// # Errors
    /// Why it may not.
    fn check_forbidden(&self, send: &SendContext<'_>) -> Result<(), HookError>;
}

/// Watches sends.
pub trait SendMessageHook: Send + Sync {
    /// Its name, for logs.
    fn name(&self) -> &str;

    /// Before an attempt.
    ///
    /// # Errors
    /// Are logged only.
    fn before(&self, _send: &mut SendContext<'_>) -> Result<(), HookError> {
        Ok(())
    }

    /// After it: where each message lies (nowhere known, if it was one-way), or what went wrong.
    ///
    /// # Errors
    /// Are logged only.
    fn after(
        &self,
        _send: &SendContext<'_>,
        _outcome: Result<&[Sent], &Cause>,
    ) -> Result<(), HookError> {
        Ok(())
    }
}

/// Sees each request to a broker as it goes over the wire, such as to sign it.
pub trait RpcHook: Send + Sync {
    /// Its name, for errors.
    fn name(&self) -> &str;

    /// Before a request.
    ///
    /// # Errors
    /// Why it cannot be made.
    fn before(&self, address: &str, request: &mut RemotingCommand) -> Result<(), HookError>;

    /// After its response; not called when there is none.
    fn after(&self, _address: &str, _request: &RemotingCommand, _response: &RemotingCommand) {}
}

/// A producer's hooks.
#[derive(Clone, Default)]
pub struct Hooks {
    /// May refuse a send.
    pub check_forbidden: Vec<Arc<dyn CheckForbiddenHook>>,
    /// Watch sends.
    pub send_message: Vec<Arc<dyn SendMessageHook>>,
    /// See requests.
    pub rpc: Vec<Arc<dyn RpcHook>>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check_forbidden, send_message, rpc } = self;
        let counts = [check_forbidden.len(), send_message.len(), rpc.len()];
        write!(f, "Hooks({counts:?})")
    }
}

impl Hooks {
    /// Is there nobody to make a [`SendContext`] for?
    pub(crate) fn see_no_sends(&self) -> bool {
        self.check_forbidden.is_empty() && self.send_message.is_empty()
    }

    /// All that comes before an attempt.
    pub(crate) fn before(&self, send: &mut SendContext<'_>) -> Result<(), Cause> {
        for hook in &self.check_forbidden {
            hook.check_forbidden(send).map_err(|reason| Cause::Forbidden {
                hook: hook.name().to_owned(),
                reason: reason.to_string(),
            })?;
        }
        for hook in &self.send_message {
            if let Err(error) = hook.before(send) {
                tracing::warn!(hook = hook.name(), %error, "a hook failed before a send");
            }
        }
        Ok(())
    }

    /// All that comes after it.
    pub(crate) fn after(&self, send: &SendContext<'_>, outcome: Result<&[Sent], &Cause>) {
        for hook in &self.send_message {
            if let Err(error) = hook.after(send, outcome) {
                tracing::warn!(hook = hook.name(), %error, "a hook failed after a send");
            }
        }
    }
}
