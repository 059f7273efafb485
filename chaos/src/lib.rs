//! Chaos: what clients were told while things went wrong, and whether the name cluster kept its
//! promises (docs/GUARANTEES.md).
//!
//! The checkers know nothing of how a history came about: the deterministic simulation and real
//! processes are judged by the same code.
//!
//! | module | holds |
//! | --- | --- |
//! | [`history`] | what clients asked for, when, and what they were told |
//! | [`journal`] | what replicas applied, from their journals |
//! | [`checks`] | one invariant, one file; all are pure |
//! | [`verdict`] | pass, violation or unknown: missing evidence is no pass |

pub mod checks;
pub mod history;
pub mod journal;
pub mod verdict;
