//! When topics were deleted, as far as this replica has seen it.

use imbl::{OrdMap, OrdSet};

use super::row::Name;

/// How many deletions are remembered; older ones raise the floor.
pub(super) const DELETIONS_MAX: usize = 65_536;

/// For `Signpost-Modified` of a 404, and for waits on topics that do not exist. Neither replicated
/// nor in any digest.
#[derive(Debug, Clone)]
pub(super) struct Deletions {
    by_topic: OrdMap<Name, u64>,
    by_index: OrdSet<(u64, Name)>,
    floor: u64,
    max: usize,
}

impl Deletions {
    pub(super) fn new(floor: u64, max: usize) -> Self {
        Self { by_topic: OrdMap::new(), by_index: OrdSet::new(), floor, max }
    }

    /// Below this index nothing is known.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    pub(super) fn get(&self, topic: &str) -> u64 {
        self.by_topic.get(topic).copied().unwrap_or(self.floor)
    }

    pub(super) fn record(&mut self, topic: Name, index: u64) {
        self.forget(&topic);
        self.by_index.insert((index, topic.clone()));
        self.by_topic.insert(topic, index);
        if self.by_topic.len() > self.max
            && let Some((index, oldest)) = self.by_index.get_min().cloned()
        {
            self.forget(&oldest);
            self.floor = self.floor.max(index);
        }
    }

    pub(super) fn forget(&mut self, topic: &str) {
        if let Some((topic, index)) = self.by_topic.remove_with_key(topic) {
            self.by_index.remove(&(index, topic));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_deletion_is_forgotten_and_raises_the_floor() {
        let mut deletions = Deletions::new(3, 2);
        deletions.record("a".into(), 5);
        deletions.record("b".into(), 6);
        deletions.record("a".into(), 7);
        assert_eq!((deletions.get("a"), deletions.get("b"), deletions.get("c")), (7, 6, 3));
        deletions.record("c".into(), 8);
        assert_eq!((deletions.floor(), deletions.get("b"), deletions.get("a")), (6, 6, 7));
        deletions.forget("a");
        deletions.record("d".into(), 9);
        assert_eq!((deletions.floor(), deletions.get("a"), deletions.get("c")), (6, 6, 8));
    }
}
