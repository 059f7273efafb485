//! Log entries as rows: runs of consecutive entries, each row under its first entry's index. An entry
//! that is larger than a row is a run of its own, with as many parts behind its head as it takes.
//!
//! ```text
//! key index          | parts: 4 bytes | crc32 of the whole run: 4 bytes | first piece
//! key index, part    | the part's piece                                 (part = 1, 2, …)
//!
//! the whole run      | an entry's bytes: 4 | the entry | …
//! ```
//!
//! Parts are written before their head and removed after it. So whatever prefix of the writes
//! survives, a head has all its parts, and parts without a head belong to an entry that was never
//! acknowledged, or that was removed. A run of several entries is one row, so it is there as a
//! whole or not at all, and losing its last entries takes one write.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;

use super::record::{BODY_BYTES_MAX, number_at, part_at, seal, unseal};
use super::{convert, damaged};
use crate::codec::RECORD_BYTES_MAX;
use crate::disk::{Disk, Row, Table};
use crate::machine::Index;
use crate::types::Entry;

const HEAD_BYTES: usize = 8;
const LENGTH_BYTES: usize = 4;
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

/// Puts entries that follow each other, and answers the bytes that they take.
pub(super) fn put(disk: &dyn Disk, entries: &[Entry]) -> io::Result<u64> {
    let mut bytes = 0;
    let mut first = 0;
    let mut run = Vec::new();
    for entry in entries {
        let before = run.len();
        run.extend([0; LENGTH_BYTES]);
        convert::encode_entry(entry, &mut run)?;
        let entry_bytes = run.len() - before - LENGTH_BYTES;
        let length = u32::try_from(entry_bytes).map_err(io::Error::other)?;
        run[before..before + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
        bytes += u64::from(length);
        if before == 0 {
            first = entry.log_id.index;
        } else if run.len() > PIECE_BYTES_MAX {
            put_run(disk, first, &run[..before])?;
            run.drain(..before);
            first = entry.log_id.index;
        }
    }
    if !run.is_empty() {
        put_run(disk, first, &run)?;
    }
    Ok(bytes)
}

fn put_run(disk: &dyn Disk, first: Index, whole: &[u8]) -> io::Result<()> {
    let mut pieces = whole.chunks(PIECE_BYTES_MAX);
    let head_piece = pieces.next().unwrap_or_default();
    let mut parts = 0_u32;
    for piece in pieces {
        parts += 1;
        let key = part_key(first, parts);
        disk.put(Table::Log, &key, &seal(Table::Log, &key, &[piece]))?;
    }
    let checksum = crc32fast::hash(whole).to_le_bytes();
    let key = head_key(first);
    let head = seal(Table::Log, &key, &[&parts.to_le_bytes(), &checksum, head_piece]);
    disk.put(Table::Log, &key, &head)
}

/// The key of the first row of the run that holds entry `index`, if the log reaches that far.
fn run_start(disk: &dyn Disk, index: Index) -> io::Result<Option<Index>> {
    let Some((key, _)) = disk.last_until(Table::Log, &head_key(index))? else { return Ok(None) };
    number_at(&key).map(Some).ok_or_else(|| misplaced(&key))
}

/// The last key of the rows that hold nothing but entries before `index`, which the log holds too.
pub(super) fn last_key_before(disk: &dyn Disk, index: Index) -> io::Result<Option<Vec<u8>>> {
    Ok(run_start(disk, index)?.and_then(|first| first.checked_sub(1)).map(end_key))
}

/// Takes one step to make the log end before entry `end`, from its last row backwards, and answers
/// whether it was the last step.
pub(super) fn truncate_step(disk: &dyn Disk, end: Index) -> io::Result<bool> {
    let Some(first) = run_start(disk, Index::MAX)? else { return Ok(true) };
    if first >= end {
        remove(disk, first)?;
        return Ok(false);
    }
    let mut kept = Vec::new();
    let mut run = Entries::new(disk, first, Index::MAX)?;
    while let Some((entry, _)) = run.next()? {
        if entry.log_id.index >= end {
            put(disk, &kept)?;
            break;
        }
        kept.push(entry);
    }
    Ok(true)
}

/// Removes a run, its head first.
fn remove(disk: &dyn Disk, index: Index) -> io::Result<()> {
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
    first: Index,
    last_index: Index,
    /// What is left of the run that was read last.
    run: VecDeque<(Entry, u64)>,
    next: Vec<u8>,
    last: Vec<u8>,
    page: VecDeque<Row>,
    exhausted: bool,
    /// Keys of parts that have no head.
    orphans: Vec<Vec<u8>>,
}

impl<'a> Entries<'a> {
    /// Those with `first ≤ index ≤ last`.
    pub(super) fn new(disk: &'a dyn Disk, first: Index, last: Index) -> io::Result<Entries<'a>> {
        Ok(Entries {
            disk,
            first,
            last_index: last,
            run: VecDeque::new(),
            next: head_key(run_start(disk, first)?.unwrap_or(first)),
            last: end_key(last),
            page: VecDeque::new(),
            exhausted: first > last,
            orphans: Vec::new(),
        })
    }

    /// The next entry and the bytes that it takes.
    pub(super) fn next(&mut self) -> io::Result<Option<(Entry, u64)>> {
        loop {
            while let Some((entry, bytes)) = self.run.pop_front() {
                let index = entry.log_id.index;
                if index > self.last_index {
                    return Ok(None);
                }
                if index >= self.first {
                    return Ok(Some((entry, bytes)));
                }
            }
            let Some((key, value)) = self.row()? else { return Ok(None) };
            let first = number_at(&key).ok_or_else(|| misplaced(&key))?;
            match key.len() {
                8 => self.read_run(first, &key, &value)?,
                // Below the log's first entry it is what a removal has left over.
                12 if first < self.first => {}
                12 => self.orphans.push(key),
                _ => return Err(misplaced(&key)),
            }
        }
    }

    /// Keys of parts without a head that were passed so far.
    pub(super) fn orphans(self) -> Vec<Vec<u8>> {
        self.orphans
    }

    fn read_run(&mut self, first: Index, key: &[u8], value: &[u8]) -> io::Result<()> {
        let body = unseal(Table::Log, key, value)?;
        let Some((head, piece)) = body.split_first_chunk::<HEAD_BYTES>() else {
            return Err(damaged(Table::Log, key, "it is too short"));
        };
        let [p0, p1, p2, p3, c0, c1, c2, c3] = *head;
        let parts = u32::from_le_bytes([p0, p1, p2, p3]);
        let checksum = u32::from_le_bytes([c0, c1, c2, c3]);
        if parts > PARTS_MAX {
            return Err(damaged(Table::Log, key, format!("it claims {parts} parts")));
        }
        let mut whole = Cow::Borrowed(piece);
        for part in 1..=parts {
            let row = self.row()?;
            match &row {
                Some((key, value))
                    if number_at(key) == Some(first) && part_at(key) == Some(part) =>
                {
                    whole.to_mut().extend_from_slice(unseal(Table::Log, key, value)?);
                }
                _ => return Err(damaged(Table::Log, key, format!("part {part} is missing"))),
            }
        }
        if crc32fast::hash(&whole) != checksum {
            return Err(damaged(Table::Log, key, "its parts do not belong together"));
        }
        let mut rest = &*whole;
        for index in first.. {
            if rest.is_empty() {
                break;
            }
            let (encoded, behind) = split_entry(rest)
                .ok_or_else(|| damaged(Table::Log, key, format!("entry {index} is cut short")))?;
            let entry =
                convert::decode_entry(encoded).map_err(|error| damaged(Table::Log, key, error))?;
            if entry.log_id.index != index {
                let what = format!("it holds entry {} as {index}", entry.log_id.index);
                return Err(damaged(Table::Log, key, what));
            }
            self.run.push_back((entry, encoded.len() as u64));
            rest = behind;
        }
        Ok(())
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

/// The first entry of a run's bytes, and those behind it.
fn split_entry(run: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = run.split_first_chunk::<LENGTH_BYTES>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

fn misplaced(key: &[u8]) -> io::Error {
    damaged(Table::Log, key, "no such row belongs into the log")
}
