//! Peers: how replicas talk to each other over one port.
//!
//! A connection begins with a handshake ([`hello`]) that says who speaks to whom and what for, and
//! binds both ends to the cluster's uuid and to their disks. After it come frames ([`frame`]):
//! requests with a number, answers with the same number. Each purpose has a connection of its own,
//! so that a big batch or a snapshot never stands in front of a heartbeat.
//!
//! | module | holds |
//! | --- | --- |
//! | [`frame`] | bounded frames |
//! | [`hello`] | the handshake, its rules (pure) |
//! | [`message`] | what is asked and answered |
//! | [`dial`] | dialling with a handshake and a deadline |
//! | [`rpc`] | openraft's calls, one at a time on a connection |
//! | [`channel`] | the application's calls and read indices, many at a time |
//! | [`server`] | the accepting side |

pub(crate) mod channel;
pub(crate) mod dial;
pub(crate) mod frame;
pub mod hello;
pub(crate) mod message;
pub(crate) mod rpc;
pub(crate) mod server;
