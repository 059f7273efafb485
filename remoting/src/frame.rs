//! Frames: `length u32 | header type u8, header length u24 | header | body`, all big-endian.
//!
//! The codec works for `tokio_util`'s `Framed` and for the connection engine alike. Lengths are
//! judged as soon as their bytes are there, before anything waits for, or takes memory for, the
//! rest; a frame's buffer grows with the bytes that have really arrived.
//! Source: RocketMQ `NettyDecoder`, `RemotingCommand.decode`.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::prepared::{Halves, Prepared};
use crate::{HeaderKind, RemotingCommand, header};

/// Bytes of the length word, which the length does not count.
const LENGTH_WORD_BYTES: usize = 4;
/// Bytes of header type and header length.
const HEADER_WORD_BYTES: usize = 4;
/// Largest value of the 24-bit header length.
const HEADER_LENGTH_MAX_BYTES: usize = 0x00FF_FFFF;

/// Bounds on one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// Largest whole frame, length word included. RocketMQ's default is 16 MiB.
    pub max_frame_bytes: usize,
    /// Largest header. Headers carry message properties (at most 32,767 characters, six bytes each
    /// when all are escaped) and little else.
    pub max_header_bytes: usize,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self { max_frame_bytes: 16 * 1024 * 1024, max_header_bytes: 1024 * 1024 }
    }
}

/// Why bytes are not a frame, or a command cannot become one. After a decoding error the stream
/// has no known boundary any more: the connection must be closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Reading or writing failed.
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    /// The connection ended inside a frame.
    #[error("the connection ended inside a frame ({0} bytes of it had arrived)")]
    Truncated(usize),
    /// The frame is larger than the limit.
    #[error("a frame of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// Size the frame has or claims, length word included.
        bytes: usize,
        /// The limit in force.
        limit: usize,
    },
    /// The first bytes are a TLS handshake.
    #[error("the peer speaks TLS, which this listener does not")]
    Tls,
    /// The length word does not even cover the header word.
    #[error("a frame's length must be at least 4, got {0}")]
    LengthTooSmall(usize),
    /// The header is larger than its limit.
    #[error("a header of {bytes} bytes is over the limit of {limit}")]
    HeaderTooLarge {
        /// Size the header has or claims.
        bytes: usize,
        /// The limit in force.
        limit: usize,
    },
    /// The header is said to be longer than the frame.
    #[error("a header of {header} bytes does not fit its frame of {rest} bytes")]
    HeaderBeyondFrame {
        /// Claimed header length.
        header: usize,
        /// Bytes the frame has for header and body.
        rest: usize,
    },
    /// The header type is neither JSON (0) nor binary (1).
    #[error("header type {0} is neither JSON (0) nor RocketMQ (1)")]
    HeaderType(u8),
    /// The header's bytes do not parse.
    #[error("the header cannot be read: {0}")]
    Header(String),
    /// The command does not fit the binary header it is to be written with.
    #[error("the command cannot be written with a binary header: {0}")]
    NotBinary(&'static str),
}

/// Bytes to commands and back, with these limits.
#[derive(Debug, Clone, Default)]
pub struct FrameCodec {
    limits: FrameLimits,
}

impl FrameCodec {
    /// A codec with these limits.
    pub fn new(limits: FrameLimits) -> Self {
        Self { limits }
    }

    /// The first frame of `src` as (header kind, header length, whole length), once its first
    /// eight bytes are there; its lengths are within the limits then.
    fn boundaries(&self, src: &[u8]) -> Result<Option<(HeaderKind, usize, usize)>, FrameError> {
        let Some((length_word, rest)) = src.split_first_chunk::<LENGTH_WORD_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length_word) as usize;
        let whole = length.saturating_add(LENGTH_WORD_BYTES);
        if whole > self.limits.max_frame_bytes {
            // A TLS record begins 0x16 0x03, and no frame within the limits begins so.
            return Err(match length_word {
                [0x16, 0x03, ..] => FrameError::Tls,
                _ => FrameError::TooLarge { bytes: whole, limit: self.limits.max_frame_bytes },
            });
        }
        if length < HEADER_WORD_BYTES {
            return Err(FrameError::LengthTooSmall(length));
        }
        let Some(header_word) = rest.first_chunk::<HEADER_WORD_BYTES>() else {
            return Ok(None);
        };
        let kind = match header_word[0] {
            0 => HeaderKind::Json,
            1 => HeaderKind::Binary,
            other => return Err(FrameError::HeaderType(other)),
        };
        let header = u32::from_be_bytes(*header_word) as usize & HEADER_LENGTH_MAX_BYTES;
        let rest = length - HEADER_WORD_BYTES;
        if header > rest {
            return Err(FrameError::HeaderBeyondFrame { header, rest });
        }
        if header > self.limits.max_header_bytes {
            let limit = self.limits.max_header_bytes;
            return Err(FrameError::HeaderTooLarge { bytes: header, limit });
        }
        Ok(Some((kind, header, whole)))
    }

    /// Reads the first frame of `src` into `command`, whose memory is used again; false, and nothing is
    /// changed, while it has not arrived as a whole. After an error `command` has no meaning.
    pub(crate) fn decode_into(
        &self,
        src: &mut BytesMut,
        command: &mut RemotingCommand,
    ) -> Result<bool, FrameError> {
        let Some((kind, header, whole)) = self.boundaries(src)? else {
            return Ok(false);
        };
        if src.len() < whole {
            return Ok(false);
        }
        let body_start = LENGTH_WORD_BYTES + HEADER_WORD_BYTES + header;
        let header = &src[LENGTH_WORD_BYTES + HEADER_WORD_BYTES..body_start];
        match kind {
            HeaderKind::Json => header::json::decode(header, command)?,
            HeaderKind::Binary => *command = header::binary::decode(header)?,
        }
        if whole == body_start {
            // Nothing points into the buffer, so it can be used again as it is.
            done_with(src, whole);
        } else {
            command.body = body(src.split_to(whole), body_start);
        }
        Ok(true)
    }

    /// Appends the command's frame to `dst`; on an error `dst` is as before.
    pub fn encode_into(
        &self,
        command: &RemotingCommand,
        dst: &mut BytesMut,
    ) -> Result<(), FrameError> {
        let start = dst.len();
        let written = self.append(command, dst);
        if written.is_err() {
            dst.truncate(start);
        }
        written
    }

    fn append(&self, command: &RemotingCommand, dst: &mut BytesMut) -> Result<(), FrameError> {
        let start = dst.len();
        let header_start = start + LENGTH_WORD_BYTES + HEADER_WORD_BYTES;
        dst.put_bytes(0, LENGTH_WORD_BYTES + HEADER_WORD_BYTES);
        let type_byte = match command.header {
            HeaderKind::Json => {
                header::json::encode(command, dst);
                0
            }
            HeaderKind::Binary => {
                header::binary::encode(command, dst)?;
                1
            }
        };
        let words = self.words(type_byte, dst.len() - header_start, command.body.len())?;
        dst[start..][..words.len()].copy_from_slice(&words);
        dst.extend_from_slice(&command.body);
        Ok(())
    }

    /// Appends the frame of a prepared response to the request with this id and header kind; on an
    /// error `dst` is as before.
    pub fn encode_prepared(
        &self,
        response: &Prepared,
        opaque: i32,
        kind: HeaderKind,
        body: &[u8],
        dst: &mut BytesMut,
    ) -> Result<(), FrameError> {
        let Halves { before, after } = response.halves(kind);
        let (mut digits, big_endian) = (itoa::Buffer::new(), opaque.to_be_bytes());
        let (type_byte, id) = match kind {
            HeaderKind::Json => (0, digits.format(opaque).as_bytes()),
            HeaderKind::Binary => (1, &big_endian[..]),
        };
        let words = self.words(type_byte, before.len() + id.len() + after.len(), body.len())?;
        for part in [&words[..], &before[..], id, &after[..], body] {
            dst.extend_from_slice(part);
        }
        Ok(())
    }

    /// The words before a header of this type and length and a body of this length, if all that
    /// is within the limits.
    fn words(
        &self,
        type_byte: u32,
        header: usize,
        body: usize,
    ) -> Result<[u8; LENGTH_WORD_BYTES + HEADER_WORD_BYTES], FrameError> {
        let header_limit = self.limits.max_header_bytes.min(HEADER_LENGTH_MAX_BYTES);
        if header > header_limit {
            return Err(FrameError::HeaderTooLarge { bytes: header, limit: header_limit });
        }
        let whole = LENGTH_WORD_BYTES + HEADER_WORD_BYTES + header + body;
        let limit = self.limits.max_frame_bytes.min(u32::MAX as usize);
        if whole > limit {
            return Err(FrameError::TooLarge { bytes: whole, limit });
        }
        let (length, header) = ((whole - LENGTH_WORD_BYTES) as u32, header as u32);
        let mut words = [0; LENGTH_WORD_BYTES + HEADER_WORD_BYTES];
        words[..4].copy_from_slice(&length.to_be_bytes());
        words[4..].copy_from_slice(&(type_byte << 24 | header).to_be_bytes());
        Ok(words)
    }
}

impl Decoder for FrameCodec {
    type Item = RemotingCommand;
    type Error = FrameError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<RemotingCommand>, FrameError> {
        let mut command = RemotingCommand::request(0);
        Ok(self.decode_into(src, &mut command)?.then_some(command))
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<RemotingCommand>, FrameError> {
        match self.decode(src)? {
            Some(command) => Ok(Some(command)),
            None if src.is_empty() => Ok(None),
            None => Err(FrameError::Truncated(src.len())),
        }
    }
}

/// Gives up the first bytes of a buffer; all its room is there again once they were all it held.
pub(crate) fn done_with(buffer: &mut BytesMut, bytes: usize) {
    if bytes == buffer.len() {
        buffer.clear();
    } else {
        buffer.advance(bytes);
    }
}

fn body(frame: BytesMut, body_start: usize) -> Bytes {
    let mut body = frame.freeze();
    body.advance(body_start);
    body
}

impl Encoder<RemotingCommand> for FrameCodec {
    type Error = FrameError;

    fn encode(&mut self, command: RemotingCommand, dst: &mut BytesMut) -> Result<(), FrameError> {
        self.encode_into(&command, dst)
    }
}
