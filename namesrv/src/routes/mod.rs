//! The route state machine: pure, so that every replica comes to the same tables.
//!
//! | module | holds |
//! | --- | --- |
//! | [`command`] | what is proposed, and what applying it answers |
//! | `apply` | **the one place where the tables change** |
//! | [`tables`] | the tables and what can be asked of them; [`row`]: their rows |
//! | [`admission`] | whether a write may be made: for apply and for the leader's pre-check |
//! | [`content`] | what a broker last registered, as hashes, and how a new registration differs |
//! | `register`, `removal`, `topics`, [`kv`] | the rules of each command |
//! | `write` | one setter for each kind of row: keeps digest, index and changes in step |
//! | [`fences`], `deletions` | what is remembered of brokers and topics that are gone |
//! | [`changes`] | what applies changed, for waiters and logs |
//! | [`route`] | the answer to "where is this topic?" |
//! | `snapshot`, `check` | to sections and back; every invariant, recomputed |

pub mod admission;
mod apply;
pub mod changes;
mod check;
pub mod command;
pub mod content;
mod deletions;
pub mod fences;
pub mod kv;
mod register;
mod removal;
pub mod route;
pub mod row;
mod snapshot;
pub mod tables;
mod topics;
mod write;

pub use admission::{Admission, Change, Departure, HeartbeatVerdict};
pub use changes::{Changes, RegistrationChange, RegistrationEvent};
pub use kv::ORDER_TOPIC_CONFIG;
pub use route::{BrokerData, QueueData, RouteView};
pub use row::{BrokerRow, Fence, KvRow, Name, QueueRow, Registration, Slot, TopicRow};
pub use tables::RouteTables;
