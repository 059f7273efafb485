//! Where each message of each queue lies: 32 bytes a message, in memory, built from the log at the
//! start. Source of what an entry says: RocketMQ `ConsumeQueue`.

use std::collections::BTreeMap;

use super::deletion::deleted_topic;
use super::queues::Dispatched;
use super::read::{Boundary, QueueBounds};
use super::tags;

/// A message of a queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Where its record begins in the log.
    pub(super) physical_offset: i64,
    /// Size of the record.
    pub(super) bytes: u32,
    /// What filters are asked with ([`tags::code`]).
    pub(super) code: i64,
    /// When it was stored, in ms since 1970.
    pub(super) store_timestamp_ms: i64,
}

/// The messages of one queue, from its first offset on.
#[derive(Debug, Default)]
pub(super) struct Queue {
    first_offset: i64,
    entries: Vec<Entry>,
}

impl Queue {
    /// First and next offset.
    pub(super) fn bounds(&self) -> QueueBounds {
        let max_offset = self.first_offset + self.entries.len() as i64;
        QueueBounds { min_offset: self.first_offset, max_offset }
    }

    /// The message at an offset.
    pub(super) fn get(&self, offset: i64) -> Option<&Entry> {
        let position = usize::try_from(offset.checked_sub(self.first_offset)?).ok()?;
        self.entries.get(position)
    }

    /// All messages, the first first.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The offset around a time.
    pub(super) fn offset_at(&self, timestamp_ms: i64, boundary: Boundary) -> i64 {
        let before = |limit_ms: i64| {
            let stored_before = |entry: &Entry| entry.store_timestamp_ms < limit_ms;
            self.first_offset + self.entries.partition_point(stored_before) as i64
        };
        match boundary {
            Boundary::Lower => before(timestamp_ms),
            Boundary::Upper => (before(timestamp_ms.saturating_add(1)) - 1).max(self.first_offset),
        }
    }
}

/// All queues, and how far the log has been taken in.
#[derive(Debug, Default)]
pub(super) struct Positions {
    topics: BTreeMap<String, BTreeMap<i32, Queue>>,
    /// When the first message of the log was stored.
    pub(super) earliest_ms: Option<i64>,
    /// Messages taken in.
    pub(super) messages: u64,
    /// Log offset behind the last of them.
    pub(super) end: u64,
}

impl Positions {
    /// A queue, if it has ever had a message.
    pub(super) fn queue(&self, topic: &str, queue_id: i32) -> Option<&Queue> {
        self.topics.get(topic)?.get(&queue_id)
    }

    /// All queues of a topic.
    pub(super) fn queues(&self, topic: &str) -> impl Iterator<Item = &Queue> {
        self.topics.get(topic).into_iter().flat_map(BTreeMap::values)
    }

    /// Takes in the next message of the log.
    pub(super) fn add(&mut self, stored: &Dispatched<'_>) {
        let message = stored.message;
        self.end = message.physical_offset.cast_unsigned() + stored.bytes as u64;
        if let Some(topic) = deleted_topic(message) {
            self.topics.remove(topic);
            return;
        }
        self.earliest_ms.get_or_insert(message.store_timestamp_ms);
        self.messages += 1;
        if !self.topics.contains_key(&message.topic) {
            self.topics.insert(message.topic.clone(), BTreeMap::new());
        }
        let queues = self.topics.get_mut(&message.topic).expect("put there if it was missing");
        let queue = queues.entry(message.queue_id).or_default();
        if queue.entries.is_empty() {
            queue.first_offset = message.queue_offset;
        }
        queue.entries.push(Entry {
            physical_offset: message.physical_offset,
            bytes: u32::try_from(stored.bytes).unwrap_or(u32::MAX),
            code: tags::code(message),
            store_timestamp_ms: message.store_timestamp_ms,
        });
    }
}
