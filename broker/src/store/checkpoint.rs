//! The checkpoint: up to which log offset queues and index are durable, and how they were then.
//! A start replays the log from there. Pure: bytes, and what they say.
//!
//! What lies in files behind what the checkpoint says is made anew by the replay, whatever it is.

use bytes::{Buf, BufMut};

use super::index::{HEADER_BYTES, Header};
use super::queues::{Queue, Queues};

/// Name of the file in the data directory.
pub(super) const CHECKPOINT_FILE: &str = "checkpoint";
const MAGIC: u32 = 0x5350_4B31;
const FIXED_BYTES: usize = 4 + 8 + 8 + 8 + 4;
const CRC_BYTES: usize = 4;

/// What it says.
#[derive(Debug, Default)]
pub(super) struct Checkpoint {
    /// Queues as they were, without tails; `log_end` is where the replay begins.
    pub(super) queues: Queues,
    /// The index file that was being filled.
    pub(super) index: Header,
}

/// The part that tells of the queues, as they are now, tails included: those are on their way to
/// the files.
pub(super) fn encode_queues(queues: &Queues, log_id: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_u32(MAGIC);
    bytes.put_u64(log_id);
    bytes.put_u64(queues.log_end);
    bytes.put_u64(queues.log_min);
    let count: usize = queues.topics.values().map(|queues| queues.len()).sum();
    bytes.put_u32(u32::try_from(count).unwrap_or(u32::MAX));
    for (topic, of_topic) in &queues.topics {
        for (queue_id, queue) in of_topic {
            bytes.put_u8(u8::try_from(topic.len()).unwrap_or(u8::MAX));
            bytes.put_slice(topic.as_bytes());
            bytes.put_i32(*queue_id);
            bytes.put_i64(queue.min);
            bytes.put_i64(queue.next());
            bytes.put_u64(queue.last_physical);
        }
    }
    bytes
}

/// Adds what the index says of itself, and a checksum over all.
pub(super) fn seal(mut bytes: Vec<u8>, index: Header) -> Vec<u8> {
    let mut header = [0; HEADER_BYTES];
    index.put(&mut header);
    bytes.put_slice(&header);
    let crc = crc32fast::hash(&bytes);
    bytes.put_u32(crc);
    bytes
}

/// Reads a checkpoint of this log; none if it is not whole.
pub(super) fn decode(bytes: &[u8], log_id: u64) -> Option<Checkpoint> {
    let (mut rest, mut crc) = bytes.split_at_checked(bytes.len().checked_sub(CRC_BYTES)?)?;
    if crc.get_u32() != crc32fast::hash(rest) || rest.len() < FIXED_BYTES + HEADER_BYTES {
        return None;
    }
    if rest.get_u32() != MAGIC || rest.get_u64() != log_id {
        return None;
    }
    let mut queues =
        Queues { log_end: rest.get_u64(), log_min: rest.get_u64(), ..Queues::default() };
    for _ in 0..rest.get_u32() {
        let length = usize::from(*rest.first()?);
        let topic = std::str::from_utf8(rest.get(1..=length)?).ok()?;
        rest.advance(1 + length);
        let queue_id = rest.try_get_i32().ok()?;
        let queue = Queue {
            min: rest.try_get_i64().ok()?,
            written: rest.try_get_i64().ok()?,
            last_physical: rest.try_get_u64().ok()?,
            tail: Vec::new(),
        };
        if !(0..=queue.written).contains(&queue.min) {
            return None;
        }
        *queues.ensure(topic, queue_id) = queue;
    }
    (rest.len() == HEADER_BYTES).then(|| Checkpoint { queues, index: Header::get(rest) })
}

#[cfg(test)]
mod tests {
    use super::super::queues::Entry;
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written_and_only_whole() {
        let mut queues = Queues { log_end: 900, log_min: 100, ..Queues::default() };
        *queues.ensure("T", 3) = Queue {
            min: 5,
            written: 7,
            tail: vec![Entry { physical_offset: 800, bytes: 100, code: 0 }],
            last_physical: 800,
        };
        queues.ensure("%RETRY%g", 0);
        let index = Header { slots: 4, count: 9, begin_physical: 300, ..Header::default() };
        let bytes = seal(encode_queues(&queues, 77), index);
        let read = decode(&bytes, 77).unwrap();
        assert_eq!((read.queues.log_end, read.queues.log_min, read.index), (900, 100, index));
        let queue = read.queues.queue("T", 3).unwrap();
        assert_eq!((queue.min, queue.written, queue.next(), queue.last_physical), (5, 8, 8, 800));
        assert_eq!(read.queues.queue("%RETRY%g", 0).unwrap().next(), 0);
        assert!(decode(&bytes, 78).is_none(), "of another log");
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut], 77).is_none());
            let mut wrong = bytes.clone();
            wrong[cut] ^= 4;
            assert!(decode(&wrong, 77).is_none());
        }
    }
}
