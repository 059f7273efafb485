//! The commit log: every message of the broker in the order it came, in RocketMQ's layout.
//!
//! | file | holds |
//! | --- | --- |
//! | this one | [`Store`]: the handle; hands appends to the writer and waits for them |
//! | `writer.rs` | the one thread that writes: many waiters, one write and one sync (group commit) |
//! | `mark.rs` | the commit mark that ends each batch |
//! | `recovery.rs` | what a start does: replay, check, cut the torn tail |
//! | `segment.rs` | segment files and the rule when a record fits |
//! | `deletion.rs` | the record that deletes a topic |
//! | `queues.rs` | next offset of each queue, and the seam for all that is built from the log |
//! | [`read`], [`tags`] | what consumers read, and by what they filter |
//! | `positions.rs`, `records.rs` | where each message lies (in memory), and the reading of segment files |
//! | `disk.rs` | the seam to the file system |
//!
//! An append is acknowledged when its batch, commit mark included, has been synced. The next batch
//! is written only then, so that at most the last batch of a log can be torn, and a mark that
//! follows a broken batch proves damage rather than a torn tail.

mod deletion;
pub mod disk;
mod mark;
mod positions;
pub mod queues;
pub mod read;
mod records;
mod recovery;
mod segment;
pub mod tags;
mod writer;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use signpost_remoting::message::{MessageError, StoredMessage};
use tokio::sync::{mpsc, oneshot, watch};

use disk::{Disk, FileDisk};
use queues::{Dispatch, Dispatched};
use read::Reader;
use writer::{Append, Writer};

pub use deletion::DELETION_TOPIC;
pub use mark::COMMIT_MARK_TOPIC;

/// Where in the data directory the log's segments are.
const LOG_DIRECTORY: &str = "commitlog";
/// Most bytes of one append, and so of one record.
const MAX_APPEND_BYTES: usize = 16 * 1024 * 1024;

/// How a store behaves.
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    /// Size of a new segment file. RocketMQ: 1 GiB.
    pub segment_bytes: u64,
    /// Appends that wait to be synced may hold this many bytes; beyond it they are refused.
    pub max_pending_bytes: usize,
    /// Number that no other log has: tells this log's commit marks from bytes that look like one.
    pub log_id: u64,
}

/// Why the store did not do what it should.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk is full; nothing of the append is stored. Later ones may succeed.
    #[error("the disk is full: {0}")]
    Full(Arc<io::Error>),
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
    #[error("the commit log failed, restart the broker: {0}")]
    Failed(Arc<str>),
    /// Reading or preparing files failed at the start.
    #[error("cannot {what} in the commit log: {source}")]
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

/// Where a message came to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Position in its queue.
    pub queue_offset: i64,
    /// Position in the commit log.
    pub physical_offset: i64,
}

/// What a start found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Messages in the log.
    pub messages: u64,
    /// Offset at which the next record will lie.
    pub end_offset: u64,
    /// Messages of a batch that was never acknowledged, cut off.
    pub cut_messages: u64,
}

/// The open commit log. Appends go through one writer thread.
pub struct Store {
    appends: mpsc::UnboundedSender<Append>,
    pending_bytes: Arc<AtomicUsize>,
    options: StoreOptions,
    failure: watch::Receiver<Option<Arc<str>>>,
    reader: Reader,
    thread: JoinHandle<()>,
}

impl Store {
    /// Opens the store in a data directory, recovering it first; see [`Store::open_on`]. A lock that is
    /// given is kept until the writer has gone.
    pub fn open(
        directory: &Path,
        options: StoreOptions,
        dispatchers: Vec<Box<dyn Dispatch>>,
        lock: Option<File>,
    ) -> Result<(Self, Recovery), StoreError> {
        let disk = FileDisk::open(&directory.join(LOG_DIRECTORY), lock)
            .map_err(|e| io_error("open the directory", e))?;
        Self::open_on(Arc::new(disk), options, dispatchers)
    }

    /// Opens the log on a disk: replays every message to the dispatchers, cuts a batch that was
    /// never acknowledged, refuses to start over damage. Takes as long as reading the log.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        options: StoreOptions,
        mut dispatchers: Vec<Box<dyn Dispatch>>,
    ) -> Result<(Self, Recovery), StoreError> {
        let reader = Reader::new(disk.clone());
        dispatchers.insert(0, Box::new(reader.clone()));
        let (tell_failure, failure) = watch::channel(None);
        let (writer, recovery) = Writer::open(disk, options, dispatchers, tell_failure)?;
        let (appends, inbox) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("commit-log".to_owned())
            .spawn(move || writer.run(inbox))
            .map_err(|error| io_error("start the writer", error))?;
        let pending_bytes = Arc::default();
        Ok((Self { appends, pending_bytes, options, failure, reader, thread }, recovery))
    }

    /// Queues messages that belong together (one, or a batch for one queue) and answers with a
    /// future of where they lie, which resolves once they are synced. What is queued is stored
    /// whether or not the future is awaited. Offsets and the store timestamp are set by the store.
    pub fn append(
        &self,
        messages: Vec<StoredMessage>,
    ) -> Result<impl Future<Output = Result<Vec<Placed>, StoreError>> + Send + use<>, StoreError>
    {
        let bytes = messages.iter().map(StoredMessage::encoded_bytes).sum();
        let limit = segment::largest_append_bytes(self.options.segment_bytes);
        if bytes > limit {
            return Err(StoreError::TooLarge { bytes, limit });
        }
        let pending = self.pending_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let held = Pending { total: self.pending_bytes.clone(), bytes };
        let limit = self.options.max_pending_bytes;
        if pending > limit {
            return Err(StoreError::Busy { pending, limit });
        }
        let (reply, placed) = oneshot::channel();
        let append = Append { messages, bytes, reply, _pending: held };
        self.appends.send(append).map_err(|_| StoreError::Closed)?;
        Ok(async move {
            placed.await.unwrap_or_else(|_| Err(StoreError::Failed("the writer has gone".into())))
        })
    }

    /// Reads what is stored.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Deletes a topic's messages, as if it had never been: they cannot be read any more, and a
    /// topic made anew under that name begins at offset 0. Its appends must have ended. Answers with
    /// a future that resolves once this is in the log for good.
    pub fn delete_topic(
        &self,
        topic: &str,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        let appended = self.append(vec![deletion::record(topic)]);
        async { appended?.await.map(drop) }
    }

    /// Set once the log has failed for good.
    pub fn failure(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.failure.clone()
    }

    /// Stores what is queued and closes the log; waits for the writer, so not for async tasks.
    pub fn close(self) {
        drop(self.appends);
        if self.thread.join().is_err() {
            tracing::error!("the commit log's writer panicked");
        }
    }
}

/// Reads the log of a data directory that nobody has open, without changing it: all messages that
/// a start would keep.
pub fn read_all(directory: &Path, log_id: u64) -> Result<Vec<StoredMessage>, StoreError> {
    #[derive(Default)]
    struct Collect(Vec<StoredMessage>);

    impl Dispatch for Collect {
        fn dispatch(&mut self, stored: &Dispatched<'_>) {
            match deletion::deleted_topic(stored.message) {
                Some(topic) => self.0.retain(|message| message.topic != topic),
                None => self.0.push(stored.message.clone()),
            }
        }
    }

    let disk = FileDisk::open(&directory.join(LOG_DIRECTORY), None)
        .map_err(|error| io_error("open the directory", error))?;
    let mut all = Collect::default();
    recovery::replay(&disk, log_id, &mut all)?;
    Ok(all.0)
}

/// Bytes of an append that is not synced yet; given back when dropped.
struct Pending {
    total: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

fn io_error(what: &'static str, source: io::Error) -> StoreError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StoreError::Full(Arc::new(source))
        }
        _ => StoreError::Io { what, source: Arc::new(source) },
    }
}
