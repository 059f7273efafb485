//! Segment files: fixed size, records never span two, the rest of a full one is a blank
//! (RocketMQ `CommitLog`, `MappedFile`).

use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use super::MAX_APPEND_BYTES;
use super::disk::DiskFile;
use super::mark::MARK_BYTES;

/// Magic number of the blank that fills a segment: its size, this, and whatever follows.
pub(super) const BLANK_MAGIC: u32 = 0xCBD4_3194;
/// Size and magic of a blank; a segment always has room for it.
pub(super) const BLANK_BYTES: usize = 8;

/// A segment that is open.
pub(super) struct Segment {
    /// Log offset of its first byte.
    pub(super) start: u64,
    /// Its size in bytes.
    pub(super) bytes: u64,
    pub(super) file: Arc<dyn DiskFile>,
}

impl Segment {
    /// Log offset after its last byte: where the next segment begins.
    pub(super) fn end(&self) -> u64 {
        self.start + self.bytes
    }

    /// Whether records of that many bytes and their commit mark fit at this log offset.
    pub(super) fn fits(&self, offset: u64, bytes: usize) -> bool {
        offset + (bytes + MARK_BYTES + BLANK_BYTES) as u64 <= self.end()
    }
}

/// Largest append that a new segment of this size takes.
pub(super) fn largest_append_bytes(segment_bytes: u64) -> usize {
    let besides = (MARK_BYTES + BLANK_BYTES) as u64;
    let rest = usize::try_from(segment_bytes.saturating_sub(besides)).unwrap_or(usize::MAX);
    rest.min(MAX_APPEND_BYTES)
}

/// Appends the blank for the last `rest` bytes of a segment.
pub(super) fn put_blank(dst: &mut BytesMut, rest: u64) {
    // A segment may be larger than 2 GiB only by configuration, which is bounded below that.
    dst.put_u32(u32::try_from(rest).unwrap_or(u32::MAX));
    dst.put_u32(BLANK_MAGIC);
}
