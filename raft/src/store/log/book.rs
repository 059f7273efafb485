//! What the log holds: known without asking the disk, and in part not on it yet.
//!
//! An appended entry is *noted*: it can be read at once, from the tail. It becomes part of a row when
//! the next sync begins, together with all that were noted since the last one: so a sync writes one
//! row, however many appends wait for it. Whatever else is written of the log (a vote, a purge, a
//! truncation) is written behind the entries that were noted before it: the disk has the order of
//! the calls.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::tail::{self, Tail};
use crate::machine::Index;
use crate::store::entries;
use crate::store::latch::Latch;
use crate::store::lock;
use crate::store::mark::Mark;
use crate::types::{Entry, LogId, Vote};

/// Noted entries are written at once when there are so many of them, or so many bytes: far fewer
/// than the tail holds, from which they are read until then.
const NOTED_ENTRIES_MAX: usize = 1024;
const NOTED_BYTES_MAX: u64 = 256 * 1024;

/// See the module's text.
pub(in crate::store) struct Book {
    pub(super) disk: Arc<Latch>,
    state: Mutex<State>,
    pub(super) counters: Counters,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    pub(super) purged: Option<LogId>,
    /// The index at which the log begins: behind what is purged, 0 in practice if nothing is.
    pub(super) first: Index,
    /// The last entry, or `purged` if there is none.
    pub(super) last: Option<LogId>,
    pub(super) tail: Tail,
    pub(super) noted: Vec<Entry>,
    pub(super) noted_bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) appended_entries: AtomicU64,
    pub(super) appended_bytes: AtomicU64,
}

impl Book {
    pub(super) fn new(disk: Arc<Latch>, state: State) -> Book {
        Book { disk, state: Mutex::new(state), counters: Counters::default() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The disk that it is written to.
    pub(in crate::store) fn disk(&self) -> &Arc<Latch> {
        &self.disk
    }

    /// Notes an entry that follows the last one.
    pub(super) fn note(&self, entry: Entry) -> io::Result<()> {
        let mut state = self.state();
        if state.last.is_none() {
            state.first = entry.log_id.index;
        }
        state.last = Some(entry.log_id);
        state.noted_bytes += tail::entry_bytes(&entry);
        state.noted.push(entry.clone());
        if state.noted.len() >= NOTED_ENTRIES_MAX || state.noted_bytes >= NOTED_BYTES_MAX {
            // Before the tail may let go of any of them.
            self.write_noted(&mut state)?;
        }
        state.tail.push(entry);
        Ok(())
    }

    /// Writes the entries that are noted.
    pub(super) fn write_noted(&self, state: &mut State) -> io::Result<()> {
        if state.noted.is_empty() {
            return Ok(());
        }
        let bytes = entries::put(&*self.disk, &state.noted)?;
        self.counters.appended_entries.fetch_add(state.noted.len() as u64, Ordering::Relaxed);
        self.counters.appended_bytes.fetch_add(bytes, Ordering::Relaxed);
        state.noted.clear();
        state.noted_bytes = 0;
        Ok(())
    }

    /// Writes all that is not written yet, and answers what the disk holds once it is synced.
    pub(in crate::store) fn write_out(&self) -> io::Result<Mark> {
        let mut state = self.state();
        self.write_noted(&mut state)?;
        let State { vote, committed, last, .. } = *state;
        Ok(Mark { vote, last, committed: committed.min(last) })
    }
}
