//! [`Calls`]: our requests that have been put into the outbox.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use super::{Cause, InvokeError};
use crate::RemotingCommand;

/// Calls whose callers have given up are looked for when this many are pending.
const PURGE_MIN_CALLS: usize = 64;

/// Our requests that wait for responses, by id.
#[derive(Default)]
pub(super) struct Calls {
    waiting: BTreeMap<i32, Call>,
    last_opaque: i32,
    purge_at: usize,
}

pub(super) struct Call {
    /// Position of the request's first byte among all bytes ever put into the outbox.
    pub(super) start: u64,
    pub(super) reply: oneshot::Sender<Result<RemotingCommand, InvokeError>>,
}

impl Calls {
    /// An id that none of them has.
    pub(super) fn next_opaque(&mut self) -> i32 {
        loop {
            self.last_opaque = self.last_opaque.wrapping_add(1);
            if !self.waiting.contains_key(&self.last_opaque) {
                return self.last_opaque;
            }
        }
    }

    /// A request with this id stands in the outbox.
    pub(super) fn insert(&mut self, opaque: i32, call: Call) {
        if self.waiting.len() >= self.purge_at.max(PURGE_MIN_CALLS) {
            self.waiting.retain(|_, call| !call.reply.is_closed());
            self.purge_at = self.waiting.len() * 2;
        }
        self.waiting.insert(opaque, call);
    }

    /// Hands a response to its caller; one that nobody waits for is dropped.
    pub(super) fn complete(&mut self, response: RemotingCommand) {
        if let Some(call) = self.waiting.remove(&response.opaque) {
            let _ = call.reply.send(Ok(response));
        }
    }

    /// Tells every caller that still waits, now that the connection has ended, whether its request can
    /// have left: so many bytes have.
    pub(super) fn fail(&mut self, written_total: u64) {
        for (_, call) in std::mem::take(&mut self.waiting) {
            let error = if call.start < written_total {
                InvokeError::Unknown(Cause::Closed)
            } else {
                InvokeError::NotSent(Cause::Closed)
            };
            let _ = call.reply.send(Err(error));
        }
    }
}
