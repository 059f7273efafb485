//! The last entries of the log, kept in memory: replication and apply read what was just appended.

use std::collections::VecDeque;

use crate::machine::Index;
use crate::types::{Entry, EntryPayload};

const ENTRIES_MAX: usize = 8192;
const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A run of entries without holes that ends with the log's last one.
#[derive(Debug, Default)]
pub(super) struct Tail {
    entries: VecDeque<Entry>,
    bytes: u64,
}

/// Roughly what an entry takes in memory.
pub(super) fn entry_bytes(entry: &Entry) -> u64 {
    let payload = match &entry.payload {
        EntryPayload::Blank => 0,
        EntryPayload::Normal(command) => command.0.len(),
        EntryPayload::Membership(membership) => 256 * membership.nodes().count(),
    };
    (payload + size_of::<Entry>()) as u64
}

impl Tail {
    pub(super) fn push(&mut self, entry: Entry) {
        debug_assert!(
            self.entries.back().is_none_or(|last| last.log_id.index + 1 == entry.log_id.index)
        );
        self.bytes += entry_bytes(&entry);
        self.entries.push_back(entry);
        while self.entries.len() > ENTRIES_MAX || self.bytes > BYTES_MAX {
            self.forget_first();
        }
    }

    /// Those of `first ≤ index < end`; if any, then without a hole up to `end`.
    pub(super) fn range(&self, first: Index, end: Index) -> Vec<Entry> {
        let Some(base) = self.entries.front().map(|entry| entry.log_id.index) else {
            return Vec::new();
        };
        let position = |index: Index| {
            usize::try_from(index.saturating_sub(base))
                .unwrap_or(usize::MAX)
                .min(self.entries.len())
        };
        let (from, to) = (position(first), position(end));
        if from >= to {
            return Vec::new();
        }
        self.entries.range(from..to).cloned().collect()
    }

    /// Drops `first` and all after it.
    pub(super) fn truncate(&mut self, first: Index) {
        while self.entries.back().is_some_and(|entry| entry.log_id.index >= first) {
            if let Some(entry) = self.entries.pop_back() {
                self.bytes -= entry_bytes(&entry);
            }
        }
    }

    /// Drops everything up to `last`.
    pub(super) fn purge(&mut self, last: Index) {
        while self.entries.front().is_some_and(|entry| entry.log_id.index <= last) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry_bytes(&entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Payload, log_id};

    fn entry(index: Index, bytes: usize) -> Entry {
        let payload = EntryPayload::Normal(Payload(vec![0; bytes].into()));
        Entry { log_id: log_id(1, index), payload }
    }

    fn indices(tail: &Tail, first: Index, end: Index) -> Vec<Index> {
        tail.range(first, end).iter().map(|entry| entry.log_id.index).collect()
    }

    #[test]
    fn it_holds_a_run_of_the_last_entries() {
        let mut tail = Tail::default();
        assert_eq!(indices(&tail, 0, 10), []);
        for index in 5..10 {
            tail.push(entry(index, 1));
        }
        assert_eq!(indices(&tail, 0, 8), [5, 6, 7]);
        assert_eq!(indices(&tail, 7, 100), [7, 8, 9]);
        assert_eq!(indices(&tail, 0, 5), []);
        assert_eq!(indices(&tail, 10, 12), []);
        tail.purge(5);
        tail.truncate(8);
        assert_eq!(indices(&tail, 0, 100), [6, 7]);
        tail.truncate(0);
        assert_eq!((tail.entries.len(), tail.bytes), (0, 0));
    }

    #[test]
    fn it_is_bounded_by_count_and_by_bytes() {
        let mut tail = Tail::default();
        for index in 0..ENTRIES_MAX as Index + 10 {
            tail.push(entry(index, 1));
        }
        assert_eq!(tail.entries.len(), ENTRIES_MAX);
        for index in 0..20 {
            tail.push(entry(ENTRIES_MAX as Index + 10 + index, 1 << 20));
        }
        assert!(tail.bytes <= BYTES_MAX && tail.entries.len() == 15, "{}", tail.entries.len());
    }
}
