//! What goes wrong in a run.
//!
//! | module | holds |
//! | --- | --- |
//! | [`kind`] | the kinds of faults, and their names on the command line |
//! | [`schedule`] | which fault when, from the seed alone (pure) |
//! | [`strike`] | begins a fault on a running cluster, and ends it |
//! | [`processes`], [`links`], [`disks`], [`members`], [`brokers`] | how, by what is struck |
//! | [`record`] | what was done, to whom, and when |

pub mod brokers;
pub mod disks;
pub mod kind;
pub mod links;
pub mod members;
pub mod processes;
pub mod record;
pub mod schedule;
pub mod strike;
