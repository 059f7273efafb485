//! Stock Apache RocketMQ on a name cluster of three real processes: brokers 5.5.0 and 4.9.7, Java
//! producers and push consumers, and `mqadmin`, unmodified, from Maven.
//!
//! ```text
//! cargo test --test interop                                      all, in about five minutes
//! cargo test --test interop deaths                               one
//! SIGNPOST_INTEROP_LONG=1 cargo test --test interop failovers    leaders killed for two minutes
//! ```
//!
//! Needs a JDK (17 or newer) and Maven; the jars are fetched once. The tests run one after the
//! other, each while it has the machine to itself. As in the cluster suite, each also fails on an
//! unexpected warning of a replica, on one that ends by itself, and on journals that disagree.
//!
//! | file | shows |
//! | --- | --- |
//! | [`answers`] | stock programs register, send, receive and administer as with a stock name server; what differs is listed in [`differences`]; clients find the cluster by its address server |
//! | [`differential`] | a random sequence of requests is answered as by a stock name server, but for a written list |
//! | [`promotion`] | a slave that comes back as master takes the master's place at one index |
//! | [`failovers`] | leaders die, replicas restart, the quorum is lost: no send fails, no live broker leaves; a broker finds the cluster by its address server |
//! | [`deaths`] | a killed broker leaves at once, a frozen one in time; a replica's end, or a cut wire to it ([`link`]), takes nobody away |
//! | [`our_broker`] | stock producers, push consumers and `mqadmin` with the embedded broker |
//! | [`stage`], [`routes`] | the cluster with room for stock programs; routes as stock clients see them |

#![allow(clippy::print_stderr, reason = "a test reports to whoever runs it")]

#[path = "../support/stock/mod.rs"]
mod stock;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with suites that need all of it")]
mod support;

mod answers;
mod deaths;
mod differences;
mod differential;
mod failovers;
mod link;
mod our_broker;
mod promotion;
mod routes;
mod stage;

/// The jars are there, and our classes compile against both versions. By itself it fetches them.
#[tokio::test]
async fn stock_parts_are_fetched_and_our_classes_compile() {
    for version in [stock::Version::Four, stock::Version::Five] {
        let class_path = version.artifacts().await.class_path();
        assert!(class_path.contains(version.number()), "{class_path}");
    }
}
