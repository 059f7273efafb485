//! Do the tests bite? Each bug of `signpost_raft::planted` takes away code that keeps a promise;
//! planted, it must make a test fail that passes without it, and for the reason given here.
//!
//! ```text
//! cargo test --workspace --locked --features planted-bugs --test planted -- --nocapture     the table
//! SIGNPOST_PLANTED=late-put-wins cargo test --features planted-bugs --test cluster late_writes
//! SIGNPOST_PLANTED=late-put-wins SIGNPOST_SEED=1 cargo test --features planted-bugs --test simulation
//! ```
//!
//! | bug | caught by | how soon |
//! | --- | --- | --- |
//! | acknowledge-before-sync | simulation: `agreement` | seed 3 |
//! | vote-not-synced | `raft/tests/replica/votes`: elected while no voter's disk syncs | 1 s |
//! | fdatasync-left-out | `raft/tests/power_cut`: most of 60 power cuts lose acknowledged rows | 10 s |
//! | expiry-ignores-epoch | `tests/cluster/restart_race`: a new process goes with its former one | 2 s |
//! | no-full-ttl-in-new-term | `tests/cluster/new_leader`: a kept broker is lost after a failover | 4 s |
//! | inherited-expiry-overtakes | simulation: `leases` | seed 1 |
//! | late-put-wins | `tests/cluster/late_writes` | 1 s |
//! | no-full-ttl-after-cut-off | `tests/cluster/paused`: a paused leader, resumed in its own term | 5 s |
//! | deposed-leader-acknowledges | `tests/cluster/deposed_leader`: an expired broker is renewed | 2 s |
//! | acknowledged-while-expiring | `tests/cluster/expiry_race` | 1 s |
//! | read-without-waiting | simulation: `order`; and [`linearizable_reads`] | seed 1 |
//! | read-index-without-quorum | simulation: `order` | seed 1 |
//! | wiped-replica-votes | `tests/cluster/wiped_replica`: it goes on instead of ending | 32 s |
//! | late-unregister-removes | `tests/cluster/late_writes` | 1 s |
//! | moved-base-ignored | `namesrv/tests/routes_rules/registration` | at once |
//! | one-closed-connection-expires | `tests/cluster/closed_connection` | 2 s |
//! | snapshot-drops-epoch | simulation: `agreement` | seed 1 |
//! | snapshot-index-too-old | simulation: `answers` | seed 1 |
//! | min-index-ignored-after-start | simulation: `min_index` | seed 2 |
//! | hash-order-in-digest | simulation: `agreement` | seed 1 |
//!
//! A bug in the tables is in the checkers' replay of the log as well: such a one must show in what
//! clients were told (leases, lists, indices), not only in a digest.
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
