//! Hundreds of brokers that register at once, as they all do after a failover.

use std::collections::BTreeMap;
use std::time::Duration;

use signpost_namesrv::routes::command::{BrokerKey, Claim, QueueConfig, RouteCommand, Unregister};
use signpost_raft::machine::Index;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client::{Common, registration};
use super::requests;
use crate::ask::Caller;
use crate::history::{Call, Operation, Outcome};
use crate::random::Random;

/// How long a replica may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longer than any storm: these brokers send no heartbeats, and unregister.
const LEASE_TTL: Duration = Duration::from_secs(120);
/// Clients of other kinds have lower numbers.
const FIRST_BROKER: u64 = 2_000_000;

/// What a storm came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Storm {
    /// Brokers that registered in time.
    pub registered: u64,
    /// From the beginning to the last of their registrations.
    pub took: Duration,
}

/// Registers `count` brokers at once, and unregisters them when all are done, or have given up after
/// `within`. The `number` of the storm tells its brokers from those of others.
pub async fn rage(common: &Common, number: u64, count: u64, within: Duration) -> Storm {
    let deadline = common.told.now() + within;
    let began = common.told.now();
    let mut registering = JoinSet::new();
    for broker in 0..count {
        registering.spawn(Broker::new(common.clone(), number, broker).register(deadline));
    }
    let mut storm = Storm::default();
    let mut registered = Vec::new();
    while let Some(joined) = registering.join_next().await {
        if let Ok((broker, Some(at))) = joined {
            storm.registered += 1;
            storm.took = storm.took.max(at - began);
            registered.push(broker);
        }
    }
    let deadline = common.told.now() + within;
    let mut leaving: JoinSet<()> =
        registered.into_iter().map(|broker| broker.unregister(deadline)).collect();
    while leaving.join_next().await.is_some() {}
    storm
}

struct Broker {
    client: u64,
    common: Common,
    random: Random,
    caller: Caller,
    key: BrokerKey,
    claim: Claim,
    epoch: Option<Index>,
}

impl Broker {
    fn new(common: Common, number: u64, broker: u64) -> Broker {
        let client = FIRST_BROKER + number * 10_000 + broker;
        let names = &common.names;
        let name = format!("{}-storm-{number}-{broker}", names.prefix());
        let key = BrokerKey { cluster: names.cluster(), name, id: 0 };
        let (random, caller) = (Random::fork(client, 1), Caller::default());
        let claim = Claim { incarnation: 1, seq: 1 };
        Broker { client, common, random, caller, key, claim, epoch: None }
    }

    async fn register(mut self, deadline: Duration) -> (Broker, Option<Duration>) {
        let queues =
            QueueConfig { read_queues: 4, write_queues: 4, perm: 6, sys_flag: 0, order: false };
        let topic = format!("{}-storm", self.common.names.prefix());
        let topics = BTreeMap::from([(topic, queues)]);
        let register = registration(self.key.clone(), self.claim, LEASE_TTL, topics);
        let done = self.insist(RouteCommand::Register(register), deadline).await;
        (self, done)
    }

    async fn unregister(mut self, deadline: Duration) {
        let claim = Some(Claim { seq: self.claim.seq + 1, ..self.claim });
        let unregister = Unregister { key: self.key.clone(), claim, epoch: self.epoch };
        self.insist(RouteCommand::Unregister(unregister), deadline).await;
    }

    /// Tries again and again, with growing pauses; answers when it was done.
    async fn insist(&mut self, command: RouteCommand, deadline: Duration) -> Option<Duration> {
        let call = Call::Write(command);
        let ask = requests::of(&call)?;
        for attempt in 1_u64.. {
            let began = self.common.told.now();
            let replicas = self.common.replicas.replicas();
            if began >= deadline || replicas.is_empty() {
                return None;
            }
            let (replica, address) = *self.random.pick(&replicas);
            let outcome = requests::outcome(&call, self.caller.ask(address, &ask, PATIENCE).await);
            let ended = self.common.told.now();
            let answer = match &outcome {
                Outcome::Answered(answer) => Some(answer.epoch),
                Outcome::Refused(_) | Outcome::Unknown(_) => None,
            };
            let (client, call) = (self.client, call.clone());
            self.common.told.add(Operation { client, replica, began, ended, call, outcome });
            if let Some(epoch) = answer {
                self.epoch = epoch;
                return Some(ended);
            }
            sleep(self.random.millis(10, 60 * attempt.min(10))).await;
        }
        None
    }
}
