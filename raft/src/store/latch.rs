//! A disk that stays failed once it has failed.
//!
//! After a failed write or sync nothing is known about what the disk holds, and a later success
//! proves nothing: Linux reports a failed writeback once and then forgets it. So the first failure
//! is the last word: every write and sync after it fails too, and the replica stops.

use std::io;
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

use crate::disk::{Disk, DiskFuture, Row, Table};

/// See the module's text. Reads go through as before.
pub(super) struct Latch {
    disk: Arc<dyn Disk>,
    failure: Arc<OnceLock<Failure>>,
}

#[derive(Debug)]
struct Failure {
    kind: io::ErrorKind,
    text: String,
}

impl Latch {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Latch {
        Latch { disk, failure: Arc::default() }
    }

    /// Why the disk has failed, if it has.
    pub(super) fn failure(&self) -> Option<io::Error> {
        let failure = self.failure.get();
        failure.map(|failure| io::Error::new(failure.kind, failure.text.clone()))
    }

    fn noted(&self, sync: impl FnOnce(&dyn Disk) -> DiskFuture<()>) -> DiskFuture<()> {
        if let Err(error) = self.check() {
            return Box::pin(std::future::ready(Err(error)));
        }
        let sync = sync(&*self.disk);
        let failure = Arc::clone(&self.failure);
        Box::pin(async move { note(&failure, sync.await) })
    }

    fn check(&self) -> io::Result<()> {
        match self.failure.get() {
            None => Ok(()),
            Some(failure) => Err(io::Error::new(
                failure.kind,
                format!(
                    "the disk has failed before ({}) and is not used again until a restart",
                    failure.text
                ),
            )),
        }
    }
}

fn note<T>(failure: &OnceLock<Failure>, result: io::Result<T>) -> io::Result<T> {
    if let Err(error) = &result {
        let failed = Failure { kind: error.kind(), text: error.to_string() };
        if failure.set(failed).is_ok() {
            tracing::error!(%error, "the disk failed; this replica stops");
        }
    }
    result
}

impl Disk for Latch {
    fn get(&self, table: Table, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.disk.get(table, key)
    }

    fn range(
        &self,
        table: Table,
        keys: RangeInclusive<Vec<u8>>,
        limit: usize,
    ) -> io::Result<Vec<Row>> {
        self.disk.range(table, keys, limit)
    }

    fn last_until(&self, table: Table, key: &[u8]) -> io::Result<Option<Row>> {
        self.disk.last_until(table, key)
    }

    fn put(&self, table: Table, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.check()?;
        note(&self.failure, self.disk.put(table, key, value))
    }

    fn remove(&self, table: Table, key: &[u8]) -> io::Result<()> {
        self.check()?;
        note(&self.failure, self.disk.remove(table, key))
    }

    fn sync(&self) -> DiskFuture<()> {
        self.noted(|disk| disk.sync())
    }

    fn mark(&self) -> Option<Vec<u8>> {
        self.disk.mark()
    }

    fn put_mark(&self, mark: &[u8]) -> io::Result<()> {
        self.check()?;
        note(&self.failure, self.disk.put_mark(mark))
    }

    fn sync_mark(&self) -> DiskFuture<()> {
        self.noted(|disk| disk.sync_mark())
    }

    fn size_bytes(&self) -> u64 {
        self.disk.size_bytes()
    }
}
