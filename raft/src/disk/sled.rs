//! The disk of a real replica: sled, and the synchronisation that sled leaves out.
//!
//! sled 0.34 writes with `pwrite` and `sync_file_range`, which flush neither the file's size and
//! extents nor the drive's cache: what `flush` has acknowledged does not survive a power cut. So
//! [`SledDisk::sync`](Disk::sync) follows each flush by an `fdatasync` of sled's data file, through
//! a second descriptor of it (what is synchronised is the file, not the descriptor), and opening
//! synchronises the files and directories themselves.
//!
//! Rows are written by plain inserts only. Batches and transactions take a lock that `flush` holds
//! during its disk access, and that all databases of a process share.

use std::fs::{self, File};
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Disk, DiskFuture, Row, Table, VALUE_BYTES_MAX, check_value};

/// The unit in which sled writes. A page that has more than a quarter of it would go into a file of
/// its own, which sled never synchronises, and whose failed write leaves sled's log waiting for
/// ever. A leaf splits above 16 rows and takes in siblings of at most 3, so with two dozen of the
/// largest rows it stays below.
const SEGMENT_BYTES: usize = 2 * 1024 * 1024;
const _: () = assert!(24 * (VALUE_BYTES_MAX + 256) < SEGMENT_BYTES / 4);

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
}

impl SledDisk {
    /// Opens the directory, which is created if need be. `cache_bytes` bounds sled's page cache.
    /// Blocks for as long as sled recovers.
    ///
    /// # Errors
    /// When another process has it open, when it is damaged, and when the system refuses. The
    /// error says what to do; nothing is wiped.
    pub fn open(dir: &Path, cache_bytes: u64) -> Result<SledDisk, OpenError> {
        SledDisk::open_with(dir, cache_bytes, true)
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
        Ok(SledDisk { database, log, meta, chunk, data })
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

    fn last(&self, table: Table) -> io::Result<Option<Row>> {
        Ok(self.tree(table).last()?.map(|(key, value)| (key.to_vec(), value.to_vec())))
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
mod tests {
    use super::*;

    const CACHE_BYTES: u64 = 8 << 20;

    #[tokio::test]
    async fn what_was_synced_is_there_after_opening_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("made/by/open");
        let disk = SledDisk::open(&path, CACHE_BYTES).expect("a fresh directory opens");
        disk.put(Table::Log, b"b", b"2").expect("written");
        disk.put(Table::Log, b"a", b"1").expect("written");
        disk.put(Table::Meta, b"a", b"other table").expect("written");
        disk.put(Table::Log, b"c", b"3").expect("written");
        disk.remove(Table::Log, b"c").expect("removed");
        disk.sync().await.expect("synced");
        drop(disk);

        let disk = SledDisk::open(&path, CACHE_BYTES).expect("opens again");
        let keys = b"a".to_vec()..=b"z".to_vec();
        let rows = disk.range(Table::Log, keys.clone(), 10).expect("read");
        assert_eq!(
            rows,
            [(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), b"2".to_vec())],
            "ordered by key, without what was removed"
        );
        assert_eq!(disk.range(Table::Log, keys, 1).expect("read").len(), 1, "the limit holds");
        assert_eq!(disk.last(Table::Log).expect("read"), Some((b"b".to_vec(), b"2".to_vec())));
        assert_eq!(disk.get(Table::Meta, b"a").expect("read"), Some(b"other table".to_vec()));
        assert_eq!(disk.get(Table::Chunk, b"a").expect("read"), None);
        assert!(disk.size_bytes() > 0);
    }

    #[tokio::test]
    async fn a_second_opening_is_refused_with_the_way_out() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let _disk = SledDisk::open(dir.path(), CACHE_BYTES).expect("opens");
        let error = SledDisk::open(dir.path(), CACHE_BYTES).expect_err("it is locked");
        assert!(matches!(error, OpenError::InUse { .. }), "{error}");
        assert!(error.to_string().contains("stop that process"), "{error}");
    }

    #[tokio::test]
    async fn a_damaged_directory_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("conf"), b"segment_size: nonsense\nversion: 9.9\n00000000")
            .expect("written");
        fs::write(dir.path().join("db"), vec![0xA5; 100_000]).expect("written");
        let error = SledDisk::open(dir.path(), CACHE_BYTES).expect_err("it is damaged");
        assert!(error.to_string().contains("under a new node id"), "{error}");
        assert_eq!(fs::metadata(dir.path().join("db")).expect("still there").len(), 100_000);
    }

    #[test]
    fn no_page_of_the_largest_rows_leaves_the_synchronised_file() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let disk = SledDisk::open(dir.path(), CACHE_BYTES).expect("opens");
        let blobs = dir.path().join("blobs");
        let touched = || fs::metadata(&blobs).expect("sled makes it").modified().expect("a time");
        let untouched = touched();
        let value = vec![7; VALUE_BYTES_MAX];
        let key = |number: u64| number.to_be_bytes();
        let put = |number| disk.put(Table::Log, &key(number), &value).expect("written");
        let remove = |number| disk.remove(Table::Log, &key(number)).expect("removed");
        // Appended and swept from the left, as a log is.
        (0..200).for_each(put);
        (0..190).for_each(remove);
        // Thinned to what makes leaves merge, from either side, and filled up again.
        (1_000..1_400).for_each(put);
        (1_000..1_400).filter(|number| number % 6 != 0).for_each(remove);
        (1_000..1_400).for_each(put);
        (1_000..1_400).rev().filter(|number| number % 5 != 0).for_each(remove);
        (1_000..1_400).rev().for_each(put);
        // All over the place (a full period of a linear congruence).
        (0..400).map(|step| 2_000 + step * 1_201 % 400).for_each(put);
        (0..400).map(|step| 2_000 + step * 747 % 400).filter(|n| n % 8 != 0).for_each(remove);
        (0..400).map(|step| 2_000 + step * 1_201 % 400).for_each(put);
        disk.database.flush().expect("flushed");
        assert_eq!(touched(), untouched, "sled wrote a page into a file of its own");
        let error = disk.put(Table::Log, b"large", &vec![7; VALUE_BYTES_MAX + 1]);
        assert_eq!(error.expect_err("too large").kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("file");
        fs::write(&file, b"").expect("written");
        let error = SledDisk::open(&file.join("below"), CACHE_BYTES).expect_err("not a directory");
        assert!(matches!(error, OpenError::Io { .. }), "{error}");
    }
}
