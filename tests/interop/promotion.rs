//! A master hangs; its slave is stopped and comes back as the master, under the same name with id
//! 0. It takes the master's place at one index: no replica ever shows a name without a master, and
//! the old master's end changes nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;

use crate::routes::{self, Watch};
use crate::stage::Stage;
use crate::stock::Version;
use crate::stock::broker::Broker;
use crate::support::cluster::Settings;
use crate::support::http;
use crate::support::wait::until;

const NAME: &str = "broker-a";

#[tokio::test]
async fn a_promoted_slave_takes_the_masters_place_at_one_index() {
    let mut stage = Stage::start(Settings::default()).await;
    let dir = stage.home("brokers");
    let mut master = Broker::prepare(stage.broker(Version::Five, NAME, 0), &mut stage.ports, &dir);
    let mut slave = Broker::prepare(stage.broker(Version::Five, NAME, 1), &mut stage.ports, &dir);
    master.run().await;
    slave.run().await;
    let pair = routes::of([&master, &slave]).remove(NAME).expect("both");
    shown(&stage, &pair).await;

    let history = History::record(&stage);
    master.pause().await;
    slave.stop().await;
    slave.become_id(0);
    slave.run().await;
    let promoted = routes::of([&slave]).remove(NAME).expect("it is there");
    shown(&stage, &promoted).await;

    // The end of the old one is the end of no registration that counts.
    let servers: Vec<SocketAddr> =
        stage.cluster.ids().into_iter().map(|id| stage.cluster.remoting(id)).collect();
    let watch = Watch::start(&servers, NAME, &routes::of([&slave]));
    master.kill();
    let seen = || async { watch.seen().good.values().copied().min().unwrap_or_default() };
    let before = seen().await;
    // Each look takes 20 ms at least: this is well beyond the grace for closed connections.
    until("routes are looked at for a while", || async {
        let now = seen().await;
        if now >= before + 150 { Ok(()) } else { Err(now) }
    })
    .await;
    watch.stop().await;
    shown(&stage, &promoted).await;

    let states = history.stop().await;
    eprintln!("what the replicas showed, by index: {states:?}");
    let masters: Vec<&String> = states
        .values()
        .map(|ids| ids.get(&0).unwrap_or_else(|| panic!("a master at every index: {states:#?}")))
        .collect();
    let (old, new) = (master.address().to_string(), slave.address().to_string());
    let changes = masters.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!((masters.first(), masters.last()), (Some(&&old), Some(&&new)), "{states:#?}");
    assert_eq!(changes, 1, "one change of master: {states:#?}");
}

/// Waits until every replica shows exactly these addresses.
async fn shown(stage: &Stage, ids: &BTreeMap<u64, String>) {
    let path = format!("/v1/routes/{NAME}?consistency=local");
    stage.cluster.same_everywhere(&path, |seen| addresses(&seen.json()) == *ids).await;
}

fn addresses(route: &Value) -> BTreeMap<u64, String> {
    let addresses = route["brokerDatas"][0]["brokerAddrs"].as_object();
    let each = addresses.into_iter().flatten();
    each.filter_map(|(id, address)| Some((id.parse().ok()?, address.as_str()?.to_owned())))
        .collect()
}

/// By index: what the replicas showed since the change at that index. Equal indices, equal answers.
type States = BTreeMap<u64, BTreeMap<u64, String>>;

/// Every change that any replica shows, by waiting reads.
struct History {
    states: Arc<Mutex<States>>,
    readers: JoinSet<()>,
}

impl History {
    fn record(stage: &Stage) -> Self {
        let states = Arc::new(Mutex::new(States::new()));
        let mut readers = JoinSet::new();
        for id in stage.cluster.ids() {
            readers.spawn(read(stage.cluster.http(id), Arc::clone(&states)));
        }
        Self { states, readers }
    }

    async fn stop(mut self) -> States {
        self.readers.shutdown().await;
        let states = self.states.lock().unwrap_or_else(|error| panic!("a reader: {error}"));
        states.clone()
    }
}

async fn read(replica: SocketAddr, states: Arc<Mutex<States>>) {
    let (mut path, wait) = (format!("/v1/routes/{NAME}?consistency=local"), Duration::from_secs(5));
    loop {
        let seen = http::get(replica, &path).await.expect("a replica that nobody harms");
        let (modified, index) =
            (seen.modified.expect("it says so"), seen.index.expect("it says so"));
        let shown = match seen.status {
            200 => addresses(&seen.json()),
            _ => BTreeMap::new(),
        };
        let mut states = states.lock().expect("no panic under this lock");
        let known = states.entry(modified).or_insert_with(|| shown.clone());
        let same = *known == shown;
        drop(states);
        assert!(same, "{replica} at index {modified}: {shown:?}");
        path = format!(
            "/v1/routes/{NAME}?consistency=local&index={}&wait={}s",
            index.max(modified),
            wait.as_secs()
        );
    }
}
