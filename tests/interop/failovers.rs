//! Leaders are killed one after the other, replicas restart in turn, the quorum is lost for a
//! while, all under load: no send fails after the client's own retries, no live broker leaves a
//! route, a stopped one does, and all replicas agree to the byte.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::routes::{self, Asker, Watch};
use crate::stage::Stage;
use crate::stock::Version;
use crate::stock::broker::{self, Broker};
use crate::stock::traffic::Traffic;
use crate::support::cluster::Settings;
use crate::support::wait::{until, until_within};

const TTL: Duration = Duration::from_secs(25);
const TOPIC: &str = "orders";
/// Between two deaths of leaders.
const KILL_INTERVAL: Duration = Duration::from_secs(10);
const QUORUM_LOST: Duration = Duration::from_secs(8);
/// Messages a second, of each producer.
const RATE: u32 = 100;
const SENDERS: u32 = 4;

/// Two minutes of dying leaders when asked for, three deaths otherwise.
fn kills() -> u32 {
    if std::env::var_os("SIGNPOST_INTEROP_LONG").is_some() { 12 } else { 3 }
}

#[tokio::test]
async fn no_send_fails_and_no_live_broker_leaves() {
    let settings = Settings { scan_interval: Duration::from_secs(1), ..Settings::ttl(TTL) };
    let mut stage = Stage::start(settings).await;
    let dir = stage.home("brokers");
    // The slave is given no name servers, only where to ask for them.
    let address_server = format!("http://{}", stage.cluster.http(1));
    let slave = stage.broker(Version::Five, "broker-5", 1);
    let slave = broker::Settings { name_servers: address_server, ..slave };
    let mut slave = Broker::prepare(slave, &mut stage.ports, &dir);
    let mut prepare =
        |version, name| Broker::prepare(stage.broker(version, name, 0), &mut stage.ports, &dir);
    let (mut five, mut four) =
        (prepare(Version::Five, "broker-5"), prepare(Version::Four, "broker-4"));
    tokio::join!(slave.run(), five.run(), four.run());

    let asker = Asker::new();
    for broker in [&five, &four] {
        asker.create_topic(broker.address(), TOPIC).await;
    }
    let homes = [stage.home("clients-5"), stage.home("clients-4")];
    let own = stage.name_servers();
    let (mut new, mut old) = tokio::join!(
        Traffic::start(Version::Five, &own, TOPIC, "new", &homes[0]),
        Traffic::start(Version::Four, &own, TOPIC, "old", &homes[1]),
    );
    let servers: Vec<SocketAddr> =
        stage.cluster.ids().into_iter().map(|id| stage.cluster.remoting(id)).collect();
    let all = routes::of([&five, &slave, &four]);
    alike(&servers, &all).await;

    let watch = Watch::start(&servers, TOPIC, &all);
    tokio::join!(new.load(RATE, SENDERS), old.load(RATE, SENDERS));
    // A client that has no route yet tries one name server only: its own rule, which would let its
    // first send fail with any name server that dies at that moment.
    under_way(&[&new, &old]).await;
    leaders_die(&mut stage).await;
    replicas_restart(&mut stage).await;
    quorum_is_lost(&mut stage, &watch).await;
    stage.cluster.settled().await;
    tokio::join!(new.halt(), old.halt());

    let seen = watch.stop().await;
    eprintln!(
        "routes that showed all live brokers: {:?}; no answer: {:?}",
        seen.good, seen.without
    );
    for (version, traffic) in [("5.5.0", &new), ("4.9.7", &old)] {
        let tally = traffic.tally();
        eprintln!("{version}: {} sent, by broker {:?}", tally.sent.len(), tally.by_broker());
        assert!(tally.failed.is_empty(), "{version}: {:#?}", tally.failed);
        assert!(tally.sent.len() > 1_000, "there was a load: {}", tally.sent.len());
    }
    received(&new, &old).await;

    four.stop().await;
    alike(&servers, &routes::of([&five, &slave])).await;
}

async fn under_way(clients: &[&Traffic]) {
    until("messages are sent", || async {
        let sent: Vec<usize> = clients.iter().map(|traffic| traffic.tally().sent.len()).collect();
        if sent.iter().all(|count| *count >= RATE as usize) { Ok(()) } else { Err(sent) }
    })
    .await;
}

async fn leaders_die(stage: &mut Stage) {
    let mut ticks = interval(KILL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..kills() {
        ticks.tick().await;
        let (leader, _) = stage.cluster.leader().await;
        stage.cluster.kill(leader);
        // Two go on for a while before the third returns.
        let (next, _) = stage.cluster.leader().await;
        assert_ne!(next, leader);
        survivors_agree(stage).await;
        stage.cluster.start_replica(leader).await;
    }
}

async fn replicas_restart(stage: &mut Stage) {
    for id in stage.cluster.ids() {
        let status = stage.cluster.terminate(id).ended().await;
        assert!(status.success(), "replica {id}: {status}");
        stage.cluster.start_replica(id).await;
        stage.cluster.leader().await;
    }
}

/// One is left, which goes on answering.
async fn quorum_is_lost(stage: &mut Stage, watch: &Watch) {
    let (leader, _) = stage.cluster.leader().await;
    let [other, left] = stage.cluster.others(leader)[..] else { panic!("there are three") };
    for id in [leader, other] {
        stage.cluster.kill(id);
    }
    let answered = || watch.seen().good.get(&stage.cluster.remoting(left)).copied();
    let before = answered();
    sleep(QUORUM_LOST).await;
    let (before, after) = (before.unwrap_or_default(), answered().unwrap_or_default());
    assert!(after >= before + 16, "the last replica answered {} times", after - before);
    survivors_agree(stage).await;
    stage.cluster.start_all().await;
}

/// Those that are up answer in the same bytes.
async fn survivors_agree(stage: &Stage) {
    let path = format!("/v1/routes/{TOPIC}?consistency=local");
    stage.cluster.same_everywhere(&path, |seen| seen.status == 200).await;
}

/// The consumers of both are different groups: each receives what both have sent.
async fn received(new: &Traffic, old: &Traffic) {
    until_within(Duration::from_secs(60), "both consumers received everything", || async {
        let (new, old) = (new.tally(), old.tally());
        let missing = |received: &std::collections::BTreeSet<String>| {
            let sent = new.sent.keys().chain(old.sent.keys());
            sent.filter(|body| !received.contains(*body)).count()
        };
        match (missing(&new.received), missing(&old.received)) {
            (0, 0) => Ok(()),
            some => Err(some),
        }
    })
    .await;
}

/// Waits until every name server shows exactly these brokers, in the same bytes.
async fn alike(servers: &[SocketAddr], expected: &routes::Brokers) {
    let asker = Asker::new();
    until(&format!("every route of {TOPIC} is {expected:?}"), || async {
        let mut seen = Vec::new();
        for server in servers {
            seen.push(asker.route(*server, TOPIC).await?);
        }
        let same = seen.windows(2).all(|pair| pair[0] == pair[1]);
        let shown = seen.remove(0).brokers();
        if same && shown == *expected { Ok(()) } else { Err(format!("same: {same}; {shown:?}")) }
    })
    .await;
}
