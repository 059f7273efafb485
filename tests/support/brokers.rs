//! Registrations as tests make them.

use std::collections::BTreeMap;
use std::time::Duration;

use signpost_client::types::{Registration, TopicConfig};
use signpost_client::{BrokerIdentity, Client, LeaseKeeper, LeaseOptions, LeaseStatus, ReadMode};
use tokio::time::{Instant, sleep_until, timeout};

use super::wait::PATIENCE;

/// The RocketMQ cluster of all test brokers.
pub(crate) const CLUSTER: &str = "C";

/// The master of this name.
pub(crate) fn identity(name: &str) -> BrokerIdentity {
    BrokerIdentity { cluster: CLUSTER.to_owned(), name: name.to_owned(), id: 0 }
}

/// The path of its registration.
pub(crate) fn path(name: &str) -> String {
    format!("/v1/brokers/{CLUSTER}/{name}/0")
}

/// A registration with these topics; the address follows from the name.
pub(crate) fn registration(name: &str, topics: &[&str]) -> Registration {
    let config = TopicConfig { read_queue_nums: 4, write_queue_nums: 4, ..TopicConfig::default() };
    let topics: BTreeMap<String, TopicConfig> =
        topics.iter().map(|topic| ((*topic).to_owned(), config.clone())).collect();
    Registration { address: format!("{name}.test:10911"), topics, ..Registration::default() }
}

/// The same as the `seq`th write of a process.
pub(crate) fn claimed(name: &str, topics: &[&str], incarnation: u64, seq: u64) -> Registration {
    Registration { incarnation: Some(incarnation), seq: Some(seq), ..registration(name, topics) }
}

/// A broker that keeps its registration alive, and is registered.
pub(crate) async fn keep(client: Client, name: &str, topics: &[&str]) -> LeaseKeeper {
    let options = LeaseOptions { incarnation: 1, takeover: false, seed: Some(1) };
    let keeper = LeaseKeeper::start(client, identity(name), registration(name, topics), options);
    status(&keeper, "it is registered", |status| status.epoch.is_some()).await;
    keeper
}

/// Waits until a keeper's status is as wished.
pub(crate) async fn status(
    keeper: &LeaseKeeper,
    what: &str,
    wished: impl FnMut(&LeaseStatus) -> bool,
) -> LeaseStatus {
    let mut status = keeper.status();
    if let Ok(Ok(reached)) = timeout(PATIENCE, status.wait_for(wished)).await {
        return reached.clone();
    }
    panic!("not within {PATIENCE:?}: {what}; it is {:?}", *status.borrow())
}

/// Waits until it has renewed `more` times from now on.
pub(crate) async fn renewed(keeper: &LeaseKeeper, more: u64) -> LeaseStatus {
    let goal = keeper.status().borrow().renewals + more;
    status(keeper, "it has renewed", |status| status.renewals >= goal).await
}

/// A time in milliseconds, as the contract has it.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("no test lasts that long")
}

/// Until then every linearizable list of brokers shows this registration.
///
/// # Panics
/// When one does not: `after` says what kept the lease.
pub(crate) async fn listed_until(
    client: &Client,
    name: &str,
    epoch: u64,
    until: Instant,
    after: &str,
) {
    let interval = until.saturating_duration_since(Instant::now()) / 8;
    loop {
        let asked = Instant::now();
        let listed = client.brokers(ReadMode::Linearizable).await.expect("a list").value;
        if Instant::now() >= until {
            // Too late to say; but the first read is soon enough, unless nothing runs.
            return;
        }
        let mine = listed.brokers.iter().find(|entry| entry.name == name);
        let held = mine.map(|entry| entry.epoch);
        let early = until - asked;
        assert_eq!(
            held,
            Some(epoch),
            "{name}: lost after {after}, {early:?} before its lease ends"
        );
        sleep_until(asked + interval).await;
    }
}
