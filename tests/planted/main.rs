//! Real processes with planted faults and bugs: what holds under the fault, and the same test
//! failing on the bug it is there for.
//!
//! ```text
//! cargo test --test planted --features planted-bugs
//! ```

#![allow(clippy::print_stderr, reason = "a test reports to whoever runs it")]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with the tests that need all of it")]
mod support;

mod linearizable_reads;
