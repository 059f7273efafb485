//! Full write load for minutes, with the default election timeouts: nobody may stand for election.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::Instant;

use crate::Result;
use crate::cluster::Cluster;
use crate::load::{Callers, Put};
use crate::report;

/// Keys of each client.
const KEYS: u64 = 1000;
/// Between two looks at terms.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long
    #[arg(long, default_value = "1.0")]
    minutes: f64,
    /// Clients, each with a connection to the leader
    #[arg(long, default_value = "16")]
    clients: usize,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    let Options { minutes, clients } = *options;
    report::title(&format!("steady: {clients} clients write for {minutes} minutes"));
    let cluster = Cluster::start(&[]).await?;
    let (leader, term) = cluster.leader().await?;
    let mut callers = Vec::new();
    for client in 0..clients {
        let body = json!({ "value": "v".repeat(64) }).to_string().into_bytes();
        let path = move |turn| format!("/v1/kv/steady/{client}-{}", turn % KEYS);
        let make = move |turn| (path(turn), body.clone());
        callers.push(Put::at(cluster.http(leader), make).await?);
    }
    let mut callers = Callers::new(callers);
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let (mut writes, mut rates, mut slowest_ms) = (0, Vec::new(), 0.0_f64);
    while Instant::now() < end {
        let load = callers.run(LOOK_INTERVAL).await?;
        writes += load.calls();
        rates.push(load.rate());
        slowest_ms = slowest_ms.max(load.percentile_ms(1.0));
        // A term never goes back, so one look at the end would do; this one tells when.
        let (leader_now, term_now) = cluster.leader().await?;
        if (leader_now, term_now) != (leader, term) {
            let after = writes;
            return Err(format!(
                "an election after {after} writes: replica {leader} in term {term}, then replica \
                 {leader_now} in term {term_now}"
            )
            .into());
        }
    }
    let at = |share| report::percentile(rates.iter().copied(), share);
    report::figure("writes acknowledged, failed", format!("{writes}, 0"));
    report::figure(
        "writes/s: median, slowest two seconds",
        format!("{:.0}, {:.0}", at(0.5), at(0.0)),
    );
    report::figure("slowest write", format!("{slowest_ms:.0} ms"));
    report::figure("elections", 0);
    Ok(())
}
