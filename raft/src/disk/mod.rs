//! The disk seam: what a replica needs of a disk, and nothing more.
//!
//! The contract is that of one ordered journal. Writes become durable in the order in which they
//! were made, so after a crash a *prefix* of them survives, each single write whole or not at all;
//! [`Disk::sync`] answers once everything written before the call is durable. Nothing needs more:
//! what must change at once hangs on one key (a snapshot's pointer), written after what it points
//! to.
//!
//! Beside the tables a disk keeps one small *mark*, apart from them: what damages the tables leaves
//! it whole, and so it can say what they must hold. It is outside the order of the journal.

mod mark;
pub mod simulated;
pub mod sled;

use std::future::Future;
use std::io;
use std::ops::RangeInclusive;
use std::pin::Pin;

/// The fixed set of tables of a replica's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Log entries, keyed by their index (8 bytes, big-endian).
    Log,
    /// Single records: vote, committed, purged, snapshot pointer, identity.
    Meta,
    /// Snapshot chunks, keyed by snapshot number and chunk number (8 + 4 bytes, big-endian).
    Chunk,
}

/// The largest value of a row, in bytes: the bound on what [`Disk::put`] takes. It keeps a page of
/// sled within what sled synchronises; see [`sled::SledDisk`].
pub const VALUE_BYTES_MAX: usize = 16 * 1024;

/// The largest mark, in bytes.
pub const MARK_BYTES_MAX: usize = 256;

/// A boxed future of a disk's operation.
pub type DiskFuture<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'static>>;

/// A row: key and value.
pub type Row = (Vec<u8>, Vec<u8>);

/// A small ordered key-value disk. See the module's text for the contract.
pub trait Disk: Send + Sync + 'static {
    /// The value under `key`, written or durable.
    ///
    /// # Errors
    /// When the disk fails.
    fn get(&self, table: Table, key: &[u8]) -> io::Result<Option<Vec<u8>>>;

    /// Up to `limit` rows of `keys`, in order.
    ///
    /// # Errors
    /// When the disk fails.
    fn range(
        &self,
        table: Table,
        keys: RangeInclusive<Vec<u8>>,
        limit: usize,
    ) -> io::Result<Vec<Row>>;

    /// The last row of a table whose key is `key` or less.
    ///
    /// # Errors
    /// When the disk fails.
    fn last_until(&self, table: Table, key: &[u8]) -> io::Result<Option<Row>>;

    /// Puts a row of at most [`VALUE_BYTES_MAX`]. Readable at once, durable after the next
    /// [`Disk::sync`].
    ///
    /// # Errors
    /// When the disk fails or is full, and when the value is too large.
    fn put(&self, table: Table, key: &[u8], value: &[u8]) -> io::Result<()>;

    /// Removes a row, if it is there.
    ///
    /// # Errors
    /// When the disk fails.
    fn remove(&self, table: Table, key: &[u8]) -> io::Result<()>;

    /// Makes everything written before this call durable. After an error nothing is known about
    /// what was written, and the replica must stop: a second attempt proves nothing.
    fn sync(&self) -> DiskFuture<()>;

    /// The mark, if there ever was one.
    fn mark(&self) -> Option<Vec<u8>>;

    /// Replaces the mark, at most [`MARK_BYTES_MAX`] bytes. It survives the end of this process. A
    /// power cut leaves it or one that was put since the last [`Disk::sync_mark`], or that one.
    ///
    /// # Errors
    /// When the disk fails, and when the mark is too large.
    fn put_mark(&self, mark: &[u8]) -> io::Result<()>;

    /// Makes the mark durable that was put last before this call.
    fn sync_mark(&self) -> DiskFuture<()>;

    /// Bytes in use on the disk, for metrics and bounds.
    fn size_bytes(&self) -> u64;
}

/// Whether a disk's error may be gone at the next start: the system refused, for want of room say.
/// What is damaged stays damaged.
#[must_use]
pub fn may_pass(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, Other};
    !matches!(error.kind(), InvalidData | InvalidInput | Other)
}

fn check_mark(mark: &[u8]) -> io::Result<()> {
    if mark.len() > MARK_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a mark of {} bytes, {MARK_BYTES_MAX} are allowed", mark.len()),
        ));
    }
    Ok(())
}

fn check_value(value: &[u8]) -> io::Result<()> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a row of {} bytes, {VALUE_BYTES_MAX} are allowed", value.len()),
        ));
    }
    Ok(())
}
