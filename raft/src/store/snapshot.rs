//! Snapshots: a machine's sections as a stream, cut into chunks that are rows of the disk.
//!
//! A snapshot is written under a number of its own, made durable, and only then pointed to by the
//! one record that says which snapshot is the current one. What is not pointed to is removed: when
//! the last reader lets go of it, or at the next opening.
//!
//! Between replicas it travels as its [`SnapshotHeader`] and its chunks in order: the sender reads
//! them by number ([`SnapshotData::chunk`]), the receiver puts them on its own disk one by one
//! ([`SnapshotWriter`]). Neither ever holds more than one in memory.

mod chunks;
mod stream;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3Default;

use super::convert::DiskSnapshotMeta;
use super::flusher::Flusher;
use super::latch::Latch;
use super::record::{BODY_BYTES_MAX, Meta, get_meta, number_at, put_meta};
use super::sweeper::Sweeper;
use super::{damaged, lock};
use crate::disk::{Disk, Table};
use crate::machine::Section;
use crate::types::{LogId, SnapshotMeta};
use chunks::{Chunks, first_key, last_key};
use stream::Packer;
pub(crate) use stream::Sections;

/// The largest chunk.
pub(crate) const CHUNK_BYTES_MAX: usize = BODY_BYTES_MAX;

/// The largest section ([`Machine::freeze`](crate::machine::Machine::freeze)).
const SECTION_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The largest snapshot that is taken from a peer.
const SNAPSHOT_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;

/// What a snapshot's stream is: enough to know when all of it has arrived unharmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotHeader {
    /// The number of chunks.
    pub(crate) chunks: u32,
    /// Their bytes together.
    pub(crate) bytes: u64,
    /// XXH3 of the bytes.
    pub(crate) stream_digest: u128,
    /// The machine's own digest of the tables.
    pub(crate) tables_digest: u128,
}

/// A snapshot on a disk, read lazily. Its chunks stay for as long as there is a clone of this.
#[derive(Clone)]
pub(crate) struct SnapshotData {
    header: SnapshotHeader,
    chunks: Arc<Chunks>,
}

impl SnapshotData {
    /// What it consists of.
    pub(crate) fn header(&self) -> SnapshotHeader {
        self.header
    }

    /// The chunk with this number, `0..header().chunks`.
    ///
    /// # Errors
    /// `InvalidData` when it is damaged or missing.
    pub(crate) fn chunk(&self, number: u32) -> io::Result<Vec<u8>> {
        self.chunks.get(number)
    }

    /// Its sections, for [`Machine::restore`](crate::machine::Machine::restore).
    pub(crate) fn sections(&self) -> Sections {
        Sections::new(self.clone())
    }
}

/// Takes the chunks of a new snapshot, in order. Dropped unfinished, it leaves nothing behind.
pub(crate) struct SnapshotWriter {
    chunks: Arc<Chunks>,
    flusher: Flusher,
    count: u32,
    bytes: u64,
    hasher: Xxh3Default,
}

impl SnapshotWriter {
    /// Puts the next chunk.
    ///
    /// # Errors
    /// `InvalidData` when it is empty or too large, or the whole is; otherwise what the disk says.
    pub(crate) fn put(&mut self, chunk: &[u8]) -> io::Result<()> {
        let bytes = self.bytes + chunk.len() as u64;
        if chunk.is_empty() || chunk.len() > CHUNK_BYTES_MAX || bytes > SNAPSHOT_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "a snapshot's chunk has 1 to {CHUNK_BYTES_MAX} bytes and all together at most \
                     {SNAPSHOT_BYTES_MAX}; this one has {}, after {}",
                    chunk.len(),
                    self.bytes
                ),
            ));
        }
        self.chunks.put(self.count, chunk)?;
        self.hasher.update(chunk);
        self.count += 1;
        self.bytes = bytes;
        Ok(())
    }

    /// Ends a snapshot that was built here; durable when it returns.
    async fn finish(self, tables_digest: u128) -> io::Result<SnapshotData> {
        let header = SnapshotHeader {
            chunks: self.count,
            bytes: self.bytes,
            stream_digest: self.hasher.digest128(),
            tables_digest,
        };
        self.flusher.sync().await?;
        Ok(SnapshotData { header, chunks: self.chunks })
    }

    /// Ends a snapshot that was received; durable when it returns.
    ///
    /// # Errors
    /// `InvalidData` when what has arrived is not what `header` announced.
    pub(crate) async fn finish_received(self, header: SnapshotHeader) -> io::Result<SnapshotData> {
        let received = self.finish(header.tables_digest).await?;
        if received.header != header {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("received {:?} instead of the announced {header:?}", received.header),
            ));
        }
        Ok(received)
    }
}

/// The record that says which snapshot is the current one.
#[derive(Serialize, Deserialize)]
struct Pointer {
    number: u64,
    meta: DiskSnapshotMeta,
    header: SnapshotHeader,
}

/// The snapshots on a disk: one that is current, and those that are being written or still read.
/// Clones share it.
#[derive(Clone)]
pub(crate) struct SnapshotStore {
    inner: Arc<Inner>,
}

struct Inner {
    disk: Arc<Latch>,
    flusher: Flusher,
    sweeper: Sweeper,
    next_number: AtomicU64,
    current: Mutex<Option<(SnapshotMeta, SnapshotData)>>,
    /// Held while the pointer moves.
    adopting: tokio::sync::Mutex<()>,
}

impl SnapshotStore {
    /// Opens the snapshots of a disk, and has removed what is not current.
    pub(super) fn open(
        disk: &Arc<Latch>,
        flusher: &Flusher,
        sweeper: &Sweeper,
    ) -> io::Result<SnapshotStore> {
        let last = disk
            .last_until(Table::Chunk, &last_key(u64::MAX))?
            .and_then(|(key, _)| number_at(&key));
        let pointer: Option<Pointer> = get_meta(&**disk, Meta::Snapshot)?;
        let number = pointer.as_ref().map(|pointer| pointer.number);
        if let Some(last) = last {
            let before = number.unwrap_or(0);
            sweeper.remove(Table::Chunk, first_key(0), first_key(before));
            let after = number.map_or(0, |number| number + 1);
            sweeper.remove(Table::Chunk, first_key(after), last_key(last));
        }
        let current = match pointer {
            None => None,
            Some(Pointer { number, meta, header }) => {
                let meta = meta
                    .into_meta()
                    .map_err(|what| damaged(Table::Meta, Meta::Snapshot.key(), what))?;
                let chunks = Chunks::current(disk, sweeper, number);
                Some((meta, SnapshotData { header, chunks }))
            }
        };
        let inner = Inner {
            disk: Arc::clone(disk),
            flusher: flusher.clone(),
            sweeper: sweeper.clone(),
            next_number: AtomicU64::new(number.max(last).map_or(1, |number| number + 1)),
            current: Mutex::new(current),
            adopting: tokio::sync::Mutex::new(()),
        };
        Ok(SnapshotStore { inner: Arc::new(inner) })
    }

    /// Begins a new snapshot.
    pub(crate) fn begin(&self) -> SnapshotWriter {
        let Inner { disk, flusher, sweeper, next_number, .. } = &*self.inner;
        let number = next_number.fetch_add(1, Ordering::Relaxed);
        SnapshotWriter {
            chunks: Chunks::begun(disk, sweeper, number),
            flusher: flusher.clone(),
            count: 0,
            bytes: 0,
            hasher: Xxh3Default::new(),
        }
    }

    /// The current snapshot.
    pub(crate) fn current(&self) -> Option<(SnapshotMeta, SnapshotData)> {
        lock(&self.inner.current).clone()
    }

    /// The last entry that the current snapshot covers.
    pub(crate) fn last_log_id(&self) -> Option<LogId> {
        lock(&self.inner.current).as_ref().and_then(|(meta, _)| meta.last_log_id)
    }

    /// Writes a machine's sections as a new snapshot, leaving others their turn after each chunk.
    pub(super) async fn build(
        &self,
        sections: impl Iterator<Item = Section> + Send,
        tables_digest: u128,
    ) -> io::Result<SnapshotData> {
        let mut packer = Packer::new(self.begin());
        for section in sections {
            packer.add(&section)?;
            while packer.put_chunk()? {
                tokio::task::yield_now().await;
            }
        }
        packer.into_writer()?.finish(tables_digest).await
    }

    /// Makes a finished snapshot the current one, durably, and lets go of the one before. One that
    /// lies on another disk is copied first. Does nothing if the current one is newer.
    pub(super) async fn adopt(&self, meta: &SnapshotMeta, data: SnapshotData) -> io::Result<()> {
        let Inner { disk, flusher, current, adopting, .. } = &*self.inner;
        let _one_at_a_time = adopting.lock().await;
        if let Some((current_meta, current)) = &*lock(current)
            && (Arc::ptr_eq(&current.chunks, &data.chunks)
                || current_meta.last_log_id > meta.last_log_id)
        {
            return Ok(());
        }
        let data = if data.chunks.is_on(disk) { data } else { self.copy(data).await? };
        let pointer =
            Pointer { number: data.chunks.number(), meta: meta.into(), header: data.header };
        // From here on the pointer may be found on the disk, also when this is given up in the middle
        // (a replica that stops): its chunks must stay. Should it not be there, the next opening
        // removes them.
        data.chunks.set_obsolete(false);
        put_meta(&**disk, Meta::Snapshot, &pointer)?;
        flusher.sync().await?;
        if let Some((_, former)) = lock(current).replace((meta.clone(), data)) {
            former.chunks.set_obsolete(true);
        }
        Ok(())
    }

    async fn copy(&self, data: SnapshotData) -> io::Result<SnapshotData> {
        let mut writer = self.begin();
        for number in 0..data.header.chunks {
            writer.put(&data.chunk(number)?)?;
            tokio::task::yield_now().await;
        }
        writer.finish_received(data.header).await
    }
}
