//! Resident memory of replicas with many topics.

use clap::Args;

use crate::Result;
use crate::cluster::Cluster;
use crate::fixture;
use crate::http::{Connection, request};
use crate::report;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Topics, the same of each broker
    #[arg(long, default_value = "10000")]
    topics: usize,
    /// Brokers
    #[arg(long, default_value = "4")]
    brokers: usize,
}

const MIB: f64 = 1024.0 * 1024.0;

pub(crate) async fn run(options: &Options) -> Result<()> {
    let Options { topics, brokers } = *options;
    report::title(&format!("memory: {topics} topics × {brokers} brokers; MiB resident"));
    let mut cluster = Cluster::start(&[]).await?;
    let (leader, _) = cluster.leader().await?;
    show(&cluster, "empty")?;
    fixture::register(cluster.http(leader), brokers, topics).await?;
    cluster.settled().await?;
    let registered = show(&cluster, "registered")?;
    read_all(&cluster, topics).await?;
    let read = show(&cluster, "and each route read once at each replica")?;
    snapshot(&cluster, leader).await?;
    let saved = show(&cluster, "and a snapshot saved")?;
    for id in cluster.ids() {
        cluster.kill(id);
    }
    for id in cluster.ids() {
        cluster.launch(id)?;
    }
    for id in cluster.ids() {
        cluster.ready(id).await?;
    }
    cluster.leader().await?;
    let restarted = show(&cluster, "killed and started again")?;
    read_all(&cluster, topics).await?;
    let read_again = show(&cluster, "and each route read once")?;
    let most = [registered, read, saved, restarted, read_again].into_iter().fold(0.0, f64::max);
    report::at_most("the most of any replica at any of these, MiB", most, 100.0);
    Ok(())
}

/// Shows the memory of each replica; answers the most of them.
fn show(cluster: &Cluster, when: &str) -> Result<f64> {
    let mut most = 0.0_f64;
    let mut cells = String::new();
    for id in cluster.ids() {
        let (now, peak) = cluster.process(id)?.resident()?;
        let (now, peak) = (now as f64 / MIB, peak as f64 / MIB);
        cells.push_str(&format!("  {now:.0} (peak {peak:.0})"));
        most = most.max(now);
    }
    report::figure(&format!("{when}, replicas 1, 2, 3"), cells);
    Ok(most)
}

async fn read_all(cluster: &Cluster, topics: usize) -> Result<()> {
    for id in cluster.ids() {
        let mut connection = Connection::open(cluster.http(id)).await?;
        for n in 0..topics {
            let path = format!("/v1/routes/{}?consistency=local", fixture::topic(n));
            connection.ask(&request("GET", &path, &[])).await?.expect_success()?;
        }
    }
    Ok(())
}

async fn snapshot(cluster: &Cluster, leader: u64) -> Result<()> {
    let head = format!(
        "POST /v1/cluster/snapshot HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\n\
         content-length: 0\r\n\r\n",
        cluster.token(leader)?
    );
    let mut connection = Connection::open(cluster.http(leader)).await?;
    Ok(connection.ask(head.as_bytes()).await?.expect_success()?)
}
