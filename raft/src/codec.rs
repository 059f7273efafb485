//! The one place that names bincode: bounded encoding of what goes to disk and between peers.
//!
//! Integers have a fixed width, trailing bytes are refused, and decoding reads from slices only,
//! with a limit: bincode 1.3 allocates what a length prefix claims when it reads from a stream.

use bincode::Options;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest record that is encoded or decoded.
pub const RECORD_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Why bytes were refused, or a value could not be encoded.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(#[from] bincode::Error);

fn options() -> impl Options {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .with_limit(RECORD_BYTES_MAX)
        .reject_trailing_bytes()
}

/// Encodes `value`.
///
/// # Errors
/// When it is larger than [`RECORD_BYTES_MAX`].
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    Ok(options().serialize(value)?)
}

/// Encodes `value` behind what `bytes` holds already. After an error they may hold a part of it.
///
/// # Errors
/// When it is larger than [`RECORD_BYTES_MAX`].
pub fn encode_into<T: Serialize + ?Sized>(
    value: &T,
    bytes: &mut Vec<u8>,
) -> Result<(), CodecError> {
    Ok(options().serialize_into(bytes, value)?)
}

/// Decodes one value from exactly these bytes.
///
/// # Errors
/// When they are cut, damaged, too large, or followed by others.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    Ok(options().deserialize(bytes)?)
}
