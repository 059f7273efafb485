//! The disk of a real replica: sled, with a write-ahead log before it.
//!
//! sled 0.34 writes with `pwrite` and `sync_file_range`, which flush neither the file's size and
//! extents nor the drive's cache: what `flush` has acknowledged does not survive a power cut. And a
//! flush of a single row wakes all the threads of sled's pool. So rows become durable in a
//! write-ahead log of this disk's own ([`wal`]), by one write and one `fdatasync` a sync, and are
//! served from memory ([`overlay`]) until they are in sled, which takes them by the thousand: its
//! flush is followed by an `fdatasync` of its data file, through a second descriptor of it (what is
//! synchronised is the file, not the descriptor). Opening replays the log into sled.
//!
//! The mark is a file of its own, `synced`: sled takes damage near the end of its data file for a
//! write that a crash has cut short, and drops what it finds there without a word. So does the
//! write-ahead log.
//!
//! Rows go into sled by plain inserts only. Batches and transactions take a lock that `flush` holds
//! during its disk access, and that all databases of a process share.

mod leftovers;
mod overlay;
mod wal;

use std::fs::{self, File};
use std::io;
use std::ops::{Bound, RangeInclusive};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

use self::overlay::Overlay;
use self::wal::{Synced, Wal};
use super::mark::MarkFile;
use super::{Disk, DiskFuture, Row, Table, VALUE_BYTES_MAX, check_mark, check_value};
use crate::planted::{Bug, planted};

/// The unit in which sled writes. A page that has more than a quarter of it would go into a file of
/// its own, which sled never synchronises, and whose failed write leaves sled's log waiting for
/// ever. A leaf splits above 16 rows and takes in siblings of at most 3, so with two dozen of the
/// largest rows it stays below.
const SEGMENT_BYTES: usize = 2 * 1024 * 1024;
const _: () = assert!(24 * (VALUE_BYTES_MAX + 256) < SEGMENT_BYTES / 4);

/// See [`Habits::settle_bytes`].
const SETTLE_BYTES: u64 = 2 * 1024 * 1024;
/// Changes that are kept for the next sync. More are written, and not synchronised, at once.
const UNWRITTEN_BYTES_MAX: usize = 256 * 1024;

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
        "the data directory {} cannot be opened, its contents are damaged: {detail}. Move \
         the directory aside and keep it; then remove this replica from the cluster and add a new \
         one under a new node id, with an empty directory. Do not start it again under its old id: \
         it may have acknowledged writes and votes that it no longer knows",
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
    rows: Arc<Rows>,
    mark: MarkFile,
}

/// What a [`SledDisk`] does when.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    /// Synchronises the write-ahead log, at each sync.
    pub wal: bool,
    /// Synchronises sled's data file, before the log is written over.
    pub sled: bool,
    /// Bytes of the write-ahead log after which its rows go into sled. Whoever writes waits for sled
    /// when there are four times as many before the former ones are in it.
    pub settle_bytes: u64,
}

impl Default for Habits {
    fn default() -> Self {
        Self { wal: true, sled: true, settle_bytes: SETTLE_BYTES }
    }
}

/// The tables of a [`SledDisk`].
#[derive(Debug)]
struct Rows {
    sled: Sled,
    /// Taken before `overlay` by whoever needs both.
    wal: Mutex<Wal>,
    overlay: Mutex<Overlay>,
    /// When rows have settled, or never will.
    settled: Condvar,
    settling: Mutex<Option<JoinHandle<()>>>,
    settle_bytes: u64,
    /// Why rows could not settle.
    failure: OnceLock<(io::ErrorKind, String)>,
}

/// sled's own part.
#[derive(Debug)]
struct Sled {
    database: sled::Db,
    log: sled::Tree,
    meta: sled::Tree,
    chunk: sled::Tree,
    /// sled's data file, opened a second time for `fdatasync`; absent in the test that shows what
    /// happens without.
    data: Option<File>,
}

impl SledDisk {
    /// Opens the directory, which is created if need be. `cache_bytes` bounds sled's page cache.
    /// Blocks for as long as sled recovers.
    ///
    /// # Errors
    /// When another process has it open, when it is damaged, and when the system refuses. The
    /// error says what to do; nothing is wiped.
    pub fn open(dir: &Path, cache_bytes: u64) -> Result<SledDisk, OpenError> {
        SledDisk::open_with(dir, cache_bytes, Habits::default())
    }

    /// A disk of other habits: the power-cut test has rows settle often, and proves that it would
    /// notice a missing `fdatasync`.
    ///
    /// # Errors
    /// As [`SledDisk::open`].
    #[doc(hidden)]
    pub fn open_with(dir: &Path, cache_bytes: u64, habits: Habits) -> Result<SledDisk, OpenError> {
        let fdatasync = !planted(Bug::FdatasyncLeftOut);
        let habits =
            Habits { wal: habits.wal && fdatasync, sled: habits.sled && fdatasync, ..habits };
        let refused = |source| OpenError::Io { dir: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(refused)?;
        let mark =
            MarkFile::open(&dir.join(MARK_FILE)).map_err(|error| refused_or_damaged(dir, error))?;
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity(cache_bytes)
            .mode(sled::Mode::HighThroughput)
            .segment_size(SEGMENT_BYTES)
            .flush_every_ms(None);
        // On a thread of its own: sled panics on some damage, and a panic must not pass for a crash
        // of the replica.
        let opening = std::thread::Builder::new().name("sled-open".to_owned()).spawn({
            let dir = dir.to_owned();
            move || Rows::open(&config, &dir, habits)
        });
        match opening.map_err(refused)?.join() {
            Ok(rows) => Ok(SledDisk { rows: Arc::new(rows?), mark }),
            Err(panic) => {
                let detail = format!("sled panicked: {}", panic_text(panic.as_ref()));
                Err(OpenError::Damaged { dir: dir.to_owned(), detail })
            }
        }
    }

    fn change(&self, table: Table, key: &[u8], value: Option<&[u8]>) -> io::Result<()> {
        self.rows.check()?;
        let unwritten = {
            let mut overlay = lock(&self.rows.overlay);
            overlay.change(table, key, value);
            overlay.unwritten.len()
        };
        if unwritten >= UNWRITTEN_BYTES_MAX {
            Rows::write_out(&self.rows)?;
        }
        Ok(())
    }
}

impl Drop for SledDisk {
    fn drop(&mut self) {
        // Or sled's lock would outlive this.
        let settling = lock(&self.rows.settling).take();
        settling.map(JoinHandle::join);
    }
}

impl Rows {
    /// Opens sled, which keeps others out, and has it take what the log holds.
    fn open(config: &sled::Config, dir: &Path, habits: Habits) -> Result<Rows, OpenError> {
        let refused = |error| refused_or_damaged(dir, error);
        let failed = |error| open_error(dir, error);
        leftovers::clear(dir).map_err(refused)?;
        let database = config.open().map_err(failed)?;
        let sled = Sled {
            log: database.open_tree("log").map_err(failed)?,
            meta: database.open_tree("meta").map_err(failed)?,
            chunk: database.open_tree("chunk").map_err(failed)?,
            data: Some(File::open(dir.join("db")).map_err(refused)?).filter(|_| habits.sled),
            database,
        };
        let (mut wal, changes) = Wal::open(dir, habits.wal).map_err(refused)?;
        for (table, key, value) in &changes {
            sled.change(*table, key, value.as_deref()).map_err(failed)?;
        }
        sled.sync().map_err(refused)?;
        sync_directory(dir).map_err(refused)?;
        wal.clear().map_err(refused)?;
        Ok(Rows {
            sled,
            wal: Mutex::new(wal),
            overlay: Mutex::default(),
            settled: Condvar::new(),
            settling: Mutex::default(),
            settle_bytes: habits.settle_bytes,
            failure: OnceLock::new(),
        })
    }

    fn check(&self) -> io::Result<()> {
        match self.failure.get() {
            None => Ok(()),
            Some((kind, text)) => Err(io::Error::new(*kind, text.clone())),
        }
    }

    /// Writes to the log what it does not hold yet, and answers the file to synchronise. If the log
    /// is long enough, its rows begin to settle.
    fn write_out(this: &Arc<Rows>) -> io::Result<Synced> {
        let mut wal = lock(&this.wal);
        let (unwritten, turns) = {
            let mut overlay = lock(&this.overlay);
            while wal.bytes() >= 4 * this.settle_bytes && overlay.settling.is_some() {
                this.check()?;
                overlay = this.settled.wait(overlay).unwrap_or_else(PoisonError::into_inner);
            }
            let unwritten = std::mem::take(&mut overlay.unwritten);
            let bytes = wal.bytes() + unwritten.len() as u64;
            let turns = bytes >= this.settle_bytes && overlay.settling.is_none();
            if turns {
                overlay.turn();
            }
            (unwritten, turns)
        };
        wal.append(&unwritten)?;
        let file = wal.file();
        if turns {
            // Before any of them is in sled: there they become durable in another order.
            wal.turn()?;
            Rows::begin_to_settle(this)?;
        }
        Ok(file)
    }

    fn begin_to_settle(this: &Arc<Rows>) -> io::Result<()> {
        let rows = Arc::clone(this);
        let settle = move || {
            let settled =
                catch_unwind(AssertUnwindSafe(|| rows.settle())).unwrap_or_else(|panic| {
                    Err(io::Error::other(format!("sled panicked: {}", panic_text(panic.as_ref()))))
                });
            if let Err(error) = settled {
                let text = format!("rows could not be moved into sled: {error}");
                rows.failure.set((error.kind(), text)).ok();
            }
            // Whoever has looked before now waits by now.
            drop(lock(&rows.overlay));
            rows.settled.notify_all();
        };
        let thread = std::thread::Builder::new().name("sled-settle".to_owned()).spawn(settle)?;
        // The one before has ended, or there would be nothing to settle now.
        lock(&this.settling).replace(thread).map(JoinHandle::join);
        Ok(())
    }

    /// Moves the rows of the former generation into sled.
    fn settle(&self) -> io::Result<()> {
        let Some(tables) = lock(&self.overlay).settling.clone() else { return Ok(()) };
        for (table, rows) in tables.iter() {
            for (key, value) in rows {
                self.sled.change(table, key, value.as_deref())?;
            }
        }
        self.sled.sync()?;
        lock(&self.overlay).settling = None;
        Ok(())
    }
}

impl Sled {
    fn tree(&self, table: Table) -> &sled::Tree {
        match table {
            Table::Log => &self.log,
            Table::Meta => &self.meta,
            Table::Chunk => &self.chunk,
        }
    }

    fn change(&self, table: Table, key: &[u8], value: Option<&[u8]>) -> sled::Result<()> {
        match value {
            Some(value) => self.tree(table).insert(key, value)?,
            None => self.tree(table).remove(key)?,
        };
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.database.flush()?;
        self.data.as_ref().map_or(Ok(()), File::sync_data)
    }
}

impl Disk for SledDisk {
    fn get(&self, table: Table, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        // First what is not in sled yet: a row that settles meanwhile is found there.
        if let Some(value) = lock(&self.rows.overlay).get(table, key) {
            return Ok(value);
        }
        Ok(self.rows.sled.tree(table).get(key)?.map(|value| value.to_vec()))
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
        let mut over = lock(&self.rows.overlay).range(table, &keys, limit).into_iter().peekable();
        let mut under = self.rows.sled.tree(table).range(keys).peekable();
        let mut rows = Vec::new();
        while rows.len() < limit {
            let hidden = match (over.peek(), under.peek()) {
                (Some((key, _)), Some(Ok((other, _)))) => {
                    if other[..] < key[..] {
                        None
                    } else {
                        Some(other[..] == key[..])
                    }
                }
                (Some(_), _) => Some(false),
                (None, _) => None,
            };
            match hidden {
                None => match under.next().transpose()? {
                    Some((key, value)) => rows.push((key.to_vec(), value.to_vec())),
                    None => break,
                },
                Some(hides) => {
                    if hides {
                        under.next();
                    }
                    if let Some((key, Some(value))) = over.next() {
                        rows.push((key, value));
                    }
                }
            }
        }
        Ok(rows)
    }

    fn last_until(&self, table: Table, key: &[u8]) -> io::Result<Option<Row>> {
        let tree = self.rows.sled.tree(table);
        let mut end = Bound::Included(key.to_vec());
        loop {
            let over = lock(&self.rows.overlay).last(table, end.as_ref());
            let under = tree.range((Bound::Unbounded, end)).next_back().transpose()?;
            match (over, under) {
                (Some((key, _)), Some((other, value))) if other[..] > key[..] => {
                    return Ok(Some((other.to_vec(), value.to_vec())));
                }
                (Some((key, Some(value))), _) => return Ok(Some((key, value))),
                // Removed, though sled may have it still.
                (Some((key, None)), _) => end = Bound::Excluded(key),
                (None, under) => {
                    return Ok(under.map(|(key, value)| (key.to_vec(), value.to_vec())));
                }
            }
        }
    }

    fn put(&self, table: Table, key: &[u8], value: &[u8]) -> io::Result<()> {
        check_value(value)?;
        self.change(table, key, Some(value))
    }

    fn remove(&self, table: Table, key: &[u8]) -> io::Result<()> {
        self.change(table, key, None)
    }

    fn sync(&self) -> DiskFuture<()> {
        let rows = Arc::clone(&self.rows);
        Box::pin(async move {
            let synced = tokio::task::spawn_blocking(move || {
                rows.check()?;
                Rows::write_out(&rows)?.sync()
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
        let settled = self.rows.sled.database.size_on_disk().unwrap_or(0);
        settled + lock(&self.rows.wal).bytes()
    }
}

/// Locks `mutex`. A panic elsewhere leaves the disk unused: its callers see it as a failure.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
    match error {
        sled::Error::Io(source) if source.to_string().contains("could not acquire lock") => {
            OpenError::InUse { dir: dir.to_owned() }
        }
        sled::Error::Io(source) => refused_or_damaged(dir, source),
        error => OpenError::Damaged { dir: dir.to_owned(), detail: error.to_string() },
    }
}

fn refused_or_damaged(dir: &Path, source: io::Error) -> OpenError {
    let dir = dir.to_owned();
    match source.kind() {
        io::ErrorKind::InvalidData => OpenError::Damaged { dir, detail: source.to_string() },
        _ => OpenError::Io { dir, source },
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
