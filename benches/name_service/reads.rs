//! Route reads over HTTP. Caller and server share the machine in every lane alike.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;

use crate::Result;
use crate::bare::{Bare, Headers};
use crate::cluster::Cluster;
use crate::fixture;
use crate::http::{Connection, request};
use crate::load::Repeat;
use crate::report::{self, Rounds};

/// Brokers of the route that is read, and topics of each.
const BROKERS: usize = 4;
const TOPICS: usize = 1000;
/// The lanes warm up for this long.
const WARM_UP: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Kept-alive connections
    #[arg(long, default_value = "64")]
    connections: usize,
    /// Seconds of each lane in each round
    #[arg(long, default_value = "2.0")]
    seconds: f64,
    /// Interleaved rounds
    #[arg(long, default_value = "5")]
    rounds: usize,
}

/// Local reads at the leader beside a bare handler.
pub(crate) async fn local(options: &Options) -> Result<()> {
    report::title(&format!(
        "reads-local: GET /v1/routes/T?consistency=local, {} connections; reads/s",
        options.connections
    ));
    let cluster = Cluster::start(&[]).await?;
    let (leader, _) = cluster.leader().await?;
    let address = cluster.http(leader);
    fixture::register(address, BROKERS, TOPICS).await?;
    let path = path("local");
    let mut connection = Connection::open(address).await?;
    let answer = connection.ask(&request("GET", &path, &[])).await?;
    answer.expect_success()?;
    report::figure(
        "answer",
        format!("{} bytes of headers, {} of body", answer.head.len(), answer.body.len()),
    );
    let same_body = Bare::start(&answer, Headers::ContentType).await?;
    let same_bytes = Bare::start(&answer, Headers::All).await?;

    let lanes = [address, same_body.address, same_bytes.address];
    let names = ["signpost", "axum, same body", "axum, same bytes"];
    let rounds = interleave(options, &names, &lanes.map(|at| (at, path.clone()))).await?;
    report::at_least("signpost ÷ axum with the same body", rounds.ratio(0, 1), 0.9);
    report::at_least("signpost ÷ axum with the same bytes", rounds.ratio(0, 2), 0.9);
    Ok(())
}

/// Linearizable reads on a follower beside local reads there.
pub(crate) async fn linearizable(options: &Options) -> Result<()> {
    report::title(&format!(
        "reads-linearizable: the same route on a follower, {} connections; reads/s",
        options.connections
    ));
    let cluster = Cluster::start(&[]).await?;
    let (leader, _) = cluster.leader().await?;
    fixture::register(cluster.http(leader), BROKERS, TOPICS).await?;
    cluster.settled().await?;
    let follower = cluster.ids().into_iter().find(|id| *id != leader).ok_or("no follower")?;
    let address = cluster.http(follower);
    let lanes = [(address, path("linearizable")), (address, path("local"))];
    let rounds = interleave(options, &["linearizable", "local"], &lanes).await?;
    report::at_least("linearizable ÷ local", rounds.ratio(0, 1), 0.7);
    Ok(())
}

fn path(consistency: &str) -> String {
    format!("/v1/routes/{}?consistency={consistency}", fixture::topic(0))
}

/// Reads at each lane in turn, round by round.
async fn interleave(
    options: &Options,
    names: &[&'static str],
    lanes: &[(SocketAddr, String)],
) -> Result<Rounds> {
    let mut callers = Vec::new();
    for (address, path) in lanes {
        let mut lane = Repeat::get(*address, path, options.connections).await?;
        lane.run(WARM_UP).await?;
        callers.push(lane);
    }
    let span = Duration::from_secs_f64(options.seconds);
    let mut rounds = Rounds::new(names);
    let mut latencies = vec![Vec::new(); lanes.len()];
    for _ in 0..options.rounds {
        let mut row = Vec::new();
        for (lane, callers) in callers.iter_mut().enumerate() {
            let load = callers.run(span).await?;
            row.push(load.rate());
            latencies[lane].push((load.percentile_ms(0.5), load.percentile_ms(0.99)));
        }
        rounds.add(row);
    }
    rounds.show_medians();
    for (name, latencies) in names.iter().zip(latencies) {
        let p50 = report::median(latencies.iter().map(|(p50, _)| *p50));
        let p99 = report::median(latencies.iter().map(|(_, p99)| *p99));
        report::figure(&format!("{name}, p50 and p99"), format!("{p50:.2} ms, {p99:.2} ms"));
    }
    Ok(rounds)
}
