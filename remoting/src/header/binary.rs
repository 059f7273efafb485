//! Binary headers (type byte 1), RocketMQ's own layout, big-endian:
//! `code i16 | language u8 | version i16 | opaque i32 | flag i32 | remark (i32 length) |
//! fields (i32 length of all: { key (i16 length), value (i32 length) }…)`.
//!
//! An empty remark, key or value means null here, so it comes out as absent.
//! Source: RocketMQ `RocketMQSerializable.rocketMQProtocolEncode` and `…Decode`.

use bytes::{Buf, BufMut, BytesMut};

use crate::ext::MAX_EXT_FIELDS;
use crate::{ExtFields, FrameError, HeaderKind, Language, RemotingCommand};

/// Bytes up to and with the remark's length.
const FIXED_BYTES: usize = 17;

/// Where a header has its id.
pub(crate) const ID_AT: usize = 5;

/// Appends the header of a command; fails when a number or a name is too large for the layout.
pub(crate) fn encode(command: &RemotingCommand, dst: &mut BytesMut) -> Result<(), FrameError> {
    let narrow = |number: i32, what| i16::try_from(number).map_err(|_| FrameError::NotBinary(what));
    dst.put_i16(narrow(command.code, "the code is above 32767")?);
    dst.put_u8(command.language.code());
    dst.put_i16(narrow(command.version, "the version is above 32767")?);
    dst.put_i32(command.opaque);
    dst.put_i32(command.flag);
    put_long(dst, command.remark.as_deref().unwrap_or_default())?;

    let length_at = dst.len();
    dst.put_i32(0);
    for (key, value) in command.ext.iter() {
        let key_length = i16::try_from(key.len())
            .map_err(|_| FrameError::NotBinary("a field's name is longer than 32767 bytes"))?;
        dst.put_i16(key_length);
        dst.put_slice(key.as_bytes());
        put_long(dst, value)?;
    }
    let length = i32::try_from(dst.len() - length_at - 4)
        .map_err(|_| FrameError::NotBinary("the fields are longer than 2 GiB"))?;
    dst[length_at..][..4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn put_long(dst: &mut BytesMut, text: &str) -> Result<(), FrameError> {
    let length = i32::try_from(text.len())
        .map_err(|_| FrameError::NotBinary("a text is longer than 2 GiB"))?;
    dst.put_i32(length);
    dst.put_slice(text.as_bytes());
    Ok(())
}

/// Reads a header; the body is left empty.
pub(crate) fn decode(mut header: &[u8]) -> Result<RemotingCommand, FrameError> {
    if header.len() < FIXED_BYTES + 4 {
        return Err(FrameError::Header(format!("{} bytes are too short", header.len())));
    }
    let mut command = RemotingCommand {
        code: i32::from(header.get_i16()),
        language: Language::from_code(header.get_u8()),
        version: i32::from(header.get_i16()),
        opaque: header.get_i32(),
        flag: header.get_i32(),
        header: HeaderKind::Binary,
        ..RemotingCommand::request(0)
    };
    let remark = take(&mut header, 4, "the remark")?;
    command.remark = (!remark.is_empty()).then(|| remark.to_owned());

    if header.len() < 4 {
        return Err(FrameError::Header("the fields' length is missing".to_owned()));
    }
    let length = header.get_i32();
    let mut fields = usize::try_from(length)
        .ok()
        .and_then(|length| header.get(..length))
        .ok_or_else(|| beyond("the fields", length.into()))?;
    while !fields.is_empty() {
        let key = take(&mut fields, 2, "a field's name")?;
        let value = take(&mut fields, 4, "a field's value")?;
        if !key.is_empty() && !value.is_empty() {
            command.ext.insert(key, value);
        }
        check_count(&command.ext)?;
    }
    Ok(command)
}

fn check_count(fields: &ExtFields) -> Result<(), FrameError> {
    if fields.len() > MAX_EXT_FIELDS {
        return Err(FrameError::Header(format!("more than {MAX_EXT_FIELDS} fields")));
    }
    Ok(())
}

/// Takes a text whose length stands before it in two or four bytes.
fn take<'a>(from: &mut &'a [u8], length_bytes: usize, what: &str) -> Result<&'a str, FrameError> {
    if from.len() < length_bytes {
        return Err(FrameError::Header(format!("the length of {what} is missing")));
    }
    let length = from.get_int(length_bytes);
    let text = usize::try_from(length)
        .ok()
        .and_then(|length| from.get(..length))
        .ok_or_else(|| beyond(what, length))?;
    from.advance(text.len());
    std::str::from_utf8(text).map_err(|_| FrameError::Header(format!("{what} is not UTF-8")))
}

fn beyond(what: &str, length: i64) -> FrameError {
    FrameError::Header(format!("{what} of {length} bytes does not fit the header"))
}
