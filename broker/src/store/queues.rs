//! What is derived from the log: so far the next offset of each queue. Consume queues and indices
//! are further [`Dispatch`]ers, fed by the same two callers: recovery and the writer.

use std::collections::BTreeMap;

use signpost_remoting::message::StoredMessage;

use super::deletion::deleted_topic;

/// A message that is in the log for good.
#[derive(Debug, Clone, Copy)]
pub struct Dispatched<'a> {
    /// The message, with its offsets.
    pub message: &'a StoredMessage,
    /// Size of its record.
    pub bytes: usize,
}

/// Something that is built from the log, message by message in the log's order.
pub trait Dispatch: Send + 'static {
    /// Takes in the next message. Called once for each message of the log at the start, and for
    /// each further one after it has been synced and before it is acknowledged.
    fn dispatch(&mut self, stored: &Dispatched<'_>);
}

/// Next offset of each queue.
#[derive(Debug, Default)]
pub(super) struct QueueTails {
    tails: BTreeMap<String, BTreeMap<i32, i64>>,
}

impl QueueTails {
    /// Takes the next offset of a queue.
    pub(super) fn take(&mut self, topic: &str, queue_id: i32) -> i64 {
        let tail = self.tail(topic, queue_id);
        let taken = *tail;
        *tail += 1;
        taken
    }

    /// Gives back an offset that [`take`](Self::take) gave last: the message was not stored.
    pub(super) fn give_back(&mut self, topic: &str, queue_id: i32, offset: i64) {
        *self.tail(topic, queue_id) = offset;
    }

    fn tail(&mut self, topic: &str, queue_id: i32) -> &mut i64 {
        if !self.tails.contains_key(topic) {
            self.tails.insert(topic.to_owned(), BTreeMap::new());
        }
        let queues = self.tails.get_mut(topic).expect("it was put there if it was missing");
        queues.entry(queue_id).or_insert(0)
    }
}

impl Dispatch for QueueTails {
    fn dispatch(&mut self, stored: &Dispatched<'_>) {
        if let Some(topic) = deleted_topic(stored.message) {
            self.tails.remove(topic);
            return;
        }
        let StoredMessage { topic, queue_id, queue_offset, .. } = stored.message;
        let tail = self.tail(topic, *queue_id);
        *tail = (*tail).max(queue_offset.saturating_add(1));
    }
}
