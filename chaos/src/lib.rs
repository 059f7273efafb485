//! Chaos: what clients were told while things went wrong, and whether the name cluster kept its
//! promises (docs/GUARANTEES.md).
//!
//! A run starts a cluster of real processes, lets clients and faults loose on it, heals it, and is
//! judged. The checkers know nothing of how a history came about: a simulation's and real
//! processes' are judged by the same code.
//!
//! | module | holds |
//! | --- | --- |
//! | [`scenario`] | what a run consists of |
//! | [`run`] | one run, from start to end |
//! | [`observe`] | the same against a cluster that runs already: nothing is broken |
//! | [`series`] | many runs, each in a process of its own, and what they come to together |
//! | [`judge`], [`claims`], [`coverage`] | a run's verdict: what was checked and found, claim by claim; what was covered |
//! | [`report`] | the same to look at, as one HTML page |
//! | [`faults`] | what goes wrong, and when: schedule, strikes, records |
//! | [`workload`] | what clients do |
//! | [`cluster`], [`network`], [`process`] | the processes, and what lies between them |
//! | [`watch`], [`steady`], [`resources`] | how the replicas stand, when all was well with them, and what they use |
//! | [`ask`] | one HTTP request, one outcome |
//! | [`history`] | what clients asked for, when, and what they were told |
//! | [`journal`] | what replicas applied, from their journals |
//! | [`checks`] | one invariant, one file; all are pure |
//! | [`verdict`] | pass, violation or unknown: missing evidence is no pass |
//! | [`random`], [`error`] | chance from a seed; why a run could not be made |

pub mod ask;
pub mod checks;
pub mod claims;
pub mod cluster;
pub mod coverage;
pub mod error;
pub mod faults;
pub mod history;
pub mod journal;
pub mod judge;
pub mod network;
pub mod observe;
pub mod process;
pub mod random;
pub mod report;
pub mod resources;
pub mod run;
pub mod scenario;
pub mod series;
pub mod steady;
pub mod verdict;
pub mod watch;
pub mod workload;
