//! Log entries as rows: a head under the entry's index, and as many parts after it as it takes.
//!
//! ```text
//! key index          | parts: 4 bytes | crc32 of the whole entry: 4 bytes | first piece
//! key index, part    | the part's piece                                     (part = 1, 2, …)
//! ```
//!
//! Parts are written before their head and removed after it. So whatever prefix of the writes
//! survives, a head has all its parts, and parts without a head belong to an entry that was never
//! acknowledged, or that was removed.

use std::collections::VecDeque;
use std::io;

use super::record::{BODY_BYTES_MAX, number_at, part_at, seal, unseal};
use super::{convert, damaged};
use crate::codec::RECORD_BYTES_MAX;
use crate::disk::{Disk, Row, Table};
use crate::machine::Index;
use crate::types::Entry;

const HEAD_BYTES: usize = 8;
const PIECE_BYTES_MAX: usize = BODY_BYTES_MAX - HEAD_BYTES;
const PARTS_MAX: u32 = (RECORD_BYTES_MAX / PIECE_BYTES_MAX as u64 + 1) as u32;

/// Rows read at once: at most 2 MiB.
const PAGE_ROWS: usize = 64;

/// The key of an entry's head.
pub(super) fn head_key(index: Index) -> Vec<u8> {
    index.to_be_bytes().to_vec()
}

/// A key behind all rows of an entry.
pub(super) fn end_key(index: Index) -> Vec<u8> {
    part_key(index, u32::MAX)
}

fn part_key(index: Index, part: u32) -> Vec<u8> {
    [&index.to_be_bytes()[..], &part.to_be_bytes()].concat()
}

/// Puts an entry, and answers the bytes that it takes.
pub(super) fn put(disk: &dyn Disk, entry: &Entry) -> io::Result<u64> {
    let index = entry.log_id.index;
    let whole = convert::encode_entry(entry)?;
    let mut pieces = whole.chunks(PIECE_BYTES_MAX);
    let first = pieces.next().unwrap_or_default();
    let mut parts = 0_u32;
    for piece in pieces {
        parts += 1;
        let key = part_key(index, parts);
        disk.put(Table::Log, &key, &seal(Table::Log, &key, &[piece]))?;
    }
    let checksum = crc32fast::hash(&whole).to_le_bytes();
    let key = head_key(index);
    let head = seal(Table::Log, &key, &[&parts.to_le_bytes(), &checksum, first]);
    disk.put(Table::Log, &key, &head)?;
    Ok(whole.len() as u64)
}

/// Removes an entry, its head first.
pub(super) fn remove(disk: &dyn Disk, index: Index) -> io::Result<()> {
    loop {
        let rows = disk.range(Table::Log, head_key(index)..=end_key(index), PAGE_ROWS)?;
        for (key, _) in &rows {
            disk.remove(Table::Log, key)?;
        }
        if rows.len() < PAGE_ROWS {
            return Ok(());
        }
    }
}

/// The entries on the disk within a range, in order, each verified.
pub(super) struct Entries<'a> {
    disk: &'a dyn Disk,
    next: Vec<u8>,
    last: Vec<u8>,
    page: VecDeque<Row>,
    exhausted: bool,
    /// Keys of parts that have no head.
    orphans: Vec<Vec<u8>>,
}

impl<'a> Entries<'a> {
    /// Those with `first ≤ index ≤ last`.
    pub(super) fn new(disk: &'a dyn Disk, first: Index, last: Index) -> Entries<'a> {
        Entries {
            disk,
            next: head_key(first),
            last: end_key(last),
            page: VecDeque::new(),
            exhausted: first > last,
            orphans: Vec::new(),
        }
    }

    /// The next entry and the bytes that it takes.
    pub(super) fn next(&mut self) -> io::Result<Option<(Entry, u64)>> {
        loop {
            let Some((key, value)) = self.row()? else { return Ok(None) };
            let index = number_at(&key).ok_or_else(|| misplaced(&key))?;
            match key.len() {
                8 => return self.entry(index, &key, &value).map(Some),
                12 => self.orphans.push(key),
                _ => return Err(misplaced(&key)),
            }
        }
    }

    /// Keys of parts without a head that were passed so far.
    pub(super) fn orphans(self) -> Vec<Vec<u8>> {
        self.orphans
    }

    fn entry(&mut self, index: Index, key: &[u8], value: &[u8]) -> io::Result<(Entry, u64)> {
        let body = unseal(Table::Log, key, value)?;
        let Some((head, first)) = body.split_first_chunk::<HEAD_BYTES>() else {
            return Err(damaged(Table::Log, key, "it is too short"));
        };
        let [p0, p1, p2, p3, c0, c1, c2, c3] = *head;
        let parts = u32::from_le_bytes([p0, p1, p2, p3]);
        let checksum = u32::from_le_bytes([c0, c1, c2, c3]);
        if parts > PARTS_MAX {
            return Err(damaged(Table::Log, key, format!("it claims {parts} parts")));
        }
        let mut whole = first.to_vec();
        for part in 1..=parts {
            let row = self.row()?;
            match &row {
                Some((key, value))
                    if number_at(key) == Some(index) && part_at(key) == Some(part) =>
                {
                    whole.extend_from_slice(unseal(Table::Log, key, value)?);
                }
                _ => return Err(damaged(Table::Log, key, format!("part {part} is missing"))),
            }
        }
        if crc32fast::hash(&whole) != checksum {
            return Err(damaged(Table::Log, key, "its parts do not belong together"));
        }
        let entry =
            convert::decode_entry(&whole).map_err(|error| damaged(Table::Log, key, error))?;
        if entry.log_id.index != index {
            return Err(damaged(Table::Log, key, format!("it holds entry {}", entry.log_id.index)));
        }
        Ok((entry, whole.len() as u64))
    }

    fn row(&mut self) -> io::Result<Option<Row>> {
        if self.page.is_empty() && !self.exhausted {
            let keys = self.next.clone()..=self.last.clone();
            let page = self.disk.range(Table::Log, keys, PAGE_ROWS)?;
            self.exhausted = page.len() < PAGE_ROWS;
            if let Some((key, _)) = page.last() {
                self.next = [key, &[0][..]].concat();
            }
            self.page = page.into();
        }
        Ok(self.page.pop_front())
    }
}

fn misplaced(key: &[u8]) -> io::Error {
    damaged(Table::Log, key, "no such row belongs into the log")
}
