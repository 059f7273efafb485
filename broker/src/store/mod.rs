//! Messages on disk, in RocketMQ's layout: the commit log has every message of the broker in the
//! order it came, and is the one truth; consume queues and the index by key are built from it.
//!
//! | file | holds |
//! | --- | --- |
//! | this one | [`Store`]: the handle; hands appends to the writer and waits for them |
//! | `error.rs` | [`StoreError`]: what goes wrong, and what is sure then |
//! | `open.rs` | what a start does, in order |
//! | `writer.rs` | the one thread that writes the log: many waiters, one write and one sync (group commit) |
//! | `mark.rs`, `own.rs` | the commit mark that ends each batch; records of the store's own: deletions, queues' ends |
//! | `segment.rs`, `recovery.rs` | segment files and the rule when a record fits; the log's replay, and what ends it |
//! | [`flush`] | how far the log is synced; asynchronous flush |
//! | [`queues`] | the dispatcher: queues and keys as the log's messages make them (pure) |
//! | `derived.rs`, `keeper.rs`, `work.rs` | their files, the thread that writes them, what it has yet to sync |
//! | `index.rs`, `index_files.rs` | one file of the index (pure); all of them |
//! | `checkpoint.rs` | up to where queues and index are durable (pure) |
//! | [`retention`], `aging.rs` | which segments go, and when; what goes with them |
//! | [`read`], `find.rs`, `records.rs`, [`tags`] | what consumers read: by queue, offset, key and time; by what they filter |
//! | `disk.rs`, `files.rs` | the seam to the file system; a bounded set of open files |
//!
//! An append is acknowledged when its batch, commit mark included, has been synced (or, with
//! asynchronous flush, written). Then its entries are in memory; the keeper writes them to the
//! queues' files later, and every few seconds a checkpoint says up to which log offset these are
//! durable. A start takes queues and index as the checkpoint says and replays the log from there;
//! without a checkpoint that fits, from its beginning. So memory holds a bounded number of entries,
//! whatever the backlog, and what the files hold beyond the checkpoint never counts.

mod aging;
mod checkpoint;
mod derived;
pub mod disk;
mod error;
mod files;
mod find;
pub mod flush;
mod index;
mod index_files;
mod keeper;
mod mark;
mod open;
mod own;
pub mod queues;
pub mod read;
mod records;
mod recovery;
pub mod retention;
mod segment;
pub mod tags;
mod work;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self as std_mpsc, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use signpost_remoting::message::StoredMessage;
use tokio::sync::{mpsc, oneshot, watch};

use error::io_error;
use flush::{Failure, Flush};
use keeper::Task;
use read::Reader;
use retention::{Aged, Cleaned, FORCED_MAX, Retention};
use writer::Append;

pub use error::StoreError;
pub use mark::COMMIT_MARK_TOPIC;
pub use open::{Recovery, read_all};
pub use own::{DELETION_TOPIC, QUEUE_ENDS_TOPIC};

/// Where in the data directory the log's segments are.
const LOG_DIRECTORY: &str = "commitlog";
/// Most bytes of one append, and so of one record.
const MAX_APPEND_BYTES: usize = 16 * 1024 * 1024;

/// How a store behaves.
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    /// Size of a new segment file. RocketMQ: 1 GiB.
    pub segment_bytes: u64,
    /// Appends that are not answered yet may hold this many bytes; beyond it they are refused.
    pub max_pending_bytes: usize,
    /// Number that no other log has: tells this log's commit marks from bytes that look like one.
    pub log_id: u64,
    /// When an append is acknowledged.
    pub flush: Flush,
    /// A start replays about as much as came in this time.
    pub checkpoint_every: Duration,
    /// Queue entries and keys that are in memory only before they are written out, in the
    /// background.
    pub write_out_at: usize,
    /// At so many of them appends wait.
    pub unwritten_max: usize,
    /// Entries of a new consume queue file; the same for the life of the data directory. RocketMQ:
    /// 300,000.
    pub queue_file_entries: u32,
    /// Entries of an index file; the one that is being filled is in memory. Likewise.
    pub index_entries: u32,
    /// How long messages stay.
    pub retention: Retention,
}

impl StoreOptions {
    /// What a broker has by default, for the log with this id.
    pub fn of(log_id: u64) -> Self {
        Self {
            segment_bytes: 1 << 30,
            max_pending_bytes: 64 * 1024 * 1024,
            log_id,
            flush: Flush::Sync,
            checkpoint_every: Duration::from_secs(5),
            write_out_at: 32 * 1024,
            unwritten_max: 128 * 1024,
            queue_file_entries: 300_000,
            index_entries: 512 * 1024,
            retention: Retention::default(),
        }
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

/// The open store. Appends go through one writer thread.
pub struct Store {
    appends: mpsc::UnboundedSender<Append>,
    pending_bytes: Arc<AtomicUsize>,
    options: StoreOptions,
    failure: Failure,
    reader: Reader,
    keeper: Sender<Task>,
    threads: Threads,
    /// Used share of the disk in percent at the last look, if it is too much.
    refusing: Mutex<Option<f64>>,
    is_refusing: AtomicBool,
}

/// What works for a store.
struct Threads {
    writer: JoinHandle<()>,
    keeper: JoinHandle<()>,
    /// Syncs the log until its channel's other end goes.
    flusher: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Store {
    /// Queues messages that belong together (one, or a batch for one queue) and answers with a
    /// future of where they lie, which resolves once they are synced (or written, with asynchronous
    /// flush). What is queued is stored whether or not the future is awaited. Offsets and the store
    /// timestamp are set by the store.
    pub fn append(
        &self,
        messages: Vec<StoredMessage>,
    ) -> Result<impl Future<Output = Result<Vec<Placed>, StoreError>> + Send + use<>, StoreError>
    {
        if self.is_refusing.load(Ordering::Relaxed)
            && let Some(used) = *self.refusing.lock().unwrap_or_else(PoisonError::into_inner)
        {
            let limit = self.options.retention.refuse_above * 100.0;
            return Err(StoreError::DiskUsed { used, limit });
        }
        self.append_own(messages)
    }

    /// [`Self::append`], also where messages of others are refused.
    fn append_own(
        &self,
        messages: Vec<StoredMessage>,
    ) -> Result<impl Future<Output = Result<Vec<Placed>, StoreError>> + Send + use<>, StoreError>
    {
        let bytes = messages.iter().map(StoredMessage::encoded_bytes).sum();
        let limit = segment::largest_append_bytes(self.options.segment_bytes);
        if bytes > limit {
            return Err(StoreError::TooLarge { bytes, limit });
        }
        let (pending, total) = Pending::new(messages, bytes, &self.pending_bytes);
        let limit = self.options.max_pending_bytes;
        if total > limit {
            return Err(StoreError::Busy { pending: total, limit });
        }
        let stored = self.hand_over(pending)?;
        Ok(async move {
            let stored = stored.await.map_err(|_| writer_has_gone())??;
            Ok(stored.placed())
        })
    }

    /// Has the writer append messages, which come back stored.
    fn hand_over(
        &self,
        pending: Pending,
    ) -> Result<oneshot::Receiver<Result<Pending, StoreError>>, StoreError> {
        let (reply, stored) = oneshot::channel();
        self.appends.send(Append { pending, reply }).map_err(|_| StoreError::Closed)?;
        Ok(stored)
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
        let appended = self.append_own(vec![own::deletion(topic)]);
        async { appended?.await.map(drop) }
    }

    /// Removes what the retention says, and sees whether the disk has room for messages; to be
    /// called every ten seconds or so. Blocks for file operations.
    ///
    /// # Errors
    /// When files cannot be read, written or removed.
    pub fn clean(&self, now_ms: i64) -> Result<Cleaned, StoreError> {
        let Retention { age, clean_above, refuse_above } = self.options.retention;
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let mut cleaned = Cleaned::default();
        let old = self.closed_segments()?;
        cleaned.expired = retention::expired(&old, now_ms.saturating_sub(age_ms));
        if let Some(last) = old[..cleaned.expired].last() {
            self.drop_before(last.end)?;
        }
        let mut used = self.reader.stats().disk_used_ratio;
        for segment in old[cleaned.expired..].iter().take(FORCED_MAX) {
            if used <= clean_above {
                break;
            }
            self.drop_before(segment.end)?;
            cleaned.forced += 1;
            used = self.reader.stats().disk_used_ratio;
        }
        cleaned.refusing = used > refuse_above;
        *self.refusing.lock().unwrap_or_else(PoisonError::into_inner) =
            cleaned.refusing.then_some(used * 100.0);
        let before = self.is_refusing.swap(cleaned.refusing, Ordering::Relaxed);
        if cleaned.refusing && !before {
            tracing::error!(used, refuse_above, "the disk is full: messages are refused");
        } else if before && !cleaned.refusing {
            tracing::info!(used, "the disk has room again: messages are taken");
        }
        if cleaned.expired + cleaned.forced > 0 {
            let Cleaned { expired, forced, .. } = cleaned;
            tracing::info!(expired, forced, used, "removed the oldest segments");
        }
        Ok(cleaned)
    }

    /// The segments that are not written any more.
    fn closed_segments(&self) -> Result<Vec<Aged>, StoreError> {
        let records = self.reader.records();
        let segments = records.segments().map_err(|error| io_error("list segments", error))?;
        let log_start = self.reader.stats().log_start;
        let closed = segments.windows(2).map(|pair| Aged {
            end: pair[0].1,
            last_ms: match pair[1].0 <= log_start {
                // It should have been removed already, and was not.
                true => Some(i64::MIN),
                // Nothing before it was stored later.
                false => records.store_time(pair[1].0).ok(),
            },
        });
        Ok(closed.collect())
    }

    /// Removes the segments before a log offset, at which one begins.
    fn drop_before(&self, log_offset: u64) -> Result<(), StoreError> {
        // The log has to say by itself how far queues went that it has no message of any more.
        let ends = self.reader.ends_before(log_offset);
        for record in own::ends(&ends) {
            let bytes = record.encoded_bytes();
            let (pending, _) = Pending::new(vec![record], bytes, &self.pending_bytes);
            let stored = self.hand_over(pending)?;
            stored.blocking_recv().map_err(|_| writer_has_gone())??;
        }
        self.ask_keeper(|done| Task::DropBefore(log_offset, done))
    }

    /// Makes queues and index durable, so that a start need not replay what is there now. Blocks
    /// for file operations.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        self.ask_keeper(|done| Task::Checkpoint(Some(done)))
    }

    fn ask_keeper(&self, task: impl FnOnce(keeper::Done) -> Task) -> Result<(), StoreError> {
        let (done, outcome) = std_mpsc::sync_channel(1);
        self.keeper.send(task(done)).map_err(|_| StoreError::Closed)?;
        outcome.recv().map_err(|_| StoreError::Closed)?
    }

    /// Set once the store has failed for good.
    pub fn failure(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.failure.watch()
    }

    /// Stores what is queued and closes the log; waits for the writer, so not for async tasks.
    pub fn close(self) {
        let Self {
            appends,
            keeper,
            threads: Threads { writer, keeper: keeper_thread, flusher },
            ..
        } = self;
        drop(appends);
        let join = |thread: JoinHandle<()>| {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        };
        join(writer);
        if let Some((end, flusher)) = flusher {
            drop(end);
            join(flusher);
        }
        let (done, outcome) = std_mpsc::sync_channel(1);
        let asked = keeper.send(Task::Checkpoint(Some(done))).is_ok();
        match outcome.recv() {
            Ok(Err(error)) if asked => {
                tracing::warn!(%error, "no last checkpoint: the next start replays more");
            }
            _ => {}
        }
        drop(keeper);
        join(keeper_thread);
    }
}

fn writer_has_gone() -> StoreError {
    StoreError::Failed("the writer has gone".into())
}

/// The messages of an append on their way to the log and back; what they hold counts until they are
/// dropped.
struct Pending {
    messages: Vec<StoredMessage>,
    /// Size of their records.
    bytes: usize,
    /// Of all that are on their way.
    total: Arc<AtomicUsize>,
}

impl Pending {
    /// With the bytes that are on their way from now on.
    fn new(messages: Vec<StoredMessage>, bytes: usize, total: &Arc<AtomicUsize>) -> (Self, usize) {
        let all = total.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (Self { messages, bytes, total: total.clone() }, all)
    }

    /// Where they lie, once they are stored.
    fn placed(&self) -> Vec<Placed> {
        let placed = self.messages.iter().map(|message| {
            let StoredMessage { queue_offset, physical_offset, .. } = *message;
            Placed { queue_offset, physical_offset }
        });
        placed.collect()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
