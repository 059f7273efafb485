//! The body of a batch send (code 320): messages for one queue, each
//! `total i32 | magic i32 = 0 | crc i32 = 0 | flag i32 | body (i32 length) | properties (i16 length)`
//! (RocketMQ `MessageDecoder.encodeMessages`).

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{MAX_PROPERTIES_BYTES, MessageError};

/// Bytes of an entry besides body and properties.
const FIXED_BYTES: usize = 22;

/// One message of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchMessage {
    /// The application's own flag.
    pub flag: i32,
    /// Body, never compressed.
    pub body: Bytes,
    /// Properties as text, see [`super::properties`].
    pub properties: String,
}

/// Writes a batch's body.
pub fn encode(messages: &[BatchMessage]) -> Result<Bytes, MessageError> {
    let mut dst = BytesMut::new();
    for BatchMessage { flag, body, properties } in messages {
        let size = FIXED_BYTES + body.len() + properties.len();
        let limit = match properties.len() <= MAX_PROPERTIES_BYTES {
            true => i32::MAX as usize,
            false => {
                let (name, bytes) = ("properties", properties.len());
                return Err(MessageError::TooLong { name, bytes, limit: MAX_PROPERTIES_BYTES });
            }
        };
        if size > limit {
            return Err(MessageError::TooLong { name: "batch entry", bytes: size, limit });
        }
        dst.put_u32(size as u32);
        dst.put_u32(0);
        dst.put_u32(0);
        dst.put_i32(*flag);
        dst.put_u32(body.len() as u32);
        dst.put_slice(body);
        dst.put_u16(properties.len() as u16);
        dst.put_slice(properties.as_bytes());
    }
    Ok(dst.freeze())
}

/// Reads a batch's body of at most `max_messages` entries; bodies share its memory.
pub fn decode(mut src: Bytes, max_messages: usize) -> Result<Vec<BatchMessage>, MessageError> {
    let mut messages = Vec::new();
    while !src.is_empty() {
        if messages.len() == max_messages {
            let (name, limit) = ("batch (in messages)", max_messages);
            return Err(MessageError::TooLong { name, bytes: limit + 1, limit });
        }
        if src.len() < FIXED_BYTES {
            return Err(MessageError::Truncated { size: FIXED_BYTES, rest: src.len() });
        }
        let size = (&src[..4]).get_i32();
        let bytes = usize::try_from(size).ok().filter(|bytes| *bytes >= FIXED_BYTES);
        let bytes = bytes.ok_or(MessageError::Size(size))?;
        if bytes > src.len() {
            return Err(MessageError::Truncated { size: bytes, rest: src.len() });
        }
        messages.push(entry(src.split_to(bytes))?);
    }
    Ok(messages)
}

/// Reads an entry that has at least [`FIXED_BYTES`].
fn entry(mut src: Bytes) -> Result<BatchMessage, MessageError> {
    src.advance(12);
    let flag = src.get_i32();
    let body_bytes = src.get_u32() as usize;
    if body_bytes > src.len() - 2 {
        return Err(MessageError::Field("body"));
    }
    let body = src.split_to(body_bytes);
    let properties_bytes = usize::from(src.get_u16());
    if properties_bytes != src.len() {
        return Err(MessageError::Field("properties"));
    }
    let properties =
        std::str::from_utf8(&src).map_err(|_| MessageError::NotUtf8("properties"))?.to_owned();
    Ok(BatchMessage { flag, body, properties })
}
