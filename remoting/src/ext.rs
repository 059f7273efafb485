//! The named fields of a command (`extFields`), kept sorted by name.
//!
//! All texts of one command lie in one buffer and the entries are spans into it, so that reading a
//! header costs two allocations however many fields it has, and a header made of thousands of tiny
//! fields cannot take more memory than a small multiple of its bytes.

use std::fmt;
use std::ops::Range;

/// Most fields that one header may carry; peers use about twenty.
pub const MAX_EXT_FIELDS: usize = 1024;

/// So few fields are looked at one after the other.
const FEW: usize = 16;

/// Room that is kept for the fields of the next command: what usual ones need.
const KEPT_BYTES: usize = 1024;
const KEPT_FIELDS: usize = 32;

/// Ordered map from field name to value, both text. A name that is set twice keeps the last value.
#[derive(Clone, Default)]
pub struct ExtFields {
    text: String,
    /// Sorted by key, keys distinct.
    entries: Vec<Entry>,
}

/// Where in a text a field's name and value are.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    key: Span,
    value: Span,
}

#[derive(Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

impl ExtFields {
    /// No fields.
    pub const fn new() -> Self {
        Self { text: String::new(), entries: Vec::new() }
    }

    /// No fields, and the room that the former ones had, unless it is much.
    pub(crate) fn clear(&mut self) {
        if self.text.capacity() > KEPT_BYTES || self.entries.capacity() > KEPT_FIELDS {
            *self = Self::new();
        }
        self.entries.clear();
        self.text.clear();
    }

    /// The room that these fields have, for parts that will be theirs; they are none then.
    pub(crate) fn room(&mut self) -> Vec<Entry> {
        self.clear();
        std::mem::take(&mut self.entries)
    }

    /// Makes these the fields that are parts of this text, set one after the other.
    pub(crate) fn set_parts(&mut self, text: &str, mut parts: Vec<Entry>) {
        let key = |part: &Entry| &text[part.key.range()];
        if !parts.is_sorted_by(|one, next| key(one) < key(next)) {
            parts.sort_by_key(key);
            // Of equal names the last was set last: the sort is stable.
            parts.reverse();
            parts.dedup_by(|one, kept| key(one) == key(kept));
            parts.reverse();
        }
        self.text.clear();
        self.text.push_str(text);
        self.entries = parts;
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of a field.
    pub fn get(&self, key: &str) -> Option<&str> {
        let entry = if self.entries.len() <= FEW {
            // Nearly all differ in length already.
            self.entries.iter().find(|entry| self.slice(entry.key) == key)
        } else {
            self.find(key).ok().map(|at| &self.entries[at])
        };
        entry.map(|entry| self.slice(entry.value))
    }

    /// Whether the field is there.
    pub fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Sets a field, replacing its former value.
    pub fn insert(&mut self, key: impl AsRef<str>, value: impl AsRef<str>) {
        let (key, value) = (key.as_ref(), value.as_ref());
        match self.find(key) {
            Ok(at) => self.entries[at].value = self.append(value),
            Err(at) => {
                let entry = Entry { key: self.append(key), value: self.append(value) };
                self.entries.insert(at, entry);
            }
        }
    }

    /// Sets a field to the decimal or textual form of a value, as RocketMQ's typed headers do.
    pub fn insert_display(&mut self, key: impl AsRef<str>, value: impl fmt::Display) {
        self.insert(key, value.to_string());
    }

    /// Sets a field with this builder's chaining.
    #[must_use]
    pub fn with(mut self, key: impl AsRef<str>, value: impl fmt::Display) -> Self {
        self.insert_display(key, value);
        self
    }

    /// Removes a field; says whether it was there. Its text is given back with the map only.
    pub fn remove(&mut self, key: &str) -> bool {
        self.find(key).map(|at| self.entries.remove(at)).is_ok()
    }

    /// All fields in the order of their names (code units as bytes, the order of RocketMQ's signature).
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.entries.iter().map(|entry| (self.slice(entry.key), self.slice(entry.value)))
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        // Stock Java writes fields in alphabetical order: appending is the usual case.
        match self.entries.last() {
            Some(last) if self.slice(last.key) < key => Err(self.entries.len()),
            _ => self.entries.binary_search_by(|entry| self.slice(entry.key).cmp(key)),
        }
    }

    fn slice(&self, span: Span) -> &str {
        &self.text[span.range()]
    }

    fn append(&mut self, text: &str) -> Span {
        let start = self.text.len();
        self.text.push_str(text);
        Span::of(start..self.text.len())
    }
}

impl Entry {
    /// A field whose name and value are here.
    pub(crate) fn new(key: Range<usize>, value: Range<usize>) -> Self {
        Self { key: Span::of(key), value: Span::of(value) }
    }
}

impl Span {
    fn of(range: Range<usize>) -> Self {
        let at = |position: usize| {
            u32::try_from(position).expect("the fields of one command stay below 4 GiB")
        };
        Self { start: at(range.start), end: at(range.end) }
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for ExtFields {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(fields: I) -> Self {
        let mut all = Self::new();
        fields.into_iter().for_each(|(key, value)| all.insert(key, value));
        all
    }
}

impl PartialEq for ExtFields {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for ExtFields {}

impl fmt::Debug for ExtFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_connection_keeps_the_room_of_usual_fields_and_gives_much_back() {
        let room = |fields: &ExtFields| (fields.text.capacity(), fields.entries.capacity());
        let mut fields = ExtFields::new().with("topic", "T");
        let usual = room(&fields);
        fields.clear();
        assert_eq!((fields.len(), room(&fields)), (0, usual));
        let long = ExtFields::new().with("a", "v".repeat(KEPT_BYTES + 1));
        let many: ExtFields = (0..=KEPT_FIELDS).map(|n| (n.to_string(), "")).collect();
        for mut fields in [long, many] {
            fields.clear();
            assert_eq!((fields.len(), room(&fields)), (0, (0, 0)));
        }
    }

    proptest! {
        #[test]
        fn behaves_like_an_ordered_map(steps in prop::collection::vec(("[a-d]{0,2}", prop::option::of(".{0,3}")), 0..90)) {
            let mut fields = ExtFields::new();
            let mut model = BTreeMap::new();
            for (key, value) in steps {
                match value {
                    Some(value) => {
                        fields.insert(&key, &value);
                        model.insert(key, value);
                    }
                    None => prop_assert_eq!(fields.remove(&key), model.remove(&key).is_some()),
                }
            }
            prop_assert_eq!(fields.len(), model.len());
            prop_assert!(fields.iter().eq(model.iter().map(|(k, v)| (k.as_str(), v.as_str()))));
            for (key, value) in &model {
                prop_assert_eq!(fields.get(key), Some(value.as_str()));
            }
        }
    }
}
