//! openraft's log storage: entries, vote, and how far the log is committed and purged.

mod book;
mod open;
mod tail;

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::{Stream, stream};
use openraft::OptionalSend;
use openraft::errors::LeaderChanged;
use openraft::storage::{LeaderBoundedStreamError, RaftLogReader, RaftLogStorage};

use super::convert::{DiskLogId, DiskVote};
use super::entries::{self, Entries};
use super::flusher::Flusher;
use super::index_of;
use super::record::{Meta, put_meta};
use super::sweeper::Sweeper;
use crate::disk::Table;
use crate::machine::Index;
use crate::planted::{Bug, planted};
use crate::types::{Entry, IoFlushed, LeaderId, LogId, LogState, TypeConfig, Vote};
pub(in crate::store) use book::Book;

/// Entries that are read at once for a peer or for the machine: at most so many, and no more once
/// they take so many bytes.
const READ_ENTRIES_MAX: u64 = 512;
const READ_BYTES_MAX: u64 = 1024 * 1024;

/// The log on a disk. Clones share it; each is also a reader.
#[derive(Clone)]
pub(crate) struct LogStore {
    book: Arc<Book>,
    flusher: Flusher,
    sweeper: Sweeper,
}

/// What the log has done since it was opened, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogCounters {
    /// Entries appended.
    pub appended_entries: u64,
    /// Their encoded bytes.
    pub appended_bytes: u64,
    /// Syncs of the disk, whoever asked for them: `appended_entries / syncs` is the group size.
    pub syncs: u64,
    /// The index of the last entry, 0 if there has been none.
    pub last_index: Index,
    /// The index up to which the log is purged, 0 if it is not.
    pub purged_index: Index,
}

impl LogStore {
    /// openraft's view of `book`; has removed what it is purged of.
    pub(in crate::store) fn new(
        book: Arc<Book>,
        flusher: Flusher,
        sweeper: Sweeper,
    ) -> io::Result<LogStore> {
        let log = LogStore { book, flusher, sweeper };
        log.sweep_purged()?;
        Ok(log)
    }

    /// Has the rows removed that hold nothing but purged entries.
    fn sweep_purged(&self) -> io::Result<()> {
        let (purged, last) = {
            let state = self.book.state();
            (state.purged, state.last)
        };
        let Some(purged) = purged else { return Ok(()) };
        let upto = if last > Some(purged) {
            entries::last_key_before(&*self.book.disk, purged.index + 1)?
        } else {
            Some(entries::end_key(purged.index))
        };
        if let Some(upto) = upto {
            self.sweeper.remove(Table::Log, entries::head_key(0), upto);
        }
        Ok(())
    }

    /// What the log has done since it was opened.
    pub(crate) fn counters(&self) -> LogCounters {
        let state = self.book.state();
        LogCounters {
            appended_entries: self.book.counters.appended_entries.load(Ordering::Relaxed),
            appended_bytes: self.book.counters.appended_bytes.load(Ordering::Relaxed),
            syncs: self.flusher.syncs(),
            last_index: index_of(state.last.as_ref()).unwrap_or(0),
            purged_index: index_of(state.purged.as_ref()).unwrap_or(0),
        }
    }

    /// The entries of `first ≤ index < end` that the log holds: all of them, or with `limited`
    /// some from the first on.
    fn read(&self, first: Index, end: Index, limited: bool) -> io::Result<Vec<Entry>> {
        let _whole_entries = self.sweeper.hold_off();
        let (first, end, cached) = {
            let state = self.book.state();
            let first = first.max(state.first);
            let mut end = end.min(next_index(state.last.as_ref()));
            if limited {
                end = end.min(first.saturating_add(READ_ENTRIES_MAX));
            }
            (first, end, state.tail.range(first, end))
        };
        let uncached_end = cached.first().map_or(end, |entry| entry.log_id.index);
        let mut read = Vec::new();
        let mut bytes = 0;
        if first < uncached_end {
            let mut on_disk = Entries::new(&*self.book.disk, first, uncached_end - 1)?;
            while let Some((entry, entry_bytes)) = on_disk.next()? {
                read.push(entry);
                bytes += entry_bytes;
                if limited && bytes >= READ_BYTES_MAX {
                    break;
                }
            }
        }
        for entry in cached {
            if limited && bytes >= READ_BYTES_MAX {
                break;
            }
            bytes += tail::entry_bytes(&entry);
            read.push(entry);
        }
        // Whatever the log holds must be in there: neither a hole nor a gap before the first.
        for (wanted, entry) in (first..).zip(&read) {
            if entry.log_id.index != wanted {
                return Err(missing(wanted));
            }
        }
        let read_end = first + read.len() as u64;
        let may_stop_early = limited && !read.is_empty();
        if first < end && read_end < end && !may_stop_early {
            return Err(missing(read_end));
        }
        Ok(read)
    }

    /// The entries of `first ≤ index < end`, read in steps of bounded size.
    fn read_stream(
        &self,
        first: Index,
        end: Index,
    ) -> impl Stream<Item = io::Result<Entry>> + Send + use<> {
        let steps = stream::unfold(Some((self.clone(), first)), move |step| async move {
            let (log, first) = step?;
            match log.read(first, end, true) {
                Ok(entries) => {
                    let next = entries.last().map(|entry| (log, entry.log_id.index + 1));
                    Some((stream::iter(entries.into_iter().map(Ok).collect::<Vec<_>>()), next))
                }
                Err(error) => Some((stream::iter(vec![Err(error)]), None)),
            }
        });
        futures_util::StreamExt::flatten(steps)
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<R>(&mut self, range: R) -> io::Result<Vec<Entry>>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (first, end) = bounds(&range);
        self.read(first, end, false)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start, end, true)
    }

    async fn entries_stream<R>(
        &mut self,
        range: R,
    ) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (first, end) = bounds(&range);
        Box::pin(self.read_stream(first, end))
    }

    /// Ends with an error as soon as the vote is no longer this leader's: its log may be truncated
    /// from then on. The vote is compared after each step is read and before any of it is given.
    async fn leader_bounded_stream<R>(
        &mut self,
        leader: LeaderId,
        range: R,
    ) -> impl Stream<Item = Result<Entry, LeaderBoundedStreamError<TypeConfig>>> + OptionalSend
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (first, end) = bounds(&range);
        let steps = stream::unfold(Some((self.clone(), first)), move |step| async move {
            let (log, first) = step?;
            let entries = log.read(first, end, true);
            let vote = log.book.state().vote;
            if !vote.is_some_and(|vote| vote.committed && vote.leader_id == leader) {
                let changed = LeaderChanged::new(leader, vote).into();
                return Some((stream::iter(vec![Err(changed)]), None));
            }
            match entries {
                Ok(entries) => {
                    let next = entries.last().map(|entry| (log, entry.log_id.index + 1));
                    Some((stream::iter(entries.into_iter().map(Ok).collect::<Vec<_>>()), next))
                }
                Err(error) => Some((stream::iter(vec![Err(error.into())]), None)),
            }
        });
        Box::pin(futures_util::StreamExt::flatten(steps))
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.book.state().vote)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> io::Result<LogState> {
        let state = self.book.state();
        Ok(LogState { last_purged_log_id: state.purged, last_log_id: state.last })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    /// Durable when it returns (Raft paper, figure 2: votes are persisted before answering).
    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        {
            let mut state = self.book.state();
            // A vote that went back could elect two leaders in one term. `None` from the
            // comparison is the same term for another candidate.
            if let Some(current) = &state.vote
                && !matches!(vote.partial_cmp(current), Some(order) if order.is_ge())
            {
                return Err(refused(format!("a vote must not go back from {current} to {vote}")));
            }
            self.book.write_noted(&mut state)?;
            put_meta(&*self.book.disk, Meta::Vote, &DiskVote::from(vote))?;
            state.vote = Some(*vote);
        }
        if planted(Bug::VoteNotSynced) {
            self.flusher.sync_lazily();
            return Ok(());
        }
        self.flusher.sync().await
    }

    /// Told by the next mark, within a moment. Losing it costs nothing but a later start of local
    /// reads: the entries themselves are in the log.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let Some(committed) = committed else { return Ok(()) };
        self.book.state().committed = Some(committed);
        self.flusher.sync_lazily();
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.book.state().committed)
    }

    async fn append<I>(&mut self, entries: I, appended: IoFlushed) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        for entry in entries {
            let last = self.book.state().last;
            if last.is_some_and(|last| entry.log_id.index != last.index + 1 || entry.log_id <= last)
            {
                return Err(refused(format!(
                    "entry {} must not follow {last:?}: the log would have a hole",
                    entry.log_id
                )));
            }
            self.book.note(entry)?;
        }
        self.flusher.append_noted(appended);
        Ok(())
    }

    async fn truncate_after(&mut self, kept: Option<LogId>) -> io::Result<()> {
        let first = next_index(kept.as_ref());
        {
            let mut state = self.book.state();
            if first >= next_index(state.last.as_ref()) {
                return Ok(());
            }
            if let Some(committed) = &state.committed
                && first <= committed.index
            {
                return Err(refused(format!(
                    "entry {first} must not be truncated: the log is committed up to {committed}"
                )));
            }
            self.book.write_noted(&mut state)?;
            state.tail.truncate(first);
            state.last = kept.or(state.purged);
        }
        // The mark first, durably: the disk will hold less than the mark has said so far.
        self.flusher.sync_and_mark().await?;
        // From the end backwards: whatever a crash leaves of this has no hole.
        loop {
            let _no_readers = self.sweeper.removing();
            if entries::truncate_step(&*self.book.disk, first)? {
                break;
            }
        }
        self.flusher.sync().await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        {
            let mut state = self.book.state();
            if state.purged.is_some_and(|purged| purged >= upto) {
                return Ok(());
            }
            self.book.write_noted(&mut state)?;
            // The marker first, durably; the rows behind it may go at leisure.
            put_meta(&*self.book.disk, Meta::Purged, &DiskLogId::from(&upto))?;
        }
        self.flusher.sync().await?;
        {
            let mut state = self.book.state();
            state.purged = Some(upto);
            state.first = state.first.max(upto.index + 1);
            state.tail.purge(upto.index);
            if state.last.is_none_or(|last| last < upto) {
                state.last = Some(upto);
            }
        }
        self.sweep_purged()
    }
}

fn next_index(log_id: Option<&LogId>) -> Index {
    log_id.map_or(0, |log_id| log_id.index + 1)
}

/// A range of indices as `first..end`.
fn bounds(range: &impl RangeBounds<u64>) -> (Index, Index) {
    let first = match range.start_bound() {
        Bound::Included(first) => *first,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => Index::MAX,
    };
    (first, end)
}

fn refused(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

fn missing(index: Index) -> io::Error {
    super::damaged(Table::Log, &entries::head_key(index), "it is missing")
}
