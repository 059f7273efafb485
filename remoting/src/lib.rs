//! RocketMQ's wire: what the name service, the broker and the producer say to each other and to
//! stock RocketMQ programs.
//!
//! | module | holds |
//! | --- | --- |
//! | [`command`] | [`RemotingCommand`], the one thing a frame carries; [`ext`] its named fields, [`language`] who wrote it |
//! | [`code`] | request and response codes |
//! | [`frame`] | bytes to commands and back: length prefix, header (JSON or binary), body; every bound is checked before memory is taken |
//! | [`send`] | the typed headers of a send (codes 10, 310, 320) and of its response; [`pull`] those of a pull (11) |
//! | [`broker`] | the typed headers of a broker's other calls |
//! | [`namesrv`] | the typed headers of the name server's calls; [`body`] their bodies: registrations, routes, lists |
//! | [`message`] | the stored message, its properties, ids, flags and batches (pure, shared by broker and clients) |
//! | [`prepared`] | a response that is given again and again, its header written once |
//! | [`connection`] | one TCP connection in both directions: pairs responses with requests, bounds what is in flight |
//! | [`server`] | [`serve`]: accepts connections and hands requests to a [`Handler`] |
//! | [`client`] | [`Client`]: one connection per address, reconnecting, with definite and unknown failures told apart |
//!
//! The codecs are pure: no clock, no randomness, no I/O. The connection engine is generic over the
//! byte stream and uses `tokio::time` only, so that a simulation can run it.
//!
//! Sources: Apache RocketMQ 4.9.8 and 5.3.3 (`RemotingCommand`, `RocketMQSerializable`,
//! `NettyDecoder`, `MessageDecoder`); the classes are named where a rule comes from them.

pub mod body;
pub mod broker;
pub mod client;
pub mod code;
pub mod command;
pub mod connection;
pub mod ext;
mod fields;
pub mod frame;
mod header;
pub mod language;
pub mod message;
pub mod namesrv;
pub mod prepared;
pub mod pull;
pub mod send;
pub mod server;

pub use client::{Client, ClientOptions, InvokeError};
pub use code::{request, response};
pub use command::{HeaderKind, PROTOCOL_VERSION, RemotingCommand};
pub use connection::{Connection, Handler, Ready, Reply};
pub use ext::ExtFields;
pub use frame::{FrameCodec, FrameError, FrameLimits};
pub use language::Language;
pub use prepared::Prepared;
pub use server::{ServerLimits, serve};
