//! Stock Apache RocketMQ beside us: its name server, brokers, clients and `mqadmin`, from Maven,
//! unchanged, as real processes on loopback. The one home for every suite that needs them.
//!
//! A suite takes it in with `#[path = "../support/stock/mod.rs"] mod stock;` beside its `support`.
//! It needs a JDK (17 or newer) and Maven; the jars are fetched once and kept below `target/`.
//!
//! | module | holds |
//! | --- | --- |
//! | [`artifacts`] | the jars of a version, fetched by Maven (`maven/VERSION/pom.xml`), and our few classes beside them (`java/`) |
//! | [`java`] | how a JVM is started: modest, with its own home, ending with us |
//! | [`name_server`] | one stock name server |
//! | [`broker`] | one stock broker, master or slave: start, stop, kill, pause, another role |
//! | [`program`] | a program that is told things on stdin and answers lines of JSON |
//! | [`mqadmin`] | many `mqadmin` calls in one JVM |
//! | [`exchange`] | stock producers and push consumers that are told what to send and to listen to |
//! | [`traffic`] | a stock producer and push consumer, and what they sent and received |
//! | [`printed`] | what `mqadmin` printed, parsed |

pub(crate) mod artifacts;
pub(crate) mod broker;
pub(crate) mod exchange;
pub(crate) mod java;
pub(crate) mod mqadmin;
pub(crate) mod name_server;
pub(crate) mod printed;
pub(crate) mod program;
pub(crate) mod traffic;

pub(crate) use artifacts::Version;
