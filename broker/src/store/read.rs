//! What consumers and operators read: messages by queue; in `find.rs` by physical offset, key and
//! time.
//!
//! [`Reader`] is a cheap clone, shared by any number of threads. Its calls block for a file read or
//! a few; an async caller runs them where blocking is allowed (`spawn_blocking`, `block_in_place`).

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::derived::Derived;
use super::flush::LogEnd;
use super::own::QueueEnd;
use super::records::{Records, Wanted};
use super::{StoreError, io_error};

/// Queue entries that one [`Reader::read`] looks at, at most: a filter that matches nothing cannot
/// hold a thread. Source: RocketMQ `maxFilterMessageCount` (16,000 bytes of entries a message).
const SCAN_ENTRIES: i64 = 16_000;
/// Entries read at once when a filter passes over many.
const SCAN_PIECE: usize = 1024;
/// A read begins again so often when old messages are removed under it.
const READ_AGAIN: usize = 3;

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
    /// Messages that can be read.
    pub messages: u64,
    /// Log offset of the first segment.
    pub log_start: u64,
    /// Log offset behind the last message that can be read.
    pub log_end: u64,
    /// Bytes of the log that a power cut may take: none but with asynchronous flush.
    pub unsynced_bytes: u64,
    /// Used share of the file system, from 0 to 1.
    pub disk_used_ratio: f64,
}

/// All that is built from the log, to be compared: it takes memory for each message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Bounds of each queue, and the bytes of its entries.
    pub queues: BTreeMap<(String, i32), (QueueBounds, Vec<u8>)>,
    /// Key hash and physical offset of each index entry of messages that are there.
    pub index: Vec<(i32, u64)>,
}

/// Reads what the store holds.
#[derive(Clone)]
pub struct Reader(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) derived: Arc<Derived>,
    pub(super) records: Records,
    log: Arc<LogEnd>,
}

impl Reader {
    pub(super) fn new(derived: Arc<Derived>, log: Arc<LogEnd>) -> Self {
        let records = Records::new(derived.clone());
        Self(Arc::new(Shared { derived, records, log }))
    }

    pub(super) fn records(&self) -> &Records {
        &self.0.records
    }

    /// Ends of the queues all of whose messages lie before a log offset.
    pub(super) fn ends_before(&self, log_offset: u64) -> Vec<QueueEnd> {
        self.0.derived.queues().ends_before(log_offset)
    }

    /// First and next offset of a queue.
    pub fn bounds(&self, topic: &str, queue_id: i32) -> QueueBounds {
        self.0.derived.queues().bounds(topic, queue_id)
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
        let mut left = READ_AGAIN;
        loop {
            let bounds = self.bounds(topic, queue_id);
            let outcome = self.read_once(topic, queue_id, from, limits, filter, bounds);
            let now = self.bounds(topic, queue_id);
            // Removed meanwhile, as old or with its topic: now the bounds say so.
            let has_gone = now.min_offset > from || now.max_offset < bounds.max_offset;
            match outcome {
                Err(_) if has_gone && left > 0 => left -= 1,
                outcome => return outcome.map_err(|error| io_error("read messages", error)),
            }
        }
    }

    fn read_once(
        &self,
        topic: &str,
        queue_id: i32,
        from: i64,
        limits: Limits,
        filter: &dyn Fn(i64) -> bool,
        bounds: QueueBounds,
    ) -> io::Result<Batch> {
        let QueueBounds { min_offset, max_offset } = bounds;
        let batch = |next_offset, status| Batch {
            records: Vec::new(),
            next_offset,
            min_offset,
            max_offset,
            status,
        };
        if from < min_offset {
            return Ok(batch(min_offset, Status::TooSmall));
        }
        if from >= max_offset {
            let status = if from == max_offset { Status::NoneYet } else { Status::Overflow };
            return Ok(batch(max_offset, status));
        }
        let messages = limits.messages.max(1);
        let scan_end = from.saturating_add(SCAN_ENTRIES).min(max_offset);
        let (mut chosen, mut bytes, mut next) = (Vec::new(), 0, from);
        let mut piece = messages.min(SCAN_PIECE);
        'scan: while next < scan_end && chosen.len() < messages {
            let left = usize::try_from(scan_end - next).unwrap_or(usize::MAX);
            let entries = self.0.derived.entries(topic, queue_id, next, piece.min(left))?;
            if entries.is_empty() {
                return Err(io::ErrorKind::NotFound.into());
            }
            for entry in entries {
                if filter(entry.code) {
                    let size = entry.bytes as usize;
                    if chosen.len() == messages
                        || (!chosen.is_empty() && bytes + size > limits.bytes)
                    {
                        break 'scan;
                    }
                    bytes += size;
                    chosen.push(Wanted { entry, queue_id, queue_offset: next });
                }
                next += 1;
            }
            piece = SCAN_PIECE;
        }
        let status = if chosen.is_empty() { Status::NoMatch } else { Status::Found };
        Ok(Batch { records: self.0.records.all(&chosen)?, ..batch(next, status) })
    }

    /// State of the store.
    pub fn stats(&self) -> StoreStats {
        let Shared { derived, log, .. } = &*self.0;
        let disk_used_ratio = derived.files.disk.used_ratio().unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot tell how full the disk is");
            1.0
        });
        let synced = log.synced();
        let queues = derived.queues();
        StoreStats {
            messages: queues.messages(),
            log_start: queues.log_min,
            log_end: queues.log_end,
            unsynced_bytes: queues.log_end.saturating_sub(synced),
            disk_used_ratio,
        }
    }

    /// Entries and keys that are in memory only.
    #[cfg(test)]
    pub(super) fn unwritten(&self) -> usize {
        self.0.derived.queues().unwritten
    }

    /// Everything that is built from the log, for comparing it with a rebuild.
    ///
    /// # Errors
    /// When files cannot be read.
    pub fn contents(&self) -> Result<Contents, StoreError> {
        self.read_contents().map_err(|error| io_error("read queues and index", error))
    }

    fn read_contents(&self) -> io::Result<Contents> {
        let derived = &self.0.derived;
        let (all, log_min): (Vec<_>, _) = {
            let queues = derived.queues();
            let all = queues.topics.iter().flat_map(|(topic, of_topic)| {
                of_topic.iter().map(|(id, queue)| ((topic.clone(), *id), queue.bounds()))
            });
            (all.collect(), queues.log_min)
        };
        let mut contents = Contents::default();
        for ((topic, queue_id), bounds) in all {
            let (mut bytes, mut next) = (BytesMut::new(), bounds.min_offset);
            while next < bounds.max_offset {
                let entries = derived.entries(&topic, queue_id, next, SCAN_PIECE)?;
                if entries.is_empty() {
                    return Err(io::ErrorKind::NotFound.into());
                }
                entries.iter().for_each(|entry| entry.put(&mut bytes));
                next += entries.len() as i64;
            }
            contents.queues.insert((topic, queue_id), (bounds, bytes.to_vec()));
        }
        let unwritten: Vec<_> = {
            let queues = derived.queues();
            queues.keys.iter().map(|key| (key.hash, key.physical_offset)).collect()
        };
        contents.index = derived.index().entries(&derived.files)?;
        contents.index.extend(unwritten);
        contents.index.retain(|(_, physical_offset)| *physical_offset >= log_min);
        Ok(contents)
    }
}
