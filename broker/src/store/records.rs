//! Records of the log by where they lie, read from the segment files.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use signpost_remoting::message::{FIXED_BYTES, StoredMessage};

use super::disk::{Disk, DiskFile};
use super::{MAX_APPEND_BYTES, StoreError, io_error};

/// Open segments with their sizes, by their first offset.
type Segments = BTreeMap<u64, (u64, Arc<dyn DiskFile>)>;

/// Reads records while the writer appends further ones.
pub(super) struct Records {
    disk: Arc<dyn Disk>,
    open: Mutex<Segments>,
}

impl Records {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, open: Mutex::default() }
    }

    /// Used share of the disk, from 0 to 1.
    pub(super) fn disk_used_ratio(&self) -> io::Result<f64> {
        self.disk.used_ratio()
    }

    /// The record that begins there and has that many bytes.
    pub(super) fn at(&self, physical_offset: i64, bytes: usize) -> Result<Bytes, StoreError> {
        let read = || {
            let offset = u64::try_from(physical_offset).map_err(io::Error::other)?;
            let (start, file) = self.segment(offset)?.ok_or(io::ErrorKind::NotFound)?;
            let mut record = vec![0; bytes.min(MAX_APPEND_BYTES)];
            read_all(&*file, &mut record, offset - start)?;
            Ok(Bytes::from(record))
        };
        read().map_err(|error| io_error("read a message", error))
    }

    /// The message that claims to begin there; none where there is nothing like one.
    pub(super) fn find(&self, physical_offset: i64) -> Result<Option<StoredMessage>, StoreError> {
        let Ok(offset) = u64::try_from(physical_offset) else { return Ok(None) };
        let found = || {
            let Some((start, file)) = self.segment(offset)? else { return Ok(None) };
            let mut size = [0; 4];
            match read_all(&*file, &mut size, offset - start) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                other => other?,
            }
            let bytes = u32::from_be_bytes(size) as usize;
            if !(FIXED_BYTES..=MAX_APPEND_BYTES).contains(&bytes) {
                return Ok(None);
            }
            let mut record = vec![0; bytes];
            match read_all(&*file, &mut record, offset - start) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
                other => other.map(|()| Some(Bytes::from(record))),
            }
        };
        let found: Option<Bytes> = found().map_err(|error| io_error("read a message", error))?;
        let message = found.and_then(|mut record| StoredMessage::decode(&mut record).ok());
        Ok(message.filter(|message| message.physical_offset == physical_offset))
    }

    /// The segment that an offset lies in, and its first offset.
    fn segment(&self, offset: u64) -> io::Result<Option<(u64, Arc<dyn DiskFile>)>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = holding(&open, offset) {
            return Ok(Some(found));
        }
        // The writer has begun a further one since.
        for (start, bytes) in self.disk.list()? {
            if let Entry::Vacant(place) = open.entry(start) {
                place.insert((bytes, Arc::from(self.disk.open(start)?)));
            }
        }
        Ok(holding(&open, offset))
    }
}

fn holding(open: &Segments, offset: u64) -> Option<(u64, Arc<dyn DiskFile>)> {
    let (start, (bytes, file)) = open.range(..=offset).next_back()?;
    (offset - start < *bytes).then(|| (*start, file.clone()))
}

fn read_all(file: &dyn DiskFile, mut buffer: &mut [u8], mut position: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        let bytes = file.read_at(buffer, position)?;
        if bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer = &mut buffer[bytes..];
        position += bytes as u64;
    }
    Ok(())
}
