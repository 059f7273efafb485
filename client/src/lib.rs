//! How programs talk to a name cluster over HTTP.
//!
//! | module | holds |
//! | --- | --- |
//! | [`types`] | what goes over the wire; the name service's HTTP layer uses it too |
//! | [`Client`] (`client.rs`, `client/`) | the calls: routes, brokers, tables, operation |
//! | [`RouteWatch`] (`watch.rs`, `watch/`) | routes as they change: one waiting read for all topics |
//! | [`LeaseKeeper`] (`keeper.rs`, `lease.rs`) | keeps a broker registered: the task, and the pure rules |
//! | `call.rs` | one call: replicas, retries, hedging, definite and unknown outcomes |
//! | `connection.rs` | one attempt; knows whether the request was sent |
//! | `replicas.rs` | which replica to ask |
//! | `session.rs` | the index that never goes back, and the history it belongs to |
//! | [`Answer`], [`CallError`] (`outcome.rs`) | what a call answers |
//! | [`Options`] (`options.rs`), [`Dial`] (`transport.rs`) | deadlines and limits; the network seam |
//! | `jitter.rs` | chance from a seed, so that clients do not come in step |
//!
//! The rules that hold whichever replica answers:
//!
//! - a call ends within its deadline, and one dead or hung replica does not fail it;
//! - an answer is *ok*, *failed* (surely did not happen) or *unknown* (may have, at most once);
//! - no read answers an older index than an earlier answer had (but for
//!   [`ReadMode::AnyLocal`], which says so);
//! - another history (a restored backup) is noticed, reported, and starts indices anew.

mod call;
mod client;
mod connection;
mod jitter;
mod keeper;
mod lease;
mod options;
mod outcome;
mod replicas;
mod session;
mod transport;
pub mod types;
mod watch;

pub use client::{BrokerIdentity, CallResult, Claim, Client, ReadMode};
pub use keeper::{LeaseKeeper, LeaseOptions, LeaseStatus};
pub use lease::{StopCause, TopicChange};
pub use options::{Options, OptionsError, Secret};
pub use outcome::{Answer, CallError, Cause, Consistency, Freshness};
pub use session::History;
pub use transport::{BoxedStream, Dial, Dialing, Stream, TcpDialer};
pub use watch::{RouteTable, RouteWatch, WatchError, WatchOptions};
