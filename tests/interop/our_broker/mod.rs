//! Stock producers, push consumers and `mqadmin` of both versions with the embedded broker, found
//! through 9876 of the name replicas.
//!
//! | file | shows |
//! | --- | --- |
//! | [`sends`] | sync, async, one-way, batch, ordered and delayed sends, and what a consumer is given of them |
//! | [`whole`] | bodies, compressions, properties, keys, ids and places byte for byte, in both directions |
//! | [`groups`] | a group of two: exactly once in the quiet case, takeover, tags, retries and dead letters, offsets after a kill -9 |
//! | [`tools`] | `mqadmin` |
//! | [`ours`] | the broker's process, and what it is asked directly |

mod groups;
mod ours;
mod sends;
mod tools;
mod whole;

use std::path::PathBuf;

use crate::stage::Stage;
use crate::stock::Version;
use crate::stock::exchange::Exchange;
use crate::support::cluster::Settings;
use ours::Ours;

/// The clients of one version.
struct Side {
    version: Version,
    /// Goes into the names of its topics and groups.
    name: &'static str,
    name_servers: String,
    homes: PathBuf,
    /// The two members of its group.
    one: Exchange,
    two: Option<Exchange>,
}

impl Side {
    async fn start(stage: &Stage, version: Version, name: &'static str) -> Self {
        let homes = stage.home(&format!("clients-{name}"));
        let name_servers = stage.name_servers();
        let (first, second) = (home(&homes, "one"), home(&homes, "two"));
        let (one, two) = tokio::join!(
            Exchange::start(version, &name_servers, &first),
            Exchange::start(version, &name_servers, &second),
        );
        Self { version, name, name_servers, homes, one, two: Some(two) }
    }

    /// A topic or group of this side.
    fn named(&self, what: &str) -> String {
        format!("{what}-{}", self.name)
    }
}

fn home(homes: &std::path::Path, name: &str) -> PathBuf {
    let home = homes.join(name);
    std::fs::create_dir_all(&home).expect("a directory of the test's own");
    home
}

#[tokio::test]
async fn stock_clients_are_served_by_our_broker() {
    let mut stage = Stage::start(Settings::default()).await;
    let mut broker = Ours::start(&mut stage).await;
    let (mut four, mut five) = tokio::join!(
        Side::start(&stage, Version::Four, "four"),
        Side::start(&stage, Version::Five, "five"),
    );
    tokio::join!(sends::all_kinds(&mut four), sends::all_kinds(&mut five));
    tokio::join!(groups::quiet_and_takeover(&mut four), groups::quiet_and_takeover(&mut five));
    tokio::join!(groups::failures(&mut four, &broker), groups::failures(&mut five, &broker));
    tokio::join!(tools::mqadmin(&four, &broker), tools::mqadmin(&five, &broker));

    tokio::join!(
        groups::leave_with_offsets(&mut four, &broker),
        groups::leave_with_offsets(&mut five, &broker),
    );
    broker.kill();
    broker.run();
    broker.answers().await;
    tokio::join!(groups::go_on(&mut four), groups::go_on(&mut five));
    broker.said_nothing_unexpected();
}
