//! [`Table`]: a map in the least memory.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Index;

use serde::ser::{Serialize, SerializeMap as _, Serializer};

/// A sorted map that is read once and then walked: its entries lie side by side, where a
/// `BTreeMap`'s nodes would take twice their size, and eleven entries' room for a single one.
/// Inserting one entry is linear.
#[derive(Clone, PartialEq, Eq)]
pub struct Table<K, V>(Vec<(K, V)>);

impl<K: Ord, V> Table<K, V> {
    /// Bytes that an entry takes while a table is made of a list that has its exact capacity.
    pub(super) const ENTRY_BYTES: usize = size_of::<(K, V)>() + size_of::<u32>();

    /// Of a key that is listed twice the last value counts. Takes no memory but four bytes an entry,
    /// for a while.
    ///
    /// # Panics
    /// On more than 2^32 entries; every list here has a lower bound.
    #[must_use]
    pub fn of_listed(mut entries: Vec<(K, V)>) -> Self {
        if !entries.is_sorted_by(|(before, _), (after, _)| before < after) {
            sort(&mut entries);
            entries.dedup_by(|later, earlier| {
                let same = later.0 == earlier.0;
                if same {
                    std::mem::swap(later, earlier);
                }
                same
            });
        }
        Self(entries)
    }

    /// The value of this key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.find(key).ok().map(|at| &self.0[at].1)
    }

    /// The same, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.find(key).ok().map(|at| &mut self.0[at].1)
    }

    /// Sets it; the value that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.0.insert(at, (key, value));
                None
            }
        }
    }

    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.0.binary_search_by(|(one, _)| one.borrow().cmp(key))
    }
}

impl<K, V> Table<K, V> {
    /// How many entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Has it none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// By key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// The keys, sorted.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    /// The values, by key.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    /// The values, to be changed.
    pub fn values_mut(&mut self) -> impl ExactSizeIterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    /// Keeps those of which this holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        self.0.retain(|(key, value)| keep(key, value));
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// Stable, and in place: the stable sorts of `std` take as much again for a buffer.
fn sort<K: Ord, V>(entries: &mut [(K, V)]) {
    let count = u32::try_from(entries.len()).expect("lists are bounded far below");
    let mut order: Vec<u32> = (0..count).collect();
    order.sort_unstable_by_key(|at| (&entries[*at as usize].0, *at));
    for to in 0..entries.len() {
        let mut from = order[to] as usize;
        // Those before it have been swapped away from where they were.
        while from < to {
            from = order[from] as usize;
        }
        order[to] = u32::try_from(from).expect("an index as it was");
        entries.swap(to, from);
    }
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Table<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self::of_listed(entries.into_iter().collect())
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for Table<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        Self::of_listed(Vec::from(entries))
    }
}

impl<K, V> IntoIterator for Table<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<K: Ord + Borrow<Q>, V, Q: Ord + ?Sized> Index<&Q> for Table<K, V> {
    type Output = V;

    fn index(&self, key: &Q) -> &V {
        self.get(key).expect("a key of the table")
    }
}

impl<K: Serialize, V: Serialize> Serialize for Table<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entries = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in &self.0 {
            entries.serialize_entry(key, value)?;
        }
        entries.end()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_table_holds_what_a_map_holds(
            listed in prop::collection::vec((0_u8..40, any::<u16>()), 0..60), more: u16, at in 0_u8..40,
        ) {
            let mut table: Table<u8, u16> = listed.iter().copied().collect();
            let mut map: BTreeMap<u8, u16> = listed.iter().copied().collect();
            prop_assert!(table.iter().eq(map.iter()));
            prop_assert_eq!(table.get(&at), map.get(&at));
            prop_assert_eq!(table.insert(at, more), map.insert(at, more));
            *table.get_mut(&at).unwrap() ^= 1;
            *map.get_mut(&at).unwrap() ^= 1;
            table.retain(|key, _| key % 3 != 0);
            map.retain(|key, _| key % 3 != 0);
            prop_assert!(table.keys().eq(map.keys()) && table.values().eq(map.values()));
            prop_assert_eq!(serde_json::to_string(&table).unwrap(), serde_json::to_string(&map).unwrap());
            prop_assert!(table.into_iter().eq(map));
        }
    }
}
