//! Real processes for whole-system tests: the `signpost` binary itself, killed, stopped and started
//! again, and asked from outside.
//!
//! | module | holds |
//! | --- | --- |
//! | [`cluster`] | replicas of the name service together: start, kill, pause, who leads |
//! | [`brokers`] | registrations as tests make them, by hand and kept alive |
//! | [`process`] | one process: signals, its log, its end |
//! | [`logs`] | what a log may say: an unexpected warning fails the test |
//! | [`http`] | one request to one replica, answered in raw bytes |
//! | [`ports`] | ports that no other test has |
//! | [`wait`] | conditions with deadlines |

pub(crate) mod brokers;
pub(crate) mod cluster;
pub(crate) mod http;
pub(crate) mod logs;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod wait;
