//! The highest claim of each broker that is gone (docs/GUARANTEES.md, claim 5).
//!
//! A live broker's highest claim stands in its registration, so a key is in one place only. The
//! number of fences is bounded; the one that was removed longest ago goes first, on every replica
//! alike.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::command::BrokerKey;
use super::row::{Fence, Row};

/// How many removed brokers are remembered (docs/GUARANTEES.md, claim 5).
pub const FENCES_MAX: usize = 100_000;

/// What is remembered of brokers that are gone.
#[derive(Debug, Clone)]
pub(super) struct Fences {
    by_key: OrdMap<Arc<BrokerKey>, Fence>,
    /// Derived: the order of eviction.
    by_removal: OrdSet<(u64, Arc<BrokerKey>)>,
    max: usize,
}

impl Fences {
    pub(super) fn new(max: usize) -> Self {
        Self { by_key: OrdMap::new(), by_removal: OrdSet::new(), max }
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn get(&self, key: &BrokerKey) -> Option<Fence> {
        self.by_key.get(key).copied()
    }

    /// Sets one, and answers the rows that went and came, for the digest.
    pub(super) fn set(&mut self, key: Arc<BrokerKey>, fence: Fence) -> (Vec<Row>, Row) {
        let mut went: Vec<Row> = self.remove(&key).into_iter().collect();
        self.by_removal.insert((fence.removed, key.clone()));
        self.by_key.insert(key.clone(), fence);
        if self.by_key.len() > self.max
            && let Some((_, oldest)) = self.by_removal.get_min().cloned()
        {
            went.extend(self.remove(&oldest));
        }
        // The new one itself may have been the oldest; it came and went, and the sum is right.
        (went, Row::Fence { key, fence })
    }

    pub(super) fn remove(&mut self, key: &BrokerKey) -> Option<Row> {
        let (key, fence) = self.by_key.remove_with_key(key)?;
        self.by_removal.remove(&(fence.removed, key.clone()));
        Some(Row::Fence { key, fence })
    }

    pub(super) fn into_rows(self) -> impl Iterator<Item = Row> + Send {
        self.by_key.into_iter().map(|(key, fence)| Row::Fence { key, fence })
    }
}
