//! Writes, acknowledged when a quorum of three processes has them on disk, beside etcd's.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::Result;
use crate::cluster::Cluster;
use crate::etcd::Etcd;
use crate::fixture;
use crate::grpc::EtcdPut;
use crate::load::{Caller, Callers, Load, Put};
use crate::report::{self, Rounds};

/// Keys of each caller.
const KEYS: u64 = 1000;
/// The lanes warm up for this long.
const WARM_UP: Duration = Duration::from_secs(1);
/// Topics of each broker that registers.
const TOPICS: usize = 2;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Clients, each with a connection of its own
    #[arg(long, default_value = "16")]
    clients: usize,
    /// Bytes of each value
    #[arg(long, default_value = "64")]
    value_bytes: usize,
    /// Seconds of each lane in each round
    #[arg(long, default_value = "4.0")]
    seconds: f64,
    /// Interleaved rounds
    #[arg(long, default_value = "5")]
    rounds: usize,
    /// Clients spread over all three processes, instead of calling the leader
    #[arg(long)]
    spread: bool,
    /// etcd's program
    #[arg(long, default_value = "etcd")]
    etcd: PathBuf,
}

/// What one lane has shown in one round.
struct Shown {
    rate: f64,
    cpu_us: f64,
    p99_ms: f64,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    let at = if options.spread { "spread over all three" } else { "at the leader" };
    report::title(&format!(
        "writes: {} clients {at}, values of {} bytes",
        options.clients, options.value_bytes
    ));
    let cluster = Cluster::start(&[]).await?;
    let (leader, term) = cluster.leader().await?;
    let ours: Vec<SocketAddr> = match options.spread {
        true => cluster.ids().into_iter().map(|id| cluster.http(id)).collect(),
        false => vec![cluster.http(leader)],
    };
    let value = "v".repeat(options.value_bytes);
    let mut kv = Vec::new();
    let mut registering = Vec::new();
    for client in 0..options.clients {
        let address = ours[client % ours.len()];
        let body = json!({ "value": value }).to_string().into_bytes();
        kv.push(Put::at(address, kv_put(client, body)).await?);
        registering.push(Put::at(address, change(client)).await?);
    }
    let mut kv = Callers::new(kv);
    let mut registering = Callers::new(registering);
    let etcd = Etcd::start(&options.etcd).await?;
    let mut puts = Vec::new();
    if let Some(etcd) = &etcd {
        let theirs = if options.spread { etcd.addresses() } else { vec![etcd.leader().await?] };
        for client in 0..options.clients {
            puts.push(EtcdPut::at(theirs[client % theirs.len()], put(client, &value)).await?);
        }
    } else {
        report::figure("etcd", "SKIPPED, no such program: apt-get install etcd-server");
    }
    let mut puts = Callers::new(puts);
    let no_cpu = || Ok(Duration::ZERO);
    let our_cpu = || cluster.cpu();
    let their_cpu = || etcd.as_ref().map_or_else(no_cpu, Etcd::cpu);

    measure(&mut kv, WARM_UP, &our_cpu).await?;
    measure(&mut registering, WARM_UP, &our_cpu).await?;
    measure(&mut puts, WARM_UP, &their_cpu).await?;
    let before = Synced::of(&cluster, leader).await?;
    let span = Duration::from_secs_f64(options.seconds);
    let mut rounds = Rounds::new(&["KV puts/s", "etcd puts/s", "registrations/s"]);
    let mut cpu = Vec::new();
    let mut p99 = Vec::new();
    for _ in 0..options.rounds {
        let ours = measure(&mut kv, span, &our_cpu).await?;
        let theirs = measure(&mut puts, span, &their_cpu).await?;
        let registered = measure(&mut registering, span, &our_cpu).await?;
        rounds.add(vec![ours.rate, theirs.rate, registered.rate]);
        cpu.push([ours.cpu_us, theirs.cpu_us, registered.cpu_us]);
        p99.push([ours.p99_ms, theirs.p99_ms, registered.p99_ms]);
    }
    rounds.show_medians();
    for (lane, name) in ["KV", "etcd", "registrations"].iter().enumerate() {
        let cpu = report::median(cpu.iter().map(|row| row[lane]));
        let p99 = report::median(p99.iter().map(|row| row[lane]));
        let what = format!("{name}: CPU of the three processes for each write, p99");
        report::figure(&what, format!("{cpu:.0} µs, {p99:.2} ms"));
    }
    let synced = Synced::of(&cluster, leader).await?;
    let group = (synced.entries - before.entries) / (synced.syncs - before.syncs);
    report::figure("entries per sync at the leader", format!("{group:.1}"));
    if etcd.is_some() {
        report::at_least("KV puts ÷ etcd's puts", rounds.ratio(0, 1), 2.0);
        report::at_least("registrations ÷ etcd's puts", rounds.ratio(2, 1), 2.0);
        for (lane, name) in [(0, "KV"), (2, "registrations")] {
            let ratio = report::median(cpu.iter().map(|row| row[lane] / row[1]));
            report::at_most(&format!("CPU for each write, {name} ÷ etcd"), ratio, 0.5);
        }
    }
    let (_, term_after) = cluster.leader().await?;
    if term_after != term {
        return Err(format!("there was an election: term {term}, then {term_after}").into());
    }
    Ok(())
}

/// Lets callers call, and takes the CPU time that the servers used meanwhile.
async fn measure<C: Caller>(
    callers: &mut Callers<C>,
    span: Duration,
    cpu: &impl Fn() -> Result<Duration>,
) -> Result<Shown> {
    let before = cpu()?;
    let load: Load = callers.run(span).await?;
    let used = cpu()?.saturating_sub(before);
    let cpu_us = used.as_secs_f64() * 1e6 / load.calls().max(1) as f64;
    Ok(Shown { rate: load.rate(), cpu_us, p99_ms: load.percentile_ms(0.99) })
}

/// What a leader's log has done so far.
struct Synced {
    entries: f64,
    syncs: f64,
}

impl Synced {
    async fn of(cluster: &Cluster, leader: u64) -> Result<Self> {
        Ok(Self {
            entries: cluster.metric(leader, "signpost_log_appended_entries_total").await?,
            syncs: cluster.metric(leader, "signpost_log_syncs_total").await?,
        })
    }
}

fn key(client: usize, turn: u64) -> String {
    format!("bench-{client:02}-{:04}", turn % KEYS)
}

fn kv_put(client: usize, body: Vec<u8>) -> impl FnMut(u64) -> (String, Vec<u8>) {
    move |turn| (format!("/v1/kv/bench/{}", key(client, turn)), body.clone())
}

fn put(client: usize, value: &str) -> impl FnMut(u64) -> (String, String) + use<> {
    let value = value.to_owned();
    move |turn| (key(client, turn), value.clone())
}

/// The next registration of one broker's process: other queues each time, so that each is logged.
fn change(client: usize) -> impl FnMut(u64) -> (String, Vec<u8>) {
    move |turn| {
        let queues = 4 + u32::try_from(turn % 4).unwrap_or_default();
        let registration = fixture::registration(client, TOPICS, turn + 1, queues);
        let body = serde_json::to_vec(&registration).unwrap_or_default();
        (fixture::path(&fixture::broker(client)), body)
    }
}
