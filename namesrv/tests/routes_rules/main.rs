//! Each rule of the route state machine by name (docs/GUARANTEES.md, claim 5 and "Registrations";
//! RocketMQ 5.3.3, `RouteInfoManager`).

#![expect(clippy::print_stdout, reason = "the costs are there to be read")]

mod answers;
mod build;
mod cost;
mod heartbeats;
mod operators;
mod patches;
mod registration;
mod remoting;
mod removal;
mod snapshots;
