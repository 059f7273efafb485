//! A RocketMQ producer that finds its brokers through the name cluster.
//!
//! | module | holds |
//! | --- | --- |
//! | [`Producer`] (`producer.rs`) | the public face: sync, async, one-way, batch, close |
//! | `job.rs`, [`Pending`] (`pending.rs`) | a send with its place among those under way; its outcome |
//! | `send.rs` | the send loop: attempts, which answers are tried elsewhere, two deadlines |
//! | `attempt.rs`, `brokers.rs` | one attempt, one request, with the hooks that see them |
//! | `routes.rs` | routes as they change: the topic's own, else those of `TBW102` |
//! | [`TopicQueues`] (`queues.rs`) | which queues of a route can be written, and which is next (pure) |
//! | [`QueueSelector`] (`selector.rs`) | to which queue an ordered message goes (pure) |
//! | [`FaultAvoidance`] (`faults.rs`), `detector.rs` | which brokers to leave alone for a while (pure); probes |
//! | [`Compression`], [`decompress`] (`compression.rs`) | bodies made smaller, and back (pure) |
//! | [`Hooks`] (`hooks.rs`) | what programs hang into the way of a message |
//! | `heartbeat.rs` | tells brokers that this producer is there, and when it goes |
//! | [`Message`] (`message.rs`), [`split_into_batches`] (`batch.rs`) | a message, its check and properties; several together |
//! | [`Sent`], [`SendError`] (`outcome.rs`) | how a send ended |
//! | [`ProducerConfig`] | deadlines, retries, limits |
//!
//! The way of a message: check → place among those under way → compression → queues of its topic
//! (cache, kept up to date by a waiting read in a task of its own; else any name replica; else the
//! default topic's) → next writable queue of a master → hooks → broker; another broker after a
//! failure. Source: RocketMQ `DefaultMQProducerImpl`, `TopicPublishInfo`, `MQFaultStrategy`; where
//! 4.9 and 5.x differ, as 5.x. Transactions are not offered.
//!
//! A send is *sent*, *failed* (surely not stored) or *unknown* (may have been stored). When a
//! retry follows an attempt whose outcome is unknown, as RocketMQ's producers do, the message may
//! be stored twice under one message id; [`ProducerConfig::retry_unknown`] turns that off.
//!
//! ```no_run
//! use signpost_client::{Client, Options};
//! use signpost_producer::{Message, Producer, ProducerConfig, SendError};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let replicas = ["http://127.0.0.1:8876", "http://127.0.0.1:8886", "http://127.0.0.1:8896"];
//! let names = Client::new(replicas, Options::default())?;
//! let config = ProducerConfig { group: "orders".into(), ..ProducerConfig::default() };
//! let producer = Producer::start(&names, config)?;
//!
//! let message = Message::new("orders", "42 paper clips").with_tag("new").with_key("order-7");
//! match producer.send(&message).await {
//!     Ok(sent) => println!("{} is at {} {}", sent.message_id, sent.queue, sent.queue_offset),
//!     Err(SendError::Failed { cause, .. }) => println!("surely not stored: {cause}"),
//!     Err(SendError::Unknown { cause, .. }) => println!("may have been stored: {cause}"),
//! }
//!
//! // One after the other in one queue: the same key, the same queue.
//! for step in ["paid", "packed", "sent"] {
//!     producer.send(&Message::new("orders", step).with_order_key("order-7")).await?;
//! }
//!
//! // Goes on by itself; awaited for its outcome.
//! let pending = producer.send_async(&message).await?;
//! println!("{:?}", pending.await);
//!
//! producer.close().await;
//! # Ok(())
//! # }
//! ```

mod attempt;
mod batch;
mod brokers;
mod compression;
mod config;
mod detector;
mod faults;
mod heartbeat;
mod hooks;
mod job;
mod message;
mod outcome;
mod pending;
mod producer;
mod queues;
mod routes;
mod selector;
mod send;

pub use batch::split_into_batches;
pub use compression::{Codec, Compression, DecompressError, decompress};
pub use config::{ConfigError, ProducerConfig};
pub use faults::{Detector, FaultAvoidance};
pub use hooks::{
    CheckForbiddenHook, CommunicationMode, HookError, Hooks, MessageType, RpcHook, SendContext,
    SendMessageHook,
};
pub use message::{InvalidMessage, Message};
pub use outcome::{Attempt, Cause, SendError, SendStatus, Sent};
pub use pending::Pending;
pub use producer::Producer;
pub use queues::{MessageQueue, TopicQueues};
pub use selector::{ByKey, QueueSelector};
