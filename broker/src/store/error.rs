//! What goes wrong, and what is sure then.

use std::io;
use std::sync::Arc;

use signpost_remoting::message::MessageError;

/// Why the store did not do what it should.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk is full; nothing of the append is stored. Later ones may succeed.
    #[error("the disk is full: {0}")]
    Full(Arc<io::Error>),
    /// The disk is fuller than the retention allows; nothing of the append is stored.
    #[error(
        "service not available now: {used:.0}% of the broker's disk are used, above {limit:.0}% no \
         message is taken; make room, or shorten the retention"
    )]
    DiskUsed {
        /// Used share, in percent.
        used: f64,
        /// The limit, in percent.
        limit: f64,
    },
    /// Too much is waiting to be synced; nothing of the append is stored.
    #[error("{pending} bytes wait to be synced, the limit is {limit}")]
    Busy {
        /// Bytes that wait, this append's included.
        pending: usize,
        /// The limit.
        limit: usize,
    },
    /// The message cannot be stored at all.
    #[error("the message cannot be stored: {0}")]
    Illegal(#[from] MessageError),
    /// The append is larger than a segment, or than any append may be.
    #[error("{bytes} bytes do not fit a segment, at most {limit} do")]
    TooLarge {
        /// Bytes of the append's records.
        bytes: usize,
        /// What fits.
        limit: usize,
    },
    /// The store has been closed; nothing of the append is stored.
    #[error("the store is closed")]
    Closed,
    /// Writing or syncing failed in a way that leaves open what is on the disk. Nothing is stored
    /// any more; a restart finds out.
    #[error("the store failed, restart the broker: {0}")]
    Failed(Arc<str>),
    /// Reading files failed, or preparing them at the start.
    #[error("cannot {what} in the store: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// What was once acknowledged cannot be read. Nothing has been changed.
    #[error(
        "the commit log is damaged at offset {offset} (file {file}): {reason}; acknowledged messages \
         follow, so nothing was cut: restore the file from a copy, or move the data directory away \
         to start empty"
    )]
    Damaged {
        /// Name of the segment file.
        file: String,
        /// Offset in the log.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
}

impl StoreError {
    /// Whether nothing of the append is stored, surely.
    pub fn is_definite(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

/// What the system said, as the store's error.
pub(super) fn io_error(what: &'static str, source: io::Error) -> StoreError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StoreError::Full(Arc::new(source))
        }
        _ => StoreError::Io { what, source: Arc::new(source) },
    }
}
