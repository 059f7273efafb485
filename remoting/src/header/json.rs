//! JSON headers (type byte 0).
//!
//! Read as tolerantly as stock Java does: keys may be missing, unknown or repeated (the last wins),
//! numbers may be numeric strings, field values may be numbers, booleans or null, the language may
//! be its number. Written as fastjson does: keys in alphabetical order, no white space, nulls left
//! out. Source: RocketMQ `RemotingSerializable`, `RemotingCommand`.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::plain;
use crate::ext::MAX_EXT_FIELDS;
use crate::{ExtFields, FrameError, HeaderKind, Language, RemotingCommand};

/// Appends the header of a command.
pub(crate) fn encode(command: &RemotingCommand, dst: &mut BytesMut) {
    encode_before_id(command, dst);
    put_number(dst, "", command.opaque);
    encode_after_id(command, dst);
}

/// The part of it before its id.
pub(crate) fn encode_before_id(command: &RemotingCommand, dst: &mut BytesMut) {
    put_number(dst, "{\"code\":", command.code);
    if !command.ext.is_empty() {
        dst.put_slice(b",\"extFields\":{");
        for (position, (key, value)) in command.ext.iter().enumerate() {
            if position > 0 {
                dst.put_u8(b',');
            }
            put_string(dst, key);
            dst.put_u8(b':');
            put_string(dst, value);
        }
        dst.put_u8(b'}');
    }
    put_number(dst, ",\"flag\":", command.flag);
    dst.put_slice(b",\"language\":\"");
    dst.put_slice(command.language.name().as_bytes());
    dst.put_slice(b"\",\"opaque\":");
}

/// The part after its id.
pub(crate) fn encode_after_id(command: &RemotingCommand, dst: &mut BytesMut) {
    if let Some(remark) = &command.remark {
        dst.put_slice(b",\"remark\":");
        put_string(dst, remark);
    }
    put_number(dst, ",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":", command.version);
    dst.put_u8(b'}');
}

fn put_number(dst: &mut BytesMut, before: &str, number: i32) {
    dst.put_slice(before.as_bytes());
    dst.put_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn put_string(dst: &mut BytesMut, text: &str) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        dst.put_u8(b'"');
        dst.put_slice(text.as_bytes());
        dst.put_u8(b'"');
        return;
    }
    serde_json::to_writer(dst.writer(), text).expect("a string is always JSON, memory never fails");
}

/// Reads a header into this command; its body is left empty.
pub(crate) fn decode(header: &[u8], command: &mut RemotingCommand) -> Result<(), FrameError> {
    set_defaults(command);
    if plain::decode(header, command).is_none() {
        *command = tolerant(header)?;
    }
    Ok(())
}

/// What stock Java has for keys that are missing. The room that fields have is kept.
pub(super) fn set_defaults(command: &mut RemotingCommand) {
    let RemotingCommand { code, language, version, opaque, flag, remark, ext, body, header } =
        command;
    (*code, *version, *opaque, *flag) = (0, 0, 0, 0);
    (*language, *header) = (Language::Java, HeaderKind::Json);
    *remark = None;
    if !body.is_empty() {
        *body = Bytes::new();
    }
    ext.clear();
}

/// Reads any header, however it is written.
pub(super) fn tolerant(header: &[u8]) -> Result<RemotingCommand, FrameError> {
    let command: Result<Header, _> = serde_json::from_slice(header);
    command.map(|Header(command)| command).map_err(|error| FrameError::Header(error.to_string()))
}

/// The header as it is read; a wrapper so that the public command needs no serde of its own.
struct Header(RemotingCommand);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Key {
    Code,
    ExtFields,
    Flag,
    Language,
    Opaque,
    Remark,
    Version,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object with the keys of a RocketMQ header")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut command = RemotingCommand::request(0);
        set_defaults(&mut command);
        while let Some(key) = map.next_key()? {
            match key {
                Key::Code => set(&mut map, &mut command.code, "code")?,
                Key::Flag => set(&mut map, &mut command.flag, "flag")?,
                Key::Opaque => set(&mut map, &mut command.opaque, "opaque")?,
                Key::Version => set(&mut map, &mut command.version, "version")?,
                Key::Language => command.language = language(scalar(&mut map)?.as_deref()),
                Key::Remark => command.remark = scalar(&mut map)?,
                Key::ExtFields => {
                    command.ext = map.next_value::<Option<Fields>>()?.unwrap_or_default().0;
                }
                Key::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Header(command))
    }
}

/// Sets a number from a JSON number or a numeric string; null leaves the default.
fn set<'de, A: MapAccess<'de>>(map: &mut A, number: &mut i32, name: &str) -> Result<(), A::Error> {
    if let Some(text) = scalar(map)? {
        *number = text
            .trim()
            .parse()
            .map_err(|_| A::Error::custom(format_args!("`{name}` must be a 32-bit integer")))?;
    }
    Ok(())
}

/// The language of this name or number.
pub(super) fn language(text: Option<&str>) -> Language {
    match text {
        None => Language::Unknown,
        Some(text) => match text.parse::<u8>() {
            Ok(ordinal) => Language::from_code(ordinal),
            Err(_) => Language::from_name(text),
        },
    }
}

/// The next value as text; none for null.
fn scalar<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<String>, A::Error> {
    text_of(map.next_value()?)
}

/// What a value is as text: a string's content, the literal of anything else, none for null.
fn text_of<E: serde::de::Error>(raw: &RawValue) -> Result<Option<String>, E> {
    match raw.get() {
        "null" => Ok(None),
        text if text.starts_with('"') => {
            serde_json::from_str(text).map(Some).map_err(|error| E::custom(error))
        }
        literal => Ok(Some(literal.to_owned())),
    }
}

/// The value of `extFields`.
#[derive(Default)]
struct Fields(ExtFields);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of header fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = ExtFields::new();
        while let Some(key) = map.next_key::<Text<'de>>()? {
            let raw: &RawValue = map.next_value()?;
            match raw.get() {
                "null" => continue,
                text => match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
                    None => fields.insert(key.as_str(), text),
                    Some(plain) if !plain.contains('\\') => fields.insert(key.as_str(), plain),
                    Some(_) => {
                        let value: String = serde_json::from_str(text).map_err(A::Error::custom)?;
                        fields.insert(key.as_str(), value);
                    }
                },
            }
            if fields.len() > MAX_EXT_FIELDS {
                return Err(A::Error::custom(format_args!("more than {MAX_EXT_FIELDS} fields")));
            }
        }
        Ok(Fields(fields))
    }
}

/// A string that is borrowed from the header when it has no escapes.
enum Text<'de> {
    Borrowed(&'de str),
    Owned(String),
}

impl Text<'_> {
    fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Owned(text) => text,
        }
    }
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text::Borrowed(text))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text::Owned(text.to_owned()))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}
