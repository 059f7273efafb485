//! A RocketMQ producer that finds its brokers through the name cluster.
//!
//! | module | holds |
//! | --- | --- |
//! | [`Producer`] (`producer.rs`) | the public face: send, one-way, close |
//! | `send.rs` | the send loop: attempts, which answers are tried elsewhere, two deadlines |
//! | `routes.rs` | routes as they change: the topic's own, else those of `TBW102` |
//! | [`TopicQueues`] (`queues.rs`) | which queues of a route can be written, and which is next (pure) |
//! | [`Message`] (`message.rs`) | a message, its check and its properties |
//! | [`Sent`], [`SendError`] (`outcome.rs`) | how a send ended |
//! | [`ProducerConfig`] | deadlines, retries, limits |
//!
//! The way of a message: check → queues of its topic (cache, kept up to date by a waiting read in
//! a task of its own; else any name replica; else the default topic's) → next writable queue of a
//! master → broker; another broker after a failure. Source: RocketMQ `DefaultMQProducerImpl`,
//! `TopicPublishInfo`, `MQFaultStrategy`.
//!
//! A send is *sent*, *failed* (surely not stored) or *unknown* (may have been stored). When a
//! retry follows an attempt whose outcome is unknown, as RocketMQ's producers do, the message may
//! be stored twice under one message id; [`ProducerConfig::retry_unknown`] turns that off.

mod config;
mod message;
mod outcome;
mod producer;
mod queues;
mod routes;
mod send;

pub use config::{ConfigError, ProducerConfig};
pub use message::{InvalidMessage, Message};
pub use outcome::{Attempt, Cause, SendError, SendStatus, Sent};
pub use producer::Producer;
pub use queues::{MessageQueue, TopicQueues};
