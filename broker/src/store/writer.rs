//! The thread that writes the log. It takes all appends that wait, writes them and one commit mark
//! with one write, syncs once, and only then tells all of them: the longer a sync takes, the more
//! share the next one. With asynchronous flush it tells them without the sync.

use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use signpost_remoting::message::StoredMessage;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use super::derived::Derived;
use super::disk::{Disk, Space};
use super::flush::{Failure, Flush, LogEnd};
use super::keeper::Task;
use super::mark::{MARK_BYTES, Mark};
use super::own::{self, Kind};
use super::queues::{Dispatch, Dispatched, QueueTails};
use super::segment::{BLANK_BYTES, Segment, put_blank};
use super::{LOG_DIRECTORY, MAX_APPEND_BYTES, Pending, StoreError, StoreOptions, io_error};

/// A batch takes no further append once it has this many bytes.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Most bytes that a batch and what belongs to it can take.
pub(super) const MAX_BATCH_BYTES: usize = BATCH_BYTES + MAX_APPEND_BYTES + MARK_BYTES + BLANK_BYTES;
/// A buffer that has grown beyond this is given back.
const KEPT_BYTES: usize = 1024 * 1024;

/// Messages that are to lie together.
pub(super) struct Append {
    pub(super) pending: Pending,
    /// Gets the messages back once they are stored, with their offsets.
    pub(super) reply: oneshot::Sender<Result<Pending, StoreError>>,
}

pub(super) struct Writer {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) options: StoreOptions,
    pub(super) segment: Segment,
    /// Log offset of the next record.
    pub(super) end: u64,
    pub(super) log: Arc<LogEnd>,
    pub(super) derived: Arc<Derived>,
    pub(super) keeper: Sender<Task>,
    /// Told of each message that can be read.
    pub(super) others: Vec<Box<dyn Dispatch>>,
    pub(super) failure: Failure,
    pub(super) batch: Batch,
}

/// What is written next.
#[derive(Default)]
pub(super) struct Batch {
    /// Records.
    buffer: BytesMut,
    /// The appends that they are of.
    appends: Vec<Append>,
    messages: usize,
    /// So many it may have before it has to be asked again whether they are too many.
    messages_max: usize,
    /// When its first append was taken: its messages' store timestamp.
    taken_ms: i64,
    /// Where their queues go on.
    tails: QueueTails,
    /// The keeper has been asked to write out since it last did.
    asked: bool,
}

impl Writer {
    /// Stores appends until all senders have gone and the last append is stored.
    pub(super) fn run(mut self, mut inbox: UnboundedReceiver<Append>) {
        while let Some(first) = inbox.blocking_recv() {
            self.add(first);
            while self.batch.buffer.len() < BATCH_BYTES
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
        if self.failure.get().is_none()
            && self.segment.fits(self.end, 0)
            && let Err(error) = self.write_batch()
        {
            tracing::warn!(%error, "cannot seal the commit log; nothing is lost");
        }
        // With asynchronous flush there may be something to sync; an error has been told.
        let _ = self.log.sync();
    }

    /// Puts an append's records into the buffer; into the next segment if this one is full.
    fn add(&mut self, mut append: Append) {
        if let Err(error) = self.make_room(append.pending.messages.len()) {
            return refuse(append, error);
        }
        if !self.segment.fits(self.end + self.batch.buffer.len() as u64, append.pending.bytes) {
            self.commit();
            if let Err(error) = self.roll() {
                return refuse(append, error);
            }
        }
        if self.batch.appends.is_empty() {
            self.batch.taken_ms = now_ms();
        }
        let start = self.batch.buffer.len();
        let mut ends_batch = false;
        let messages = &mut append.pending.messages;
        for at in 0..messages.len() {
            let message = &mut messages[at];
            message.physical_offset = (self.end + self.batch.buffer.len() as u64).cast_signed();
            message.store_timestamp_ms = self.batch.taken_ms;
            let (topic, queue_id) = (&*message.topic, message.queue_id);
            let known = || self.derived.queues().bounds(topic, queue_id);
            message.queue_offset = self.batch.tails.take(topic, queue_id, known);
            ends_batch |= own::kind(message) != Kind::Message;
            if let Err(error) = message.encode_into(&mut self.batch.buffer) {
                self.batch.buffer.truncate(start);
                give_back(&mut self.batch.tails, &messages[..=at]);
                return refuse(append, error.into());
            }
        }
        self.batch.messages += messages.len();
        self.batch.appends.push(append);
        if ends_batch {
            // What comes behind a deletion begins its queues anew.
            self.commit();
        }
    }

    /// Waits for the keeper if too much is in memory only, or a deleted topic's files are still
    /// where those of a new one of its name would be.
    fn make_room(&mut self, messages: usize) -> Result<(), StoreError> {
        if self.batch.messages + messages <= self.batch.messages_max {
            return Ok(());
        }
        let is_too_much = |writer: &mut Self| {
            let (unwritten, has_deleted) = {
                let queues = writer.derived.queues();
                (queues.unwritten, !queues.deleted.is_empty())
            };
            // Nobody but this thread makes either more.
            let room = writer.options.unwritten_max.saturating_sub(unwritten);
            writer.batch.messages_max = if has_deleted { 0 } else { room };
            (unwritten > 0 && writer.batch.messages + messages > room, has_deleted)
        };
        match is_too_much(self) {
            (false, false) => return Ok(()),
            (true, _) => self.commit(),
            (false, true) => {}
        }
        let (is_full, has_deleted) = is_too_much(self);
        let (done, written) = mpsc::sync_channel(1);
        let task = match has_deleted {
            true => Task::Checkpoint(Some(done)),
            false if is_full => Task::WriteOut(Some(done)),
            false => return Ok(()),
        };
        self.batch.asked = false;
        let gone = || self.failure.set("go on", &"the thread that writes queues has gone");
        self.keeper.send(task).map_err(|_| gone())?;
        written.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Ends the present segment with a blank and begins the next.
    fn roll(&mut self) -> Result<(), StoreError> {
        if let Some(error) = self.failure.get() {
            return Err(error);
        }
        let next = self.segment.end();
        if self.end < next {
            let mut blank = BytesMut::new();
            put_blank(&mut blank, next - self.end);
            let position = self.end - self.segment.start;
            let file = &self.segment.file;
            file.write_all_at(&blank, position)
                .map_err(|error| io_error("end a segment", error))?;
            // That there is a next one proves that all of this one is on the disk.
            file.sync().map_err(|error| self.failure.set("sync the log", &error))?;
            // Nothing may overwrite the blank now, also if the next segment cannot be made yet.
            self.end = next;
            self.log.roll(file.clone(), next);
        }
        self.segment = create(&*self.disk, next, self.options.segment_bytes)?;
        self.log.roll(self.segment.file.clone(), next);
        Ok(())
    }

    /// Writes and syncs what is in the buffer and tells those that wait for it.
    fn commit(&mut self) {
        if self.batch.appends.is_empty() {
            return;
        }
        let outcome = self.write_batch();
        let appends = std::mem::take(&mut self.batch.appends);
        (self.batch.messages, self.batch.messages_max) = (0, 0);
        match outcome {
            Ok(()) => {
                self.end += self.batch.buffer.len() as u64;
                self.acknowledge(appends);
            }
            Err(error) => {
                for append in appends.into_iter().rev() {
                    give_back(&mut self.batch.tails, &append.pending.messages);
                    refuse(append, error.clone());
                }
            }
        }
        self.batch.buffer.clear();
        if self.batch.buffer.capacity() > KEPT_BYTES {
            self.batch.buffer = BytesMut::new();
        }
    }

    fn write_batch(&mut self) -> Result<(), StoreError> {
        if let Some(error) = self.failure.get() {
            return Err(error);
        }
        let buffer = &mut self.batch.buffer;
        let crc = crc32fast::hash(buffer);
        let mark = Mark { batch_start: self.end, crc, synced: self.log.synced() };
        let offset = self.end + buffer.len() as u64;
        mark.put(buffer, offset, self.options.log_id, now_ms());

        let position = self.end - self.segment.start;
        if let Err(error) = self.segment.file.write_all_at(buffer, position) {
            // The mark is the last to be written, so that a part without it is never taken for
            // stored; what was written is cut all the same, so that nothing of it comes back.
            let cut = self.segment.file.clear(position, self.segment.bytes);
            return match cut {
                Ok(()) => Err(match io_error("write", error) {
                    full @ StoreError::Full(_) => full,
                    other => self.failure.set("write", &other),
                }),
                Err(error) => Err(self.failure.set("cut a failed write", &error)),
            };
        }
        self.log.wrote(self.end + buffer.len() as u64);
        match self.options.flush {
            Flush::Sync => self.log.sync(),
            Flush::Async { .. } => Ok(()),
        }
    }

    /// Has the messages of a batch read, tells of them, and answers.
    fn acknowledge(&mut self, appends: Vec<Append>) {
        let mut unwritten = 0;
        let messages = || appends.iter().flat_map(|append| &append.pending.messages);
        let stored = |message| Dispatched { message, bytes: StoredMessage::encoded_bytes(message) };
        {
            let mut queues = self.derived.queues_mut();
            for message in messages() {
                if let Err(reason) = queues.add(&stored(message)) {
                    self.failure.set("go on", &reason);
                }
                if let Kind::Deletion(topic) = own::kind(message) {
                    self.batch.tails.forget(topic);
                }
                unwritten = queues.unwritten;
            }
            queues.log_end = self.end;
        }
        for message in messages() {
            self.others.iter_mut().for_each(|other| other.dispatch(&stored(message)));
        }
        let is_much = unwritten >= self.options.write_out_at;
        if is_much && !self.batch.asked {
            // If it has gone, the next append finds out.
            let _ = self.keeper.send(Task::WriteOut(None));
            self.batch.asked = true;
        } else if !is_much {
            self.batch.asked = false;
        }
        for Append { pending, reply } in appends {
            // The sender's connection may have gone; what is stored stays stored.
            let _ = reply.send(Ok(pending));
        }
    }
}

/// Makes the last segment ready to be written at `end`; all before it is synced then.
pub(super) fn prepare(
    segment: Segment,
    end: u64,
    torn: bool,
    segment_bytes: u64,
) -> Result<Segment, StoreError> {
    let bytes = segment.bytes.max(segment_bytes);
    let file = &segment.file;
    let prepared = || {
        // Also one whose making, or whose cutting, was interrupted.
        if torn || segment.bytes < bytes {
            file.clear(end - segment.start, bytes)?;
        }
        // The end of the process may have come between a batch's write and its sync.
        file.sync()
    };
    prepared().map_err(|error| io_error("cut the torn tail", error))?;
    Ok(Segment { bytes, ..segment })
}

/// Makes the segment that begins there.
pub(super) fn create(disk: &dyn Disk, start: u64, bytes: u64) -> Result<Segment, StoreError> {
    let file = disk
        .create(LOG_DIRECTORY, start, bytes, Space::Reserved)
        .map_err(|error| io_error("create a segment", error))?;
    Ok(Segment { start, bytes, file })
}

/// Gives back the queue offsets of messages that were not stored, the last taken first.
fn give_back(tails: &mut QueueTails, messages: &[StoredMessage]) {
    for message in messages.iter().rev() {
        tails.give_back(&message.topic, message.queue_id, message.queue_offset);
    }
}

fn refuse(append: Append, error: StoreError) {
    // The sender's connection may have gone.
    let _ = append.reply.send(Err(error));
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
