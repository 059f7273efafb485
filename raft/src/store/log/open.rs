//! Opening a log: every record is verified, and what a crash has left unfinished is finished.

use std::io;
use std::sync::{Arc, Mutex};

use super::{Counters, Inner, LogStore, State, next_index};
use crate::disk::{Disk, Table};
use crate::machine::Index;
use crate::store::convert::{DiskLogId, DiskVote};
use crate::store::entries::{Entries, end_key, head_key};
use crate::store::flusher::Flusher;
use crate::store::latch::Latch;
use crate::store::record::{Meta, get_meta, number_at};
use crate::store::sweeper::Sweeper;
use crate::store::{damaged, index_of, lock};
use crate::types::LogId;

impl LogStore {
    /// Opens the log on a disk.
    ///
    /// # Errors
    /// `InvalidData` when a record is damaged or the log has a hole; what the disk says otherwise.
    pub(in crate::store) fn open(
        disk: &Arc<Latch>,
        flusher: &Flusher,
        sweeper: &Sweeper,
    ) -> io::Result<LogStore> {
        let committed: Option<DiskLogId> = get_meta(&**disk, Meta::Committed)?;
        let purged: Option<DiskLogId> = get_meta(&**disk, Meta::Purged)?;
        let vote: Option<DiskVote> = get_meta(&**disk, Meta::Vote)?;
        let purged: Option<LogId> = purged.map(Into::into);
        let mut state = State {
            vote: vote.map(Into::into),
            committed: committed.map(Into::into),
            purged,
            first: next_index(purged.as_ref()),
            last: purged,
            ..State::default()
        };
        read_entries(disk, &mut state)?;
        if let Some(purged) = &state.purged {
            sweeper.remove(Table::Log, head_key(0), end_key(purged.index));
        }
        let inner = Inner {
            disk: Arc::clone(disk),
            flusher: flusher.clone(),
            sweeper: sweeper.clone(),
            state: Mutex::new(state),
            counters: Counters::default(),
        };
        Ok(LogStore { inner: Arc::new(inner) })
    }

    /// Checks that the log and the snapshot meet: what was purged is in the snapshot, and what was
    /// committed is in either.
    ///
    /// # Errors
    /// `InvalidData` when they do not.
    pub(in crate::store) fn check_against_snapshot(
        &self,
        snapshot: Option<LogId>,
    ) -> io::Result<()> {
        let state = lock(&self.inner.state);
        if state.purged > snapshot {
            return Err(damaged(
                Table::Meta,
                Meta::Purged.key(),
                format!(
                    "the log is purged up to {}, but the snapshot reaches {} only",
                    display(state.purged),
                    display(snapshot)
                ),
            ));
        }
        let held = index_of(state.last.as_ref()).max(index_of(snapshot.as_ref()));
        if index_of(state.committed.as_ref()) > held {
            return Err(damaged(
                Table::Meta,
                Meta::Committed.key(),
                format!(
                    "the log is committed up to {}, but ends at {}",
                    display(state.committed),
                    display(state.last)
                ),
            ));
        }
        Ok(())
    }
}

fn display(log_id: Option<LogId>) -> String {
    log_id.map_or_else(|| "the beginning".to_owned(), |log_id| log_id.index.to_string())
}

/// Verifies all entries behind the purge marker, fills the tail, and removes parts without a head.
fn read_entries(disk: &Arc<Latch>, state: &mut State) -> io::Result<()> {
    let first = next_index(state.purged.as_ref());
    let mut entries = Entries::new(&**disk, first, Index::MAX);
    while let Some((entry, _)) = entries.next()? {
        let wanted = next_index(state.last.as_ref());
        if entry.log_id.index != wanted {
            let what = format!("it is missing, although entry {} is there", entry.log_id.index);
            return Err(damaged(Table::Log, &head_key(wanted), what));
        }
        if state.last.is_some_and(|last| entry.log_id < last) {
            let what =
                format!("its term {} is older than its forerunner's", entry.log_id.leader_id);
            return Err(damaged(Table::Log, &head_key(wanted), what));
        }
        state.last = Some(entry.log_id);
        state.tail.push(entry);
    }
    for key in entries.orphans() {
        // The rest of an entry whose append or removal a crash has cut short.
        if number_at(&key) < Some(next_index(state.last.as_ref())) {
            return Err(damaged(Table::Log, &key, "its head is missing"));
        }
        disk.remove(Table::Log, &key)?;
    }
    Ok(())
}
