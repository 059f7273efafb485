//! What a replica keeps on its disk: log, vote, snapshots and its own identity.
//!
//! | module | holds |
//! | --- | --- |
//! | [`record`] | the frame around every record: version and checksum |
//! | [`convert`] | the disk's own types, and openraft's from and to them |
//! | [`latch`] | a disk that stays failed once it has failed |
//! | [`flusher`] | group commit: one sync for all that wait |
//! | [`sweeper`] | removes what is obsolete, in small steps |
//! | [`entries`] | log entries as rows |
//! | [`log`] | openraft's log storage |
//! | [`mark`] | what the disk must hold, kept apart from its tables |
//! | [`snapshot`] | snapshots as chunks: building, receiving, reading |
//! | [`machine`] | openraft's state machine around a [`Machine`](crate::machine::Machine) |
//! | [`identity`] | whose disk this is |
//! | [`journal`] | what was applied, for checkers to replay |
//!
//! The disk keeps a prefix of what was written ([`crate::disk`]). Every order of writes in here
//! rests on that, and on nothing stronger.

mod convert;
mod entries;
mod flusher;
pub(crate) mod identity;
pub mod journal;
mod latch;
pub mod log;
pub(crate) mod machine;
mod mark;
mod record;
pub(crate) mod snapshot;
mod sweeper;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::disk::{Disk, Table};
use crate::types::LogId;

use flusher::Flusher;
use identity::IdentityStore;
use latch::Latch;
use log::{Book, LogStore};
use snapshot::SnapshotStore;
use sweeper::Sweeper;

/// All that is kept on one disk. Clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    /// Log and vote, for openraft.
    pub(crate) log: LogStore,
    /// Snapshots, for the machine and for the transfer between replicas.
    pub(crate) snapshots: SnapshotStore,
    /// Whose disk this is.
    pub(crate) identity: IdentityStore,
    latch: Arc<Latch>,
    flusher: Flusher,
}

impl Store {
    /// Opens what is on `disk`: verifies every record of log and vote, and finishes removals that
    /// a crash has interrupted. `fresh_disk_id` becomes the disk's identity if it has none yet.
    /// Spawns two tasks that end when the last handle is gone.
    ///
    /// # Errors
    /// `InvalidData`, with what is wrong and what to do, when a record is damaged, the log has a
    /// hole, log and snapshot do not meet, or something that was acknowledged is missing; otherwise
    /// what the disk says.
    pub(crate) async fn open(disk: Arc<dyn Disk>, fresh_disk_id: Uuid) -> io::Result<Store> {
        let latch = Arc::new(Latch::new(disk));
        // Before anything is written or removed: the disk must hold what its mark says.
        let book = Arc::new(Book::open(&latch)?);
        let flusher = Flusher::start(Arc::clone(&book));
        let sweeper = Sweeper::start(Arc::clone(&latch));
        let snapshots = SnapshotStore::open(&latch, &flusher, &sweeper)?;
        book.check_against_snapshot(snapshots.last_log_id())?;
        let log = LogStore::new(book, flusher.clone(), sweeper)?;
        let identity = IdentityStore::open(&latch, &flusher, fresh_disk_id).await?;
        Ok(Store { log, snapshots, identity, latch, flusher })
    }

    /// Makes everything durable and ends the syncing: nothing is to be written any more.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) async fn close(&self) -> io::Result<()> {
        self.flusher.close().await
    }

    /// Why the disk has failed, if it has. It stays failed: the replica must stop.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        self.latch.failure()
    }

    /// Bytes in use on the disk.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.latch.size_bytes()
    }
}

/// Locks `mutex`. A panic elsewhere cannot have left these small states half changed.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error that says which record is wrong and what to do about it.
fn damaged(table: Table, key: &[u8], what: impl std::fmt::Display) -> io::Error {
    untrusted(format_args!("the {} on this disk is damaged: {what}", record::readable(table, key)))
}

/// An error that says what is wrong with the disk's content and what to do about it.
fn untrusted(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!(
            "{what}. This replica's data can no longer be trusted. Move its data directory aside \
             and keep it; then remove the replica from the cluster and add a new one under a new \
             node id, with an empty directory"
        ),
    )
}

fn index_of(log_id: Option<&LogId>) -> Option<u64> {
    log_id.map(|log_id| log_id.index)
}

#[cfg(test)]
mod tests;
