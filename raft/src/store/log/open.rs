//! Opening a log: every record is verified, and what a crash has left unfinished is finished.

use std::io;
use std::sync::Arc;

use super::book::{Book, State};
use super::next_index;
use crate::disk::{Disk, Table};
use crate::machine::Index;
use crate::store::convert::{DiskLogId, DiskVote};
use crate::store::damaged;
use crate::store::entries::{Entries, head_key};
use crate::store::latch::Latch;
use crate::store::mark::Mark;
use crate::store::record::{Meta, get_meta, number_at};
use crate::types::LogId;

impl Book {
    /// Reads the log on a disk.
    ///
    /// # Errors
    /// `InvalidData` when a record is damaged, the log has a hole, or something is missing that was
    /// acknowledged; what the disk says otherwise.
    pub(in crate::store) fn open(disk: &Arc<Latch>) -> io::Result<Book> {
        let mark = Mark::get(&**disk)?.unwrap_or_default();
        let purged: Option<DiskLogId> = get_meta(&**disk, Meta::Purged)?;
        let vote: Option<DiskVote> = get_meta(&**disk, Meta::Vote)?;
        let purged: Option<LogId> = purged.map(Into::into);
        let mut state = State {
            vote: vote.map(Into::into),
            committed: mark.committed,
            purged,
            first: next_index(purged.as_ref()),
            last: purged,
            ..State::default()
        };
        let orphans = read_entries(disk, &mut state)?;
        mark.check(&Mark { vote: state.vote, last: state.last, committed: None })?;
        for key in orphans {
            // The rest of an entry whose append or removal a crash has cut short.
            disk.remove(Table::Log, &key)?;
        }
        Ok(Book::new(Arc::clone(disk), state))
    }

    /// Checks that the log and the snapshot meet: what was purged is in the snapshot.
    ///
    /// # Errors
    /// `InvalidData` when it is not.
    pub(in crate::store) fn check_against_snapshot(
        &self,
        snapshot: Option<LogId>,
    ) -> io::Result<()> {
        let purged = self.state().purged;
        if purged > snapshot {
            return Err(damaged(
                Table::Meta,
                Meta::Purged.key(),
                format!(
                    "the log is purged up to {}, but the snapshot reaches {} only",
                    display(purged),
                    display(snapshot)
                ),
            ));
        }
        Ok(())
    }
}

fn display(log_id: Option<LogId>) -> String {
    log_id.map_or_else(|| "the beginning".to_owned(), |log_id| log_id.index.to_string())
}

/// Verifies all entries behind the purge marker, fills the tail, and answers the keys of parts
/// without a head.
fn read_entries(disk: &Arc<Latch>, state: &mut State) -> io::Result<Vec<Vec<u8>>> {
    let first = next_index(state.purged.as_ref());
    let mut entries = Entries::new(&**disk, first, Index::MAX)?;
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
    let orphans = entries.orphans();
    for key in &orphans {
        if number_at(key) < Some(next_index(state.last.as_ref())) {
            return Err(damaged(Table::Log, key, "its head is missing"));
        }
    }
    Ok(orphans)
}
