//! The acts in which something dies: the leader, and a broker.

use std::sync::Arc;
use std::time::Duration;

use signpost_client::RouteTable;
use signpost_client::types::Route;
use signpost_producer::Producer;
use tokio::time::{Instant, sleep, timeout};

use super::story::{LOOK_INTERVAL, PATIENCE, Story, TOPIC};
use super::traffic;
use crate::failure::Failure;
use crate::local::plan::{BROKERS, REPLICAS};
use crate::probe;
use crate::units::{exact_duration, readable_duration};

/// How long traffic flows before and after a kill.
const BEFORE_KILL: Duration = Duration::from_millis(1000);
const AFTER_KILL: Duration = Duration::from_millis(2000);
/// What a busy machine may add to the time in which a silent broker is gone.
const EXPIRY_SLACK: Duration = Duration::from_secs(1);

impl Story<'_> {
    pub(super) async fn the_leader_dies(&mut self, producer: &Producer) -> Result<u64, Failure> {
        let (_, leader) = self.leader().await?;
        let plan = &self.cluster.plan;
        self.act(&format!("The leader, replica {leader}, is killed (-9) while all go on."));
        let sends = traffic::send(producer.clone(), TOPIC);
        let writes = traffic::write(self.cluster.client.clone());
        let survivors = REPLICAS.into_iter().filter(|id| *id != leader);
        let reads: Vec<_> =
            survivors.map(|id| (id, traffic::read(plan.http(id).to_string(), TOPIC))).collect();
        sleep(BEFORE_KILL).await;

        let killed_at = Instant::now();
        if let Some(process) = self.cluster.replicas.get_mut(&leader) {
            process.kill().await?;
        }
        let first = loop {
            if let Some(first) = writes.so_far().first_after(killed_at) {
                break first;
            }
            if killed_at.elapsed() > PATIENCE {
                return Err(Failure::failed("no write was acknowledged after the leader's death"));
            }
            sleep(LOOK_INTERVAL).await;
        };
        let (term, successor) = self.leader().await?;
        self.say(format_args!("Replica {successor} leads, in term {term}."));
        self.say(format_args!(
            "The first write after the kill was acknowledged {} after it.",
            readable_duration(first - killed_at)
        ));
        sleep(AFTER_KILL).await;

        let tally = sends.stop().await?.add_to(&mut self.messages);
        let longest = tally.latencies.longest().map_or("?".to_owned(), readable_duration);
        self.say(format_args!(
            "Messages meanwhile: {} sent; the slowest took {longest}.",
            tally.sent
        ));
        self.verdict.find(
            "sends go on while the leader dies",
            tally.failed + tally.unknown == 0 && tally.sent > 0,
            format!(
                "{} sent, {} failed, {} unknown; slowest {longest}",
                tally.sent, tally.failed, tally.unknown
            ),
        );
        let mut answered = 0;
        let mut failures = Vec::new();
        for (id, reads) in reads {
            let reads = reads.stop().await?;
            answered += reads.answered;
            if reads.failed > 0 {
                let why = reads.last_failure.unwrap_or_default();
                failures.push(format!("{} at replica {id} ({why})", reads.failed));
            }
        }
        let failed = if failures.is_empty() { "0".to_owned() } else { failures.join(", ") };
        self.verdict.find(
            "no local read at a survivor fails",
            failures.is_empty() && answered > 0,
            format!("{answered} answered, {failed} failed"),
        );
        let writes = writes.stop().await?;
        let lost = traffic::lost_writes(&self.cluster.client, &writes).await?;
        self.say(format_args!(
            "Writes to the name service: {} acknowledged, {} refused, {} of unknown outcome.",
            writes.acknowledged.len(),
            writes.failed,
            writes.unknown
        ));
        self.verdict.find(
            "no acknowledged write is lost",
            lost == 0 && !writes.acknowledged.is_empty(),
            format!(
                "{} acknowledged, {lost} lost; writes went on {} after the kill",
                writes.acknowledged.len(),
                readable_duration(first - killed_at)
            ),
        );
        Ok(leader)
    }

    pub(super) async fn the_dead_returns(&mut self, id: u64) -> Result<(), Failure> {
        self.act(&format!("Replica {id} is started again, on the disk that it left."));
        let begun = Instant::now();
        self.cluster.start_replica(id)?;
        self.cluster.until_ready(id, begun + PATIENCE).await?;
        let statuses = loop {
            let statuses = self.cluster.statuses().await;
            let mut known = statuses.values().flatten().map(|s| (s.applied, s.digest.clone()));
            let first = known.next();
            let all = statuses.values().flatten().count() == REPLICAS.len();
            if all && known.all(|other| Some(other) == first) {
                break statuses;
            }
            if begun.elapsed() > PATIENCE {
                // Different digests at the same index would be worst of all: say what is there.
                break statuses;
            }
            sleep(LOOK_INTERVAL).await;
        };
        let mut digests = Vec::new();
        for status in statuses.values().flatten() {
            let (node, applied, digest) = (status.node_id, status.applied, &status.digest);
            self.say(format_args!(
                "replica {node}: index {applied}, digest of the tables {digest}"
            ));
            digests.push((applied, digest.clone()));
        }
        digests.dedup();
        self.verdict.find(
            "a replica that returns holds the same tables",
            digests.len() == 1 && statuses.values().all(Option::is_some),
            format!("caught up {} after its start", readable_duration(begun.elapsed())),
        );
        Ok(())
    }

    pub(super) async fn a_broker_dies(&mut self, producer: &Producer) -> Result<(), Failure> {
        let victim = BROKERS[1];
        let (ttl, scan) = (self.cluster.plan.lease_ttl, self.cluster.plan.scan_interval);
        self.act(&format!("{victim} is killed (-9). Its lease of {} ends.", exact_duration(ttl)));
        let sends = traffic::send(producer.clone(), TOPIC);
        let watches = REPLICAS.map(|id| {
            let address = self.cluster.plan.http(id).to_string();
            (id, tokio::spawn(async move { gone_from(&address, victim).await }))
        });
        let mut routes = producer.routes();
        let heard = tokio::spawn(async move {
            let without = |table: &Arc<RouteTable>| {
                let route = table.routes.get(TOPIC).cloned().flatten();
                route
                    .is_some_and(|route| route.broker_datas.iter().all(|b| b.broker_name != victim))
            };
            routes.wait_for(without).await.map(|_| Instant::now()).ok()
        });
        sleep(BEFORE_KILL).await;
        let killed_at = Instant::now();
        if let Some(process) = self.cluster.brokers.get_mut(victim) {
            process.kill().await?;
        }
        let limit = ttl + 2 * scan + EXPIRY_SLACK;
        let mut last = Duration::ZERO;
        for (id, watch) in watches {
            let gone = timeout(limit + PATIENCE, watch).await;
            let gone = gone.map_err(|_| Failure::failed(format!("{victim} never expired")))?;
            let after = gone.map_err(Failure::failed)?.duration_since(killed_at);
            self.say(format_args!(
                "replica {id}: routes without it after {}",
                readable_duration(after)
            ));
            last = last.max(after);
        }
        let heard = timeout(PATIENCE, heard).await.ok().and_then(Result::ok).flatten();
        let told = heard.map(|at| at.duration_since(killed_at));
        match told {
            Some(after) => self.say(format_args!(
                "the producer, which waits for changes: after {}",
                readable_duration(after)
            )),
            None => self.say("the producer was not told"),
        }
        sleep(BEFORE_KILL / 2).await;
        let tally = sends.stop().await?.add_to(&mut self.messages);
        self.say(format_args!(
            "Messages meanwhile: {} sent, {} of them at the second attempt.",
            tally.sent, tally.retried
        ));
        self.verdict.find(
            "a silent broker is gone everywhere within its lease and two scans",
            last <= limit && told.is_some_and(|after| after <= limit),
            format!(
                "{} at the last replica, {} at the producer; lease {}, scan {}",
                readable_duration(last),
                told.map_or("never".to_owned(), readable_duration),
                exact_duration(ttl),
                exact_duration(scan)
            ),
        );
        self.verdict.find(
            "sends go on while a broker dies",
            tally.failed + tally.unknown == 0 && tally.sent > 0,
            format!("{} sent, {} failed, {} unknown", tally.sent, tally.failed, tally.unknown),
        );
        self.compare_routes("the changed route is the same everywhere").await
    }
}

/// The moment from which this replica's own route of the topic is without the broker.
async fn gone_from(replica: &str, broker: &str) -> Instant {
    let path = format!("/v1/routes/{TOPIC}?consistency=local");
    loop {
        if let Ok(answer) = probe::get(replica, &path, PATIENCE).await {
            let route: Result<Route, _> = serde_json::from_slice(&answer.body);
            let has_it =
                |route: &Route| route.broker_datas.iter().any(|data| data.broker_name == broker);
            if answer.status == 200 && route.is_ok_and(|route| !has_it(&route)) {
                return Instant::now();
            }
        }
        sleep(LOOK_INTERVAL).await;
    }
}
