//! This project's own client against this door: both sides of the contract in one place.

use std::collections::BTreeMap;
use std::time::Duration;

use signpost_client::types::{Conflict, Heartbeat, Patch, Registration, TopicConfig};
use signpost_client::{
    BrokerIdentity, Claim, Client, Consistency, Options, ReadMode, WatchOptions,
};
use signpost_namesrv::http::{ServeLimits, nodelay, serve};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::door::{Door, TOKEN};

const DEADLINE: Duration = Duration::from_secs(20);

async fn connected() -> (Door, Client, DropGuard) {
    let door = Door::open();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let stop = CancellationToken::new();
    let router = door.router.clone();
    tokio::spawn(serve(nodelay(listener), router, ServeLimits::default(), stop.clone()));
    let options = Options { admin_token: Some(TOKEN.into()), ..Options::default() };
    let client = Client::new([format!("http://{address}")], options).expect("an address");
    (door, client, stop.drop_guard())
}

fn broker() -> BrokerIdentity {
    BrokerIdentity { cluster: "C".into(), name: "broker-a".into(), id: 0 }
}

fn registration(seq: u64, topics: &[&str]) -> Registration {
    let topics = topics.iter().map(|topic| ((*topic).to_owned(), TopicConfig::default()));
    Registration {
        incarnation: Some(7),
        seq: Some(seq),
        address: "a:10911".into(),
        topics: topics.collect(),
        ..Registration::default()
    }
}

#[tokio::test]
async fn a_brokers_life() {
    let (door, client, _stop) = connected().await;
    let registered = client.register(&broker(), &registration(1, &["%RETRY%g"]), false).await;
    let epoch = registered.expect("registered").value.epoch;
    let beat = Heartbeat { incarnation: Some(7), epoch };
    assert_eq!(client.heartbeat(&broker(), beat).await.expect("renewed").value.epoch, epoch);
    let topics = BTreeMap::from([("A|b".to_owned(), Some(TopicConfig::default()))]);
    let patch = Patch { incarnation: 7, epoch, seq: 2, data_version: None, topics };
    client.patch_topics(&broker(), &patch).await.expect("patched");
    for mode in
        [ReadMode::Linearizable, ReadMode::Local, ReadMode::AtLeast(epoch), ReadMode::AnyLocal]
    {
        let route = client.route("A|b", mode).await.expect("read");
        assert_eq!(route.value.expect("exists").broker_datas[0].master(), Some("a:10911"));
        let local = mode != ReadMode::Linearizable;
        let expected = if local { Consistency::Local } else { Consistency::Linearizable };
        assert_eq!(route.freshness.consistency, Some(expected));
        assert_eq!(route.freshness.index, door.log.last_index());
    }
    let both = client.routes(["%RETRY%g", "Never"], ReadMode::Local).await.expect("read").value;
    assert!(both.routes["%RETRY%g"].is_some() && both.routes["Never"].is_none());
    assert_eq!(client.brokers(ReadMode::Local).await.expect("read").value.brokers.len(), 1);
    let stale = client.register(&broker(), &registration(1, &["Z"]), false).await;
    assert_eq!(stale.expect_err("stale").conflict(), Some(Conflict::Stale));
    let wiped = client.set_write_permission("C", "broker-a", false).await.expect("wiped");
    assert_eq!(wiped.value.changed_topics, 2);
    let claim = Claim { incarnation: 7, seq: 3 };
    client.unregister(&broker(), Some(claim), Some(epoch)).await.expect("gone");
    let expired = client.heartbeat(&broker(), beat).await.expect_err("gone");
    assert_eq!(expired.status(), Some(410));
    assert!(client.route("A|b", ReadMode::Linearizable).await.expect("read").value.is_none());
}

#[tokio::test]
async fn kv_topics_and_operation() {
    let (_door, client, _stop) = connected().await;
    client.register(&broker(), &registration(1, &[]), false).await.expect("registered");
    let brokers = BTreeMap::from([("broker-a".to_owned(), TopicConfig::default())]);
    client.put_topic("New", brokers).await.expect("made");
    assert_eq!(client.topics(ReadMode::Local).await.expect("read").value.topics, ["New"]);
    client.delete_topic("New").await.expect("deleted");
    let made = client.put_kv("a/b", "k 1", "v", Some(0)).await.expect("made").value.index;
    let kv = client.kv("a/b", "k 1", ReadMode::Local).await.expect("read").value;
    assert_eq!(kv.map(|kv| kv.modified), Some(made));
    let refused = client.put_kv("a/b", "k 1", "w", Some(0)).await.expect_err("it exists");
    assert_eq!(refused.status(), Some(412));
    client.delete_kv("a/b", "k 1", Some(made)).await.expect("deleted");
    assert!(client.kv("a/b", "k 1", ReadMode::Local).await.expect("read").value.is_none());
    assert_eq!(client.cluster_status().await.expect("status").value.members.len(), 3);
    client.add_member(4, "peer-4:7876").await.expect("added");
    client.promote_member(4).await.expect("promoted");
    client.remove_member(4).await.expect("removed");
    client.snapshot().await.expect("saved");
    assert!(client.alarms().await.expect("alarms").value.alarms.is_empty());
    let none = client.release_alarm("mass-expiry").await.expect_err("none stands");
    assert_eq!(none.status(), Some(404));
    assert!(client.ready(true).await.expect("answers").value.ok);
    client.transfer_leadership(2).await.expect("handed over");
}

#[tokio::test]
async fn a_watch_learns_of_a_change_at_once() {
    let (_door, client, _stop) = connected().await;
    client.register(&broker(), &registration(1, &["A"]), false).await.expect("registered");
    let watch = client.watch(["A", "Later"], WatchOptions::default()).expect("few topics");
    let mut changes = watch.changes();
    let known = |topic: &'static str| {
        move |table: &std::sync::Arc<signpost_client::RouteTable>| {
            table.routes.get(topic).is_some_and(Option::is_some)
        }
    };
    timeout(DEADLINE, changes.wait_for(known("A"))).await.expect("in time").expect("watching");
    let brokers = BTreeMap::from([("broker-a".to_owned(), TopicConfig::default())]);
    client.put_topic("Later", brokers).await.expect("made");
    timeout(DEADLINE, changes.wait_for(known("Later"))).await.expect("in time").expect("watching");
}
