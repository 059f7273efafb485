//! A machine's sections as one stream of bytes (each after its length, 4 bytes, little-endian), cut
//! into chunks of equal size.

use std::io;

use xxhash_rust::xxh3::Xxh3Default;

use super::{CHUNK_BYTES_MAX, SECTION_BYTES_MAX, SnapshotData, SnapshotWriter};
use crate::machine::Section;

const LENGTH_BYTES: usize = 4;

/// Cuts sections into chunks.
pub(super) struct Packer {
    writer: SnapshotWriter,
    pending: Vec<u8>,
    /// How much of `pending` has been put.
    put_bytes: usize,
}

impl Packer {
    pub(super) fn new(writer: SnapshotWriter) -> Packer {
        Packer { writer, pending: Vec::new(), put_bytes: 0 }
    }

    /// Adds a section. [`Packer::put_chunk`] until it says false comes next, so that what is
    /// pending stays below a section and a chunk.
    pub(super) fn add(&mut self, section: &[u8]) -> io::Result<()> {
        let length = u32::try_from(section.len()).unwrap_or(u32::MAX);
        if section.len() > SECTION_BYTES_MAX {
            return Err(io::Error::other(format!(
                "the machine froze a section of {length} bytes; {SECTION_BYTES_MAX} are allowed"
            )));
        }
        self.pending.drain(..self.put_bytes);
        self.put_bytes = 0;
        self.pending.extend(length.to_le_bytes());
        self.pending.extend_from_slice(section);
        Ok(())
    }

    /// Puts one whole chunk, if there is one.
    pub(super) fn put_chunk(&mut self) -> io::Result<bool> {
        let rest = &self.pending[self.put_bytes..];
        let Some(chunk) = rest.get(..CHUNK_BYTES_MAX) else { return Ok(false) };
        self.writer.put(chunk)?;
        self.put_bytes += CHUNK_BYTES_MAX;
        Ok(true)
    }

    /// Puts the last chunk, which may be shorter.
    pub(super) fn into_writer(mut self) -> io::Result<SnapshotWriter> {
        let rest = &self.pending[self.put_bytes..];
        if !rest.is_empty() {
            self.writer.put(rest)?;
        }
        Ok(self.writer)
    }
}

/// The sections of a snapshot, one at a time. It ends early when something is wrong;
/// [`Sections::verify`] tells.
pub(crate) struct Sections {
    data: SnapshotData,
    next_chunk: u32,
    pending: Vec<u8>,
    read_bytes: usize,
    bytes: u64,
    hasher: Xxh3Default,
    error: Option<io::Error>,
}

impl Sections {
    pub(super) fn new(data: SnapshotData) -> Sections {
        Sections {
            data,
            next_chunk: 0,
            pending: Vec::new(),
            read_bytes: 0,
            bytes: 0,
            hasher: Xxh3Default::new(),
            error: None,
        }
    }

    /// Whether all that was given is what was once written: to be asked after the last section,
    /// and before anybody sees what was made of them.
    ///
    /// # Errors
    /// `InvalidData` when it is not; what the disk says when it failed.
    pub(crate) fn verify(mut self) -> io::Result<()> {
        while self.next().is_some() {}
        if let Some(error) = self.error {
            return Err(error);
        }
        let header = self.data.header();
        let digest = self.hasher.digest128();
        if self.bytes != header.bytes || digest != header.stream_digest {
            return Err(wrong(format!(
                "its {} bytes have the digest {digest:032x}, it was written with {} and {:032x}",
                self.bytes, header.bytes, header.stream_digest
            )));
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<Option<Section>> {
        let at_end =
            self.pending.len() == self.read_bytes && self.next_chunk == self.data.header().chunks;
        if at_end {
            return Ok(None);
        }
        self.fill(LENGTH_BYTES)?;
        let start = self.read_bytes + LENGTH_BYTES;
        let mut length = [0; LENGTH_BYTES];
        length.copy_from_slice(&self.pending[self.read_bytes..start]);
        let length = u32::from_le_bytes(length) as usize;
        if length > SECTION_BYTES_MAX {
            return Err(wrong(format!("a section claims {length} bytes")));
        }
        self.fill(LENGTH_BYTES + length)?;
        let start = self.read_bytes + LENGTH_BYTES;
        let section = self.pending[start..start + length].to_vec();
        self.read_bytes = start + length;
        Ok(Some(section))
    }

    /// Reads chunks until so many bytes are pending.
    fn fill(&mut self, bytes: usize) -> io::Result<()> {
        if self.pending.len() - self.read_bytes >= bytes {
            return Ok(());
        }
        self.pending.drain(..self.read_bytes);
        self.read_bytes = 0;
        while self.pending.len() < bytes {
            if self.next_chunk == self.data.header().chunks {
                return Err(wrong("it ends within a section".to_owned()));
            }
            let chunk = self.data.chunk(self.next_chunk)?;
            self.next_chunk += 1;
            self.bytes += chunk.len() as u64;
            self.hasher.update(&chunk);
            self.pending.extend_from_slice(&chunk);
        }
        Ok(())
    }
}

impl Iterator for Sections {
    type Item = Section;

    fn next(&mut self) -> Option<Section> {
        if self.error.is_some() {
            return None;
        }
        self.read().unwrap_or_else(|error| {
            self.error = Some(error);
            None
        })
    }
}

fn wrong(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the snapshot is damaged: {what}"))
}
