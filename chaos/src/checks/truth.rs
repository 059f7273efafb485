//! The one true sequence of a run, and the tables at each of its indices.

use std::collections::BTreeMap;

use signpost_namesrv::routes::RouteTables;
use signpost_namesrv::routes::command::{RouteCommand, RouteOutcome};
use signpost_raft::machine::Index;

/// An applied command.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What was applied.
    pub command: RouteCommand,
    /// What came of it.
    pub outcome: RouteOutcome,
}

/// Every applied command, and what the tables were after it. Entries without a command (membership,
/// a term's first) have an index and are not in here.
#[derive(Debug, Default)]
pub struct Truth {
    entries: BTreeMap<Index, Entry>,
    /// Sorted by index; persistent maps, so that a thousand of them take little.
    tables: Vec<(Index, RouteTables)>,
    empty: RouteTables,
}

impl Truth {
    /// Applies the next command. Indices grow.
    pub fn apply(&mut self, index: Index, command: RouteCommand) -> (RouteOutcome, u128) {
        let mut tables = self.at(Index::MAX).clone();
        let outcome = tables.apply(index, command.clone());
        tables.take_changes();
        let digest = tables.digest();
        self.entries.insert(index, Entry { command, outcome: outcome.clone() });
        self.tables.push((index, tables));
        (outcome, digest)
    }

    /// The command at this index.
    #[must_use]
    pub fn entry(&self, index: Index) -> Option<&Entry> {
        self.entries.get(&index)
    }

    /// All commands, in order.
    pub fn entries(&self) -> impl Iterator<Item = (Index, &Entry)> {
        self.entries.iter().map(|(index, entry)| (*index, entry))
    }

    /// The tables when everything up to `index` had been applied.
    #[must_use]
    pub fn at(&self, index: Index) -> &RouteTables {
        let after = self.tables.partition_point(|(at, _)| *at <= index);
        match after.checked_sub(1).and_then(|last| self.tables.get(last)) {
            Some((_, tables)) => tables,
            None => &self.empty,
        }
    }
}
