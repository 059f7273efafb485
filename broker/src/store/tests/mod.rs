//! The commit log: acknowledged means there after any crash, and nothing torn ever comes back.

mod crash;
mod files;
mod flushing;
mod log;
mod old;
mod reading;
mod sim;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use signpost_remoting::message::StoredMessage;

use super::StoreOptions;
use super::flush::Flush;
use super::queues::{Dispatch, Dispatched};
use super::retention::Retention;

pub(super) const OPTIONS: StoreOptions = StoreOptions {
    segment_bytes: 4096,
    max_pending_bytes: 1 << 20,
    log_id: 0xA5A5_0001_FEED_BEEF,
    flush: Flush::Sync,
    // Only when a test says so.
    checkpoint_every: Duration::from_secs(3600),
    write_out_at: 1000,
    unwritten_max: 2000,
    queue_file_entries: 50,
    index_entries: 64,
    retention: Retention { age: Duration::from_secs(3600), clean_above: 0.85, refuse_above: 0.9 },
};

/// A message whose whole content follows from its number.
pub(super) fn message(number: u32) -> StoredMessage {
    let host = ([127, 0, 0, 1], 10_911).into();
    StoredMessage {
        queue_id: (number % 3).cast_signed(),
        flag: number.cast_signed(),
        queue_offset: 0,
        physical_offset: 0,
        sys_flag: 0,
        born_timestamp_ms: i64::from(number),
        born_host: host,
        store_timestamp_ms: 0,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: Bytes::from(vec![number as u8; (number as usize * 37) % 300]),
        topic: format!("Topic{}", number % 2),
        properties: format!("KEYS\u{1}{number}\u{2}{}", "x".repeat(number as usize % 50)),
    }
}

/// Whether a message that was read is one that was sent, whole.
pub(super) fn is_whole(read: &StoredMessage) -> bool {
    let sent = message(read.flag.cast_unsigned());
    let placed = StoredMessage {
        queue_offset: read.queue_offset,
        physical_offset: read.physical_offset,
        store_timestamp_ms: read.store_timestamp_ms,
        ..sent
    };
    *read == placed
}

/// Collects what is dispatched.
#[derive(Clone, Default)]
pub(super) struct Collected(pub(super) Arc<Mutex<Vec<StoredMessage>>>);

impl Dispatch for Collected {
    fn dispatch(&mut self, stored: &Dispatched<'_>) {
        assert_eq!(stored.bytes, stored.message.encoded_bytes());
        if !stored.message.topic.starts_with("Topic") {
            return;
        }
        self.0.lock().unwrap().push(stored.message.clone());
    }
}

impl Collected {
    pub(super) fn numbers(&self) -> Vec<u32> {
        self.0.lock().unwrap().iter().map(|message| message.flag.cast_unsigned()).collect()
    }
}
