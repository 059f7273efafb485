//! Lists and objects of any number of entries: counted first, which takes no memory, then paid for,
//! and read into exactly the room that they need.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess,
    Visitor,
};
use serde_json::value::RawValue;

use super::Allowance;
use crate::body::Table;

/// The text of a value, or none for null and for what is absent.
pub(in crate::body) type Text<'a> = Option<&'a RawValue>;

/// A list of at most `max` entries; none for null.
pub(in crate::body) fn list<'a, T>(
    text: Text<'a>,
    max: usize,
    allowance: &Allowance,
    mut read: impl FnMut(&'a RawValue) -> serde_json::Result<T>,
) -> serde_json::Result<Option<Vec<T>>> {
    let Some(text) = text else { return Ok(None) };
    let count = over(text, Elements::new(max, |_: IgnoredAny| Ok(())))?;
    let Some(count) = count else { return Ok(None) };
    allowance.take_all(count, size_of::<T>())?;
    let mut entries = Vec::with_capacity(count);
    over(text, Elements::new(max, |text| read(text).map(|entry| entries.push(entry))))?;
    Ok(Some(entries))
}

/// An object of at most `max` entries; null is an empty one.
pub(in crate::body) fn table<'a, K, V>(
    text: Text<'a>,
    max: usize,
    allowance: &Allowance,
    mut read: impl FnMut(&'a RawValue) -> serde_json::Result<V>,
) -> serde_json::Result<Table<K, V>>
where
    K: DeserializeOwned + Ord,
{
    renamed(text, max, allowance, |key, text| Ok((key, read(text)?)))
}

/// The same, if an entry may have another key than it stands under.
pub(in crate::body) fn renamed<'a, K, V>(
    text: Text<'a>,
    max: usize,
    allowance: &Allowance,
    mut read: impl FnMut(K, &'a RawValue) -> serde_json::Result<(K, V)>,
) -> serde_json::Result<Table<K, V>>
where
    K: DeserializeOwned + Ord,
{
    let Some(text) = text else { return Ok(Table::default()) };
    let count = over(text, Members::new(max, |_: IgnoredAny, _: IgnoredAny| Ok(())))?;
    let Some(count) = count else { return Ok(Table::default()) };
    allowance.take_all(count, Table::<K, V>::ENTRY_BYTES)?;
    let mut entries = Vec::with_capacity(count);
    let each = |key, text| read(key, text).map(|entry| entries.push(entry));
    over(text, Members::new(max, each))?;
    Ok(Table::of_listed(entries))
}

/// A text or a number.
pub(in crate::body) fn scalar<'a, T: Deserialize<'a>>(text: &'a RawValue) -> serde_json::Result<T> {
    serde_json::from_str(text.get())
}

/// How many there were; none: it was null.
fn over<'a, S>(text: &'a RawValue, seed: S) -> serde_json::Result<Option<usize>>
where
    S: DeserializeSeed<'a, Value = Option<usize>>,
{
    seed.deserialize(&mut serde_json::Deserializer::from_str(text.get()))
}

/// Does something with each element of a list.
struct Elements<T, F> {
    max: usize,
    each: F,
    of: PhantomData<T>,
}

impl<T, F: FnMut(T) -> serde_json::Result<()>> Elements<T, F> {
    fn new(max: usize, each: F) -> Self {
        Self { max, each, of: PhantomData }
    }
}

impl<'de, T, F> DeserializeSeed<'de> for Elements<T, F>
where
    T: Deserialize<'de>,
    F: FnMut(T) -> serde_json::Result<()>,
{
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T, F> Visitor<'de> for Elements<T, F>
where
    T: Deserialize<'de>,
    F: FnMut(T) -> serde_json::Result<()>,
{
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut count = 0;
        while let Some(element) = access.next_element()? {
            check_count::<A::Error>(count, self.max)?;
            (self.each)(element).map_err(A::Error::custom)?;
            count += 1;
        }
        Ok(Some(count))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Does something with each member of an object.
struct Members<K, V, F> {
    max: usize,
    each: F,
    of: PhantomData<(K, V)>,
}

impl<K, V, F: FnMut(K, V) -> serde_json::Result<()>> Members<K, V, F> {
    fn new(max: usize, each: F) -> Self {
        Self { max, each, of: PhantomData }
    }
}

impl<'de, K, V, F> DeserializeSeed<'de> for Members<K, V, F>
where
    K: Deserialize<'de>,
    V: Deserialize<'de>,
    F: FnMut(K, V) -> serde_json::Result<()>,
{
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, K, V, F> Visitor<'de> for Members<K, V, F>
where
    K: Deserialize<'de>,
    V: Deserialize<'de>,
    F: FnMut(K, V) -> serde_json::Result<()>,
{
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut count = 0;
        while let Some((key, value)) = access.next_entry()? {
            check_count::<A::Error>(count, self.max)?;
            (self.each)(key, value).map_err(A::Error::custom)?;
            count += 1;
        }
        Ok(Some(count))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// May one entry more be kept beside `count` others?
fn check_count<E: Error>(count: usize, max: usize) -> Result<(), E> {
    if count < max {
        return Ok(());
    }
    Err(E::custom(format_args!("more than {max} entries")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T>(
        json: &str,
        read: impl Fn(&RawValue, &Allowance) -> serde_json::Result<T>,
    ) -> Result<T, String> {
        let text = serde_json::from_str(json).unwrap();
        read(text, &Allowance::of(json.len())).map_err(|error| error.to_string())
    }

    #[test]
    fn entries_are_counted_before_they_are_kept() {
        let two = |json| read(json, |text, purse| list(Some(text), 2, purse, scalar::<u8>));
        assert_eq!(two("[1,2]"), Ok(Some(vec![1, 2])));
        assert_eq!(two("null"), Ok(None));
        assert_eq!(two("[1,2,\"x\"]").unwrap_err(), "more than 2 entries at line 1 column 9");
        assert!(two("{}").unwrap_err().contains("expected a list"));
        let two =
            |json| read(json, |text, purse| table::<u8, _>(Some(text), 2, purse, scalar::<u8>));
        assert_eq!(two(r#"{"2":2,"1":1}"#), Ok(Table::from([(1, 1), (2, 2)])));
        assert_eq!(two(r#"{"1":2,"1":1}"#), Ok(Table::from([(1, 1)])), "the last one counts");
        assert_eq!(two("null"), Ok(Table::default()));
        assert!(two(r#"{"1":1,"2":2,"3":3}"#).unwrap_err().starts_with("more than 2 entries"));
        assert!(two(r#"{"one":1}"#).is_err());
        assert!(two("[]").unwrap_err().contains("expected an object"));
    }

    #[test]
    fn entries_are_paid_for_before_they_are_kept() {
        let texts = |json: &str| {
            read(json, |text, purse| list(Some(text), 1 << 20, purse, scalar::<Box<str>>))
        };
        let many = |entry| format!("[{}]", vec![entry; 40_000].join(","));
        assert_eq!(texts(&many("\"abc\"")).unwrap().unwrap().capacity(), 40_000);
        assert_eq!(texts(&many("\"\"")).unwrap_err(), "too many entries for so few bytes");
    }
}
