//! A crowd of brokers that do nothing but keep their leases, each with a share of many topics.

use std::collections::BTreeMap;
use std::time::Duration;

use signpost_client::types::{Registration, TopicConfig};
use signpost_client::{BrokerIdentity, Client, LeaseKeeper, LeaseOptions};
use tokio::time::{Instant, sleep};

use super::names::Names;
use crate::error::Error;

/// How long all of them together may take to register, and to unregister.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(120);
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// Between two starts, so that they do not heartbeat in step.
const SPREAD: Duration = Duration::from_millis(3);

/// The crowd.
#[derive(Debug)]
pub struct Fleet {
    keepers: Vec<LeaseKeeper>,
}

impl Fleet {
    /// Registers `brokers` brokers with `topics` topics in all, and waits until all are registered.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn start(
        client: &Client,
        names: &Names,
        brokers: u64,
        topics: u64,
        lease_ttl: Duration,
    ) -> Result<Fleet, Error> {
        let mut keepers = Vec::new();
        for broker in 0..brokers {
            let name = format!("{}-fleet-{broker}", names.prefix());
            let config =
                TopicConfig { read_queue_nums: 4, write_queue_nums: 4, ..TopicConfig::default() };
            let own = (0..topics).filter(|topic| topic % brokers == broker);
            let topic = |topic| (format!("{}-fleet-topic-{topic}", names.prefix()), config.clone());
            let registration = Registration {
                address: format!("{name}.chaos:10911"),
                topics: own.map(topic).collect::<BTreeMap<_, _>>(),
                lease_ttl_ms: Some(lease_ttl.as_millis() as u64),
                ..Registration::default()
            };
            let identity = BrokerIdentity { cluster: names.cluster(), name, id: 0 };
            let options = LeaseOptions { incarnation: 1, takeover: false, seed: Some(broker) };
            keepers.push(LeaseKeeper::start(client.clone(), identity, registration, options));
            sleep(SPREAD).await;
        }
        let fleet = Fleet { keepers };
        let begun = Instant::now();
        while fleet.registered() < brokers {
            if begun.elapsed() > REGISTER_TIMEOUT {
                let done = fleet.registered();
                return Err(Error::new(format!("{done} of {brokers} brokers registered in time")));
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(fleet)
    }

    fn registered(&self) -> u64 {
        let live = self.keepers.iter().filter(|keeper| keeper.status().borrow().epoch.is_some());
        live.count() as u64
    }

    /// How often brokers had to register again because their lease had ended: never, if none was
    /// ended early.
    #[must_use]
    pub fn registered_again(&self) -> u64 {
        let again = |keeper: &LeaseKeeper| keeper.status().borrow().registrations.saturating_sub(1);
        self.keepers.iter().map(again).sum()
    }

    /// Unregisters all.
    pub async fn stop(self) {
        let stopping = self.keepers.into_iter().map(|keeper| keeper.stop(STOP_TIMEOUT));
        futures_util::future::join_all(stopping).await;
    }
}
