//! The thread that writes the log. It takes all appends that wait, writes them and one commit mark
//! with one write, syncs once, and only then tells all of them: the longer a sync takes, the more
//! share the next one.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use signpost_remoting::message::StoredMessage;
use tokio::sync::{mpsc, oneshot, watch};

use super::disk::Disk;
use super::mark::{MARK_BYTES, Mark};
use super::queues::{Dispatch, Dispatched, QueueTails};
use super::recovery::{Replayed, replay};
use super::segment::{BLANK_BYTES, Segment, put_blank};
use super::{MAX_APPEND_BYTES, Pending, Placed, Recovery, StoreError, StoreOptions, io_error};

/// A batch takes no further append once it has this many bytes.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Most bytes that a batch and what belongs to it can take.
pub(super) const MAX_BATCH_BYTES: usize = BATCH_BYTES + MAX_APPEND_BYTES + MARK_BYTES + BLANK_BYTES;
/// A buffer that has grown beyond this is given back.
const KEPT_BYTES: usize = 1024 * 1024;

/// Messages that are to lie together.
pub(super) struct Append {
    pub(super) messages: Vec<StoredMessage>,
    /// Size of their records.
    pub(super) bytes: usize,
    pub(super) reply: oneshot::Sender<Result<Vec<Placed>, StoreError>>,
    pub(super) _pending: Pending,
}

pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    options: StoreOptions,
    segment: Segment,
    /// Log offset of the next record.
    end: u64,
    buffer: BytesMut,
    /// The appends whose records are in the buffer.
    batch: Vec<Append>,
    derived: Derived,
    failure: watch::Sender<Option<Arc<str>>>,
}

/// All that is built from the log.
struct Derived {
    tails: QueueTails,
    others: Vec<Box<dyn Dispatch>>,
}

impl Dispatch for Derived {
    fn dispatch(&mut self, stored: &Dispatched<'_>) {
        self.tails.dispatch(stored);
        self.others.iter_mut().for_each(|other| other.dispatch(stored));
    }
}

impl Writer {
    /// Recovers the log.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        options: StoreOptions,
        dispatchers: Vec<Box<dyn Dispatch>>,
        failure: watch::Sender<Option<Arc<str>>>,
    ) -> Result<(Self, Recovery), StoreError> {
        let mut derived = Derived { tails: QueueTails::default(), others: dispatchers };
        let Replayed { recovery, last, torn } = replay(&*disk, options.log_id, &mut derived)?;
        let end = recovery.end_offset;
        let segment = match last {
            Some(segment) if end < segment.end() || segment.bytes == 0 => {
                prepare(segment, end, torn, options.segment_bytes)?
            }
            _ => create(&*disk, end, options.segment_bytes)?,
        };
        if torn {
            let cut = recovery.cut_messages;
            tracing::warn!(offset = end, cut, "cut the commit log's torn tail, never acknowledged");
        }
        let (buffer, batch) = (BytesMut::new(), Vec::new());
        Ok((Self { disk, options, segment, end, buffer, batch, derived, failure }, recovery))
    }

    /// Stores appends until all senders have gone and the last append is stored.
    pub(super) fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Append>) {
        while let Some(first) = inbox.blocking_recv() {
            self.add(first);
            while self.buffer.len() < BATCH_BYTES
                && let Ok(next) = inbox.try_recv()
            {
                self.add(next);
            }
            self.commit();
        }
        self.seal();
    }

    /// Ends the log with the mark of an empty batch: if the last real one is damaged from now on,
    /// the next start will not take it for torn.
    fn seal(&mut self) {
        if self.failure.borrow().is_none()
            && self.segment.fits(self.end, 0)
            && let Err(error) = self.write_batch()
        {
            tracing::warn!(%error, "cannot seal the commit log; nothing is lost");
        }
    }

    /// Puts an append's records into the buffer; into the next segment if this one is full.
    fn add(&mut self, mut append: Append) {
        if let Some(reason) = &*self.failure.borrow() {
            return tell(append, Err(StoreError::Failed(reason.clone())));
        }
        if !self.segment.fits(self.end + self.buffer.len() as u64, append.bytes) {
            self.commit();
            if let Err(error) = self.roll() {
                return tell(append, Err(error));
            }
        }
        let (start, now_ms) = (self.buffer.len(), now_ms());
        for at in 0..append.messages.len() {
            let message = &mut append.messages[at];
            message.physical_offset = (self.end + self.buffer.len() as u64).cast_signed();
            message.store_timestamp_ms = now_ms;
            message.queue_offset = self.derived.tails.take(&message.topic, message.queue_id);
            if let Err(error) = message.encode_into(&mut self.buffer) {
                self.buffer.truncate(start);
                give_back(&mut self.derived.tails, &append.messages[..=at]);
                return tell(append, Err(error.into()));
            }
        }
        self.batch.push(append);
    }

    /// Ends the present segment with a blank and begins the next.
    fn roll(&mut self) -> Result<(), StoreError> {
        if let Some(reason) = &*self.failure.borrow() {
            return Err(StoreError::Failed(reason.clone()));
        }
        let next = self.segment.end();
        if self.end < next {
            let mut blank = BytesMut::new();
            put_blank(&mut blank, next - self.end);
            let position = self.end - self.segment.start;
            self.segment
                .file
                .write_all_at(&blank, position)
                .map_err(|error| io_error("end a segment", error))?;
            self.segment.file.sync().map_err(|error| self.fail("sync", &error))?;
            // Nothing may overwrite the blank now, also if the next segment cannot be made yet.
            self.end = next;
        }
        self.segment = create(&*self.disk, next, self.options.segment_bytes)?;
        Ok(())
    }

    /// Writes and syncs what is in the buffer and tells those that wait for it.
    fn commit(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let outcome = self.write_batch();
        let batch = std::mem::take(&mut self.batch);
        match outcome {
            Ok(()) => {
                self.end += self.buffer.len() as u64;
                for append in batch {
                    self.acknowledge(append);
                }
            }
            Err(error) => {
                for append in batch.into_iter().rev() {
                    give_back(&mut self.derived.tails, &append.messages);
                    tell(append, Err(error.clone()));
                }
            }
        }
        self.buffer.clear();
        if self.buffer.capacity() > KEPT_BYTES {
            self.buffer = BytesMut::new();
        }
    }

    fn write_batch(&mut self) -> Result<(), StoreError> {
        let crc = crc32fast::hash(&self.buffer);
        let mark = Mark { batch_start: self.end, crc };
        let offset = self.end + self.buffer.len() as u64;
        mark.put(&mut self.buffer, offset, self.options.log_id, now_ms());

        let position = self.end - self.segment.start;
        if let Err(error) = self.segment.file.write_all_at(&self.buffer, position) {
            // The mark is the last to be written, so that a part without it is never taken for
            // stored; what was written is cut all the same, to free its room.
            let file = &self.segment.file;
            let cut = file.set_len(position).and_then(|()| file.set_len(self.segment.bytes));
            return match cut {
                Ok(()) => Err(match io_error("write", error) {
                    full @ StoreError::Full(_) => full,
                    other => self.fail_with(&other.to_string()),
                }),
                Err(error) => Err(self.fail("cut a failed write", &error)),
            };
        }
        // After a failed sync nobody knows what is on the disk, and a second one would not say.
        self.segment.file.sync().map_err(|error| self.fail("sync", &error))
    }

    fn acknowledge(&mut self, append: Append) {
        let mut placed = Vec::with_capacity(append.messages.len());
        for message in &append.messages {
            let StoredMessage { queue_offset, physical_offset, .. } = *message;
            placed.push(Placed { queue_offset, physical_offset });
            let bytes = message.encoded_bytes();
            self.derived.dispatch(&Dispatched { message, bytes });
        }
        tell(append, Ok(placed));
    }

    fn fail(&self, what: &str, error: &std::io::Error) -> StoreError {
        self.fail_with(&format!("cannot {what}: {error}"))
    }

    /// From now on nothing is stored.
    fn fail_with(&self, reason: &str) -> StoreError {
        let reason: Arc<str> = reason.into();
        tracing::error!(%reason, "the commit log has failed");
        self.failure.send_replace(Some(reason.clone()));
        StoreError::Failed(reason)
    }
}

/// Makes the last segment ready to be written at `end`.
fn prepare(
    segment: Segment,
    end: u64,
    torn: bool,
    segment_bytes: u64,
) -> Result<Segment, StoreError> {
    let bytes = segment.bytes.max(segment_bytes);
    let file = &segment.file;
    let prepared = || {
        if torn {
            file.set_len(end - segment.start)?;
        }
        // Also one whose making, or whose cutting, was interrupted.
        if torn || segment.bytes < bytes {
            file.set_len(bytes)?;
            file.sync()?;
        }
        Ok(())
    };
    prepared().map_err(|error| io_error("cut the torn tail", error))?;
    Ok(Segment { bytes, ..segment })
}

fn create(disk: &dyn Disk, start: u64, bytes: u64) -> Result<Segment, StoreError> {
    let file = disk.create(start, bytes).map_err(|error| io_error("create a segment", error))?;
    Ok(Segment { start, bytes, file })
}

/// Gives back the queue offsets of messages that were not stored, the last taken first.
fn give_back(tails: &mut QueueTails, messages: &[StoredMessage]) {
    for message in messages.iter().rev() {
        tails.give_back(&message.topic, message.queue_id, message.queue_offset);
    }
}

fn tell(append: Append, outcome: Result<Vec<Placed>, StoreError>) {
    // The sender's connection may have gone; what is stored stays stored.
    let _ = append.reply.send(outcome);
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
