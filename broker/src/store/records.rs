//! Records of the log by where they lie, read from the segment files.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};
use signpost_remoting::message::{FIXED_BYTES, StoredMessage, body_crc, sys_flag};

use super::derived::Derived;
use super::disk::{DiskFile, read_exact_at, read_up_to};
use super::queues::Entry;
use super::{LOG_DIRECTORY, MAX_APPEND_BYTES};

/// Records that lie no further apart are read at once.
const GAP_BYTES: u64 = 4096;
/// Most bytes read at once, unless one record alone has more.
const SPAN_BYTES: u64 = 1024 * 1024;
/// The store timestamp of every record begins within its first bytes.
const HEAD_BYTES: usize = 80;
/// Where the store timestamp lies in a record whose born host is IPv4.
const STORE_TIME_AT: usize = 56;
const IPV6_EXTRA_BYTES: usize = 12;
const CRC_AT: usize = 8;
const QUEUE_ID_AT: usize = 12;
const QUEUE_OFFSET_AT: usize = 20;
const PHYSICAL_OFFSET_AT: usize = 28;
const SYS_FLAG_AT: usize = 36;
const BODY_LENGTH_AT: usize = 84;

/// Reads records while the writer appends further ones.
pub(super) struct Records {
    derived: Arc<Derived>,
    /// Sizes of the segments by where they begin.
    segments: Mutex<BTreeMap<u64, u64>>,
}

/// A segment: where it begins, its size, the file.
type Holding = (u64, u64, Arc<dyn DiskFile>);

/// The message that an entry says lies there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) entry: Entry,
    pub(super) queue_id: i32,
    pub(super) queue_offset: i64,
}

impl Records {
    pub(super) fn new(derived: Arc<Derived>) -> Self {
        Self { derived, segments: Mutex::default() }
    }

    /// The records of some messages, in their order. Each is one that was stored for that queue at
    /// that offset, with the body that it had; anything else is an error.
    pub(super) fn all(&self, wanted: &[Wanted]) -> io::Result<Vec<Bytes>> {
        let mut records = Vec::with_capacity(wanted.len());
        let mut rest = wanted;
        while let Some(first) = rest.first() {
            let start = first.entry.physical_offset;
            let (segment, bytes, file) = self.segment(start)?.ok_or(io::ErrorKind::NotFound)?;
            let mut end = end_of(first);
            let more = rest[1..].iter().take_while(|next| {
                let from = next.entry.physical_offset;
                let is_near = from >= end && from - end <= GAP_BYTES && from < segment + bytes;
                let fits = is_near && end_of(next) - start <= SPAN_BYTES;
                end = if fits { end_of(next) } else { end };
                fits
            });
            let (span, behind) = rest.split_at(1 + more.count());
            let limit = SPAN_BYTES.max(MAX_APPEND_BYTES as u64);
            let mut read = vec![0; usize::try_from((end - start).min(limit)).unwrap_or_default()];
            read_exact_at(&*file, &mut read, start - segment)?;
            let read = Bytes::from(read);
            for one in span {
                let at = usize::try_from(one.entry.physical_offset - start).unwrap_or_default();
                let record = read
                    .get(at..at + one.entry.bytes as usize)
                    .map(|_| read.slice(at..at + one.entry.bytes as usize));
                records.push(
                    record
                        .filter(|record| is_wanted(record, one))
                        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, damaged(one)))?,
                );
            }
            rest = behind;
        }
        Ok(records)
    }

    /// The message that claims to begin there; none where there is nothing like one.
    pub(super) fn find(&self, physical_offset: u64) -> io::Result<Option<StoredMessage>> {
        let Some((start, _, file)) = self.segment(physical_offset)? else { return Ok(None) };
        let mut size = [0; 4];
        if read_up_to(&*file, &mut size, physical_offset - start)? < size.len() {
            return Ok(None);
        }
        let bytes = u32::from_be_bytes(size) as usize;
        if !(FIXED_BYTES..=MAX_APPEND_BYTES).contains(&bytes) {
            return Ok(None);
        }
        let mut record = vec![0; bytes];
        if read_up_to(&*file, &mut record, physical_offset - start)? < bytes {
            return Ok(None);
        }
        let message = StoredMessage::decode(&mut Bytes::from(record)).ok();
        Ok(message.filter(|one| one.physical_offset == physical_offset.cast_signed()))
    }

    /// When the record that begins there was stored, in ms since 1970.
    pub(super) fn store_time(&self, physical_offset: u64) -> io::Result<i64> {
        let (start, _, file) = self.segment(physical_offset)?.ok_or(io::ErrorKind::NotFound)?;
        let mut head = [0; HEAD_BYTES];
        read_exact_at(&*file, &mut head, physical_offset - start)?;
        let is_v6 = (&head[SYS_FLAG_AT..]).get_i32() & sys_flag::BORN_HOST_V6 != 0;
        let at = STORE_TIME_AT + if is_v6 { IPV6_EXTRA_BYTES } else { 0 };
        Ok((&head[at..]).get_i64())
    }

    /// Where each segment begins and ends, the first first.
    pub(super) fn segments(&self) -> io::Result<Vec<(u64, u64)>> {
        let files = self.derived.files.disk.list(LOG_DIRECTORY)?;
        Ok(files.into_iter().map(|(start, bytes)| (start, start + bytes)).collect())
    }

    /// The segment that an offset lies in.
    fn segment(&self, offset: u64) -> io::Result<Option<Holding>> {
        let (log_min, log_end) = {
            let queues = self.derived.queues();
            (queues.log_min, queues.log_end)
        };
        if !(log_min..log_end).contains(&offset) {
            return Ok(None);
        }
        let holding = |segments: &BTreeMap<u64, u64>| {
            let (start, bytes) = segments.range(..=offset).next_back()?;
            (offset - start < *bytes).then_some((*start, *bytes))
        };
        let mut segments = self.segments.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match holding(&segments) {
            None => {
                // The writer has begun a further one since.
                *segments = self.derived.files.disk.list(LOG_DIRECTORY)?.into_iter().collect();
                holding(&segments)
            }
            found => found,
        };
        let Some((start, bytes)) = found else { return Ok(None) };
        Ok(Some((start, bytes, self.derived.files.get(LOG_DIRECTORY, start)?)))
    }
}

fn end_of(wanted: &Wanted) -> u64 {
    wanted.entry.physical_offset + u64::from(wanted.entry.bytes)
}

/// Whether these bytes are the record that is wanted, with the body that it had. It is asked of
/// every message that is read, so nothing is decoded that is not compared.
fn is_wanted(record: &[u8], wanted: &Wanted) -> bool {
    if record.len() < FIXED_BYTES {
        return false;
    }
    let number = |at: usize| (&record[at..]).get_u32();
    let long = |at: usize| (&record[at..]).get_i64();
    let flags = number(SYS_FLAG_AT).cast_signed();
    let hosts = [sys_flag::BORN_HOST_V6, sys_flag::STORE_HOST_V6];
    let v6 = hosts.iter().filter(|host| flags & **host != 0).count() * IPV6_EXTRA_BYTES;
    if number(0) as usize != record.len()
        || number(QUEUE_ID_AT).cast_signed() != wanted.queue_id
        || long(QUEUE_OFFSET_AT) != wanted.queue_offset
        || long(PHYSICAL_OFFSET_AT) != wanted.entry.physical_offset.cast_signed()
        || record.len() < FIXED_BYTES + v6
    {
        return false;
    }
    let body = number(BODY_LENGTH_AT + v6) as usize;
    let body = record[BODY_LENGTH_AT + v6 + 4..].get(..body);
    body.is_some_and(|body| body_crc(body) == number(CRC_AT))
}

fn damaged(wanted: &Wanted) -> String {
    format!(
        "no message of queue {} with offset {} lies at {}: the log is damaged there, or the consume \
         queue; to rebuild queues and index from the log, stop the broker, remove its file \
         `checkpoint` and start it again",
        wanted.queue_id, wanted.queue_offset, wanted.entry.physical_offset
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_what_its_entry_says_or_refused() {
        let message = super::super::tests::message(7);
        let mut bytes = bytes::BytesMut::new();
        message.encode_into(&mut bytes).unwrap();
        let entry = Entry { physical_offset: 0, bytes: bytes.len() as u32, code: 0 };
        let wanted = Wanted { entry, queue_id: message.queue_id, queue_offset: 0 };
        let good = bytes.clone().freeze();
        assert!(is_wanted(&good, &wanted));
        assert!(!is_wanted(&good, &Wanted { queue_offset: 1, ..wanted }));
        assert!(!is_wanted(&good, &Wanted { queue_id: 9, ..wanted }));
        let body_at = BODY_LENGTH_AT + 4;
        bytes[body_at] ^= 1;
        assert!(!is_wanted(&bytes.freeze(), &wanted));
    }
}
