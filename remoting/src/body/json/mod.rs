//! JSON in both of RocketMQ's forms.
//!
//! *Standard*: what any JSON reader takes. *Legacy*: what fastjson writes by default, where the
//! keys of maps from integers are bare, `{0:"host:port"}`. Fields are sorted by name in both, and
//! there is no white space (the Go client cuts the addresses out of the text). Reading takes both.
//!
//! Source: RocketMQ `RemotingSerializable`, `ClientRequestProcessor`.

mod allowance;
mod bare_keys;
mod entries;

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, Serializer};
use serde_json::value::RawValue;

pub(super) use self::allowance::Allowance;
use self::bare_keys::Survey;
pub(super) use self::entries::{Text, list, renamed, scalar, table};
use super::BodyError;

/// Deepest nesting that is read. The deepest body, a registration with static topics, has eight levels.
pub const DEPTH_MAX: usize = 32;

/// Reads an object, of either form, taking no more than the [`Allowance`] of its bytes. What is kept
/// of strings is paid for here; tables and lists pay for their entries.
pub(super) fn read<T>(
    body: &[u8],
    read: impl FnOnce(&RawValue, &Allowance) -> serde_json::Result<T>,
) -> Result<T, BodyError> {
    let allowance = Allowance::of(body.len());
    read_within(body, &allowance, |text| read(text, &allowance))
}

/// The same, of an allowance for more than this object.
pub(super) fn read_within<T>(
    body: &[u8],
    allowance: &Allowance,
    read: impl FnOnce(&RawValue) -> serde_json::Result<T>,
) -> Result<T, BodyError> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(BodyError::Json("an object is expected".to_owned()));
    }
    read_any_within(body, allowance, read)
}

/// The same, of any value.
pub(super) fn read_any_within<T>(
    body: &[u8],
    allowance: &Allowance,
    read: impl FnOnce(&RawValue) -> serde_json::Result<T>,
) -> Result<T, BodyError> {
    let survey = Survey::of(body)?;
    let passing = survey.passing_bytes(body);
    allowance.take(survey.text_bytes.saturating_add(passing)).map_err(refused)?;
    let text = survey.quoted(body)?;
    let value = serde_json::from_slice(&text).and_then(read).map_err(refused)?;
    allowance.give_back(passing);
    Ok(value)
}

pub(super) fn refused(error: serde_json::Error) -> BodyError {
    BodyError::Json(error.to_string())
}

/// Writes standard JSON: all keys quoted.
#[must_use]
pub fn standard<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    write(value, CompactFormatter)
}

/// Writes the legacy form: integer keys bare. For anything without such keys it is the standard form.
#[must_use]
pub fn legacy<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    write(value, BareIntegerKeys::default())
}

fn write<T: Serialize + ?Sized>(value: &T, formatter: impl Formatter) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    value
        .serialize(&mut Serializer::with_formatter(&mut bytes, formatter))
        .expect("bodies are made of texts, numbers, lists and maps, and memory never fails");
    bytes
}

/// Leaves the quotes of integer keys out.
///
/// A key that is an integer comes as a string begun, the integer, and the string ended; so the
/// quote is kept back until it is known what follows.
#[derive(Default)]
struct BareIntegerKeys {
    quote: Quote,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum Quote {
    /// Not in a string, or in one whose quote is written.
    #[default]
    Settled,
    /// A string has begun.
    KeptBack,
    /// It turned out to be an integer key.
    LeftOut,
}

impl BareIntegerKeys {
    fn settle<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if std::mem::take(&mut self.quote) == Quote::KeptBack {
            writer.write_all(b"\"")?;
        }
        Ok(())
    }

    fn number(&mut self) {
        if self.quote == Quote::KeptBack {
            self.quote = Quote::LeftOut;
        }
    }
}

impl Formatter for BareIntegerKeys {
    fn begin_string<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.quote = Quote::KeptBack;
        Ok(())
    }

    fn end_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.quote == Quote::LeftOut {
            self.quote = Quote::Settled;
            return Ok(());
        }
        self.settle(writer)?;
        writer.write_all(b"\"")
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        self.settle(writer)?;
        writer.write_all(fragment.as_bytes())
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        self.settle(writer)?;
        CompactFormatter.write_char_escape(writer, escape)
    }

    fn write_i32<W: ?Sized + Write>(&mut self, writer: &mut W, value: i32) -> io::Result<()> {
        self.number();
        CompactFormatter.write_i32(writer, value)
    }

    fn write_i64<W: ?Sized + Write>(&mut self, writer: &mut W, value: i64) -> io::Result<()> {
        self.number();
        CompactFormatter.write_i64(writer, value)
    }

    fn write_u32<W: ?Sized + Write>(&mut self, writer: &mut W, value: u32) -> io::Result<()> {
        self.number();
        CompactFormatter.write_u32(writer, value)
    }

    fn write_u64<W: ?Sized + Write>(&mut self, writer: &mut W, value: u64) -> io::Result<()> {
        self.number();
        CompactFormatter.write_u64(writer, value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_integer_keys_are_bare() {
        let numbers = BTreeMap::from([(0_u64, "a\"b"), (12, "")]);
        assert_eq!(legacy(&numbers), br#"{0:"a\"b",12:""}"#);
        assert_eq!(standard(&numbers), br#"{"0":"a\"b","12":""}"#);
        let texts = BTreeMap::from([("", 1), ("7", 2), ("\n", 3)]);
        assert_eq!(legacy(&texts), br#"{"":1,"\n":3,"7":2}"#);
        assert_eq!(legacy(&BTreeMap::from([(-1_i32, [5_i64])])), b"{-1:[5]}");
    }

    proptest! {
        #[test]
        fn both_forms_read_back(table in prop::collection::btree_map(any::<u64>(), prop::collection::btree_map(".{0,4}", any::<i32>(), 0..4), 0..4)) {
            for text in [legacy(&table), standard(&table)] {
                let read = read(&text, |text, _| scalar::<BTreeMap<u64, BTreeMap<String, i32>>>(text));
                prop_assert_eq!(read.as_ref(), Ok(&table));
            }
        }
    }
}
