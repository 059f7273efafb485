//! All that is built from the log: queues and index, in memory as far as they are recent, and their
//! files. Many read; one writes files at a time, who has the [`Dirty`] set.
//!
//! The state is that behind a whole batch whenever the lock is free, so what a checkpoint sees is
//! what a replay up to that batch gives.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::StoreOptions;
use super::checkpoint::{self, CHECKPOINT_FILE};
use super::disk::{Disk, read_exact_at};
use super::files::OpenFiles;
use super::index::{Key, Shape};
use super::index_files::{INDEX_DIRECTORY, Index};
use super::queues::{ENTRY_BYTES, Entry, Queue, Queues};
use super::work::Dirty;

/// Where in the data directory the consume queues are: a directory a topic, in it one a queue.
const QUEUES_DIRECTORY: &str = "consumequeue";

/// Queues and index.
pub(super) struct Derived {
    queues: RwLock<Queues>,
    index: Mutex<Index>,
    pub(super) files: OpenFiles,
    /// Size of a new file of a queue.
    pub(super) queue_file_bytes: u64,
    log_id: u64,
}

/// What one pass writes: all that was in memory only when it began.
struct Pass {
    tails: Vec<(String, i32, i64, Vec<Entry>)>,
    keys: Vec<Key>,
    /// The checkpoint's first part, if there is to be one.
    table: Vec<u8>,
    log_end: u64,
    deleted: BTreeSet<String>,
}

impl Derived {
    /// Without anything in it, as before the first message at this log offset. Files of former
    /// times are removed.
    pub(super) fn empty(
        disk: Arc<dyn Disk>,
        options: &StoreOptions,
        log_min: u64,
    ) -> io::Result<Self> {
        let queues = Queues { log_min, log_end: log_min, ..Queues::default() };
        let derived = Self::new(disk, options, queues);
        // It must not be believed once its files are half rebuilt.
        if derived.files.disk.read(CHECKPOINT_FILE)?.is_some_and(|bytes| !bytes.is_empty()) {
            derived.files.disk.replace(CHECKPOINT_FILE, b"")?;
        }
        for topic in derived.files.disk.directories(QUEUES_DIRECTORY)? {
            derived.remove_topic(&topic)?;
        }
        derived.files.remove_all(INDEX_DIRECTORY)?;
        Ok(derived)
    }

    /// As at the last checkpoint, after which the log is to be replayed from `log_end` on; none if
    /// there is none, or the files are not what it says.
    pub(super) fn open(disk: Arc<dyn Disk>, options: &StoreOptions) -> io::Result<Option<Self>> {
        let Some(bytes) = disk.read(CHECKPOINT_FILE)? else { return Ok(None) };
        let Some(read) = checkpoint::decode(&bytes, options.log_id) else {
            // An empty one: a rebuild was under way.
            tracing::warn!("the checkpoint is not whole, or of another log");
            return Ok(None);
        };
        let derived = Self::new(disk, options, read.queues);
        let known: BTreeSet<String> =
            derived.queues().topics.keys().map(|topic| directory_name(topic)).collect();
        for topic in derived.files.disk.directories(QUEUES_DIRECTORY)? {
            // Deleted, or made after the checkpoint.
            if !known.contains(&topic) {
                derived.remove_topic(&topic)?;
            }
        }
        if let Some(wrong) = derived.first_wrong_queue()? {
            tracing::warn!(queue = wrong, "a consume queue is not what the checkpoint says");
            return Ok(None);
        }
        let shape = derived.index().shape();
        let Some(index) = Index::open(&derived.files, shape, read.index)? else {
            tracing::warn!("the index is not what the checkpoint says");
            return Ok(None);
        };
        *derived.index() = index;
        Ok(Some(derived))
    }

    fn new(disk: Arc<dyn Disk>, options: &StoreOptions, queues: Queues) -> Self {
        let slots = (options.index_entries / 2).max(1);
        let shape = Shape { slots, entries: options.index_entries.max(2) };
        Self {
            queues: RwLock::new(queues),
            index: Mutex::new(Index::new(shape)),
            files: OpenFiles::new(disk),
            queue_file_bytes: u64::from(options.queue_file_entries.max(1)) * ENTRY_BYTES,
            log_id: options.log_id,
        }
    }

    /// The state, to be looked at.
    pub(super) fn queues(&self) -> RwLockReadGuard<'_, Queues> {
        self.queues.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, to be changed.
    pub(super) fn queues_mut(&self) -> RwLockWriteGuard<'_, Queues> {
        self.queues.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index.
    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is in memory only, to free it. Not synced.
    pub(super) fn write_out(&self, dirty: &mut Dirty) -> io::Result<()> {
        let pass = self.begin_pass(|_| Vec::new());
        self.write_pass(&pass, dirty)
    }

    /// Writes and syncs what is in memory only, and then the checkpoint that says so; answers how
    /// far that reaches. `log_is_synced` has to make sure that the log reaches there, too.
    pub(super) fn checkpoint<E: From<io::Error>>(
        &self,
        dirty: &mut Dirty,
        log_is_synced: impl FnOnce() -> Result<(), E>,
    ) -> Result<u64, E> {
        let pass = self.begin_pass(|queues| checkpoint::encode_queues(queues, self.log_id));
        log_is_synced()?;
        // Of the keys those of this pass are added, no others: nobody else writes.
        self.write_pass(&pass, dirty)?;
        dirty.sync(&self.files)?;
        let header = self.index().header();
        self.files.disk.replace(CHECKPOINT_FILE, &checkpoint::seal(pass.table, header))?;
        for topic in &pass.deleted {
            self.remove_topic(&directory_name(topic))?;
            self.queues_mut().deleted.remove(topic);
        }
        Ok(pass.log_end)
    }

    fn begin_pass(&self, table: impl FnOnce(&Queues) -> Vec<u8>) -> Pass {
        let queues = self.queues();
        let mut tails = Vec::new();
        for (topic, of_topic) in &queues.topics {
            for (queue_id, queue) in of_topic.iter().filter(|(_, queue)| !queue.tail.is_empty()) {
                tails.push((topic.clone(), *queue_id, queue.written, queue.tail.clone()));
            }
        }
        Pass {
            tails,
            keys: queues.keys.clone(),
            table: table(&queues),
            log_end: queues.log_end,
            deleted: queues.deleted.clone(),
        }
    }

    fn write_pass(&self, pass: &Pass, dirty: &mut Dirty) -> io::Result<()> {
        let (keys, outcome) = self.index().add(&self.files, &pass.keys, dirty);
        {
            // What is in the index must not be added again if the rest fails.
            let mut queues = self.queues_mut();
            queues.keys.drain(..keys);
            queues.unwritten -= keys;
        }
        outcome?;
        let mut done = 0;
        let outcome = pass.tails.iter().try_for_each(|(topic, queue_id, from, entries)| {
            self.write_entries(topic, *queue_id, *from, entries, dirty)?;
            done += 1;
            Ok(())
        });
        let mut queues = self.queues_mut();
        for (topic, queue_id, from, entries) in &pass.tails[..done] {
            let queue = queues.topics.get_mut(topic).and_then(|queues| queues.get_mut(queue_id));
            // It may have been deleted since.
            let Some(queue) = queue.filter(|queue| queue.written == *from) else { continue };
            queue.written += entries.len() as i64;
            if queue.tail.len() == entries.len() {
                // Not only emptied: many queues must not keep what each once needed.
                queue.tail = Vec::new();
            } else {
                queue.tail.drain(..entries.len());
            }
            queues.unwritten -= entries.len();
        }
        outcome
    }

    fn write_entries(
        &self,
        topic: &str,
        queue_id: i32,
        from: i64,
        entries: &[Entry],
        dirty: &mut Dirty,
    ) -> io::Result<()> {
        let directory = queue_directory(topic, queue_id);
        let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES as usize);
        entries.iter().for_each(|entry| entry.put(&mut bytes));
        let (mut rest, mut position) = (&bytes[..], from.cast_unsigned() * ENTRY_BYTES);
        while !rest.is_empty() {
            let inside = position % self.queue_file_bytes;
            let start = position - inside;
            let file = match self.files.get(&directory, start) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.files.create(&directory, start, self.queue_file_bytes)?
                }
                other => other?,
            };
            let room = usize::try_from(self.queue_file_bytes - inside).unwrap_or(usize::MAX);
            let (piece, behind) = rest.split_at(room.min(rest.len()));
            dirty.add(&directory, start);
            file.write_all_at(piece, inside)?;
            (rest, position) = (behind, position + piece.len() as u64);
        }
        Ok(())
    }

    /// Entries of a queue from an offset on: at least one, at most so many; none where it has none.
    pub(super) fn entries(
        &self,
        topic: &str,
        queue_id: i32,
        from: i64,
        max: usize,
    ) -> io::Result<Vec<Entry>> {
        let (from, max) = {
            let queues = self.queues();
            let Some(queue) = queues.queue(topic, queue_id) else { return Ok(Vec::new()) };
            if from < queue.min || from >= queue.next() {
                return Ok(Vec::new());
            }
            if let Ok(at) = usize::try_from(from - queue.written) {
                let end = queue.tail.len().min(at.saturating_add(max));
                return Ok(queue.tail[at..end].to_vec());
            }
            let written = usize::try_from(queue.written - from).unwrap_or(usize::MAX);
            (from.cast_unsigned(), max.min(written))
        };
        let inside = (from * ENTRY_BYTES) % self.queue_file_bytes;
        let to_end = (self.queue_file_bytes - inside) / ENTRY_BYTES;
        let count = max.min(usize::try_from(to_end).unwrap_or(usize::MAX));
        let file =
            self.files.get(&queue_directory(topic, queue_id), from * ENTRY_BYTES - inside)?;
        let mut bytes = vec![0; count * ENTRY_BYTES as usize];
        read_exact_at(&*file, &mut bytes, inside)?;
        Ok(bytes.chunks_exact(ENTRY_BYTES as usize).map(Entry::get).collect())
    }

    /// The entry of a queue at an offset.
    pub(super) fn entry(
        &self,
        topic: &str,
        queue_id: i32,
        offset: i64,
    ) -> io::Result<Option<Entry>> {
        Ok(self.entries(topic, queue_id, offset, 1)?.first().copied())
    }

    /// The first queue whose files are not as the state says.
    fn first_wrong_queue(&self) -> io::Result<Option<String>> {
        let queues = self.queues();
        let log = queues.log_min..queues.log_end;
        for (topic, of_topic) in &queues.topics {
            for (queue_id, queue) in of_topic.iter().filter(|(_, queue)| queue.min < queue.written)
            {
                let Queue { min, written, last_physical, .. } = *queue;
                let entry = |offset: i64| -> io::Result<Entry> {
                    let position = offset.cast_unsigned() * ENTRY_BYTES;
                    let inside = position % self.queue_file_bytes;
                    let directory = queue_directory(topic, *queue_id);
                    let file = self.files.get(&directory, position - inside)?;
                    let mut bytes = [0; ENTRY_BYTES as usize];
                    read_exact_at(&*file, &mut bytes, inside)?;
                    Ok(Entry::get(&bytes))
                };
                let is_right = |offset: i64| match entry(offset) {
                    Err(error) => match error.kind() {
                        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => Ok(false),
                        _ => Err(error),
                    },
                    Ok(entry) => Ok(log.contains(&entry.physical_offset)
                        && (offset + 1 < written || entry.physical_offset == last_physical)),
                };
                if !is_right(written - 1)? || !is_right(min)? {
                    return Ok(Some(format!("{topic}/{queue_id}")));
                }
            }
        }
        Ok(None)
    }

    fn remove_topic(&self, name: &str) -> io::Result<()> {
        let topic = format!("{QUEUES_DIRECTORY}/{name}");
        for queue in self.files.disk.directories(&topic)? {
            self.files.remove_all(&format!("{topic}/{queue}"))?;
        }
        self.files.disk.remove_directory(&topic)
    }
}

/// Directory of a queue.
pub(super) fn queue_directory(topic: &str, queue_id: i32) -> String {
    format!("{QUEUES_DIRECTORY}/{}/{queue_id}", directory_name(topic))
}

/// A topic as the name of a directory: itself, if it is as topics' names are.
fn directory_name(topic: &str) -> String {
    let mut name = String::with_capacity(topic.len());
    for byte in topic.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'%' | b'|' | b'-' | b'_' => {
                name.push(char::from(byte));
            }
            other => name.push_str(&format!("~{other:02x}")),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_topic_leaves_the_directory() {
        assert_eq!(directory_name("%RETRY%my_group-1|x"), "%RETRY%my_group-1|x");
        assert_eq!(directory_name("../a"), "~2e~2e~2fa");
        assert_eq!(queue_directory("T", 3), "consumequeue/T/3");
    }
}
