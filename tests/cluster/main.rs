//! Three real processes of the name service on loopback, killed, paused and started again: what the
//! claims of docs/GUARANTEES.md look like from outside. One behaviour, one file.
//!
//! ```text
//! cargo test --test cluster              all
//! cargo test --test cluster expiry       one
//! ```
//!
//! Every test also fails on an unexpected warning in a replica's log, on a replica that ends by
//! itself, and on two replicas whose journals disagree at any index ([`support::cluster`]).

#![allow(clippy::print_stderr, reason = "a test reports to whoever runs it")]

#[path = "../support/mod.rs"]
mod support;

mod acknowledged_then_killed;
mod all_killed;
mod alone;
mod brake;
mod broker_and_producer;
mod closed_connection;
mod deposed_leader;
mod expiry;
mod expiry_race;
mod failover;
mod founding;
mod full_disk;
mod graceful_stop;
mod heartbeats;
mod hung_broker;
mod inherited_expiry;
mod lagging;
mod late_writes;
mod new_leader;
mod paused;
mod registration;
mod restart_race;
mod wiped_replica;
