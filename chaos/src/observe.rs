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
use signpost_raft::machine::NodeId;
use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::ask;
use crate::checks::Violation;
use crate::error::Error;
use crate::run::{LAST_CALLS, Live, Run};
use crate::scenario::Scenario;
use crate::watch::Watch;
use crate::workload::client::{Client, Common, Replicas};
use crate::workload::names::Names;
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
const CLEANING: Duration = Duration::from_secs(30);
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
    let left = clean(&common, scenario.clients, request.seed).await;

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

/// Takes away whatever was made; answers what is still there.
async fn clean(common: &Common, clients: u64, seed: u64) -> Option<Violation> {
    let told = Told::new(usize::MAX);
    let chapters = Names::chapter(common.told.now());
    let common = Common { told: told.clone(), ..common.clone() };
    loop {
        sleep(STRAGGLERS).await;
        let mut cleaning = JoinSet::new();
        for id in 0..clients {
            let client = Client::new(id, seed, common.clone());
            cleaning.spawn(client.clean(chapters, CLEANING));
        }
        while cleaning.join_next().await.is_some() {}
        let left = left(&common).await;
        match left {
            Ok(left) if left.is_empty() => return None,
            _ if told.now() < CLEANING => {}
            Ok(left) => {
                let text = format!("these could not be taken away again: {}", left.join(", "));
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

/// All names that begin as ours do.
async fn left(common: &Common) -> Result<Vec<String>, String> {
    let replicas = common.replicas.replicas();
    let (_, address) = replicas.first().ok_or_else(|| "there are no replicas".to_owned())?;
    let names = &common.names;
    let mut left = Vec::new();
    for path in ["/v1/brokers", "/v1/topics", &format!("/v1/kv/{}", names.namespace())] {
        let (status, body) = ask::once(*address, path, GREETING).await?;
        let json: Value = match status {
            200 => serde_json::from_slice(&body).map_err(|error| error.to_string())?,
            404 => Value::Null,
            status => return Err(format!("{path} answered {status}")),
        };
        let brokers = json["brokers"].as_array().into_iter().flatten();
        let topics = json["topics"].as_array().into_iter().flatten();
        let named = brokers.filter_map(|one| one["name"].as_str());
        let named = named.chain(topics.filter_map(Value::as_str));
        left.extend(named.filter(|name| name.starts_with(names.prefix())).map(str::to_owned));
        let keys = json["values"].as_object().into_iter().flatten();
        left.extend(keys.map(|(key, _)| format!("{}/{key}", names.namespace())));
    }
    Ok(left)
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
