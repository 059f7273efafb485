//! Bounded frames: a length, a request's number, and an encoded message.
//!
//! Before the handshake has named the other end a frame may hold a few KiB only; afterwards what
//! the largest record needs. The length is checked before anything is allocated.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::codec;
use crate::network::Stream;

/// The largest frame of a handshake.
const HELLO_BYTES_MAX: usize = 64 * 1024;

/// The largest frame between peers that know each other.
const FRAME_BYTES_MAX: usize = codec::RECORD_BYTES_MAX as usize + 1024;

/// The number of a request on its connection; the answer carries the same.
pub(crate) type CallId = u64;

/// A connection cut into frames. Reading is cancel-safe: an abandoned read loses nothing.
pub(crate) struct Frames(Framed<Box<dyn Stream>, LengthDelimitedCodec>);

impl Frames {
    /// Frames a fresh connection, with the small bound of the handshake.
    pub(crate) fn new(stream: Box<dyn Stream>) -> Frames {
        let codec = LengthDelimitedCodec::builder().max_frame_length(HELLO_BYTES_MAX).new_codec();
        Frames(Framed::new(stream, codec))
    }

    /// Lifts the bound, once the handshake has succeeded.
    pub(crate) fn trust(&mut self) {
        self.0.codec_mut().set_max_frame_length(FRAME_BYTES_MAX);
    }

    /// Sends one message.
    pub(crate) async fn send<T: Serialize>(&mut self, id: CallId, message: &T) -> io::Result<()> {
        self.send_encoded(id, &encode(message)?).await
    }

    /// Sends a message that is encoded already.
    pub(crate) async fn send_encoded(&mut self, id: CallId, message: &[u8]) -> io::Result<()> {
        let mut frame = BytesMut::with_capacity(8 + message.len());
        frame.put_u64(id);
        frame.put_slice(message);
        self.0.send(frame.freeze()).await
    }

    /// The next frame, still encoded; `None` when the other end has closed.
    pub(crate) async fn next(&mut self) -> io::Result<Option<(CallId, Bytes)>> {
        let Some(frame) = self.0.next().await else { return Ok(None) };
        let mut frame = frame?.freeze();
        if frame.len() < 8 {
            return Err(invalid("a frame is shorter than its number"));
        }
        let id = frame.get_u64();
        Ok(Some((id, frame)))
    }

    /// The next message, decoded.
    pub(crate) async fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<(CallId, T)>> {
        let Some((id, bytes)) = self.next().await? else { return Ok(None) };
        Ok(Some((id, decode(&bytes)?)))
    }
}

/// Encodes a message for a frame.
pub(crate) fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    codec::encode(message).map_err(|error| invalid(&error.to_string()))
}

/// Decodes a frame's message.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    codec::decode(bytes).map_err(|error| invalid(&format!("a peer's message: {error}")))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
