//! What happens, in order. Each act says what it does, does it, and says what came of it. Here are
//! the good times; those that something dies in are in [`super::deaths`].

use std::fmt;
use std::time::Duration;

use signpost_client::types::{BrokerEntry, TopicConfig};
use signpost_producer::{Producer, ProducerConfig};
use tokio::time::{Instant, sleep};

use super::audit::Acknowledged;
use super::verdict::Verdict;
use super::{compare, traffic};
use crate::failure::Failure;
use crate::local::cluster::{LocalCluster, leader_of};
use crate::local::plan::{BROKERS, REPLICAS};
use crate::output;
use crate::probe;
use crate::units::{exact_duration, readable_duration};

/// Where the messages go.
pub(super) const TOPIC: &str = "orders";
/// Its queues on each broker.
const QUEUES: u32 = 4;
/// How long anything that should happen soon may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// Between two looks at something that is awaited.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// How long messages flow before anything happens.
const GOOD_TIMES: Duration = Duration::from_millis(1000);

/// A quiet time counts when no election came between; how often that is tried.
const QUIET_ATTEMPTS: u32 = 3;

/// The story and what it has found so far.
pub(super) struct Story<'a> {
    pub(super) cluster: &'a mut LocalCluster,
    begun: Instant,
    pub(super) verdict: &'a mut Verdict,
    pub(super) messages: Acknowledged,
}

impl<'a> Story<'a> {
    /// Before its beginning.
    pub(super) fn new(
        cluster: &'a mut LocalCluster,
        begun: Instant,
        verdict: &'a mut Verdict,
    ) -> Self {
        Self { cluster, begun, verdict, messages: Acknowledged::new() }
    }

    /// Plays it to its end; answers which messages were acknowledged.
    ///
    /// # Errors
    /// When something happens that it cannot go on with.
    pub(super) async fn play(&mut self) -> Result<Acknowledged, Failure> {
        self.brokers_register_once().await?;
        let producer = self.a_producer_sends().await?;
        let killed = self.the_leader_dies(&producer).await?;
        self.the_dead_returns(killed).await?;
        self.a_broker_dies(&producer).await?;
        producer.close().await;
        Ok(std::mem::take(&mut self.messages))
    }

    pub(super) fn act(&self, title: &str) {
        output::line(format!("\n{:>5.1} s  {title}", self.begun.elapsed().as_secs_f64()));
    }

    pub(super) fn say(&self, what: impl fmt::Display) {
        output::line(format!("   {what}"));
    }

    async fn brokers_register_once(&mut self) -> Result<(), Failure> {
        let ttl = self.cluster.plan.lease_ttl;
        self.cluster.start_replicas().await?;
        for id in REPLICAS {
            let pid = self.cluster.replicas.get(&id).map_or(0, |process| process.pid());
            self.say(format_args!(
                "replica {id}: process {pid}, http://{}",
                self.cluster.plan.http(id)
            ));
        }
        let (_, leader) = self.leader().await?;
        self.say(format_args!("They have founded their cluster; replica {leader} leads."));

        self.act("Two brokers register, once.");
        self.cluster.start_brokers().await?;
        let epochs = |brokers: &[BrokerEntry]| {
            brokers.iter().map(|broker| (broker.name.clone(), broker.epoch)).collect::<Vec<_>>()
        };
        let registered = self.registered().await?;
        for broker in &registered {
            let (name, address, epoch) = (&broker.name, &broker.address, broker.epoch);
            self.say(format_args!("{name} at {address}: registered by log entry {epoch}."));
        }
        let quiet = ttl.mul_f64(1.5);
        let (before, after) = self.quiet_time(quiet).await?;
        let alive = epochs(&self.registered().await?) == epochs(&registered);
        let live_on = if alive { "both registrations live on" } else { "a registration is gone" };
        self.say(format_args!("The log stands at {after}; {live_on}."));
        self.verdict.find(
            "heartbeats renew leases and write nothing to the log",
            before == after && alive,
            format!("log index {before} before, {after} after {}", readable_duration(quiet)),
        );
        Ok(())
    }

    /// The leader's applied index before and after a time without anything but heartbeats.
    async fn quiet_time(&self, quiet: Duration) -> Result<(u64, u64), Failure> {
        for _ in 0..QUIET_ATTEMPTS {
            let (term, before) = self.leader_index().await?;
            self.say(format_args!(
                "The log stands at {before}. Their leases last {}; now only heartbeats for {}.",
                exact_duration(self.cluster.plan.lease_ttl),
                readable_duration(quiet)
            ));
            sleep(quiet).await;
            let (later_term, after) = self.leader_index().await?;
            if term == later_term {
                return Ok((before, after));
            }
            // A term begins with an entry of its own, which no heartbeat has written.
            self.say("An election came between; once more.");
        }
        Err(Failure::failed("leadership does not stay: this machine is too busy to show anything"))
    }

    async fn a_producer_sends(&mut self) -> Result<Producer, Failure> {
        self.act("A topic is created on both brokers, and a producer sends to it.");
        let config =
            TopicConfig { read_queue_nums: QUEUES, write_queue_nums: QUEUES, ..Default::default() };
        let brokers = BROKERS.map(|name| (name.to_owned(), config.clone())).into();
        let created = self.cluster.client.put_topic(TOPIC, brokers).await?.value;
        self.say(format_args!("{TOPIC} is created by log entry {}.", created.index));
        let config = ProducerConfig { group: "signpost-demo".into(), ..ProducerConfig::default() };
        let producer = Producer::start(&self.cluster.client, config).map_err(Failure::failed)?;
        let sends = traffic::send(producer.clone(), TOPIC);
        sleep(GOOD_TIMES).await;
        let sends = sends.stop().await?;
        let brokers = sends.acknowledged.len();
        let tally = sends.add_to(&mut self.messages);
        self.say(format_args!("{} messages are sent, to {brokers} brokers.", tally.sent));
        self.verdict.find(
            "no send fails while all is well",
            tally.failed + tally.unknown == 0 && brokers == BROKERS.len(),
            format!("{} sent, {} failed, {} unknown", tally.sent, tally.failed, tally.unknown),
        );
        self.compare_routes("all replicas answer the route with the same bytes").await?;
        Ok(producer)
    }

    pub(super) async fn compare_routes(&mut self, promise: &'static str) -> Result<(), Failure> {
        let routes = compare::routes(&self.cluster.plan, TOPIC).await?;
        for (id, answer) in &routes.answers {
            let modified = answer.modified.map_or("?".to_owned(), |index| index.to_string());
            let bytes = answer.body.len();
            self.say(format_args!(
                "replica {id}: {bytes} bytes at index {}, changed last at {modified}",
                routes.index
            ));
        }
        let figures = format!("three replicas, asked one by one at index {}", routes.index);
        self.verdict.find(promise, routes.are_equal(), figures);
        Ok(())
    }

    /// Term and number of the leader, as soon as there is one.
    pub(super) async fn leader(&self) -> Result<(u64, u64), Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = leader_of(&self.cluster.statuses().await) {
                return Ok(found);
            }
            if Instant::now() > deadline {
                return Err(Failure::failed("no replica leads"));
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Term and applied index at the leader.
    async fn leader_index(&self) -> Result<(u64, u64), Failure> {
        let (term, leader) = self.leader().await?;
        let address = self.cluster.plan.http(leader).to_string();
        let status = probe::status(&address, PATIENCE).await.map_err(Failure::failed)?;
        Ok((term, status.applied))
    }

    async fn registered(&self) -> Result<Vec<BrokerEntry>, Failure> {
        let brokers = self.cluster.registered().await;
        brokers.ok_or_else(|| Failure::failed("no replica says which brokers are registered"))
    }
}
