//! The name service of one replica: route tables that a quorum agrees on, leases that only a
//! leader ends, reads on any replica, and the doors to them.
//!
//! ```text
//! http, gateway (9876) ──► service ──► registrar ──► log ──► machine ──► routes
//!                             │           │           ▲         │
//!                             │           ▼           │         │ what changed
//!                             ├───────► lessor ───────┘ ◄───────┤
//!                             └───────► reads  ◄────────────────┘
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`routes`] | the pure state machine: RocketMQ's tables, and the one place where they change |
//! | [`machine`] | those tables as what the log drives; the copy that readers see |
//! | [`log`] | what is needed of a replica of the log |
//! | [`service`] | typed calls that any replica accepts; the one hop to the leader |
//! | [`answers`] | what those calls take and answer |
//! | `registrar` | registrations: compared, one at a time for each broker; only what differs is proposed |
//! | `lessor`, [`leases`], [`brake`] | heartbeats, the scanner, and when nobody is removed |
//! | [`reads`] | linearizable, local and waiting reads; encoded answers; freshness |
//! | `tally` | requests on 9876, counted |
//! | `proposals`, `gate` | bounds on what is under way |
//! | [`alarms`], [`errors`], [`config`] | what an operator, a client, and a person who starts it should know |
//! | [`node`] | puts one replica's name service together |
//! | [`http`] | the HTTP contract |
//! | [`gateway`] | RocketMQ's own protocol, for stock brokers, clients and tools |
//! | `fake_log` | a log for tests, that delays, refuses and forgets; in no release |

pub mod alarms;
pub mod answers;
pub mod brake;
pub mod config;
pub mod errors;
#[cfg(any(test, feature = "fake-log"))]
pub mod fake_log;
mod gate;
pub mod gateway;
pub mod http;
pub mod leases;
mod lessor;
pub mod log;
pub mod machine;
pub mod node;
mod proposals;
pub mod reads;
mod registrar;
pub mod routes;
pub mod service;
mod tally;
