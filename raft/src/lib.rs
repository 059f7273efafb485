//! A replicated log for any deterministic machine.
//!
//! The home of openraft, sled and bincode: nothing outside this crate names them, and nothing in
//! here knows what the log is used for.
//!
//! | module | holds |
//! | --- | --- |
//! | [`replica`] | the handle: open, propose, read index, call, shut down |
//! | `shared` | what all its parts share |
//! | [`machine`] | the contract of what the log drives |
//! | [`config`], [`status`] | how a replica is set up, and how it stands |
//! | [`members`] | changes of membership |
//! | [`rounds`] | read-index rounds |
//! | `compaction` | bounds the log's bytes |
//! | `founding`, `lifecycle` | from an empty disk to a member, and out again |
//! | [`peer`] | how replicas talk to each other |
//! | [`store`] | log, vote, snapshots and identity on a disk |
//! | [`disk`] | the disk seam, its sled and its simulated form |
//! | [`network`] | the network seam and TCP |
//! | [`codec`] | bounded encoding for disk and peers |
//! | `types` | openraft's types as they are set up here |
//! | [`planted`] | bugs that tests plant, to show that they bite; in no release |

pub mod codec;
mod compaction;
pub mod config;
pub mod disk;
mod founding;
mod lifecycle;
pub mod machine;
pub mod members;
pub mod network;
pub mod peer;
pub mod planted;
pub mod replica;
pub mod rounds;
mod shared;
pub mod status;
pub mod store;
mod types;
