//! From a broker's kill -9 to the new route at a producer that waits for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use clap::Args;
use signpost_client::types::TopicConfig;
use signpost_client::{Client, RouteWatch, WatchOptions};
use tokio::time::{Instant, sleep, timeout};

use crate::Result;
use crate::cluster::{Cluster, SIGNPOST};
use crate::process::{Process, until};
use crate::report;

/// The topic that the producer sends to.
const TOPIC: &str = "wake";
/// Longer than any step takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the goal grants beside ttl and scans.
const MARGIN_MS: u64 = 50;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Lease of the brokers, in ms
    #[arg(long, default_value = "1000")]
    ttl_ms: u64,
    /// Between two scans, in ms
    #[arg(long, default_value = "100")]
    scan_ms: u64,
    /// Brokers killed
    #[arg(long, default_value = "20")]
    rounds: usize,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    let Options { ttl_ms, scan_ms, rounds } = *options;
    report::title(&format!(
        "wake: kill -9 of a broker → a waiting producer holds the route without it; ttl {ttl_ms} \
         ms, scans every {scan_ms} ms, {rounds} rounds"
    ));
    let (ttl, scan) = (format!("{ttl_ms}ms"), format!("{scan_ms}ms"));
    let timings = [("--lease-ttl", &*ttl), ("--scan-interval", &*scan), ("--first-scan", &*scan)];
    let mut cluster = Cluster::start(&timings).await?;
    cluster.leader().await?;
    let client = cluster.client()?;
    let watch = cluster.client()?.watch([TOPIC], WatchOptions::default())?;
    let (stays, victim) = (cluster.broker_port(), cluster.broker_port());
    let _stays = start_broker(&cluster, &client, "stays", stays).await?;
    holds(&watch, "stays", true).await?;

    let mut deaths = Vec::new();
    let mut births = Vec::new();
    for round in 0..rounds {
        let name = format!("victim-{round}");
        let mut broker = start_broker(&cluster, &client, &name, victim).await?;
        births.push(broker.since_route_acknowledged(&watch, &name).await?);
        // Deaths fall everywhere between two heartbeats, which are a quarter of a ttl apart.
        let phase = (round as f64 + 0.5) / rounds as f64;
        sleep(Duration::from_millis(ttl_ms).mul_f64(1.0 + phase / 4.0)).await;
        let killed = Instant::now();
        broker.process.kill();
        holds(&watch, &name, false).await?;
        deaths.push(killed.elapsed().as_secs_f64() * 1e3);
    }
    let at = |of: &[f64], share| report::percentile(of.iter().copied(), share);
    let three =
        |of: &[f64]| format!("{:.1}, {:.1}, {:.1} ms", at(of, 0.0), at(of, 0.5), at(of, 1.0));
    report::figure("a new broker acknowledged → its route held: min, p50, max", three(&births));
    report::figure("death → new route held: min, p50, max", three(&deaths));
    let bound_ms = ttl_ms + 2 * scan_ms + MARGIN_MS;
    report::at_most("death → new route held, max in ms", at(&deaths, 1.0), bound_ms as f64);
    Ok(())
}

struct Broker {
    process: Process,
    acknowledged: Instant,
}

impl Broker {
    /// How long after its acknowledgement, in ms, the producer held the route with it.
    async fn since_route_acknowledged(&self, watch: &RouteWatch, name: &str) -> Result<f64> {
        holds(watch, name, true).await?;
        Ok(self.acknowledged.elapsed().as_secs_f64() * 1e3)
    }
}

/// Starts a real broker and puts the topic on it.
async fn start_broker(
    cluster: &Cluster,
    client: &Client,
    name: &str,
    listen: SocketAddr,
) -> Result<Broker> {
    let listen = listen.to_string();
    let mut command = Command::new(SIGNPOST);
    command
        .args(["broker", "--exit-on-stdin-close", "--name", name, "--segment-size", "8MiB"])
        .args(["--namesrv", &cluster.namesrv(), "--listen", &listen, "--advertise", &listen])
        .arg("--data-dir")
        .arg(cluster.path(name));
    let mut process = Process::spawn(&mut command, &cluster.path(&format!("{name}.log")))?;
    let on_it = BTreeMap::from([(name.to_owned(), TopicConfig::default())]);
    // Refused until it is registered.
    let put = until(PATIENCE, || async { Ok(client.put_topic(TOPIC, on_it.clone()).await?) });
    let put = put.await;
    process.still_runs()?;
    put?;
    Ok(Broker { process, acknowledged: Instant::now() })
}

/// Waits until the producer's route has the broker, or has it no longer.
async fn holds(watch: &RouteWatch, name: &str, wanted: bool) -> Result<()> {
    let mut changes = watch.changes();
    let as_wanted = changes.wait_for(|table| {
        let route = table.routes.get(TOPIC).and_then(Option::as_ref);
        let has = route.is_some_and(|route| {
            route.broker_datas.iter().any(|broker| broker.broker_name == name)
        });
        has == wanted
    });
    timeout(PATIENCE, as_wanted).await.map_err(|_| "the route never changed")??;
    Ok(())
}
