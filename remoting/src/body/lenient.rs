//! Fields as fastjson reads them: a number may be a string and the other way round, null is as
//! good as absent.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{Error, Visitor};

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
            Ok(Some(shown(set)))
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
            Ok(Some(shown(number)))
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
            Ok(Some(shown(number)))
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
            // As short as it came: 1e300 has no 301 digits.
            Ok(serde_json::Number::from_f64(number).map(shown))
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    deserializer.deserialize_any(Text)
}

/// In no more room than it needs.
fn shown<'a>(value: impl fmt::Display) -> Cow<'a, str> {
    let mut text = value.to_string();
    text.shrink_to_fit();
    Cow::Owned(text)
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
        for (json, expected) in [
            ("\"a\\n\"", "a\n"),
            ("7", "7"),
            ("-1.5", "-1.5"),
            ("1e300", "1e+300"),
            ("false", "false"),
        ] {
            assert_eq!(text(json), Some(Some(expected.to_owned())), "{json}");
        }
        assert_eq!(text("null"), Some(None));
        assert_eq!(text("[]"), None);
    }
}
