//! What a start does: it takes queues and index as the last checkpoint says, replays the log from
//! there, cuts what was never acknowledged, and sets the threads to work.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, mpsc as std_mpsc};
use std::thread::JoinHandle;

use signpost_remoting::message::StoredMessage;
use tokio::sync::mpsc;

use super::checkpoint::{self, CHECKPOINT_FILE};
use super::derived::Derived;
use super::disk::{Disk, FileDisk};
use super::flush::{Failure, Flush, LogEnd};
use super::keeper::Keeper;
use super::own::{self, Kind};
use super::queues::{Dispatch, Dispatched};
use super::read::Reader;
use super::recovery::{Part, Refusal, first_offset, replay};
use super::work::Dirty;
use super::writer::{Batch, Writer, create, prepare};
use super::{LOG_DIRECTORY, Store, StoreError, StoreOptions, Threads, io_error};

/// What a start found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Messages that can be read.
    pub messages: u64,
    /// Offset at which the log begins.
    pub start_offset: u64,
    /// Offset at which the next record will lie.
    pub end_offset: u64,
    /// Offset from which the log was replayed.
    pub replayed_from: u64,
    /// Whether queues and index had to be rebuilt from the whole log.
    pub rebuilt: bool,
    /// Messages of a batch that was never acknowledged, cut off.
    pub cut_messages: u64,
}

impl Store {
    /// Opens the store in a data directory, recovering it first; see [`Store::open_on`]. A lock that is
    /// given is kept until nobody uses the store any more.
    pub fn open(
        directory: &Path,
        options: StoreOptions,
        dispatchers: Vec<Box<dyn Dispatch>>,
        lock: Option<File>,
    ) -> Result<(Self, Recovery), StoreError> {
        let disk =
            FileDisk::open(directory, lock).map_err(|e| io_error("open the directory", e))?;
        Self::open_on(Arc::new(disk), options, dispatchers)
    }

    /// Opens the store on a disk: replays the log from the last checkpoint on, cuts a batch that was
    /// never acknowledged, refuses to start over damage. Takes as long as reading what came after
    /// that checkpoint; without one, the log.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        options: StoreOptions,
        mut others: Vec<Box<dyn Dispatch>>,
    ) -> Result<(Self, Recovery), StoreError> {
        sync_last_segment(&*disk)?;
        let (derived, rebuilt) = derived(&disk, &options)?;
        let (log_min, from) = {
            let queues = derived.queues();
            (queues.log_min, queues.log_end)
        };
        if rebuilt && first_offset(&*disk)? < last_offset(&*disk)? {
            tracing::info!("no checkpoint that fits: rebuilding queues and index from the log");
        }
        let mut dirty = Dirty::default();
        let mut on_batch = |batch: &[Dispatched<'_>], end: u64| {
            take_in(&derived, &mut dirty, &options, batch, end)?;
            for stored in batch {
                others.iter_mut().for_each(|other| other.dispatch(stored));
            }
            Ok(())
        };
        let part = Part { log_min, from };
        let replayed = replay(&*disk, options.log_id, part, &mut on_batch)?;
        let end = replayed.end;
        derived.queues_mut().log_end = end;
        let segment = match replayed.last {
            Some(segment) if end < segment.end() || segment.bytes == 0 => {
                prepare(segment, end, replayed.torn, options.segment_bytes)?
            }
            _ => create(&*disk, end, options.segment_bytes)?,
        };
        if replayed.torn {
            let cut = replayed.cut_messages;
            tracing::warn!(offset = end, cut, "cut the commit log's torn tail, never acknowledged");
        }
        let recovery = Recovery {
            messages: derived.queues().messages(),
            start_offset: log_min,
            end_offset: end,
            replayed_from: from,
            rebuilt,
            cut_messages: replayed.cut_messages,
        };
        let mut reached = from;
        if rebuilt && end > log_min {
            // A long rebuild is not to be done twice.
            match derived.checkpoint::<std::io::Error>(&mut dirty, || Ok(())) {
                Ok(end) => reached = end,
                Err(error) => {
                    tracing::warn!(%error, "no checkpoint: the next start rebuilds again");
                    reached = u64::MAX;
                }
            }
        }
        let failure = Failure::new();
        let log = Arc::new(LogEnd::new(segment.file.clone(), end, failure.clone()));
        let derived = Arc::new(derived);
        let reader = Reader::new(derived.clone(), log.clone());

        let (keeper, tasks) = std_mpsc::channel();
        let (appends, inbox) = mpsc::unbounded_channel();
        let (keeper_log, flusher_log) = (log.clone(), log.clone());
        let keeps = Keeper {
            derived: derived.clone(),
            log: keeper_log,
            failure: failure.clone(),
            dirty,
            reached,
        };
        let writer = Writer {
            disk,
            options,
            segment,
            end,
            log,
            derived,
            keeper: keeper.clone(),
            others,
            failure: failure.clone(),
            batch: Batch::default(),
        };
        let every = options.checkpoint_every;
        let threads = Threads {
            writer: spawn("commit-log", move || writer.run(inbox))?,
            keeper: spawn("queues", move || keeps.run(&tasks, every))?,
            flusher: match options.flush {
                Flush::Sync => None,
                Flush::Async { interval } => {
                    let (end, ended) = std_mpsc::channel();
                    let flush = move || flusher_log.sync_every(interval, &ended);
                    Some((end, spawn("log-flush", flush)?))
                }
            },
        };
        let store = Self {
            appends,
            pending_bytes: Arc::default(),
            options,
            failure,
            reader,
            keeper,
            threads,
            refusing: Mutex::default(),
            is_refusing: AtomicBool::new(false),
        };
        Ok((store, recovery))
    }
}

/// Queues and index as they are before the replay, and whether that is of the whole log.
fn derived(disk: &Arc<dyn Disk>, options: &StoreOptions) -> Result<(Derived, bool), StoreError> {
    let failed = |error| io_error("read queues and index", error);
    if let Some(derived) = Derived::open(disk.clone(), options).map_err(failed)? {
        return Ok((derived, false));
    }
    let log_min = first_offset(&**disk)?;
    Ok((Derived::empty(disk.clone(), options, log_min).map_err(failed)?, true))
}

fn take_in(
    derived: &Derived,
    dirty: &mut Dirty,
    options: &StoreOptions,
    batch: &[Dispatched<'_>],
    end: u64,
) -> Result<(), Refusal> {
    let (unwritten, has_deleted) = {
        let mut queues = derived.queues_mut();
        for stored in batch {
            queues.add(stored).map_err(Refusal::Wrong)?;
        }
        queues.log_end = end;
        (queues.unwritten, !queues.deleted.is_empty())
    };
    let failed = |error| Refusal::Failed(io_error("write queues and index", error));
    if has_deleted {
        derived.checkpoint(dirty, || Ok(())).map_err(failed)?;
    } else if unwritten >= options.write_out_at.min(options.unwritten_max) {
        derived.write_out(dirty).map_err(failed)?;
    }
    Ok(())
}

/// The end of the process may have come between a write and its sync: what is replayed now counts,
/// so it has to stay.
fn sync_last_segment(disk: &dyn Disk) -> Result<(), StoreError> {
    let synced = || match disk.list(LOG_DIRECTORY)?.last() {
        Some((start, _)) => disk.open(LOG_DIRECTORY, *start)?.sync(),
        None => Ok(()),
    };
    synced().map_err(|error| io_error("sync the last segment", error))
}

fn last_offset(disk: &dyn Disk) -> Result<u64, StoreError> {
    let files = disk.list(LOG_DIRECTORY).map_err(|error| io_error("list the segments", error))?;
    Ok(files.last().map_or(0, |(start, bytes)| start + bytes))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| io_error("start a thread", error))
}

/// Reads the log of a data directory that nobody has open, without changing it: all messages that
/// a start would keep.
pub fn read_all(directory: &Path, log_id: u64) -> Result<Vec<StoredMessage>, StoreError> {
    let disk = FileDisk::open(directory, None).map_err(|e| io_error("open the directory", e))?;
    read_all_on(&disk, log_id)
}

/// [`read_all`] of a disk.
pub(super) fn read_all_on(disk: &dyn Disk, log_id: u64) -> Result<Vec<StoredMessage>, StoreError> {
    let checkpoint = disk.read(CHECKPOINT_FILE).map_err(|e| io_error("read the checkpoint", e))?;
    let log_min = match checkpoint.and_then(|bytes| checkpoint::decode(&bytes, log_id)) {
        Some(checkpoint) => checkpoint.queues.log_min,
        None => first_offset(disk)?,
    };
    let mut all: Vec<StoredMessage> = Vec::new();
    let mut on_batch = |batch: &[Dispatched<'_>], _: u64| {
        for stored in batch {
            match own::kind(stored.message) {
                Kind::Message => all.push(stored.message.clone()),
                Kind::Deletion(topic) => all.retain(|message| message.topic != topic),
                Kind::Ends(_) => {}
            }
        }
        Ok(())
    };
    replay(disk, log_id, Part { log_min, from: log_min }, &mut on_batch)?;
    Ok(all)
}
