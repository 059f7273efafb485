//! What stock brokers cost that have nothing new to say: each repeats all that it has to every
//! replica, again and again, and the log does not grow; then one of them changes one topic.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep_until};

use crate::cluster::Cluster;
use crate::registrations::{Broker, all_at_once};
use crate::{Result, fixture, report};

/// An entry of the log for one changed topic is smaller.
const CHANGE_BYTES_MAX: f64 = 1024.0;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Brokers, each connected to all three replicas
    #[arg(long, default_value = "200")]
    brokers: usize,
    /// Topics, the same of each broker
    #[arg(long, default_value = "5000")]
    topics: usize,
    /// For how long, in seconds
    #[arg(long, default_value = "60")]
    seconds: u64,
    /// After so many seconds each broker repeats itself to each replica, as RocketMQ's do after 30
    #[arg(long, default_value = "30")]
    every_seconds: u64,
}

/// What the leader's log has been given, since it was started.
#[derive(Debug, Clone, Copy)]
struct Log {
    entries: f64,
    bytes: f64,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    report::title(&format!(
        "repeats: {} brokers × {} topics, to each of three replicas every {} s, for {} s",
        options.brokers, options.topics, options.every_seconds, options.seconds
    ));
    let cluster = Cluster::start(&[]).await?;
    let doors: Vec<SocketAddr> = cluster.ids().into_iter().map(|id| cluster.remoting(id)).collect();
    let mut wires = Vec::new();
    for n in 0..options.brokers {
        wires.extend(Broker::connect_to_all(n, &doors, options.topics).await?);
    }
    // A few at a time: first registrations are large. The second time each replica still reads and
    // compares what it gets; from then on it knows the bytes.
    for _ in 0..2 {
        for some in wires.chunks(doors.len()) {
            all_at_once(some).await?;
        }
    }
    cluster.settled().await?;

    let (leader, term) = cluster.leader().await?;
    let (before, cpu) = (log_of(&cluster, leader).await?, cluster.cpu()?);
    let answered = repeat(&wires, options).await?;
    let cpu = cluster.cpu()? - cpu;
    let after = log_of(&cluster, leader).await?;
    let grown = after.entries - before.entries;
    report::figure("repeats answered", answered);
    report::figure("log entries written by them", grown);
    let each_ms = cpu.as_secs_f64() * 1e3 / answered.max(1) as f64;
    report::figure("CPU for each, all replicas together", format!("{each_ms:.2} ms"));

    let changed = fixture::remoting_write(0, options.topics, 2)?;
    let of_one: Vec<Broker> = wires[..doors.len()].iter().map(|of| of.saying(&changed)).collect();
    all_at_once(&of_one).await?;
    let last = log_of(&cluster, leader).await?;
    let (entries, bytes) = (last.entries - after.entries, last.bytes - after.bytes);
    report::figure("log entries for one changed topic, told to all replicas", entries);
    report::at_most("bytes of that entry", bytes, CHANGE_BYTES_MAX);

    if cluster.leader().await? != (leader, term) {
        return Err("the leadership changed, and its counters with it: run it again".into());
    }
    if grown > 0.0 || entries != 1.0 {
        return Err(format!("repeats wrote {grown} entries, one change {entries}").into());
    }
    Ok(())
}

async fn log_of(cluster: &Cluster, id: u64) -> Result<Log> {
    Ok(Log {
        entries: cluster.metric(id, "signpost_log_appended_entries_total").await?,
        bytes: cluster.metric(id, "signpost_log_appended_bytes_total").await?,
    })
}

/// All repeat themselves, spread evenly over the time between two repeats; answers how often.
async fn repeat(wires: &[Broker], options: &Options) -> Result<usize> {
    let every = Duration::from_secs(options.every_seconds.max(1));
    let begun = Instant::now();
    let end = begun + Duration::from_secs(options.seconds);
    let mut running: JoinSet<Result<usize>> = JoinSet::new();
    for (at, wire) in wires.iter().cloned().enumerate() {
        let first = begun + every * u32::try_from(at)? / u32::try_from(wires.len())?;
        running.spawn(async move {
            let mut ticks = interval_at(first, every);
            let mut answered = 0;
            loop {
                tokio::select! {
                    biased;
                    () = sleep_until(end) => return Ok(answered),
                    _ = ticks.tick() => {}
                }
                wire.register().await?;
                answered += 1;
            }
        });
    }
    let answered: Result<Vec<usize>> = running.join_all().await.into_iter().collect();
    Ok(answered?.into_iter().sum())
}
