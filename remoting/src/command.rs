//! [`RemotingCommand`]: what one frame carries, request or response.

use bytes::Bytes;

use crate::{ExtFields, Language};

/// The protocol version we write into every command: the number RocketMQ gave its release 4.9.8.
///
/// From 401 on a name server answers routes in standard JSON, at 413 a registration promises the
/// body of 5.x, and clients refuse SQL filters below 232; 4.9.8 is what our bodies follow
/// (RocketMQ `MQVersion`).
pub const PROTOCOL_VERSION: i32 = 409;

/// The language we write: that of the reference implementation, as the Node client does, because
/// peers older than 4.9.4 do not know `RUST` and keep a null in its place.
pub const OUR_LANGUAGE: Language = Language::Java;

/// Bit 0 of the flag: this command is a response.
const RESPONSE_FLAG: i32 = 1;
/// Bit 1 of the flag: nobody waits for a response, and none must be sent.
const ONEWAY_FLAG: i32 = 2;

/// How the header of a frame is written. Each frame says it; a response mirrors its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HeaderKind {
    /// JSON object, type byte 0: what every client can read.
    #[default]
    Json,
    /// RocketMQ's binary layout, type byte 1.
    Binary,
}

/// A request or a response of RocketMQ's remoting protocol (RocketMQ `RemotingCommand`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemotingCommand {
    /// Request code, or response code when [`is_response`](Self::is_response); see [`crate::code`].
    pub code: i32,
    /// Language of the sender.
    pub language: Language,
    /// Protocol version of the sender, see [`PROTOCOL_VERSION`].
    pub version: i32,
    /// Request id, chosen by the requester and copied into the response. The two directions of a
    /// connection count on their own, so ids overlap.
    pub opaque: i32,
    /// Bits: 0 response, 1 one-way.
    pub flag: i32,
    /// Free text, in responses the error's text. Never a sign of success or failure.
    pub remark: Option<String>,
    /// Named header fields.
    pub ext: ExtFields,
    /// Opaque body; empty and absent are the same on the wire.
    pub body: Bytes,
    /// How the header was, or is to be, written.
    pub header: HeaderKind,
}

impl RemotingCommand {
    /// A request with our language and version; the connection that sends it sets the id.
    pub fn request(code: i32) -> Self {
        Self {
            code,
            language: OUR_LANGUAGE,
            version: PROTOCOL_VERSION,
            opaque: 0,
            flag: 0,
            remark: None,
            ext: ExtFields::new(),
            body: Bytes::new(),
            header: HeaderKind::Json,
        }
    }

    /// What this is, leaving a request for nothing in its place.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::request(0))
    }

    /// A response; the connection that sends it copies id and header kind from the request.
    pub fn response(code: i32) -> Self {
        Self { flag: RESPONSE_FLAG, ..Self::request(code) }
    }

    /// A response that carries an explanation.
    pub fn error(code: i32, remark: impl Into<String>) -> Self {
        Self { remark: Some(remark.into()), ..Self::response(code) }
    }

    /// RocketMQ's answer to a code that nobody serves here.
    pub fn not_supported(code: i32) -> Self {
        let remark = format!(" request type {code} not supported");
        Self::error(crate::response::REQUEST_CODE_NOT_SUPPORTED, remark)
    }

    /// With these header fields.
    #[must_use]
    pub fn with_ext(mut self, ext: ExtFields) -> Self {
        self.ext = ext;
        self
    }

    /// With this body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Whether this is a response.
    pub fn is_response(&self) -> bool {
        self.flag & RESPONSE_FLAG != 0
    }

    /// Whether the sender said that it does not wait. Go and Node never say so, even where they
    /// do not wait: their calls get an answer that they drop.
    pub fn is_oneway(&self) -> bool {
        self.flag & ONEWAY_FLAG != 0
    }

    /// Marks this request as one-way.
    pub fn mark_oneway(&mut self) {
        self.flag |= ONEWAY_FLAG;
    }

    /// Makes this the response to the request with this id and header kind.
    pub fn mark_response_to(&mut self, opaque: i32, header: HeaderKind) {
        self.flag = (self.flag | RESPONSE_FLAG) & !ONEWAY_FLAG;
        self.opaque = opaque;
        self.header = header;
    }
}
