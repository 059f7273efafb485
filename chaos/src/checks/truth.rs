//! The one true sequence of a run, and the tables at any of its indices.

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

/// Every applied command, and the tables after the last one. Entries without a command (membership,
/// a term's first) have an index and are not in here.
///
/// Tables of the past are not kept: whoever wants them has the sequence replayed
/// ([`Truth::at_each`]), so that a run of hours takes no more memory than its commands do.
#[derive(Debug, Default)]
pub struct Truth {
    entries: BTreeMap<Index, Entry>,
    latest: RouteTables,
}

impl Truth {
    /// Applies the next command. Indices grow.
    pub fn apply(&mut self, index: Index, command: RouteCommand) -> (RouteOutcome, u128) {
        let outcome = step(&mut self.latest, index, &command);
        self.entries.insert(index, Entry { command, outcome: outcome.clone() });
        (outcome, self.latest.digest())
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

    /// Replays the sequence once, and shows to each guest the tables as they were when everything up
    /// to its index had been applied. Guests come in the order of their indices.
    pub fn at_each<T>(
        &self,
        guests: impl IntoIterator<Item = (Index, T)>,
        mut show: impl FnMut(&RouteTables, T),
    ) {
        let mut guests: Vec<(Index, T)> = guests.into_iter().collect();
        guests.sort_by_key(|(index, _)| *index);
        let mut tables = RouteTables::default();
        let mut to_come = self.entries.iter().peekable();
        for (index, guest) in guests {
            while let Some((at, entry)) = to_come.next_if(|(at, _)| **at <= index) {
                step(&mut tables, *at, &entry.command);
            }
            show(&tables, guest);
        }
    }

    /// The tables when everything up to `index` had been applied: a replay for this one alone.
    #[must_use]
    pub fn at(&self, index: Index) -> RouteTables {
        let mut found = RouteTables::default();
        self.at_each([(index, ())], |tables, ()| found = tables.clone());
        found
    }
}

fn step(tables: &mut RouteTables, index: Index, command: &RouteCommand) -> RouteOutcome {
    let outcome = tables.apply(index, command.clone());
    // Nobody waits for them here.
    tables.take_changes();
    outcome
}
