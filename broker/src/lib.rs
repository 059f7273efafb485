//! An embedded RocketMQ broker: takes messages over RocketMQ's protocol, has them on disk when it
//! acknowledges them, and registers once with the name cluster.
//!
//! | module | holds |
//! | --- | --- |
//! | [`Broker`] (`broker.rs`) | start, stop, superseded: the life of one broker; its request codes |
//! | [`BrokerConfig`] (`config.rs`) | what it is told |
//! | `data_dir.rs` | whose directory it is, the lock, the incarnation |
//! | `send.rs` | one send from the request to its answer (codes 10, 310, 320) |
//! | [`topics`], `topic_file.rs` | the topic table: its rules, and its file |
//! | `adopt.rs` | topics that the name cluster knows before the broker does |
//! | [`store`] | the commit log: group commit, recovery, the seam for consume queues |
//! | `durable.rs` | small files replaced whole |
//!
//! The path of a send: `broker.rs` → `send.rs` (judged, topic found or made) → `store` (queued; the
//! writer gives it its offsets, writes the batch, syncs) → the answer with its message id.

mod adopt;
mod broker;
mod config;
mod data_dir;
mod durable;
mod send;
pub mod store;
mod topic_file;
pub mod topics;

pub use broker::{Broker, Exit, StartError};
pub use config::{BrokerConfig, ConfigError};
pub use data_dir::{DataDirError, log_id};
