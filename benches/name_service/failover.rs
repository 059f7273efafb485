//! kill -9 of the leader → the first acknowledged write of a client that does not know the leader.
//! Meanwhile others write, and read locally at the survivors: nothing acknowledged may be lost, and
//! no local read may fail.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use signpost_client::{Client, ReadMode};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::Result;
use crate::cluster::Cluster;
use crate::fixture;
use crate::http::{Connection, request};
use crate::report;

/// Election timeouts by default, in ms, which the goals follow from.
const ELECTION_MS: (f64, f64) = (150.0, 250.0);
/// Clients that write all the time.
const WRITERS: usize = 4;
/// How long they write before the leader is killed.
const LEAD_IN: Duration = Duration::from_millis(150);
/// Between two writes of one of them, and two reads of one reader.
const PAUSE: Duration = Duration::from_millis(2);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Leaders killed
    #[arg(long, default_value = "20")]
    rounds: usize,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    let rounds = options.rounds;
    report::title(&format!(
        "failover: kill -9 of the leader → first acknowledged write; election timeouts {} to {} \
         ms, {rounds} rounds",
        ELECTION_MS.0, ELECTION_MS.1
    ));
    let mut cluster = Cluster::start(&[]).await?;
    let (leader, _) = cluster.leader().await?;
    fixture::register(cluster.http(leader), 2, 10).await?;
    let mut outages_ms = Vec::new();
    let mut acknowledged = Vec::new();
    let (mut reads, mut failed_reads, mut elections) = (0, 0, 0);
    for round in 0..rounds {
        let shown = kill_one_leader(&mut cluster, round).await?;
        outages_ms.push(shown.outage.as_secs_f64() * 1e3);
        reads += shown.reads.0;
        failed_reads += shown.reads.1;
        elections += shown.terms;
        acknowledged.push(shown.acknowledged);
    }

    let mut lost = 0;
    let client = cluster.client()?;
    for (round, keys) in acknowledged.iter().enumerate() {
        lost += missing(&client, round, keys).await?;
    }
    let writes: usize = acknowledged.iter().map(BTreeSet::len).sum();
    let at = |share| report::percentile(outages_ms.iter().copied(), share);
    report::figure(
        "p50, p90, p99, max",
        format!("{:.0}, {:.0}, {:.0}, {:.0} ms", at(0.5), at(0.9), at(0.99), at(1.0)),
    );
    report::figure("terms for each kill", format!("{:.2}", elections as f64 / rounds as f64));
    let (min, max) = ELECTION_MS;
    report::at_most("p50, ms", at(0.5), 1.5 * max + min / 2.0 + 50.0);
    report::at_most("p99, ms", at(0.99), 2.0 * max + 100.0);
    report::figure("acknowledged writes, lost of them", format!("{writes}, {lost}"));
    report::figure("local reads at survivors, failed", format!("{reads}, {failed_reads}"));
    match (lost, failed_reads) {
        (0, 0) => Ok(()),
        _ => Err(format!("{lost} acknowledged writes lost, {failed_reads} reads failed").into()),
    }
}

/// What one kill has shown.
struct Shown {
    outage: Duration,
    acknowledged: BTreeSet<String>,
    /// Local reads at the survivors, and how many failed.
    reads: (u64, u64),
    /// Terms that it took.
    terms: u64,
}

async fn kill_one_leader(cluster: &mut Cluster, round: usize) -> Result<Shown> {
    let (leader, term) = cluster.leader().await?;
    let survivors: Vec<u64> = cluster.ids().into_iter().filter(|id| *id != leader).collect();
    let stop = CancellationToken::new();
    let mut readers = JoinSet::new();
    for id in &survivors {
        readers.spawn(read_until(cluster.http(*id), stop.clone()));
    }
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write_until(cluster.client()?, round, writer, stop.clone()));
    }
    sleep(LEAD_IN).await;
    let newcomer = cluster.client()?;
    let killed = Instant::now();
    cluster.kill(leader);
    let first = first_write(&newcomer, round).await?;
    let outage = killed.elapsed();
    stop.cancel();
    let mut acknowledged = BTreeSet::from([first]);
    for keys in writers.join_all().await {
        acknowledged.extend(keys);
    }
    let mut reads = (0, 0);
    for (all, failed) in readers.join_all().await {
        reads = (reads.0 + all, reads.1 + failed);
    }
    let (_, term_after) = cluster.leader().await?;
    cluster.launch(leader)?;
    cluster.ready(leader).await?;
    cluster.settled().await?;
    Ok(Shown { outage, acknowledged, reads, terms: term_after - term })
}

fn namespace(round: usize) -> String {
    format!("failover-{round}")
}

/// Writes until one is acknowledged; its key.
async fn first_write(client: &Client, round: usize) -> Result<String> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut last = None;
    for turn in 0.. {
        let key = format!("first-{turn}");
        match client.put_kv(&namespace(round), &key, "1", None).await {
            Ok(_) => return Ok(key),
            Err(error) => last = Some(error),
        }
        if Instant::now() > deadline {
            break;
        }
    }
    Err(format!("no write for 30 s: {last:?}").into())
}

/// Writes until told to stop; the keys that were acknowledged.
async fn write_until(
    client: Client,
    round: usize,
    writer: usize,
    stop: CancellationToken,
) -> BTreeSet<String> {
    let mut acknowledged = BTreeSet::new();
    for turn in 0.. {
        if stop.is_cancelled() {
            break;
        }
        let key = format!("w{writer}-{turn}");
        // Failed and unknown ones promise nothing.
        if client.put_kv(&namespace(round), &key, "1", None).await.is_ok() {
            acknowledged.insert(key);
        }
        sleep(PAUSE).await;
    }
    acknowledged
}

/// Reads a route locally until told to stop; how often, and how often in vain.
async fn read_until(address: SocketAddr, stop: CancellationToken) -> (u64, u64) {
    let get = request("GET", &format!("/v1/routes/{}?consistency=local", fixture::topic(0)), &[]);
    let (mut reads, mut failed) = (0, 0);
    let mut connection = None;
    while !stop.is_cancelled() {
        reads += 1;
        if read_once(&mut connection, address, &get).await.is_err() {
            failed += 1;
            connection = None;
        }
        sleep(PAUSE).await;
    }
    (reads, failed)
}

async fn read_once(
    kept: &mut Option<Connection>,
    address: SocketAddr,
    get: &[u8],
) -> std::io::Result<()> {
    let connection = match kept {
        Some(connection) => connection,
        None => kept.insert(Connection::open(address).await?),
    };
    connection.ask(get).await?.expect_success()
}

/// How many of these keys a linearizable read does not show.
async fn missing(client: &Client, round: usize, keys: &BTreeSet<String>) -> Result<usize> {
    let answer = client.kv_namespace(&namespace(round), ReadMode::Linearizable).await?;
    let there = answer.value.map(|namespace| namespace.values).unwrap_or_default();
    Ok(keys.iter().filter(|key| !there.contains_key(*key)).count())
}
