//! An embedded RocketMQ broker: takes messages over RocketMQ's protocol, has them on disk when it
//! acknowledges them, serves them to consumer groups, and registers once with the name cluster.
//!
//! | module | holds |
//! | --- | --- |
//! | [`Broker`] (`broker.rs`), `running.rs` | start, work and end of one broker |
//! | [`BrokerConfig`] (`config.rs`) | what it is told |
//! | `data_dir.rs` | whose directory it is, the lock, the incarnation |
//! | `requests.rs` | which request code goes where; `refused.rs`: how it is refused |
//! | `service.rs` | what requests are served from |
//! | `send.rs`, `send_back.rs`, `schedule.rs` | messages come: sends (10, 310, 320), retries and dead letters (36), delays |
//! | `pull.rs`, `held.rs`, `query.rs` | messages go: pulls (11) and those that wait; by key, id and time (12, 14, 15, 29 to 33) |
//! | `membership.rs`, `clients.rs`, `locks.rs` | who is connected (34, 35, 38, 40), who has which queue (41, 42); the last two are pure |
//! | `admin.rs`, `metrics.rs`, `metrics_door.rs` | what operators ask |
//! | [`topics`], `topic_file.rs`, `groups.rs`, `offsets.rs` | persisted tables; `table_file.rs`, `durable.rs`: how |
//! | `adopt.rs` | topics that the name cluster knows before the broker does |
//! | `gate.rs` | a bound on work at once and waiting |
//! | [`store`] | the commit log, and what is built from it: consume queues, index; retention |
//!
//! The path of a send: `requests.rs` → `send.rs` (judged, topic found or made) → `store` (queued;
//! the writer gives it its offsets, writes the batch, syncs; then queues and index know it) → the
//! answer with its message id. The
//! path of a pull: `pull.rs` (judged) → `store` (a slice of the log) → the answer; or, if there is
//! nothing yet, a place in `held.rs` until the store tells of an arrival.

mod admin;
mod adopt;
mod broker;
mod clients;
mod config;
mod data_dir;
mod durable;
mod gate;
mod groups;
mod held;
mod locks;
mod membership;
mod metrics;
mod metrics_door;
mod offsets;
mod pull;
mod query;
mod refused;
mod requests;
mod running;
mod schedule;
mod send;
mod send_back;
mod service;
pub mod store;
mod table_file;
mod topic_file;
pub mod topics;

pub use broker::{Broker, Exit, StartError};
pub use config::{BrokerConfig, ConfigError, FlushMode};
pub use data_dir::{DataDirError, log_id};
