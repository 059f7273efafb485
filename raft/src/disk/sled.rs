//! The disk of a real replica: sled, and the synchronisation that sled leaves out.
//!
//! sled 0.34 writes with `pwrite` and `sync_file_range`, which flush neither the file's size and
//! extents nor the drive's cache: what `flush` has acknowledged does not survive a power cut. So
//! [`SledDisk::sync`](Disk::sync) follows each flush by an `fdatasync` of sled's data file, through
//! a second descriptor of it (what is synchronised is the file, not the descriptor), and opening
//! synchronises the files and directories themselves.
//!
//! The mark is a file of its own, `synced`: sled takes damage near the end of its data file for a
//! write that a crash has cut short, and drops what it finds there without a word.
//!
//! Rows are written by plain inserts only. Batches and transactions take a lock that `flush` holds
//! during its disk access, and that all databases of a process share.

use std::fs::{self, File};
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::mark::MarkFile;
use super::{Disk, DiskFuture, Row, Table, VALUE_BYTES_MAX, check_mark, check_value};
use crate::planted::{Bug, planted};

/// The unit in which sled writes. A page that has more than a quarter of it would go into a file of
/// its own, which sled never synchronises, and whose failed write leaves sled's log waiting for
/// ever. A leaf splits above 16 rows and takes in siblings of at most 3, so with two dozen of the
/// largest rows it stays below.
const SEGMENT_BYTES: usize = 2 * 1024 * 1024;
const _: () = assert!(24 * (VALUE_BYTES_MAX + 256) < SEGMENT_BYTES / 4);

/// The file that keeps the mark.
const MARK_FILE: &str = "synced";

/// Why a data directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "the data directory {} is in use by another process; stop that process first, or give \
         this one a directory of its own with --data-dir",
        dir.display()
    )]
    InUse {
        /// The data directory.
        dir: PathBuf,
    },
    /// What is in it cannot be read as a database.
    #[error(
        "the data directory {} cannot be opened, its contents are damaged: {detail}. Nothing was \
         changed. Move the directory aside and keep it; then remove this replica from the cluster \
         and add a new one under a new node id, with an empty directory. Do not start it again \
         under its old id: it may have acknowledged writes and votes that it no longer knows",
        dir.display()
    )]
    Damaged {
        /// The data directory.
        dir: PathBuf,
        /// What the database said.
        detail: String,
    },
    /// The operating system refused.
    #[error("the data directory {} cannot be opened: {source}", dir.display())]
    Io {
        /// The data directory.
        dir: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// A [`Disk`] in a directory, kept by sled.
#[derive(Debug)]
pub struct SledDisk {
    database: sled::Db,
    log: sled::Tree,
    meta: sled::Tree,
    chunk: sled::Tree,
    /// sled's data file, opened a second time for `fdatasync`; absent in the test that shows what
    /// happens without.
    data: Option<Arc<File>>,
    mark: MarkFile,
}

impl SledDisk {
    /// Opens the directory, which is created if need be. `cache_bytes` bounds sled's page cache.
    /// Blocks for as long as sled recovers.
    ///
    /// # Errors
    /// When another process has it open, when it is damaged, and when the system refuses. The
    /// error says what to do; nothing is wiped.
    pub fn open(dir: &Path, cache_bytes: u64) -> Result<SledDisk, OpenError> {
        SledDisk::open_with(dir, cache_bytes, !planted(Bug::FdatasyncLeftOut))
    }

    /// A disk whose [`Disk::sync`] is sled's `flush` alone and loses acknowledged writes in a power
    /// cut: with it the power-cut test proves that it would notice.
    ///
    /// # Errors
    /// As [`SledDisk::open`].
    #[doc(hidden)]
    pub fn open_without_fdatasync(dir: &Path, cache_bytes: u64) -> Result<SledDisk, OpenError> {
        SledDisk::open_with(dir, cache_bytes, false)
    }

    fn open_with(dir: &Path, cache_bytes: u64, fdatasync: bool) -> Result<SledDisk, OpenError> {
        let refused = |source| OpenError::Io { dir: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(refused)?;
        let mark = MarkFile::open(&dir.join(MARK_FILE)).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => {
                OpenError::Damaged { dir: dir.to_owned(), detail: error.to_string() }
            }
            _ => refused(error),
        })?;
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity(cache_bytes)
            .mode(sled::Mode::HighThroughput)
            .segment_size(SEGMENT_BYTES)
            .flush_every_ms(None);
        // On a thread of its own: sled panics on some damage, and a panic must not pass for a crash
        // of the replica.
        let opening = std::thread::Builder::new()
            .name("sled-open".to_owned())
            .spawn(move || {
                let database = config.open()?;
                let log = database.open_tree("log")?;
                let meta = database.open_tree("meta")?;
                let chunk = database.open_tree("chunk")?;
                Ok::<_, sled::Error>((database, log, meta, chunk))
            })
            .map_err(refused)?;
        let (database, log, meta, chunk) = match opening.join() {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return Err(open_error(dir, error)),
            Err(panic) => {
                let detail = format!("sled panicked: {}", panic_text(panic.as_ref()));
                return Err(OpenError::Damaged { dir: dir.to_owned(), detail });
            }
        };
        database.flush().map_err(|error| open_error(dir, error))?;
        let data = File::open(dir.join("db")).map_err(refused)?;
        sync_directory(dir).map_err(refused)?;
        let data = fdatasync.then(|| Arc::new(data));
        Ok(SledDisk { database, log, meta, chunk, data, mark })
    }

    fn tree(&self, table: Table) -> &sled::Tree {
        match table {
            Table::Log => &self.log,
            Table::Meta => &self.meta,
            Table::Chunk => &self.chunk,
        }
    }
}

impl Disk for SledDisk {
    fn get(&self, table: Table, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        Ok(self.tree(table).get(key)?.map(|value| value.to_vec()))
    }

    fn range(
        &self,
        table: Table,
        keys: RangeInclusive<Vec<u8>>,
        limit: usize,
    ) -> io::Result<Vec<Row>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.tree(table)
            .range(keys)
            .take(limit)
            .map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())).map_err(Into::into))
            .collect()
    }

    fn last_until(&self, table: Table, key: &[u8]) -> io::Result<Option<Row>> {
        let last = self.tree(table).range(..=key).next_back().transpose()?;
        Ok(last.map(|(key, value)| (key.to_vec(), value.to_vec())))
    }

    fn put(&self, table: Table, key: &[u8], value: &[u8]) -> io::Result<()> {
        check_value(value)?;
        self.tree(table).insert(key, value)?;
        Ok(())
    }

    fn remove(&self, table: Table, key: &[u8]) -> io::Result<()> {
        self.tree(table).remove(key)?;
        Ok(())
    }

    fn sync(&self) -> DiskFuture<()> {
        let database = self.database.clone();
        let data = self.data.clone();
        Box::pin(async move {
            let synced = tokio::task::spawn_blocking(move || {
                database.flush()?;
                data.map_or(Ok(()), |data| data.sync_data())
            });
            synced.await.unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
        })
    }

    fn mark(&self) -> Option<Vec<u8>> {
        self.mark.get()
    }

    fn put_mark(&self, mark: &[u8]) -> io::Result<()> {
        check_mark(mark)?;
        self.mark.put(mark)
    }

    fn sync_mark(&self) -> DiskFuture<()> {
        let file = self.mark.file();
        Box::pin(async move {
            let synced = tokio::task::spawn_blocking(move || file.sync_data());
            synced.await.unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
        })
    }

    fn size_bytes(&self) -> u64 {
        // Nothing is decided by this number, so a failure to read it is told as zero.
        self.database.size_on_disk().unwrap_or(0)
    }
}

/// Synchronises every file in `dir`, `dir` itself, and the directory that names it: without that a
/// power cut can take a new database away as a whole, however well its rows were synchronised.
fn sync_directory(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            for inner in fs::read_dir(&path)? {
                File::open(inner?.path())?.sync_all()?;
            }
        }
        File::open(path)?.sync_all()?;
    }
    let dir = dir.canonicalize()?;
    File::open(&dir)?.sync_all()?;
    match dir.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn open_error(dir: &Path, error: sled::Error) -> OpenError {
    let dir = dir.to_owned();
    match error {
        sled::Error::Io(source) if source.to_string().contains("could not acquire lock") => {
            OpenError::InUse { dir }
        }
        sled::Error::Io(source) if source.kind() != io::ErrorKind::InvalidData => {
            OpenError::Io { dir, source }
        }
        error => OpenError::Damaged { dir, detail: error.to_string() },
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        return (*text).to_owned();
    }
    panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "without a message".to_owned())
}

#[cfg(test)]
mod tests;
