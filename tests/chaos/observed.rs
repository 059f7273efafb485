//! `--observe`: a cluster that was there already is worked on and judged, and keeps nothing of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use signpost_chaos::ask;
use signpost_chaos::cluster::Cluster;
use signpost_chaos::cluster::layout::Settings;
use signpost_chaos::judge::judge;
use signpost_chaos::network::Kind;
use signpost_chaos::observe::{Request, observe};
use signpost_chaos::scenario::Scenario;
use signpost_chaos::verdict::Verdict;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// For how long it is worked on.
const DURATION_S: u64 = 5;
/// Calls that are made at least.
const OPERATIONS_MIN: usize = 50;

/// Observes a cluster of its own; answers what is wrong.
pub(crate) async fn nothing_is_left_behind(program: PathBuf) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let settings = Settings {
        program,
        dir: dir.path().to_owned(),
        replicas: 3,
        brokers: 0,
        network: Kind::Proxies,
        small_disks: false,
        lease_ttl: Duration::from_secs(10),
        scan_interval: Duration::from_millis(500),
        options: BTreeMap::new(),
    };
    let cluster = Cluster::prepare(settings, false).await.map_err(|error| error.to_string())?;
    let judged = work_and_look(&cluster).await;
    cluster.stop().await;
    judged
}

async fn work_and_look(cluster: &Cluster) -> Result<(), String> {
    cluster.start().await.map_err(|error| error.to_string())?;
    let nodes = cluster.nodes();
    let urls = nodes.iter().map(|node| format!("http://{}", cluster.http(*node))).collect();
    let scenario = Scenario { duration_s: DURATION_S, ..Scenario::default() };
    let (live, _seen) = watch::channel(None);
    let request = Request { urls, scenario, seed: 1 };
    let observed = observe(request, &live, CancellationToken::new()).await;
    let mut run = observed.map_err(|error| error.to_string())?;
    let judgement = judge(&mut run);
    if judgement.verdict != Verdict::Pass {
        return Err(format!("{:?} {:?}", judgement.violations, judgement.doubts));
    }
    let operations = run.operations.len();
    if operations < OPERATIONS_MIN {
        return Err(format!("{operations} operations of at least {OPERATIONS_MIN}"));
    }
    for claim in &judgement.claims {
        let judged: u64 = claim.judged.values().sum();
        let told = match claim.number.as_str() {
            // Those that need a journal, or a fault.
            "4" | "5" | "8" | "10" | "–" => claim.not_made.is_some(),
            _ => claim.not_made.is_none() && judged > 0,
        };
        if !told {
            return Err(format!("claim {}: {claim:?}", claim.number));
        }
    }
    for path in ["/v1/brokers", "/v1/topics", "/v1/clusters"] {
        let (_, body) = ask::once(cluster.http(nodes[0]), path, Duration::from_secs(5)).await?;
        let body = String::from_utf8_lossy(&body);
        if body.contains("chaos-observe") {
            return Err(format!("{path} still has {body}"));
        }
    }
    println!("observed: {operations} operations, nothing left behind");
    Ok(())
}
