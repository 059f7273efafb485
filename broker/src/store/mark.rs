//! The commit mark: a record after each batch that says where the batch began and what its bytes
//! add up to. A message's own checksum covers its body alone; only the mark tells a batch that is
//! whole from one whose topic or properties were still on their way when the power went.
//!
//! It is a message like any other, of a topic that nobody may send to, so that the log stays a
//! sequence of RocketMQ's records and nothing else.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use signpost_remoting::message::{FIXED_BYTES, StoredMessage};

use super::own;

/// Topic of commit marks.
pub const COMMIT_MARK_TOPIC: &str = "SYS_COMMIT_MARK";

const BODY_BYTES: usize = 28;
/// Size of the record.
pub(super) const MARK_BYTES: usize = FIXED_BYTES + BODY_BYTES + COMMIT_MARK_TOPIC.len();

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Log offset of the batch's first record.
    pub(super) batch_start: u64,
    /// CRC-32 of all bytes from there to the mark.
    pub(super) crc: u32,
    /// The log up to here had been synced when the mark was written: what is broken before it is
    /// damaged, not torn.
    pub(super) synced: u64,
}

impl Mark {
    /// Appends the record, to lie at this log offset.
    pub(super) fn put(self, dst: &mut BytesMut, offset: u64, log_id: u64, now_ms: i64) {
        let mut body = BytesMut::with_capacity(BODY_BYTES);
        body.put_u64(self.batch_start);
        body.put_u32(self.crc);
        body.put_u64(log_id);
        body.put_u64(self.synced);
        let record = StoredMessage {
            physical_offset: offset.cast_signed(),
            born_timestamp_ms: now_ms,
            store_timestamp_ms: now_ms,
            ..own::record(COMMIT_MARK_TOPIC, body.freeze())
        };
        record.encode_into(dst).expect("a mark's topic and properties are short");
    }

    /// The mark that a record is, if it is one of this log and lies where it says.
    pub(super) fn of(record: &StoredMessage, offset: u64, log_id: u64) -> Option<Self> {
        let is_mark = record.topic == COMMIT_MARK_TOPIC
            && record.body.len() == BODY_BYTES
            && record.properties.is_empty()
            && record.physical_offset == offset.cast_signed();
        let mut body: Bytes = record.body.clone();
        if !is_mark {
            return None;
        }
        let (batch_start, crc, id) = (body.get_u64(), body.get_u32(), body.get_u64());
        (id == log_id).then(|| Self { batch_start, crc, synced: body.get_u64() })
    }
}
