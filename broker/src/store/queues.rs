//! What is built from the log, as far as it is not in files yet: where each queue begins and ends,
//! its last entries, the last keys. Pure; [`super::derived`] writes it to files.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, BufMut};
use signpost_remoting::message::{StoredMessage, properties};

use super::index::{self, Key};
use super::own::{self, Kind, QueueEnd};
use super::read::QueueBounds;
use super::tags;

/// Size of an entry of a consume queue.
pub(super) const ENTRY_BYTES: u64 = 20;

/// A message that is in the log for good.
#[derive(Debug, Clone, Copy)]
pub struct Dispatched<'a> {
    /// The message, with its offsets.
    pub message: &'a StoredMessage,
    /// Size of its record.
    pub bytes: usize,
}

/// Something that follows the log, message by message in the log's order.
pub trait Dispatch: Send + 'static {
    /// Takes in the next message. Called once for each message that a start replays, and for each
    /// further one once it can be read and before it is acknowledged.
    fn dispatch(&mut self, stored: &Dispatched<'_>);
}

/// A message of a queue. Source: RocketMQ `ConsumeQueue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where its record begins in the log.
    pub(super) physical_offset: u64,
    /// Size of the record.
    pub(super) bytes: u32,
    /// What filters are asked with ([`tags::code`]).
    pub(super) code: i64,
}

impl Entry {
    pub(super) fn put(&self, dst: &mut impl BufMut) {
        dst.put_u64(self.physical_offset);
        dst.put_u32(self.bytes);
        dst.put_i64(self.code);
    }

    pub(super) fn get(mut src: &[u8]) -> Self {
        Self { physical_offset: src.get_u64(), bytes: src.get_u32(), code: src.get_i64() }
    }
}

/// One queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// First offset that can be read.
    pub(super) min: i64,
    /// First offset whose entry is not in a file.
    pub(super) written: i64,
    /// The entries from there on.
    pub(super) tail: Vec<Entry>,
    /// Where its last message lies; 0 if none is known.
    pub(super) last_physical: u64,
}

impl Queue {
    /// The offset that the next message gets.
    pub(super) fn next(&self) -> i64 {
        self.written + self.tail.len() as i64
    }

    pub(super) fn bounds(&self) -> QueueBounds {
        QueueBounds { min_offset: self.min, max_offset: self.next() }
    }

    /// A queue without entries that goes on at an offset.
    fn begin_at(&mut self, offset: i64) {
        (self.min, self.written) = (offset, offset);
    }
}

/// All queues and keys, up to a log offset.
#[derive(Debug, Default)]
pub(super) struct Queues {
    pub(super) topics: BTreeMap<String, BTreeMap<i32, Queue>>,
    /// Keys that are not in the index yet.
    pub(super) keys: Vec<Key>,
    /// Entries and keys that are not in files yet.
    pub(super) unwritten: usize,
    /// Topics that were deleted and whose files are still there.
    pub(super) deleted: BTreeSet<String>,
    /// Log offset of the first segment.
    pub(super) log_min: u64,
    /// Log offset behind the last batch that was taken in.
    pub(super) log_end: u64,
}

impl Queues {
    /// A queue, if it has ever had a message.
    pub(super) fn queue(&self, topic: &str, queue_id: i32) -> Option<&Queue> {
        self.topics.get(topic)?.get(&queue_id)
    }

    /// First and next offset of a queue; both 0 for one that does not exist.
    pub(super) fn bounds(&self, topic: &str, queue_id: i32) -> QueueBounds {
        self.queue(topic, queue_id).map_or_else(QueueBounds::default, Queue::bounds)
    }

    /// A queue, made if there is none.
    pub(super) fn ensure(&mut self, topic: &str, queue_id: i32) -> &mut Queue {
        if !self.topics.contains_key(topic) {
            self.topics.insert(topic.to_owned(), BTreeMap::new());
        }
        let queues = self.topics.get_mut(topic).expect("put there if it was missing");
        queues.entry(queue_id).or_default()
    }

    /// Messages that can be read.
    pub(super) fn messages(&self) -> u64 {
        let queues = self.topics.values().flat_map(BTreeMap::values);
        queues.map(|queue| (queue.next() - queue.min).cast_unsigned()).sum()
    }

    /// Takes in the next message of the log.
    ///
    /// # Errors
    /// When its queue has no such next offset: then the log is not one that was written here.
    pub(super) fn add(&mut self, stored: &Dispatched<'_>) -> Result<(), String> {
        match own::kind(stored.message) {
            Kind::Message => self.add_message(stored),
            Kind::Deletion(topic) => {
                self.delete(topic);
                Ok(())
            }
            Kind::Ends(ends) => {
                for QueueEnd { topic, queue_id, next } in ends {
                    let queue = self.ensure(&topic, queue_id);
                    // Otherwise the log still has messages of it.
                    if queue.next() < next && queue.min == queue.next() {
                        queue.begin_at(next);
                    }
                }
                Ok(())
            }
        }
    }

    fn add_message(&mut self, stored: &Dispatched<'_>) -> Result<(), String> {
        let message = stored.message;
        let queue = self.ensure(&message.topic, message.queue_id);
        if queue.next() != message.queue_offset {
            if queue.min != queue.next() || message.queue_offset < queue.next() {
                return Err(format!(
                    "queue {} of {} goes from offset {} to {}",
                    message.queue_id,
                    message.topic,
                    queue.next(),
                    message.queue_offset
                ));
            }
            // The log begins behind its first messages.
            queue.begin_at(message.queue_offset);
        }
        let names = [properties::TAGS, properties::DELAY, properties::UNIQ_KEY, properties::KEYS];
        let [tag, level, unique, keys] = properties::get_each(&message.properties, names);
        queue.last_physical = message.physical_offset.cast_unsigned();
        queue.tail.push(Entry {
            physical_offset: queue.last_physical,
            bytes: u32::try_from(stored.bytes).unwrap_or(u32::MAX),
            code: tags::code(message, tag, level),
        });
        let known = self.keys.len();
        self.keys.extend(index::keys(unique, keys).map(|key| index::key_of(message, key)));
        self.unwritten += 1 + self.keys.len() - known;
        Ok(())
    }

    fn delete(&mut self, topic: &str) {
        if let Some(queues) = self.topics.remove(topic) {
            self.unwritten -= queues.values().map(|queue| queue.tail.len()).sum::<usize>();
            self.deleted.insert(topic.to_owned());
        }
    }

    /// Ends of the queues whose last message lies before a log offset.
    pub(super) fn ends_before(&self, log_offset: u64) -> Vec<QueueEnd> {
        let all = self.topics.iter().flat_map(|(topic, queues)| {
            queues.iter().map(move |(queue_id, queue)| (topic, *queue_id, queue))
        });
        all.filter(|(_, _, queue)| queue.next() > 0 && queue.last_physical < log_offset)
            .map(|(topic, queue_id, queue)| QueueEnd {
                topic: topic.clone(),
                queue_id,
                next: queue.next(),
            })
            .collect()
    }
}

/// Next offset of each queue that is being written to: ahead of [`Queues`] by the present batch.
#[derive(Debug, Default)]
pub(super) struct QueueTails {
    tails: BTreeMap<String, BTreeMap<i32, i64>>,
}

impl QueueTails {
    /// Takes the next offset of a queue; `known` says where one goes on that was not written to yet.
    pub(super) fn take(
        &mut self,
        topic: &str,
        queue_id: i32,
        known: impl FnOnce() -> QueueBounds,
    ) -> i64 {
        if let Some(tail) = self.tails.get_mut(topic).and_then(|queues| queues.get_mut(&queue_id)) {
            *tail += 1;
            return *tail - 1;
        }
        let first = known().max_offset;
        self.tails.entry(topic.to_owned()).or_default().insert(queue_id, first + 1);
        first
    }

    /// Gives back an offset that [`take`](Self::take) gave last: the message was not stored.
    pub(super) fn give_back(&mut self, topic: &str, queue_id: i32, offset: i64) {
        if let Some(tail) = self.tails.get_mut(topic).and_then(|queues| queues.get_mut(&queue_id)) {
            *tail = offset;
        }
    }

    /// A topic has been deleted: its queues begin anew.
    pub(super) fn forget(&mut self, topic: &str) {
        self.tails.remove(topic);
    }
}
