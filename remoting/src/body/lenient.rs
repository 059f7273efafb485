//! Fields as fastjson reads them: a number may be a string and the other way round, null is as
//! good as absent; and containers whose entries are counted before they are kept.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// An integer, also from its decimal text, a whole float or a boolean; none from null and "".
pub(super) fn integer<'de, D, N>(deserializer: D) -> Result<Option<N>, D::Error>
where
    D: Deserializer<'de>,
    N: TryFrom<i128>,
{
    struct Integer;

    impl<'de> Visitor<'de> for Integer {
        type Value = Option<i128>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an integer")
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
            Ok(Some(number.into()))
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
            Ok(Some(number.into()))
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
            // Beyond 2^53 a float no longer says which integer it means.
            const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
            if number.fract() == 0.0 && number.abs() <= EXACT_MAX {
                return Ok(Some(number as i128));
            }
            Err(E::custom(format_args!("{number} is not an integer")))
        }

        fn visit_bool<E: Error>(self, set: bool) -> Result<Self::Value, E> {
            Ok(Some(set.into()))
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            match text.trim() {
                "" | "null" => Ok(None),
                text => text.parse::<i64>().map(|number| Some(number.into())).map_err(|_| {
                    let shown: String = text.chars().take(32).collect();
                    E::custom(format_args!("{shown:?} is not an integer"))
                }),
            }
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    deserializer
        .deserialize_any(Integer)?
        .map(|number| {
            N::try_from(number)
                .map_err(|_| D::Error::custom(format_args!("{number} is out of range")))
        })
        .transpose()
}

/// A boolean, also from its text or a number; none from null and "".
pub(super) fn boolean<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<bool>, D::Error> {
    struct Boolean;

    impl<'de> Visitor<'de> for Boolean {
        type Value = Option<bool>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("true or false")
        }

        fn visit_bool<E: Error>(self, set: bool) -> Result<Self::Value, E> {
            Ok(Some(set))
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
            Ok(Some(number == 1))
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
            Ok(Some(number == 1))
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" => Ok(Some(true)),
                "false" | "0" => Ok(Some(false)),
                "" | "null" => Ok(None),
                _ => Err(E::custom("a text that is neither true nor false")),
            }
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    deserializer.deserialize_any(Boolean)
}

/// A text, also from a number or a boolean; none from null.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(borrowed_text(deserializer)?.map(Cow::into_owned))
}

/// The same, borrowed where it has no escapes.
pub(super) fn borrowed_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Cow<'de, str>>, D::Error> {
    struct Text;

    impl<'de> Visitor<'de> for Text {
        type Value = Option<Cow<'de, str>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text")
        }

        fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
            Ok(Some(Cow::Borrowed(text)))
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(Cow::Owned(text.to_owned())))
        }

        fn visit_bool<E: Error>(self, set: bool) -> Result<Self::Value, E> {
            Ok(Some(Cow::Owned(set.to_string())))
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
            Ok(Some(Cow::Owned(number.to_string())))
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
            Ok(Some(Cow::Owned(number.to_string())))
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
            Ok(Some(Cow::Owned(number.to_string())))
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    deserializer.deserialize_any(Text)
}

/// An object of at most `MAX` entries; null is an empty one. Of a key that is there twice the last
/// value counts.
pub(super) fn map<'de, D, K, V, const MAX: usize>(
    deserializer: D,
) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    struct Entries<K, V, const MAX: usize>(PhantomData<(K, V)>);

    impl<'de, K, V, const MAX: usize> Visitor<'de> for Entries<K, V, MAX>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
    {
        type Value = BTreeMap<K, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut entries = BTreeMap::new();
            while let Some(key) = access.next_key()? {
                check_count::<A::Error>(entries.len(), MAX)?;
                entries.insert(key, access.next_value()?);
            }
            Ok(entries)
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(BTreeMap::new())
        }
    }

    deserializer.deserialize_any(Entries::<K, V, MAX>(PhantomData))
}

/// A list of at most `MAX` entries; none for null.
pub(super) fn list<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Entries<T, const MAX: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Entries<T, MAX> {
        type Value = Option<Vec<T>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = access.next_element()? {
                check_count::<A::Error>(entries.len(), MAX)?;
                entries.push(entry);
            }
            Ok(Some(entries))
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    deserializer.deserialize_any(Entries::<T, MAX>(PhantomData))
}

/// May one entry more be kept beside `count` others?
pub(super) fn check_count<E: Error>(count: usize, max: usize) -> Result<(), E> {
    if count < max {
        return Ok(());
    }
    Err(E::custom(format_args!("more than {max} entries")))
}

/// A list inside a map, with the bound of [`list`].
pub(super) struct Bounded<T, const MAX: usize>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Bounded<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        list::<D, T, MAX>(deserializer).map(|entries| Self(entries.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T>(json: &str, with: fn(&mut Json<'_>) -> Result<T, serde_json::Error>) -> Option<T> {
        with(&mut serde_json::Deserializer::from_str(json)).ok()
    }

    type Json<'a> = serde_json::Deserializer<serde_json::de::StrRead<'a>>;

    #[test]
    fn scalars_are_read_from_each_other() {
        let integer = |json| read(json, |json| integer::<_, i32>(json));
        for (json, number) in
            [("7", 7), ("-7.0", -7), ("\" 7 \"", 7), ("true", 1), ("2147483647", i32::MAX)]
        {
            assert_eq!(integer(json), Some(Some(number)), "{json}");
        }
        for nothing in ["null", "\"\"", "\"null\""] {
            assert_eq!(integer(nothing), Some(None), "{nothing}");
        }
        for wrong in ["2147483648", "1.5", "1e300", "\"x\"", "[]", "{}"] {
            assert_eq!(integer(wrong), None, "{wrong}");
        }
        let boolean = |json| read(json, |json| boolean(json));
        for (json, set) in [
            ("true", true),
            ("\"TRUE\"", true),
            ("1", true),
            ("0", false),
            ("-1", false),
            ("\"0\"", false),
        ] {
            assert_eq!(boolean(json), Some(Some(set)), "{json}");
        }
        assert_eq!(boolean("null"), Some(None));
        assert_eq!(boolean("\"yes\""), None);
        let text = |json| read(json, |json| text(json));
        for (json, expected) in
            [("\"a\\n\"", "a\n"), ("7", "7"), ("-1.5", "-1.5"), ("false", "false")]
        {
            assert_eq!(text(json), Some(Some(expected.to_owned())), "{json}");
        }
        assert_eq!(text("null"), Some(None));
        assert_eq!(text("[]"), None);
    }

    #[test]
    fn entries_are_counted_before_they_are_kept() {
        let list = |json| read(json, |json| list::<_, u8, 2>(json));
        assert_eq!(list("[1,2]"), Some(Some(vec![1, 2])));
        assert_eq!(list("null"), Some(None));
        assert_eq!(list("[1,2,3]"), None);
        let map = |json| read(json, |json| map::<_, u8, u8, 2>(json));
        assert_eq!(map(r#"{"1":1,"2":2}"#), Some(BTreeMap::from([(1, 1), (2, 2)])));
        assert_eq!(map("null"), Some(BTreeMap::new()));
        assert_eq!(map(r#"{"1":1,"2":2,"3":3}"#), None);
        assert_eq!(map(r#"{"one":1}"#), None);
    }
}
