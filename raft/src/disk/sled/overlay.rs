//! The rows that are not in sled yet, over those that are.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeInclusive};
use std::sync::Arc;

use crate::disk::Table;

/// Rows by key; None: removed.
pub(super) type Rows = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Rows of all tables.
#[derive(Debug, Default)]
pub(super) struct Tables {
    log: Rows,
    meta: Rows,
    chunk: Rows,
}

impl Tables {
    fn rows(&self, table: Table) -> &Rows {
        match table {
            Table::Log => &self.log,
            Table::Meta => &self.meta,
            Table::Chunk => &self.chunk,
        }
    }

    fn rows_mut(&mut self, table: Table) -> &mut Rows {
        match table {
            Table::Log => &mut self.log,
            Table::Meta => &mut self.meta,
            Table::Chunk => &mut self.chunk,
        }
    }

    /// Each table with its rows.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Table, &Rows)> {
        [Table::Log, Table::Meta, Table::Chunk].map(|table| (table, self.rows(table))).into_iter()
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    /// Of the write-ahead log's generation that is written now.
    current: Tables,
    /// Of the one before, on their way into sled.
    pub(super) settling: Option<Arc<Tables>>,
    /// Changes that the write-ahead log does not hold yet, as a record of it will.
    pub(super) unwritten: Vec<u8>,
}

impl Overlay {
    /// Puts a row, or removes it.
    pub(super) fn change(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) {
        super::wal::add(&mut self.unwritten, table, key, value);
        self.current.rows_mut(table).insert(key.to_vec(), value.map(<[u8]>::to_vec));
    }

    /// Has what there is settle; the next changes are those of another generation.
    pub(super) fn turn(&mut self) {
        self.settling = Some(Arc::new(std::mem::take(&mut self.current)));
    }

    /// The row under `key` if it is here: a value, or None for a removed one.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Option<Option<Vec<u8>>> {
        let settling = || self.settling.as_ref().and_then(|older| older.rows(table).get(key));
        self.current.rows(table).get(key).or_else(settling).cloned()
    }

    /// The rows of `keys`, in order, removed ones too, until there are `limit` that are not.
    pub(super) fn range(&self, table: Table, keys: &RangeInclusive<Vec<u8>>, limit: usize) -> Rows {
        let mut found = Rows::new();
        let mut newer = self.current.rows(table).range(keys.clone()).peekable();
        let older = self.settling.as_ref().map(|older| older.rows(table).range(keys.clone()));
        let mut older = older.into_iter().flatten().peekable();
        let mut there = 0;
        while there < limit {
            let (key, value) = match (newer.peek(), older.peek()) {
                (Some((key, _)), Some((other, _))) if other < key => older.next(),
                (Some((key, _)), Some((other, _))) if other == key => {
                    older.next();
                    newer.next()
                }
                (Some(_), _) => newer.next(),
                (None, _) => older.next(),
            }
            .map_or((None, &None), |(key, value)| (Some(key), value));
            let Some(key) = key else { break };
            there += usize::from(value.is_some());
            found.insert(key.clone(), value.clone());
        }
        found
    }

    /// The last row here whose key is within `end`, removed or not.
    pub(super) fn last(
        &self,
        table: Table,
        end: Bound<&Vec<u8>>,
    ) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let last = |rows: &Rows| {
            let last = rows.range::<Vec<u8>, _>((Bound::Unbounded, end)).next_back();
            last.map(|(key, value)| (key.clone(), value.clone()))
        };
        let newer = last(self.current.rows(table));
        let older = self.settling.as_ref().and_then(|older| last(older.rows(table)));
        match (newer, older) {
            (Some(newer), Some(older)) if older.0 > newer.0 => Some(older),
            (newer, older) => newer.or(older),
        }
    }
}
