//! The write-ahead log before sled: what a sync writes, in one piece, and synchronises.
//!
//! Two files are written in turn. What the log holds since its last turn is a *generation*. One that
//! has ended goes into sled, row by row, while the next is written to the other file; that one ends no
//! sooner than all of the former is durable in sled, and the next but one is written over it. Opening
//! replays what sled may lack, from the beginning: a row that sled has already is put there again and
//! changes nothing.
//!
//! ```text
//! record: crc32 of the rest: 4 bytes | length of the changes: 4 | generation: 8 | number: 8 | changes
//! change: table: 1 byte | key's length: 2 | value's length: 4, or all ones for a removal | key | value
//! ```
//!
//! Integers are little-endian. Numbers go on from record to record and from file to file. A record
//! without changes ends its generation: so the one before it is in sled, and what its file holds by
//! now, perhaps a torn record of the one after, is of no account. A record that is cut short ends a
//! generation that has not ended; before a later one, that is damage.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use crate::disk::Table;

const FILES: [&str; 2] = ["wal-0", "wal-1"];
/// More than a file ever gets: its disk has the rows settle long before.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
const HEADER_BYTES: usize = 24;
const CHANGE_BYTES: usize = 7;
const REMOVED: u32 = u32::MAX;

/// A row that was put, or removed.
pub(super) type Change = (Table, Vec<u8>, Option<Vec<u8>>);

/// See the module's text.
#[derive(Debug)]
pub(super) struct Wal {
    files: [Arc<File>; 2],
    /// What is written now, in the file of the same parity.
    generation: u64,
    /// The next record's.
    number: u64,
    /// Bytes of this generation.
    bytes: u64,
    fdatasync: bool,
}

impl Wal {
    /// Opens both files, or makes them, and answers the changes that they hold, in order. Until
    /// [`Wal::clear`] nothing may be appended. The directory is not synchronised.
    ///
    /// # Errors
    /// `InvalidData` when a generation has lost its end, or a record is not what was written;
    /// otherwise what the system says.
    pub(super) fn open(dir: &Path, fdatasync: bool) -> io::Result<(Wal, Vec<Change>)> {
        let open = |name| {
            let path = dir.join(name);
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
        };
        let files = [Arc::new(open(FILES[0])?), Arc::new(open(FILES[1])?)];
        let mut found = Vec::new();
        for (file, name) in files.iter().zip(FILES) {
            let bytes = file.metadata()?.len();
            if bytes > FILE_BYTES_MAX {
                return Err(damaged(format_args!("{name} has {bytes} bytes, which nobody wrote")));
            }
            found.extend(Generation::read(&std::fs::read(dir.join(name))?)?);
        }
        found.sort_by_key(|generation| generation.generation);
        match &found[..] {
            [_, newer] if newer.has_ended => drop(found.remove(0)),
            [older, newer] if !older.is_before(newer) => {
                return Err(damaged(format_args!(
                    "the write-ahead log's generation {} breaks off before record {}, and \
                     generation {} begins with record {}",
                    older.generation, older.end, newer.generation, newer.first
                )));
            }
            _ => {}
        }
        let (generation, number) = found.last().map_or((0, 0), |last| (last.generation, last.end));
        let changes = found.into_iter().flat_map(|generation| generation.changes).collect();
        Ok((Wal { files, generation, number, bytes: 0, fdatasync }, changes))
    }

    /// Empties both files, once what they hold is durable elsewhere.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        // The older one first: alone it would take back what the newer one says.
        for generation in [self.generation + 1, self.generation] {
            let file = self.file_of(generation);
            file.set_len(0)?;
            file.sync_all()?;
        }
        self.bytes = 0;
        Ok(())
    }

    /// Writes changes, if there are any, as one record. Durable once [`Wal::file`] is synchronised.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn append(&mut self, changes: &[u8]) -> io::Result<()> {
        if changes.is_empty() { Ok(()) } else { self.write(changes) }
    }

    fn write(&mut self, changes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(changes.len()).map_err(io::Error::other)?;
        let mut record = Vec::with_capacity(HEADER_BYTES + changes.len());
        record.extend([0; 4]);
        record.extend(length.to_le_bytes());
        record.extend(self.generation.to_le_bytes());
        record.extend(self.number.to_le_bytes());
        record.extend(changes);
        let checksum = crc32fast::hash(&record[4..]);
        record[..4].copy_from_slice(&checksum.to_le_bytes());
        self.file_of(self.generation).write_all_at(&record, self.bytes)?;
        self.bytes += record.len() as u64;
        self.number += 1;
        Ok(())
    }

    /// Bytes of the generation that is written now.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file that is written now.
    pub(super) fn file(&self) -> Synced {
        Synced { file: Arc::clone(self.file_of(self.generation)), fdatasync: self.fdatasync }
    }

    /// Ends this generation, makes it durable, and begins the next, over the one before this, whose
    /// rows must be durable in sled.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn turn(&mut self) -> io::Result<()> {
        self.write(&[])?;
        self.file().sync()?;
        self.generation += 1;
        self.bytes = 0;
        Ok(())
    }

    fn file_of(&self, generation: u64) -> &Arc<File> {
        &self.files[usize::from(generation % 2 == 1)]
    }
}

/// A file to synchronise, after the log was given back to others.
#[derive(Debug)]
pub(super) struct Synced {
    file: Arc<File>,
    fdatasync: bool,
}

impl Synced {
    /// Makes durable what was written to it before this call.
    pub(super) fn sync(&self) -> io::Result<()> {
        if self.fdatasync { self.file.sync_data() } else { Ok(()) }
    }
}

/// Adds a change to those of a record.
pub(super) fn add(changes: &mut Vec<u8>, table: Table, key: &[u8], value: Option<&[u8]>) {
    let key_bytes = u16::try_from(key.len()).expect("keys are short");
    let value_bytes =
        value.map_or(REMOVED, |value| u32::try_from(value.len()).expect("the disk bounds values"));
    changes.reserve(CHANGE_BYTES + key.len() + value.map_or(0, <[u8]>::len));
    changes.push(match table {
        Table::Log => 0,
        Table::Meta => 1,
        Table::Chunk => 2,
    });
    changes.extend(key_bytes.to_le_bytes());
    changes.extend(value_bytes.to_le_bytes());
    changes.extend(key);
    changes.extend(value.unwrap_or_default());
}

/// A generation, as a file holds it.
struct Generation {
    generation: u64,
    /// The number of its first record.
    first: u64,
    /// The number after its last one.
    end: u64,
    has_ended: bool,
    changes: Vec<Change>,
}

impl Generation {
    /// Reads records from the beginning of a file to the first that is not whole, or of another
    /// generation; None: there are none.
    fn read(mut file: &[u8]) -> io::Result<Option<Generation>> {
        let mut found: Option<Generation> = None;
        while let Some((generation, number, body, rest)) = record(file) {
            let so_far = found.get_or_insert(Generation {
                generation,
                first: number,
                end: number,
                has_ended: false,
                changes: Vec::new(),
            });
            if so_far.has_ended || (generation, number) != (so_far.generation, so_far.end) {
                break;
            }
            read_changes(body, &mut so_far.changes)?;
            so_far.has_ended = body.is_empty();
            so_far.end += 1;
            file = rest;
        }
        Ok(found)
    }

    /// Whether nothing is missing between this one and the next.
    fn is_before(&self, next: &Generation) -> bool {
        self.has_ended && (self.generation + 1, self.end) == (next.generation, next.first)
    }
}

/// The record at the beginning of `bytes`, if it is whole: its generation, number and changes, and
/// what follows it.
fn record(bytes: &[u8]) -> Option<(u64, u64, &[u8], &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let (checksum, [l0, l1, l2, l3, numbers @ ..]) = header.split_first_chunk::<4>()? else {
        return None;
    };
    let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
    let body = rest.get(..length)?;
    if crc32fast::hash(bytes.get(4..HEADER_BYTES + length)?) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let generation = u64::from_le_bytes(*numbers.first_chunk()?);
    let number = u64::from_le_bytes(*numbers.last_chunk()?);
    Some((generation, number, body, &rest[length..]))
}

fn read_changes(mut body: &[u8], changes: &mut Vec<Change>) -> io::Result<()> {
    while !body.is_empty() {
        let (change, rest) = change(body)
            .ok_or_else(|| damaged("a record of the write-ahead log has a sound checksum only"))?;
        changes.push(change);
        body = rest;
    }
    Ok(())
}

fn change(bytes: &[u8]) -> Option<(Change, &[u8])> {
    let ([table, k0, k1, value_bytes @ ..], rest) = bytes.split_first_chunk::<CHANGE_BYTES>()?;
    let table = match table {
        0 => Table::Log,
        1 => Table::Meta,
        2 => Table::Chunk,
        _ => return None,
    };
    let (key, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([*k0, *k1])))?;
    let (value, rest) = match u32::from_le_bytes(*value_bytes) {
        REMOVED => (None, rest),
        bytes => {
            let (value, rest) = rest.split_at_checked(bytes as usize)?;
            (Some(value.to_vec()), rest)
        }
    };
    Some(((table, key.to_vec(), value), rest))
}

fn damaged(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(texts: &[&str]) -> Vec<u8> {
        let mut changes = Vec::new();
        for text in texts {
            add(&mut changes, Table::Log, text.as_bytes(), Some(&b"value"[..text.len() % 6]));
        }
        changes
    }

    fn keys(found: &[Change]) -> Vec<&str> {
        found.iter().map(|(_, key, _)| std::str::from_utf8(key).expect("a text")).collect()
    }

    #[test]
    fn what_was_appended_is_found_in_order_over_turns() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (mut wal, found) = Wal::open(dir.path(), true).expect("opens");
        assert_eq!(found, []);
        wal.append(&changes(&["a", "bb"])).expect("written");
        wal.turn().expect("turned");
        let mut removal = Vec::new();
        add(&mut removal, Table::Meta, b"ccc", None);
        add(&mut removal, Table::Chunk, b"dddd", Some(b""));
        wal.append(&removal).expect("written");
        let (mut wal, found) = Wal::open(dir.path(), true).expect("opens again");
        assert_eq!(
            found,
            [
                (Table::Log, b"a".to_vec(), Some(b"v".to_vec())),
                (Table::Log, b"bb".to_vec(), Some(b"va".to_vec())),
                (Table::Meta, b"ccc".to_vec(), None),
                (Table::Chunk, b"dddd".to_vec(), Some(Vec::new())),
            ]
        );
        wal.clear().expect("cleared");
        wal.append(&changes(&["e"])).expect("written");
        let (_, found) = Wal::open(dir.path(), true).expect("opens again");
        assert_eq!(keys(&found), ["e"]);
    }

    #[test]
    fn what_is_left_of_a_longer_generation_is_not_taken_for_a_newer_one() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (mut wal, _) = Wal::open(dir.path(), true).expect("opens");
        // Records of one size, so that those of the old generation begin where new ones end.
        for key in ["a", "b", "c"] {
            wal.append(&changes(&[key])).expect("written");
        }
        wal.turn().expect("turned");
        wal.append(&changes(&["d"])).expect("written");
        wal.turn().expect("turned");
        wal.append(&changes(&["e"])).expect("written");
        let (_, found) = Wal::open(dir.path(), true).expect("opens again");
        assert_eq!(keys(&found), ["d", "e"]);
    }

    #[test]
    fn a_torn_record_over_a_generation_that_is_in_sled_is_of_no_account() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (mut wal, _) = Wal::open(dir.path(), true).expect("opens");
        for key in ["a", "b", "c"] {
            wal.append(&changes(&[key])).expect("written");
        }
        wal.turn().expect("turned");
        wal.append(&changes(&["d"])).expect("written");
        wal.turn().expect("turned");
        let path = dir.path().join(FILES[0]);
        let former = std::fs::read(&path).expect("read");
        wal.append(&changes(&["a longer record", "than any of the former ones"])).expect("written");
        let written = std::fs::read(&path).expect("read");
        // Its beginning did not reach the disk, or its end did not.
        for at in 1..written.len().min(former.len()) {
            let torn = [&former[..at], &written[at..]].concat();
            std::fs::write(&path, &torn).expect("torn");
            let (_, found) = Wal::open(dir.path(), true).expect("opens");
            assert!(keys(&found).starts_with(&["d"]), "byte {at}: {:?}", keys(&found));
            std::fs::write(&path, [&written[..at], &former[at..]].concat()).expect("torn");
            let (_, found) = Wal::open(dir.path(), true).expect("opens");
            assert!(keys(&found).starts_with(&["d"]), "byte {at}: {:?}", keys(&found));
        }
    }

    #[test]
    fn a_record_cut_short_ends_the_last_generation_and_damages_an_earlier_one() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (mut wal, _) = Wal::open(dir.path(), true).expect("opens");
        wal.append(&changes(&["a"])).expect("written");
        wal.append(&changes(&["b"])).expect("written");
        let path = dir.path().join(FILES[0]);
        let whole = std::fs::read(&path).expect("read");
        for at in whole.len() / 2..whole.len() {
            let mut harmed = whole.clone();
            harmed[at] ^= 4;
            for torn in [&harmed[..], &whole[..at]] {
                std::fs::write(&path, torn).expect("torn");
                let (_, found) = Wal::open(dir.path(), true).expect("opens");
                assert_eq!(keys(&found), ["a"], "byte {at}");
            }
        }
        std::fs::write(&path, &whole).expect("mended");
        wal.turn().expect("turned");
        wal.append(&changes(&["c"])).expect("written");
        std::fs::write(&path, &whole[..whole.len() - 1]).expect("torn");
        let error = Wal::open(dir.path(), true).expect_err("a hole");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("breaks off before record"), "{error}");
        // All of the earlier one gone: it may have been settled and overwritten in part.
        std::fs::write(&path, b"").expect("emptied");
        let (_, found) = Wal::open(dir.path(), true).expect("opens");
        assert_eq!(keys(&found), ["c"]);
    }
}
