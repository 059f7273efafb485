//! Tests of the store as a whole; each file says of what.

// Seeds and counts belong into a test's output.
#![allow(clippy::print_stdout)]

mod crash;
mod damage;
mod damaged_file;
mod faults;
mod log;
mod machine;
mod script;
mod snapshot;
mod suite;
mod toy;
