//! A run against a cluster that is there already: clients and checks, and nothing is broken. It writes
//! under names of its own, and takes all of them away again.
//!
//! What the replicas applied is not to be had from outside, so checks that replay it are not made, and
//! the run says so.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use signpost_namesrv::routes::command::{BrokerKey, RouteCommand, Unregister};
use signpost_raft::machine::NodeId;
use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::ask::{self, Caller, Reply};
use crate::checks::Violation;
use crate::error::Error;
use crate::history::Call;
use crate::run::{LAST_CALLS, Live, Run};
use crate::scenario::Scenario;
use crate::watch::Watch;
use crate::workload::client::{Client, Common, Replicas};
use crate::workload::names::Names;
use crate::workload::requests;
use crate::workload::told::Told;

/// Fewer brokers than the mass-expiry brake needs to trip, should this process die: they would fall
/// silent all at once.
const CLIENTS_MAX: u64 = 4;
/// A client makes no more calls than a busy operator's tools would.
const PAUSE_MS_MIN: u64 = 100;
/// So long that no lease ends because this process was slow.
const LEASE_TTL: Duration = Duration::from_secs(30);
/// How long a replica may take to say who it is.
const GREETING: Duration = Duration::from_secs(3);
/// How long taking everything away may take.
const CLEANING: Duration = Duration::from_secs(60);
/// A write that was given up may still arrive for so long.
const STRAGGLERS: Duration = Duration::from_secs(2);

/// What is to be observed, and how.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where its replicas serve HTTP: `http://host:port`, or `host:port`.
    pub urls: Vec<String>,
    /// For how long, and how many clients.
    pub scenario: Scenario,
    /// Names the clients' choices, and what they call things.
    pub seed: u64,
}

/// The replicas that were named.
struct Named(BTreeMap<NodeId, SocketAddr>);

impl Replicas for Named {
    fn replicas(&self) -> Vec<(NodeId, SocketAddr)> {
        self.0.iter().map(|(node, address)| (*node, *address)).collect()
    }
}

/// A scenario without anything that a cluster in use should not see.
#[must_use]
pub fn gentle(scenario: &Scenario) -> Scenario {
    Scenario {
        name: "observe".to_owned(),
        about: "a cluster that was there already: nothing is broken on purpose".to_owned(),
        clients: scenario.clients.min(CLIENTS_MAX),
        pause_ms: scenario.pause_ms.max(PAUSE_MS_MIN),
        lease_ttl_ms: LEASE_TTL.as_millis() as u64,
        silences_per_mille: 0,
        faults: vec!["none".to_owned()],
        brokers: 0,
        producers: 0,
        fleet_brokers: 0,
        fleet_topics: 0,
        soak: false,
        ..scenario.clone()
    }
}

/// Observes until time is up or it is stopped; then cleans up.
///
/// # Errors
/// When a replica cannot be reached, or they are not of one cluster. What it finds is no error.
pub async fn observe(
    request: Request,
    live: &watch::Sender<Option<Live>>,
    stop: CancellationToken,
) -> Result<Run, Error> {
    let scenario = gentle(&request.scenario);
    let named = Arc::new(find(&request.urls).await?);
    let replicas = named.0.len() as u64;
    let started = SystemTime::now();
    let told = Told::new(scenario.operations_max);
    let common = Common {
        replicas: Arc::clone(&named) as _,
        told: told.clone(),
        names: Names::new(format!("chaos-observe-{:x}", request.seed)),
        lease_ttl: scenario.lease_ttl(),
        silences_per_mille: scenario.silences_per_mille,
        pause_ms: scenario.pause_ms,
    };
    let watch = Watch::new(named as _, told.clone());
    live.send_replace(Some(Live { told: told.clone(), watch: watch.clone(), stage: None }));

    let watching = CancellationToken::new();
    let looks = tokio::spawn(watch.clone().run(watching.clone()));
    let working = CancellationToken::new();
    let mut work = JoinSet::new();
    for id in 0..scenario.clients {
        let client = Client::new(id, request.seed, common.clone());
        work.spawn(client.work(working.clone()));
    }
    let from = told.now();
    let mut ticks = interval(Duration::from_millis(200));
    while told.now() < from + scenario.duration() && !stop.is_cancelled() && !told.is_full() {
        ticks.tick().await;
    }
    let until = told.now();
    working.cancel();
    let _ = timeout(LAST_CALLS, async { while work.join_next().await.is_some() {} }).await;
    work.shutdown().await;
    watching.cancel();
    let _ = looks.await;
    let ended = told.now();
    // Before cleaning: that is no part of the history.
    let (operations, forgotten) = told.take();
    let left = clean(&common).await;

    Ok(Run {
        scenario: Scenario { replicas, ..scenario },
        seed: request.seed,
        started,
        network: format!("a running cluster: {}", request.urls.join(",")),
        left_out: Vec::new(),
        operations,
        forgotten,
        faults: Vec::new(),
        stood: watch.stood(),
        struck: (from, until),
        ended,
        journals: BTreeMap::new(),
        rests: Vec::new(),
        stored: BTreeMap::new(),
        used: Vec::new(),
        led: watch.led(),
        compared: watch.compared(),
        fleet_lost: 0,
        not_made: not_made(),
        violations: watch.violations(),
        doubts: left.into_iter().collect(),
    })
}

fn not_made() -> BTreeMap<&'static str, String> {
    let replay =
        "needs a replay of what the replicas applied, and their journals are not to be had";
    [
        ("agreement", replay),
        ("answers", replay),
        ("outcomes", replay),
        ("durability", replay),
        ("late", "how the cluster scans, and whether its brake holds, is not known"),
        ("convergence", "nothing was broken, so there was nothing to recover from"),
        ("sends", "nothing was sent: brokers in use get no messages"),
    ]
    .map(|(check, why)| (check, why.to_owned()))
    .into()
}

/// Finds out which replica is where.
async fn find(urls: &[String]) -> Result<Named, Error> {
    let (mut named, mut cluster) = (BTreeMap::new(), None);
    for url in urls {
        let refuse = |why: &dyn std::fmt::Display| Error::new(format!("{url}: {why}"));
        let host = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
        if host.contains("://") || host.contains('/') {
            return Err(refuse(&"give http://host:port, where a replica serves HTTP"));
        }
        let mut found = lookup_host(host).await.map_err(|error| refuse(&error))?;
        let address = found.next().ok_or_else(|| refuse(&"this name has no address"))?;
        let said = ask::status(address, GREETING).await.map_err(|why| refuse(&why))?;
        if said.cluster.is_none() || cluster.as_ref().is_some_and(|known| *known != said.cluster) {
            return Err(refuse(
                &"it belongs to no cluster, or to another one than those before it",
            ));
        }
        cluster = Some(said.cluster);
        if named.insert(said.node_id, address).is_some() {
            return Err(refuse(&format!("it is replica {}, named twice", said.node_id)));
        }
    }
    if named.is_empty() {
        return Err(Error::new("name at least one replica"));
    }
    Ok(Named(named))
}

/// Takes away whatever is there under our names; answers what would not go.
async fn clean(common: &Common) -> Option<Violation> {
    let begun = Instant::now();
    let mut caller = Caller::default();
    loop {
        sleep(STRAGGLERS).await;
        let left = left(common).await;
        match left {
            Ok(left) if left.is_empty() => return None,
            Ok(left) if begun.elapsed() < CLEANING => {
                for command in left {
                    take_away(common, &mut caller, command).await;
                }
            }
            Err(_) if begun.elapsed() < CLEANING => {}
            Ok(left) => {
                let text = format!("these could not be taken away again: {left:?}");
                return Some(Violation::new("cleaning", text));
            }
            Err(why) => {
                let prefix = common.names.prefix();
                let text = format!("whether anything named {prefix} is left is not known: {why}");
                return Some(Violation::new("cleaning", text));
            }
        }
    }
}

/// Asks the first replica that answers; whether it was done shows at the next look.
async fn take_away(common: &Common, caller: &mut Caller, command: RouteCommand) {
    let Some(ask) = requests::of(&Call::Write(command)) else { return };
    for (_, address) in common.replicas.replicas() {
        if matches!(caller.ask(address, &ask, GREETING).await, Reply::Answer { .. }) {
            return;
        }
    }
}

/// The writes that take away all that is there under our names.
async fn left(common: &Common) -> Result<Vec<RouteCommand>, String> {
    let names = &common.names;
    let mut left = Vec::new();
    for broker in names_in(common, "/v1/brokers", |json| texts(&json["brokers"], "name")).await? {
        let key = BrokerKey { cluster: names.cluster(), name: broker, id: 0 };
        let unregister = Unregister { key, claim: None, epoch: None };
        left.push(RouteCommand::Unregister(unregister));
    }
    for topic in names_in(common, "/v1/topics", |json| texts(&json["topics"], "")).await? {
        left.push(RouteCommand::DeleteTopic { topic, cluster: None });
    }
    let path = format!("/v1/kv/{}", names.namespace());
    let (status, json) = table(common, &path).await?;
    // A namespace without keys is none.
    if status != 404 {
        for (key, _) in json["values"].as_object().into_iter().flatten() {
            let (namespace, key) = (names.namespace(), key.clone());
            left.push(RouteCommand::DeleteKv { namespace, key, if_index: None });
        }
    }
    Ok(left)
}

/// All names in a table that begin as ours do.
async fn names_in(
    common: &Common,
    path: &str,
    names: impl Fn(&Value) -> Vec<String>,
) -> Result<Vec<String>, String> {
    let (status, json) = table(common, path).await?;
    if status != 200 {
        return Err(format!("{path} answered {status}"));
    }
    let prefix = format!("{}-", common.names.prefix());
    Ok(names(&json).into_iter().filter(|name| name.starts_with(&prefix)).collect())
}

/// The texts in a list, or under this name in each of its objects.
fn texts(list: &Value, under: &str) -> Vec<String> {
    let entries = list.as_array().into_iter().flatten();
    let texts =
        entries.filter_map(|one| if under.is_empty() { one.as_str() } else { one[under].as_str() });
    texts.map(str::to_owned).collect()
}

async fn table(common: &Common, path: &str) -> Result<(u16, Value), String> {
    let mut last = "there are no replicas".to_owned();
    for (_, address) in common.replicas.replicas() {
        match ask::once(address, path, GREETING).await {
            Ok((status @ (200 | 404), body)) => {
                let json = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
                return Ok((status, json));
            }
            Ok((status, _)) => last = format!("{path} answered {status}"),
            Err(why) => last = why,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_in_use_sees_few_and_steady_brokers() {
        let storms = Scenario::built_in("storms").expect("there is one").expect("it can be read");
        let gentle = gentle(&storms);
        assert_eq!((gentle.clients, gentle.silences_per_mille, gentle.producers), (4, 0, 0));
        assert_eq!(gentle.kinds(), Ok(Vec::new()));
        gentle.check().expect("it makes sense");
    }

    #[tokio::test]
    async fn what_is_no_replica_is_refused_by_name() {
        for url in ["https://x:1", "http://127.0.0.1:1", "127.0.0.1:1/v1"] {
            let refused = find(&[url.to_owned()]).await.err().expect("nobody is there");
            assert!(refused.to_string().starts_with(url), "{refused}");
        }
        assert!(find(&[]).await.is_err());
    }
}
