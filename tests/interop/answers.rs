//! Stock brokers, clients and `mqadmin` on three replicas, and the same brokers on a stock name
//! server at the same time: what `mqadmin` prints of one is what it prints of the other.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use signpost_remoting::{ExtFields, request, response};
use tokio::time::{Instant, sleep_until};

use crate::differences::{self, INTENDED};
use crate::routes::{self, Asker, Route};
use crate::stage::{CLUSTER, Stage};
use crate::stock::Version;
use crate::stock::broker::{Broker, Settings as BrokerSettings};
use crate::stock::mqadmin::{Mqadmin, Printed};
use crate::stock::name_server::NameServer;
use crate::stock::printed;
use crate::stock::traffic::Traffic;
use crate::support::cluster::Settings;
use crate::support::wait::until;

const MESSAGES: usize = 60;
/// Brokers repeat their registrations this often.
const REPEAT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn stock_programs_are_answered_as_by_a_stock_name_server() {
    let mut stage = Stage::start(Settings::default()).await;
    let address = stage.ports.take();
    let stock = NameServer::start(Version::Five, address, &stage.home("stock"), &[]).await;
    let brokers = start_brokers(&mut stage, stock.address()).await;
    let mut sides = Sides::start(&stage, stock.address()).await;

    registered_alike(&mut sides).await;
    let everywhere = routes::of(&brokers);
    shown_everywhere(&stage, "TBW102", &everywhere).await;

    let masters = routes::of(brokers.iter().filter(|broker| broker.id() == 0));
    sends_and_receives(&stage, &mut sides, &masters.into_keys().collect()).await;
    permissions(&mut sides).await;
    kv(&stage, &mut sides).await;
    deletion(&stage, &mut sides).await;
    for difference in INTENDED {
        eprintln!("differs on purpose: {}; {}", difference.what, difference.because);
    }
}

/// Masters and slaves of both versions, which register with the cluster and with the stock name
/// server alike.
async fn start_brokers(stage: &mut Stage, stock: SocketAddr) -> Vec<Broker> {
    let name_servers = format!("{};{stock}", stage.name_servers());
    let dir = stage.home("brokers");
    let mut prepare = |version, name, id| {
        let settings = stage.broker(version, name, id);
        let settings = BrokerSettings { name_servers: name_servers.clone(), ..settings };
        Broker::prepare(settings, &mut stage.ports, &dir)
    };
    let mut five = prepare(Version::Five, "broker-5", 0);
    let mut four = prepare(Version::Four, "broker-4", 0);
    let mut five_slave = prepare(Version::Five, "broker-5", 1);
    let mut four_slave = prepare(Version::Four, "broker-4", 1);
    tokio::join!(five.run(), four.run());
    tokio::join!(five_slave.run(), four_slave.run());
    vec![five, four, five_slave, four_slave]
}

/// The tables that all four brokers have filled.
async fn registered_alike(sides: &mut Sides) {
    sides.same(&["clusterList"], |said| printed::clusters(&said.out)).await;
    sides.same(&["topicList"], |said| printed::lines(&said.out)).await;
    for topic in ["TBW102", CLUSTER, "broker-5", "broker-4"] {
        sides.same_route(topic).await;
    }
    sides.same(&["brokerStatus", "-c", CLUSTER], |said| printed::statuses(&said.out)).await;
    sides.same(&["topicClusterList", "-t", "TBW102"], |said| printed::lines(&said.out)).await;
    let missing = sides.same_route("no-such-topic").await;
    assert!(missing.1.is_some_and(|refusal| refusal.contains("CODE: 17")));
}

/// Every replica shows a topic at all of these brokers, and in the same bytes.
async fn shown_everywhere(stage: &Stage, topic: &str, brokers: &routes::Brokers) {
    let asker = Asker::new();
    until(&format!("{topic} is everywhere at {brokers:?}"), || async {
        let mut seen = Vec::new();
        for id in stage.cluster.ids() {
            seen.push(asker.route(stage.cluster.remoting(id), topic).await?);
        }
        let alike = seen.windows(2).all(|pair| pair[0] == pair[1]);
        let shown = seen.remove(0);
        match alike && shown.clone().brokers() == *brokers {
            true => Ok(()),
            false => Err(format!("alike: {alike}; {:?}", shown.brokers())),
        }
    })
    .await;
}

/// Through a topic made by `mqadmin`, and through one that brokers make at the first message.
async fn sends_and_receives(stage: &Stage, sides: &mut Sides, names: &BTreeSet<String>) {
    let made = ["updateTopic", "-c", CLUSTER, "-t", "made", "-r", "4", "-w", "4"];
    sides.write(&made).await;
    sides.same_route("made").await;
    // These clients know the name servers; those know only where to ask for them.
    let (own, asked) = (&sides.ours, format!("http://{}", stage.cluster.http(2)));
    let (five, four) = (stage.home("clients-5"), stage.home("clients-4"));
    let (mut five, mut four) = tokio::join!(
        Traffic::start(Version::Five, own, "made", "five", &five),
        Traffic::start(Version::Four, &asked, "found", "four", &four),
    );
    tokio::join!(five.send(MESSAGES, "five"), four.send(MESSAGES, "four"));
    for traffic in [&five, &four] {
        let tally = traffic.tally();
        assert!(tally.failed.is_empty(), "{:?}", tally.failed);
        assert_eq!(tally.sent.len(), MESSAGES);
        traffic.all_received().await;
    }
    // The other topic may have been made by one broker alone: whichever was first.
    let made = five.tally();
    let took: BTreeSet<String> = made.by_broker().into_keys().map(ToOwned::to_owned).collect();
    assert_eq!(took, *names, "both brokers took messages: {:?}", made.by_broker());
    drop((five, four));
    sides.same_route("found").await;
    sides.same(&["topicList"], |said| printed::lines(&said.out)).await;
    sides.same(&["clusterList"], |said| printed::clusters(&said.out)).await;
}

/// Wiped, which outlasts unchanged registrations, and given back.
async fn permissions(sides: &mut Sides) {
    sides.write(&["wipeWritePerm", "-b", "broker-5"]).await;
    let wiped_at = Instant::now();
    let wiped = sides.same_route("made").await.0;
    assert_eq!(perm(&wiped, "broker-5"), Some(4), "{wiped}");
    assert_eq!(perm(&wiped, "broker-4"), Some(6), "{wiped}");
    sides.write(&["wipeWritePerm", "-b", "no-such-broker"]).await;
    // Each broker has repeated itself by then.
    sleep_until(wiped_at + REPEAT + Duration::from_secs(1)).await;
    assert_eq!(sides.same_route("made").await.0, wiped);
    sides.write(&["addWritePerm", "-b", "broker-5"]).await;
    let given = sides.same_route("made").await.0;
    assert_eq!(perm(&given, "broker-5"), Some(6), "{given}");
    sides.same_route("TBW102").await;
}

fn perm(route: &Value, broker: &str) -> Option<u64> {
    let queues = route["queueDatas"].as_array()?;
    queues.iter().find(|queue| queue["brokerName"] == broker)?["perm"].as_u64()
}

/// Written, read at every replica, deleted, and deleted once more.
async fn kv(stage: &Stage, sides: &mut Sides) {
    let key = ["-s", "NAMESPACE", "-k", "key"];
    sides.write(&[&["updateKvConfig"][..], &key, &["-v", "value 1"]].concat()).await;
    assert_eq!(kv_values(stage).await, vec![Some("value 1".to_owned()); 3]);
    for _ in 0..2 {
        sides.write(&[&["deleteKvConfig"][..], &key].concat()).await;
        assert_eq!(kv_values(stage).await, vec![None; 3]);
    }
}

async fn kv_values(stage: &Stage) -> Vec<Option<String>> {
    let (asker, mut values) = (Asker::new(), Vec::new());
    for id in stage.cluster.ids() {
        let ext = ExtFields::new().with("namespace", "NAMESPACE").with("key", "key");
        let asked = asker.ask(stage.cluster.remoting(id), request::GET_KV_CONFIG, ext).await;
        let answer = asked.expect("an answer");
        values.push(match answer.code {
            response::SUCCESS => answer.ext.get("value").map(str::to_owned),
            code => {
                assert_eq!(code, 22, "{:?}", answer.remark);
                None
            }
        });
    }
    values
}

/// A deleted topic is gone at every replica, and no repeated registration brings it back.
async fn deletion(stage: &Stage, sides: &mut Sides) {
    sides.write(&["deleteTopic", "-c", CLUSTER, "-t", "found"]).await;
    let deleted_at = Instant::now();
    sides.same_route("found").await;
    sides.same(&["topicList"], |said| printed::lines(&said.out)).await;
    sleep_until(deleted_at + REPEAT + Duration::from_secs(1)).await;
    for id in stage.cluster.ids() {
        let seen = Asker::new().route(stage.cluster.remoting(id), "found").await;
        assert_eq!(seen, Ok(Route::Missing), "at replica {id}");
    }
    sides.same_route("made").await;
}

/// `mqadmin` at the cluster, and at the stock name server.
struct Sides {
    ours: String,
    stock: String,
    name_servers: Vec<SocketAddr>,
    at_ours: Mqadmin,
    at_stock: Mqadmin,
}

impl Sides {
    async fn start(stage: &Stage, stock: SocketAddr) -> Self {
        let mut name_servers: Vec<SocketAddr> =
            stage.cluster.ids().into_iter().map(|id| stage.cluster.remoting(id)).collect();
        name_servers.push(stock);
        let homes = (stage.home("mqadmin-ours"), stage.home("mqadmin-stock"));
        let (at_ours, at_stock) = tokio::join!(
            Mqadmin::start(Version::Five, &homes.0),
            Mqadmin::start(Version::Five, &homes.1),
        );
        let (ours, stock) = (stage.name_servers(), stock.to_string());
        Self { ours, stock, name_servers, at_ours, at_stock }
    }

    /// Asks both until the answers are the same: registrations reach both sides, though not at the
    /// same moment.
    async fn same<T: PartialEq + Debug>(
        &mut self,
        words: &[&str],
        parse: impl Fn(&Printed) -> T,
    ) -> T {
        let what = format!("`mqadmin {}` says the same", words.join(" "));
        let sides = tokio::sync::Mutex::new(self);
        until(&what, || async {
            let mut sides = sides.lock().await;
            let Self { ours, stock, at_ours, at_stock, .. } = &mut **sides;
            let (own, other) = tokio::join!(at_ours.call(ours, words), at_stock.call(stock, words));
            let (own, other) = (parse(&own), parse(&other));
            if own == other { Ok(own) } else { Err(format!("{own:#?}\nbut stock {other:#?}")) }
        })
        .await
    }

    async fn same_route(&mut self, topic: &str) -> (Value, Option<String>) {
        let parse = |said: &Printed| (printed::route(&said.out), printed::refusal(&said.err));
        self.same(&["topicRoute", "-t", topic], parse).await
    }

    /// Does the same at both, once, one after the other: it reaches the same brokers.
    async fn write(&mut self, words: &[&str]) {
        let own = self.at_ours.call(&self.ours, words).await;
        let other = self.at_stock.call(&self.stock, words).await;
        assert_eq!((&*own.err, &*other.err), ("", ""), "{words:?}");
        let parse =
            |said: &Printed| differences::without(printed::lines(&said.out), &self.name_servers);
        assert!(!parse(&own).is_empty(), "{words:?} says something");
        assert_eq!(parse(&own), parse(&other), "`mqadmin {}`", words.join(" "));
    }
}
