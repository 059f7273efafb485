//! What a start does with the log: replay it, batch by batch, from where queues and index reach to.
//!
//! A batch counts when its commit mark is right. The first that is not right ends the log: it was
//! being written, or written and not yet synced, when the machine stopped, and nobody was told that
//! it is safe. If a further segment follows, or a further mark that says that the log had been
//! synced beyond that place, its messages were, and what we see is damage: that is never cut away.

use bytes::{Buf, Bytes, BytesMut};
use crc32fast::Hasher;
use signpost_remoting::message::{FIXED_BYTES, MAGIC_V1, StoredMessage};

use super::disk::{Disk, read_up_to, segment_name};
use super::mark::{COMMIT_MARK_TOPIC, MARK_BYTES, Mark};
use super::queues::Dispatched;
use super::segment::{BLANK_BYTES, BLANK_MAGIC, Segment};
use super::writer::MAX_BATCH_BYTES;
use super::{LOG_DIRECTORY, StoreError, io_error};

/// Bytes read from a segment at once.
const READ_BYTES: usize = 1024 * 1024;

/// What takes in the messages of a batch, and where in the log the batch ends.
pub(super) type OnBatch<'a> = &'a mut dyn FnMut(&[Dispatched<'_>], u64) -> Result<(), Refusal>;

/// Why a batch was not taken in.
pub(super) enum Refusal {
    /// It cannot be: what the log says is wrong.
    Wrong(String),
    /// It could not be.
    Failed(StoreError),
}

/// What a replay found.
pub(super) struct Replayed {
    /// Offset at which the next record will lie.
    pub(super) end: u64,
    /// Messages that were replayed.
    pub(super) messages: u64,
    /// Messages of a batch that was never acknowledged as synced, cut off.
    pub(super) cut_messages: u64,
    /// The segment that is written next; none in an empty directory.
    pub(super) last: Option<Segment>,
    /// Whether bytes of such a batch lie behind the end.
    pub(super) torn: bool,
}

/// The part of the log that is replayed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// Segments before this offset are as good as gone.
    pub(super) log_min: u64,
    /// Where a batch begins: what lies before it is known.
    pub(super) from: u64,
}

/// First offset of the log that is there.
pub(super) fn first_offset(disk: &dyn Disk) -> Result<u64, StoreError> {
    let files = disk.list(LOG_DIRECTORY).map_err(|error| io_error("list the segments", error))?;
    Ok(files.first().map_or(0, |(start, _)| *start))
}

/// Replays a part of the log, changing nothing.
pub(super) fn replay(
    disk: &dyn Disk,
    log_id: u64,
    part: Part,
    on_batch: OnBatch<'_>,
) -> Result<Replayed, StoreError> {
    let mut files =
        disk.list(LOG_DIRECTORY).map_err(|error| io_error("list the segments", error))?;
    files.retain(|(start, bytes)| start + bytes > part.log_min || *bytes == 0);
    if let Some((start, _)) = files.first()
        && *start > part.log_min
    {
        let reason = "the segments before it are missing".to_owned();
        return Err(damaged(*start, part.log_min, reason));
    }
    let mut replayed =
        Replayed { end: part.log_min, messages: 0, cut_messages: 0, last: None, torn: false };
    for (position, &(start, bytes)) in files.iter().enumerate() {
        let next = files.get(position + 1).map(|(start, _)| *start);
        if next.is_some_and(|next| next != start + bytes) {
            let reason = format!("it has {bytes} bytes, the next file does not begin behind it");
            return Err(damaged(start, start + bytes, reason));
        }
        if start + bytes <= part.from && bytes > 0 && next.is_some() {
            continue;
        }
        let file =
            disk.open(LOG_DIRECTORY, start).map_err(|error| io_error("open a segment", error))?;
        let segment = Segment { start, bytes, file };
        let mut scan = Scan::new(&segment, log_id, part.from.clamp(start, segment.end()));
        let stopped = scan.run(on_batch)?;
        replayed.messages += scan.messages;
        replayed.end = scan.batch_start;
        if let Some(reason) = stopped {
            let offset = scan.batch_start;
            let pending = scan.pending.len() as u64;
            if next.is_some() {
                return Err(damaged(start, offset, reason));
            }
            let tail = Tail::look(&segment, offset, log_id)?;
            if let Some(at) = tail.later_mark {
                let reason = format!("{reason}; the commit mark at {at} says that it was whole");
                return Err(damaged(start, offset, reason));
            }
            replayed.torn = tail.not_blank;
            replayed.cut_messages = pending;
        }
        replayed.last = Some(segment);
    }
    if replayed.end < part.from {
        let start = replayed.last.map_or(part.log_min, |segment| segment.start);
        let reason = format!("the log ends here, but reached to {} at least", part.from);
        return Err(damaged(start, replayed.end, reason));
    }
    Ok(replayed)
}

fn damaged(start: u64, offset: u64, reason: String) -> StoreError {
    StoreError::Damaged { file: segment_name(start), offset, reason }
}

/// One segment being read from its beginning.
struct Scan<'a> {
    window: Window<'a>,
    segment_end: u64,
    log_id: u64,
    offset: u64,
    /// Where the batch being read began: everything before it is in the log for good.
    batch_start: u64,
    crc: Hasher,
    /// The batch's messages, with the sizes of their records.
    pending: Vec<(StoredMessage, usize)>,
    messages: u64,
}

/// What lies at an offset.
enum Found {
    /// Another record of the batch.
    Record,
    /// The mark that ends the batch rightly.
    Mark,
    /// The blank that ends the segment.
    Blank,
    /// Neither; here ends what can be read.
    Nothing(String),
}

impl<'a> Scan<'a> {
    fn new(segment: &'a Segment, log_id: u64, from: u64) -> Self {
        Self {
            window: Window { segment, bytes: Bytes::new(), offset: 0 },
            segment_end: segment.end(),
            log_id,
            offset: from,
            batch_start: from,
            crc: Hasher::new(),
            pending: Vec::new(),
            messages: 0,
        }
    }

    /// Reads on to the segment's end; some reason if its batches end before.
    fn run(&mut self, on_batch: OnBatch<'_>) -> Result<Option<String>, StoreError> {
        if self.offset == self.segment_end {
            return Ok(None);
        }
        loop {
            match self.next()? {
                Found::Record => {}
                Found::Mark => {
                    let batch = std::mem::take(&mut self.pending);
                    let batch: Vec<_> = batch
                        .iter()
                        .map(|(message, bytes)| Dispatched { message, bytes: *bytes })
                        .collect();
                    on_batch(&batch, self.offset).map_err(|refusal| match refusal {
                        Refusal::Failed(error) => error,
                        Refusal::Wrong(reason) => {
                            damaged(self.window.segment.start, self.batch_start, reason)
                        }
                    })?;
                    self.messages += batch.len() as u64;
                    self.batch_start = self.offset;
                    self.crc = Hasher::new();
                }
                Found::Blank => {
                    self.batch_start = self.segment_end;
                    return Ok(None);
                }
                Found::Nothing(reason) => return Ok(Some(reason)),
            }
        }
    }

    fn next(&mut self) -> Result<Found, StoreError> {
        let rest = self.segment_end - self.offset;
        let mut head = self.window.read(self.offset, BLANK_BYTES)?;
        if head.len() < BLANK_BYTES {
            return Ok(Found::Nothing("the segment has no end".to_owned()));
        }
        let (size, magic) = (head.get_u32(), head.get_u32());
        if magic == BLANK_MAGIC && u64::from(size) == rest && self.pending.is_empty() {
            return Ok(Found::Blank);
        }
        let bytes = size as usize;
        if magic != MAGIC_V1 || bytes < FIXED_BYTES || u64::from(size) > rest {
            return Ok(Found::Nothing(format!("no record begins with {size:#x}, {magic:#x}")));
        }
        let record = self.window.read(self.offset, bytes)?;
        let message = match StoredMessage::decode(&mut record.clone()) {
            Ok(message) => message,
            Err(error) => return Ok(Found::Nothing(error.to_string())),
        };
        if message.physical_offset != self.offset.cast_signed() {
            let says = message.physical_offset;
            return Ok(Found::Nothing(format!("the record says that it lies at {says}")));
        }
        let found = match Mark::of(&message, self.offset, self.log_id) {
            None if message.topic == COMMIT_MARK_TOPIC => {
                return Ok(Found::Nothing("a commit mark is not of this log".to_owned()));
            }
            None => {
                self.crc.update(&record);
                self.pending.push((message, bytes));
                Found::Record
            }
            Some(mark) => {
                let crc = self.crc.clone().finalize();
                if (mark.batch_start, mark.crc) != (self.batch_start, crc) {
                    return Ok(Found::Nothing("the batch is not what its mark says".to_owned()));
                }
                Found::Mark
            }
        };
        self.offset += bytes as u64;
        Ok(found)
    }
}

/// What lies behind the end of the log in its last segment.
struct Tail {
    /// Whether it is anything but zeros.
    not_blank: bool,
    /// Offset of a commit mark that was written when what lies before it was synced.
    later_mark: Option<u64>,
}

impl Tail {
    /// Looks as far as there is anything, and beyond that as far as a batch could reach.
    fn look(segment: &Segment, end: u64, log_id: u64) -> Result<Self, StoreError> {
        let mut window = Window { segment, bytes: Bytes::new(), offset: 0 };
        let (mut offset, mut not_blank) = (end, false);
        let reach = |from: u64| segment.end().min(from + 2 * MAX_BATCH_BYTES as u64);
        let mut stop = reach(end);
        while offset < stop {
            let bytes = window.read(offset, READ_BYTES)?;
            if bytes.is_empty() {
                break;
            }
            let blank = bytes.iter().all(|byte| *byte == 0);
            if !blank {
                (not_blank, stop) = (true, reach(offset + bytes.len() as u64));
            }
            for at in mark_starts(if blank { &[] } else { &bytes }) {
                let found = offset + at as u64;
                let mut record = window.read(found, MARK_BYTES)?;
                let proves = StoredMessage::decode(&mut record)
                    .ok()
                    .and_then(|record| Mark::of(&record, found, log_id))
                    .is_some_and(|mark| mark.synced > end);
                if proves {
                    return Ok(Self { not_blank, later_mark: Some(found) });
                }
            }
            // The next piece overlaps, for a mark's head that lies across the boundary.
            offset += (bytes.len().saturating_sub(BLANK_BYTES - 1)).max(1) as u64;
        }
        Ok(Self { not_blank, later_mark: None })
    }
}

/// Positions at which size and magic of a commit mark stand.
fn mark_starts(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let mut head = [0; 8];
    head[..4].copy_from_slice(&(MARK_BYTES as u32).to_be_bytes());
    head[4..].copy_from_slice(&MAGIC_V1.to_be_bytes());
    bytes.windows(8).enumerate().filter(move |(_, at)| *at == head).map(|(at, _)| at)
}

/// A piece of a segment in memory.
struct Window<'a> {
    segment: &'a Segment,
    bytes: Bytes,
    /// Log offset of its first byte.
    offset: u64,
}

impl Window<'_> {
    /// The bytes at a log offset; fewer where the file ends.
    fn read(&mut self, offset: u64, bytes: usize) -> Result<Bytes, StoreError> {
        let inside = offset.checked_sub(self.offset).map_or(usize::MAX, |at| at as usize);
        if inside.saturating_add(bytes) > self.bytes.len() {
            self.fill(offset, bytes.max(READ_BYTES))?;
            return Ok(self.bytes.slice(..bytes.min(self.bytes.len())));
        }
        Ok(self.bytes.slice(inside..inside + bytes))
    }

    fn fill(&mut self, offset: u64, bytes: usize) -> Result<(), StoreError> {
        let rest = self.segment.end().saturating_sub(offset);
        let mut piece = BytesMut::zeroed(bytes.min(usize::try_from(rest).unwrap_or(bytes)));
        let position = offset - self.segment.start;
        let filled = read_up_to(&*self.segment.file, &mut piece, position)
            .map_err(|error| io_error("read a segment", error))?;
        piece.truncate(filled);
        (self.bytes, self.offset) = (piece.freeze(), offset);
        Ok(())
    }
}
