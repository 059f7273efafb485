//! Messages found otherwise than by the way through their queue: by where they lie, by key, by time.

use std::io;

use bytes::{Bytes, BytesMut};
use signpost_remoting::message::{StoredMessage, properties};

use super::index;
use super::queues::Entry;
use super::read::{Boundary, QueueBounds, Reader};
use super::{StoreError, io_error};

/// Messages that one search by key looks at, at most.
const SEARCH_MESSAGES: usize = 10_000;

impl Reader {
    /// The record at a physical offset; none where no message begins, or its topic was deleted.
    ///
    /// # Errors
    /// When files cannot be read.
    pub fn message_at(&self, physical_offset: i64) -> Result<Option<Bytes>, StoreError> {
        let Ok(offset) = u64::try_from(physical_offset) else { return Ok(None) };
        let message = self.present(offset).map_err(|error| io_error("read a message", error))?;
        Ok(message.as_ref().and_then(encoded))
    }

    /// The message at a physical offset, if a queue has it. What looks like a record may be bytes
    /// inside of one; only a queue's entry says that it is.
    fn present(&self, physical_offset: u64) -> io::Result<Option<StoredMessage>> {
        let found = self.0.records.find(physical_offset);
        let found = found.or_else(|error| match error.kind() {
            // Removed meanwhile.
            io::ErrorKind::NotFound => Ok(None),
            _ => Err(error),
        });
        let Some(message) = found? else { return Ok(None) };
        let entry = self.entry(&message.topic, message.queue_id, message.queue_offset)?;
        let is_there = entry.is_some_and(|entry| entry.physical_offset == physical_offset);
        Ok(is_there.then_some(message))
    }

    fn entry(&self, topic: &str, queue_id: i32, offset: i64) -> io::Result<Option<Entry>> {
        match self.0.derived.entry(topic, queue_id, offset) {
            // Removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other,
        }
    }

    /// Records of a topic with this key (one of KEYS, or UNIQ_KEY), stored from `begin_ms` to
    /// `end_ms`, both included; the latest `max` of them, the latest first. Reads at most 10,000
    /// messages whose keys have the same hash.
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
        let found = || {
            let mut found = Vec::new();
            for physical_offset in self.candidates(topic, key, (begin_ms, end_ms))? {
                if found.len() == max {
                    break;
                }
                let Some(message) = self.present(physical_offset)? else { continue };
                let names = [properties::UNIQ_KEY, properties::KEYS];
                let [unique, keys] = properties::get_each(&message.properties, names);
                if message.topic == topic
                    && (begin_ms..=end_ms).contains(&message.store_timestamp_ms)
                    && index::keys(unique, keys).any(|one| one == key)
                {
                    found.extend(encoded(&message));
                }
            }
            Ok(found)
        };
        found().map_err(|error| io_error("search by key", error))
    }

    /// Where messages lie that may have a key, the last first.
    fn candidates(&self, topic: &str, key: &str, time: (i64, i64)) -> io::Result<Vec<u64>> {
        let hash = index::key_hash(topic, key);
        let derived = &self.0.derived;
        // In this order: what goes from here to there meanwhile is seen twice rather than not.
        let mut all: Vec<u64> = {
            let queues = derived.queues();
            let keys = queues.keys.iter().filter(|key| key.hash == hash);
            keys.map(|key| key.physical_offset).collect()
        };
        let index = derived.index();
        index.find(&derived.files, hash, time, SEARCH_MESSAGES, &mut all)?;
        drop(index);
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.dedup();
        all.truncate(SEARCH_MESSAGES);
        Ok(all)
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
        let QueueBounds { min_offset, max_offset } = self.bounds(topic, queue_id);
        // The first that was stored at that time or later.
        let first_from = |limit_ms: i64| {
            let (mut low, mut high) = (min_offset, max_offset);
            while low < high {
                let middle = low + (high - low) / 2;
                match self.store_time(topic, queue_id, middle)? {
                    Some(stored_ms) if stored_ms >= limit_ms => high = middle,
                    // Or it has been removed meanwhile, as older than those behind it.
                    _ => low = middle + 1,
                }
            }
            Ok(low)
        };
        match boundary {
            Boundary::Lower => first_from(timestamp_ms),
            Boundary::Upper => {
                first_from(timestamp_ms.saturating_add(1)).map(|next| (next - 1).max(min_offset))
            }
        }
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
        let time = || match self.entry(topic, queue_id, offset)? {
            Some(entry) => self.time_at(entry.physical_offset),
            None => Ok(None),
        };
        time().map_err(|error| io_error("read a message's time", error))
    }

    /// When the first message of the log was stored, in ms since 1970.
    ///
    /// # Errors
    /// When files cannot be read.
    pub fn earliest_store_time(&self) -> Result<Option<i64>, StoreError> {
        let first = self.0.derived.queues().log_min;
        self.time_at(first).map_err(|error| io_error("read a message's time", error))
    }

    fn time_at(&self, physical_offset: u64) -> io::Result<Option<i64>> {
        match self.0.records.store_time(physical_offset) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }
}

/// The record again: what was decoded from one is encoded to the same bytes.
fn encoded(message: &StoredMessage) -> Option<Bytes> {
    let mut bytes = BytesMut::new();
    message.encode_into(&mut bytes).ok().map(|()| bytes.freeze())
}
