//! A stock broker that is killed leaves every replica's routes at once, for its connections break;
//! one that is frozen leaves when its lease has ended, and comes back; and what befalls a replica,
//! or the wire to it, takes nobody away.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::link::Link;
use crate::routes::{self, Asker, Route, Watch};
use crate::stage::Stage;
use crate::stock::Version;
use crate::stock::broker::{self, Broker};
use crate::support::cluster::Settings;
use crate::support::wait::until_within;

const TTL: Duration = Duration::from_secs(25);
const SCAN_INTERVAL: Duration = Duration::from_secs(1);
/// Brokers register this often.
const REPEAT: Duration = Duration::from_secs(10);
/// From the end of a broker's connections to its absence from every route.
const CLOSED_MAX: Duration = Duration::from_millis(1_500);
/// For one commit, and for a machine with much to do.
const COMMIT_MAX: Duration = Duration::from_secs(1);

#[tokio::test]
async fn dead_brokers_leave_and_live_ones_stay() {
    let settings = Settings { scan_interval: SCAN_INTERVAL, ..Settings::ttl(TTL) };
    let mut stage = Stage::start(settings).await;
    let dir = stage.home("brokers");
    let wire = Link::lay(stage.ports.take(), stage.cluster.remoting(3)).await;
    let direct = stage.cluster.remoting(3).to_string();
    let name_servers = stage.name_servers();
    let through_wire = name_servers.replace(&direct, &wire.address().to_string());
    let mut prepare = |version, name, name_servers| {
        let settings = stage.broker(version, name, 0);
        Broker::prepare(broker::Settings { name_servers, ..settings }, &mut stage.ports, &dir)
    };
    let mut killed = prepare(Version::Five, "killed", name_servers.clone());
    let mut frozen = prepare(Version::Four, "frozen", name_servers);
    let mut steady = prepare(Version::Five, "steady", through_wire);
    tokio::join!(killed.run(), frozen.run(), steady.run());
    let servers: Vec<SocketAddr> =
        stage.cluster.ids().into_iter().map(|id| stage.cluster.remoting(id)).collect();
    for broker in [&killed, &frozen, &steady] {
        shown(&servers, broker, COMMIT_MAX + REPEAT).await;
    }
    let steady_stays = Watch::start(&servers, "steady", &routes::of([&steady]));

    let at = Instant::now();
    killed.kill();
    gone(&servers, "killed", CLOSED_MAX).await;
    eprintln!("killed: gone at every replica after {:?}", at.elapsed());

    let at = Instant::now();
    frozen.pause().await;
    // Meanwhile followers end and return, and a replica is out of a live broker's reach.
    wire.cut();
    followers_come_and_go(&mut stage).await;
    gone(&servers, "frozen", TTL + 2 * SCAN_INTERVAL + COMMIT_MAX - at.elapsed()).await;
    let lasted = at.elapsed();
    // It had registered within the last ten seconds before.
    assert!(lasted >= TTL - REPEAT - COMMIT_MAX, "a lease ended early, after {lasted:?}");
    let at = Instant::now();
    frozen.resume();
    shown(&servers, &frozen, REPEAT + 2 * COMMIT_MAX).await;
    eprintln!("frozen: gone after {lasted:?}, back after {:?}", at.elapsed());

    wire.mend();
    let (leader, _) = stage.cluster.leader().await;
    restart(&mut stage, leader).await;
    stage.cluster.leader().await;
    steady_stays.stop().await;
}

/// One is killed and comes back, the other is stopped and comes back. The leader stays: another one
/// would begin every lease anew.
async fn followers_come_and_go(stage: &mut Stage) {
    let cluster = &mut stage.cluster;
    let (leader, _) = cluster.leader().await;
    let followers = cluster.others(leader);
    cluster.kill(followers[0]);
    cluster.start_replica(followers[0]).await;
    cluster.settled().await;
    restart(stage, followers[1]).await;
}

async fn restart(stage: &mut Stage, id: u64) {
    let status = stage.cluster.terminate(id).ended().await;
    assert!(status.success(), "replica {id}: {status}");
    stage.cluster.start_replica(id).await;
    stage.cluster.settled().await;
}

/// Waits until every name server shows the topic that has the broker's name.
async fn shown(servers: &[SocketAddr], broker: &Broker, within: Duration) {
    let (topic, expected) = (broker.broker_name(), routes::of([broker]));
    let asker = Asker::new();
    until_within(within, &format!("{topic} is in every route"), || async {
        for server in servers {
            let seen = asker.route(*server, topic).await?.brokers();
            if seen != expected {
                return Err(format!("{server}: {seen:?}"));
            }
        }
        Ok(())
    })
    .await;
}

/// Waits until no name server knows it.
async fn gone(servers: &[SocketAddr], topic: &str, within: Duration) {
    let asker = Asker::new();
    until_within(within, &format!("{topic} is in no route"), || async {
        for server in servers {
            match asker.route(*server, topic).await? {
                Route::Missing => {}
                Route::Found { brokers, .. } => return Err(format!("{server}: {brokers:?}")),
            }
        }
        Ok(())
    })
    .await;
}
