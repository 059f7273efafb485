//! Do the tests bite? Each bug of `signpost_raft::planted` takes away code that keeps a promise;
//! planted, it must make a test fail that passes without it, and for the reason given here.
//!
//! ```text
//! cargo test --workspace --features planted-bugs --test planted -- --nocapture
//! SIGNPOST_PLANTED=late-put-wins cargo test --features planted-bugs --test cluster late_writes
//! SIGNPOST_PLANTED=late-put-wins target/debug/signpost namesrv …       a whole replica with it
//! ```
//!
//! TABLE
//!
//! | file | holds |
//! | --- | --- |
//! | [`catches`] | who catches which bug; runs it with and without |
//! | [`programs`] | the tests' programs: built by cargo, run with a deadline |
//! | [`linearizable_reads`] | one promise under load with slow applies, with and without its bug |

#![allow(clippy::print_stderr, reason = "a test reports to whoever runs it")]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with the tests that need all of it")]
mod support;

mod catches;
mod linearizable_reads;
mod programs;
