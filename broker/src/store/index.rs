//! The index by key: RocketMQ's `IndexFile`, with fewer slots and entries a file. Here is one file
//! as it lies in memory, and what its bytes mean; `index_files.rs` has all of them.
//!
//! ```text
//! begin and end timestamp i64 ×2, begin and end physical offset i64 ×2, slots i32, count i32 |
//! slots i32 each: number of the last entry in the slot |
//! entries: key hash i32, physical offset i64, seconds since begin i32, number of the previous i32
//! ```
//! Entries count from 1; the count is that of the next one.

use bytes::{Buf, BufMut};
use signpost_remoting::body::heartbeat::{hash_code, hash_code_on};
use signpost_remoting::message::StoredMessage;

/// Most keys of one message that are found again.
const KEYS_MAX: usize = 1024;

pub(super) const HEADER_BYTES: usize = 40;
const SLOT_BYTES: usize = 4;
const ENTRY_BYTES: usize = 20;

/// A key of a message, on its way into the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) hash: i32,
    pub(super) physical_offset: u64,
    pub(super) store_timestamp_ms: i64,
}

/// Hash of a key of a topic. Source: RocketMQ `IndexFile.indexKeyHashMethod`.
pub(super) fn key_hash(topic: &str, key: &str) -> i32 {
    // That of `topic#key`, without putting it together.
    hash_code_on(hash_code_on(hash_code(topic), "#"), key).checked_abs().unwrap_or(0)
}

/// The keys of a message, by its properties `UNIQ_KEY` and `KEYS`: its unique one, and each of those
/// that the application set.
pub(super) fn keys<'a>(
    unique: Option<&'a str>,
    keys: Option<&'a str>,
) -> impl Iterator<Item = &'a str> {
    let keys = keys.into_iter().flat_map(|keys| keys.split(' '));
    unique.into_iter().chain(keys).filter(|key| !key.is_empty()).take(KEYS_MAX)
}

/// What the index is to hold of a message's key.
pub(super) fn key_of(message: &StoredMessage, key: &str) -> Key {
    Key {
        hash: key_hash(&message.topic, key),
        physical_offset: message.physical_offset.cast_unsigned(),
        store_timestamp_ms: message.store_timestamp_ms,
    }
}

/// How large an index file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) slots: u32,
    /// Most entries, and one that is never used.
    pub(super) entries: u32,
}

impl Shape {
    pub(super) fn bytes(self) -> u64 {
        self.entry_position(self.entries)
    }

    pub(super) fn slot_of(self, hash: i32) -> u32 {
        hash.unsigned_abs() % self.slots.max(1)
    }

    pub(super) fn slot_position(self, slot: u32) -> u64 {
        HEADER_BYTES as u64 + u64::from(slot) * SLOT_BYTES as u64
    }

    pub(super) fn entry_position(self, number: u32) -> u64 {
        self.slot_position(self.slots) + u64::from(number) * ENTRY_BYTES as u64
    }
}

/// What a file says of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) begin_ms: i64,
    pub(super) end_ms: i64,
    pub(super) begin_physical: u64,
    pub(super) end_physical: u64,
    pub(super) slots: u32,
    /// Number of the next entry.
    pub(super) count: u32,
}

impl Header {
    pub(super) fn get(mut src: &[u8]) -> Self {
        Self {
            begin_ms: src.get_i64(),
            end_ms: src.get_i64(),
            begin_physical: src.get_u64(),
            end_physical: src.get_u64(),
            slots: src.get_u32(),
            count: src.get_u32(),
        }
    }

    pub(super) fn put(&self, mut dst: &mut [u8]) {
        dst.put_i64(self.begin_ms);
        dst.put_i64(self.end_ms);
        dst.put_u64(self.begin_physical);
        dst.put_u64(self.end_physical);
        dst.put_u32(self.slots);
        dst.put_u32(self.count);
    }
}

/// An entry of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub(super) hash: i32,
    pub(super) physical_offset: u64,
    /// Since the file's first message.
    pub(super) seconds: i32,
    /// Number of the entry before it in its slot; 0: none.
    pub(super) previous: u32,
}

impl IndexEntry {
    pub(super) const BYTES: usize = ENTRY_BYTES;

    pub(super) fn get(mut src: &[u8]) -> Self {
        Self {
            hash: src.get_i32(),
            physical_offset: src.get_u64(),
            seconds: src.get_i32(),
            previous: src.get_u32(),
        }
    }
}

/// The file that is being filled, as it lies in memory.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) shape: Shape,
    header: Header,
    bytes: Vec<u8>,
}

impl Image {
    pub(super) fn new(shape: Shape) -> Self {
        let header = Header { slots: shape.slots, count: 1, ..Header::default() };
        let bytes = vec![0; usize::try_from(shape.entry_position(1)).unwrap_or(usize::MAX)];
        Self { shape, header, bytes }
    }

    pub(super) fn header(&self) -> Header {
        self.header
    }

    pub(super) fn is_empty(&self) -> bool {
        self.header.count == 1
    }

    pub(super) fn is_full(&self) -> bool {
        self.header.count >= self.shape.entries
    }

    /// Adds a key; there must be room.
    pub(super) fn add(&mut self, key: Key) {
        if self.is_empty() {
            self.header.begin_ms = key.store_timestamp_ms;
            self.header.begin_physical = key.physical_offset;
        }
        self.header.end_ms = key.store_timestamp_ms;
        self.header.end_physical = key.physical_offset;
        let since = key.store_timestamp_ms.saturating_sub(self.header.begin_ms) / 1000;
        let seconds = i32::try_from(since.max(0)).unwrap_or(i32::MAX);
        self.put(key.hash, key.physical_offset, seconds);
    }

    fn put(&mut self, hash: i32, physical_offset: u64, seconds: i32) {
        let number = self.header.count;
        let slot = self.shape.slot_position(self.shape.slot_of(hash)) as usize;
        let slot = &mut self.bytes[slot..slot + SLOT_BYTES];
        let previous = (&*slot).get_u32();
        slot.copy_from_slice(&number.to_be_bytes());
        self.bytes.put_i32(hash);
        self.bytes.put_u64(physical_offset);
        self.bytes.put_i32(seconds);
        self.bytes.put_u32(previous);
        self.header.count += 1;
    }

    /// The file again from its header and the bytes of its entries from number 1 on; none if they
    /// cannot have been written so.
    pub(super) fn restore(shape: Shape, header: Header, entries: &[u8]) -> Option<Self> {
        let mut image = Self::new(shape);
        for bytes in entries.chunks_exact(ENTRY_BYTES) {
            let IndexEntry { hash, physical_offset, seconds, .. } = IndexEntry::get(bytes);
            if hash < 0 {
                return None;
            }
            image.put(hash, physical_offset, seconds);
        }
        let written = shape.entry_position(1) as usize;
        let right = image.header.count == header.count && image.bytes[written..] == *entries;
        image.header = header;
        right.then_some(image)
    }

    /// Header and slots, as they are to lie at the beginning of the file.
    pub(super) fn head(&mut self) -> &[u8] {
        self.header.put(&mut self.bytes[..HEADER_BYTES]);
        &self.bytes[..self.shape.entry_position(0) as usize]
    }

    /// The bytes of the entries from a number on, and where they lie in the file.
    pub(super) fn entries_from(&self, number: u32) -> (u64, &[u8]) {
        let position = self.shape.entry_position(number);
        (position, &self.bytes[position as usize..])
    }

    /// Where messages lie that may have a key with this hash, stored in that time, the last first.
    pub(super) fn find(&self, hash: i32, begin_ms: i64, end_ms: i64, to: &mut Vec<u64>) {
        let slot = self.shape.slot_position(self.shape.slot_of(hash)) as usize;
        let mut number = (&self.bytes[slot..]).get_u32();
        while number > 0 {
            let position = self.shape.entry_position(number) as usize;
            let entry = IndexEntry::get(&self.bytes[position..]);
            if entry.hash == hash && self.header.may_lie(&entry, begin_ms, end_ms) {
                to.push(entry.physical_offset);
            }
            number = entry.previous;
        }
    }
}

impl Header {
    /// Whether an entry's message may have been stored in that time: entries say it to the second.
    pub(super) fn may_lie(&self, entry: &IndexEntry, begin_ms: i64, end_ms: i64) -> bool {
        let at_ms = self.begin_ms.saturating_add(i64::from(entry.seconds) * 1000);
        at_ms <= end_ms && at_ms.saturating_add(1000) >= begin_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_restored_from_its_entries_and_not_from_others() {
        let shape = Shape { slots: 4, entries: 20 };
        let mut image = Image::new(shape);
        for n in 0..19 {
            assert!(!image.is_full());
            image.add(Key {
                hash: n % 6,
                physical_offset: 100 + n as u64,
                store_timestamp_ms: 5000 + i64::from(n) * 700,
            });
        }
        assert!(image.is_full());
        let find = |image: &Image, hash, begin_ms, end_ms| {
            let mut found = Vec::new();
            image.find(hash, begin_ms, end_ms, &mut found);
            found
        };
        assert_eq!(find(&image, 1, 0, i64::MAX), [113, 107, 101]);
        assert_eq!(find(&image, 1, 9_000, 10_000), [107]);
        assert!(find(&image, 9, 0, i64::MAX).is_empty());
        let (position, entries) = image.entries_from(1);
        assert_eq!(position, shape.entry_position(1));
        let mut wrong = entries.to_vec();
        let entries = entries.to_vec();
        let again = Image::restore(shape, image.header(), &entries).unwrap();
        assert_eq!(again.bytes[HEADER_BYTES..], image.bytes[HEADER_BYTES..]);
        wrong[19] ^= 1;
        assert!(Image::restore(shape, image.header(), &wrong).is_none(), "a wrong chain");
        assert!(Image::restore(shape, image.header(), &entries[20..]).is_none(), "one is missing");
    }

    #[test]
    fn hashes_are_never_negative() {
        // Java's hash of this text is the smallest integer.
        assert_eq!(hash_code("polygenelubricants"), i32::MIN);
        for (topic, key) in
            [("T", "k"), ("%RETRY%g", "héé€😀"), ("T", ""), ("Topic", "a longer key")]
        {
            let expected = hash_code(&format!("{topic}#{key}")).checked_abs().unwrap_or(0);
            assert_eq!(key_hash(topic, key), expected);
        }
    }
}
