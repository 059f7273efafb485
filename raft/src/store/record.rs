//! The frame around every record: a version, and a checksum that also covers where the record
//! lies, so that a row under a wrong key is noticed too.
//!
//! ```text
//! version: 1 byte | crc32: 4 bytes, little-endian | body
//! ```

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::damaged;
use crate::codec;
use crate::disk::{Disk, Table, VALUE_BYTES_MAX};

/// 1 had one entry in each row of the log, and a record `committed`; 2 an identity without `held_at`.
const VERSION: u8 = 3;
const HEADER_BYTES: usize = 5;

/// The largest body of a record.
pub(super) const BODY_BYTES_MAX: usize = VALUE_BYTES_MAX - HEADER_BYTES;

/// The single records of [`Table::Meta`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meta {
    Vote,
    Purged,
    Snapshot,
    Identity,
}

impl Meta {
    pub(super) fn key(self) -> &'static [u8] {
        match self {
            Meta::Vote => b"vote",
            Meta::Purged => b"purged",
            Meta::Snapshot => b"snapshot",
            Meta::Identity => b"identity",
        }
    }
}

fn checksum<'a>(
    table: Table,
    key: &[u8],
    version: u8,
    body: impl IntoIterator<Item = &'a [u8]>,
) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[version, table as u8]);
    hasher.update(key);
    for part in body {
        hasher.update(part);
    }
    hasher.finalize()
}

/// Frames a body, given in parts.
///
/// # Panics
/// When it is larger than [`BODY_BYTES_MAX`]: callers cut before they come here.
pub(super) fn seal(table: Table, key: &[u8], body: &[&[u8]]) -> Vec<u8> {
    let body_bytes: usize = body.iter().map(|part| part.len()).sum();
    assert!(body_bytes <= BODY_BYTES_MAX, "a record of {body_bytes} bytes was not cut");
    let mut value = Vec::with_capacity(HEADER_BYTES + body_bytes);
    value.push(VERSION);
    value.extend(checksum(table, key, VERSION, body.iter().copied()).to_le_bytes());
    for part in body {
        value.extend_from_slice(part);
    }
    value
}

/// The body of a framed record.
///
/// # Errors
/// `InvalidData` when it is damaged or of a later version.
pub(super) fn unseal<'a>(table: Table, key: &[u8], value: &'a [u8]) -> io::Result<&'a [u8]> {
    let Some((header, body)) = value.split_at_checked(HEADER_BYTES) else {
        return Err(damaged(table, key, format!("only {} bytes are left of it", value.len())));
    };
    let version = header[0];
    let written = u32::from_le_bytes([header[1], header[2], header[3], header[4]]);
    let computed = checksum(table, key, version, [body]);
    if written != computed {
        return Err(damaged(
            table,
            key,
            format!("its checksum is {written:08x}, its bytes have {computed:08x}"),
        ));
    }
    if version != VERSION {
        let age = if version > VERSION { "newer" } else { "older" };
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "the {} on this disk is of version {version}, this program knows {VERSION}: start \
                 the {age} program that wrote it",
                readable(table, key)
            ),
        ));
    }
    Ok(body)
}

/// Puts a single record.
pub(super) fn put_meta<T: Serialize>(disk: &dyn Disk, meta: Meta, record: &T) -> io::Result<()> {
    let body = codec::encode(record).map_err(io::Error::other)?;
    if body.len() > BODY_BYTES_MAX {
        return Err(io::Error::other(format!(
            "the {meta:?} record would have {} bytes, {BODY_BYTES_MAX} are allowed",
            body.len()
        )));
    }
    disk.put(Table::Meta, meta.key(), &seal(Table::Meta, meta.key(), &[&body]))
}

/// Gets a single record, if it is there.
pub(super) fn get_meta<T: DeserializeOwned>(disk: &dyn Disk, meta: Meta) -> io::Result<Option<T>> {
    let Some(value) = disk.get(Table::Meta, meta.key())? else { return Ok(None) };
    let body = unseal(Table::Meta, meta.key(), &value)?;
    let record = codec::decode(body).map_err(|error| damaged(Table::Meta, meta.key(), error))?;
    Ok(Some(record))
}

/// The eight bytes of an index or a number, in the order of keys.
pub(super) fn number_at(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(..8)?.try_into().ok()?))
}

/// The four bytes of a part's or a chunk's number that follow.
pub(super) fn part_at(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(key.get(8..12)?.try_into().ok()?))
}

/// What a record is called in messages.
pub(super) fn readable(table: Table, key: &[u8]) -> String {
    match (table, number_at(key), part_at(key)) {
        (Table::Meta, ..) => format!("record {:?}", String::from_utf8_lossy(key)),
        (Table::Log, Some(index), None) => format!("log entry {index}"),
        (Table::Log, Some(index), Some(part)) => format!("log entry {index} (part {part})"),
        (Table::Chunk, Some(number), Some(chunk)) => format!("chunk {chunk} of snapshot {number}"),
        (table, ..) => format!("row {key:02x?} of table {table:?}"),
    }
}
