//! What consumers and operators read: messages by queue, by physical offset, by key, by time.
//!
//! [`Reader`] is a cheap clone, shared by any number of threads. Its calls block for a file read or
//! a few; an async caller runs them where blocking is allowed (`spawn_blocking`, `block_in_place`).

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use signpost_remoting::message::{StoredMessage, properties};

use super::StoreError;
use super::disk::Disk;
use super::positions::{Entry, Positions};
use super::queues::{Dispatch, Dispatched};
use super::records::Records;

/// Queue entries that one [`Reader::read`] looks at, at most: a filter that matches nothing cannot
/// hold a thread. Source: RocketMQ `maxFilterMessageCount` (16,000 bytes of entries a message).
const SCAN_ENTRIES: i64 = 16_000;
/// Messages of a topic that one search by key looks at, at most, the latest first.
const SEARCH_MESSAGES: usize = 100_000;

/// First and next offset of a queue; both 0 for one that does not exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueBounds {
    /// The first message that can be read (RocketMQ's logical minimum).
    pub min_offset: i64,
    /// The offset that the next message will get.
    pub max_offset: i64,
}

/// How much one read answers.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// At most so many messages.
    pub messages: usize,
    /// At most so many bytes of records; the first message is answered however large it is.
    pub bytes: usize,
}

/// How a read went. Source: RocketMQ `GetMessageStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// There are messages.
    Found,
    /// The offset is the next to be written; the queue may be empty (19: may be held).
    NoneYet,
    /// The filter took none of those that were looked at; go on at `next_offset` (20).
    NoMatch,
    /// The offset lies before the first message (21); `next_offset` is the first.
    TooSmall,
    /// The offset lies beyond the next to be written (21); `next_offset` is that one.
    Overflow,
}

/// Answer of a read.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Stored records exactly as they are in the log, in the order of the queue.
    pub records: Vec<Bytes>,
    /// Where to read on.
    pub next_offset: i64,
    /// The queue's first offset.
    pub min_offset: i64,
    /// The queue's next offset.
    pub max_offset: i64,
    /// How it went.
    pub status: Status,
}

/// Which of the messages around a time is meant. Source: RocketMQ 5 `BoundaryType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// The first stored at that time or later; the next offset to be written if there is none.
    Lower,
    /// The last stored at that time or earlier; the first offset if there is none.
    Upper,
}

/// State of the store, for metrics and operators.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StoreStats {
    /// Messages in the log, deleted ones too.
    pub messages: u64,
    /// Log offset behind the last message that can be read; the log begins at 0.
    pub log_end: u64,
    /// Used share of the file system, from 0 to 1.
    pub disk_used_ratio: f64,
}

/// Reads what the store holds.
#[derive(Clone)]
pub struct Reader(Arc<Shared>);

struct Shared {
    positions: RwLock<Positions>,
    records: Records,
}

impl Dispatch for Reader {
    fn dispatch(&mut self, stored: &Dispatched<'_>) {
        self.0.positions.write().unwrap_or_else(PoisonError::into_inner).add(stored);
    }
}

impl Reader {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        let (positions, records) = (RwLock::default(), Records::new(disk));
        Self(Arc::new(Shared { positions, records }))
    }

    fn positions(&self) -> RwLockReadGuard<'_, Positions> {
        self.0.positions.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, entry: &Entry) -> Result<Bytes, StoreError> {
        self.0.records.at(entry.physical_offset, entry.bytes as usize)
    }

    /// First and next offset of a queue.
    pub fn bounds(&self, topic: &str, queue_id: i32) -> QueueBounds {
        let positions = self.positions();
        positions.queue(topic, queue_id).map_or_else(QueueBounds::default, |queue| queue.bounds())
    }

    /// Reads a queue from an offset on. The filter is asked with what the queue entry holds: the
    /// hash of the message's tag ([`super::tags::hash`]), for delayed messages their delivery time
    /// in ms.
    ///
    /// # Errors
    /// When files cannot be read.
    pub fn read(
        &self,
        topic: &str,
        queue_id: i32,
        from: i64,
        limits: Limits,
        filter: &dyn Fn(i64) -> bool,
    ) -> Result<Batch, StoreError> {
        let (mut batch, entries) = self.choose(topic, queue_id, from, limits, filter);
        for entry in &entries {
            batch.records.push(self.record(entry)?);
        }
        Ok(batch)
    }

    /// What a read answers, and where its records lie: while positions are looked at, no file is
    /// read, for the writer waits.
    fn choose(
        &self,
        topic: &str,
        queue_id: i32,
        from: i64,
        limits: Limits,
        filter: &dyn Fn(i64) -> bool,
    ) -> (Batch, Vec<Entry>) {
        let positions = self.positions();
        let queue = positions.queue(topic, queue_id);
        let bounds = queue.map_or_else(QueueBounds::default, |queue| queue.bounds());
        let QueueBounds { min_offset, max_offset } = bounds;
        let batch = |next_offset, status| Batch {
            records: Vec::new(),
            next_offset,
            min_offset,
            max_offset,
            status,
        };
        if from < min_offset {
            return (batch(min_offset, Status::TooSmall), Vec::new());
        }
        let Some(queue) = queue.filter(|_| from < max_offset) else {
            let status = if from == max_offset { Status::NoneYet } else { Status::Overflow };
            return (batch(max_offset, status), Vec::new());
        };
        let (mut chosen, mut bytes, mut next) = (Vec::new(), 0, from);
        while next < from.saturating_add(SCAN_ENTRIES)
            && chosen.len() < limits.messages.max(1)
            && let Some(entry) = queue.get(next)
        {
            if filter(entry.code) {
                let size = entry.bytes as usize;
                if !chosen.is_empty() && bytes + size > limits.bytes {
                    break;
                }
                bytes += size;
                chosen.push(*entry);
            }
            next += 1;
        }
        let status = if chosen.is_empty() { Status::NoMatch } else { Status::Found };
        (batch(next, status), chosen)
    }

    /// The record at a physical offset; none where no message begins, or its topic was deleted.
    ///
    /// # Errors
    /// When files cannot be read.
    pub fn message_at(&self, physical_offset: i64) -> Result<Option<Bytes>, StoreError> {
        let Some(message) = self.0.records.find(physical_offset)? else { return Ok(None) };
        // What looks like a record may be bytes inside of one; only a queue's entry says that it is.
        let entry = {
            let positions = self.positions();
            let queue = positions.queue(&message.topic, message.queue_id);
            queue.and_then(|queue| queue.get(message.queue_offset)).copied()
        };
        let entry = entry.filter(|entry| entry.physical_offset == physical_offset);
        entry.map(|entry| self.record(&entry)).transpose()
    }

    /// Records of a topic with this key (one of KEYS, or UNIQ_KEY), stored from `begin_ms` to
    /// `end_ms`, both included; the latest `max` of them, the latest first. Reads messages until it
    /// has found so many, of the topic's latest 100,000 in that time.
    ///
    /// # Errors
    /// When files cannot be read.
    pub fn by_key(
        &self,
        topic: &str,
        key: &str,
        max: usize,
        begin_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<Bytes>, StoreError> {
        let mut entries: Vec<Entry> = Vec::new();
        for queue in self.positions().queues(topic) {
            let stored = |entry: &&Entry| (begin_ms..=end_ms).contains(&entry.store_timestamp_ms);
            entries.extend(queue.entries().iter().rev().filter(stored).take(SEARCH_MESSAGES));
        }
        entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.physical_offset));
        let mut found = Vec::new();
        for entry in entries.iter().take(SEARCH_MESSAGES) {
            if found.len() == max {
                break;
            }
            let record = self.record(entry)?;
            let message = StoredMessage::decode(&mut record.clone());
            if message.is_ok_and(|message| has_key(&message, key)) {
                found.push(record);
            }
        }
        Ok(found)
    }

    /// Offset of the message of a queue that was stored around a time.
    ///
    /// # Errors
    /// When files cannot be read.
    pub fn offset_at(
        &self,
        topic: &str,
        queue_id: i32,
        timestamp_ms: i64,
        boundary: Boundary,
    ) -> Result<i64, StoreError> {
        let positions = self.positions();
        let queue = positions.queue(topic, queue_id);
        Ok(queue.map_or(0, |queue| queue.offset_at(timestamp_ms, boundary)))
    }

    /// When the message at a queue's offset was stored, in ms since 1970; none if it is not there.
    ///
    /// # Errors
    /// When files cannot be read.
    pub fn store_time(
        &self,
        topic: &str,
        queue_id: i32,
        offset: i64,
    ) -> Result<Option<i64>, StoreError> {
        let positions = self.positions();
        let entry = positions.queue(topic, queue_id).and_then(|queue| queue.get(offset));
        Ok(entry.map(|entry| entry.store_timestamp_ms))
    }

    /// When the first message of the log was stored, in ms since 1970.
    ///
    /// # Errors
    /// When files cannot be read.
    pub fn earliest_store_time(&self) -> Result<Option<i64>, StoreError> {
        Ok(self.positions().earliest_ms)
    }

    /// State of the store.
    pub fn stats(&self) -> StoreStats {
        let disk_used_ratio = self.0.records.disk_used_ratio().unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot tell how full the disk is");
            1.0
        });
        let positions = self.positions();
        StoreStats { messages: positions.messages, log_end: positions.end, disk_used_ratio }
    }
}

fn has_key(message: &StoredMessage, key: &str) -> bool {
    let property = |name| properties::get(&message.properties, name);
    property(properties::UNIQ_KEY) == Some(key)
        || property(properties::KEYS).is_some_and(|keys| keys.split(' ').any(|one| one == key))
}
