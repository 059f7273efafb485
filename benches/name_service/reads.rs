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
use crate::process::Process;
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

    let lanes = [
        Lane { name: "signpost", address, path: &path, server: cluster.process(leader)? },
        Lane {
            name: "axum, same body",
            address: same_body.address,
            path: &path,
            server: &same_body.process,
        },
        Lane {
            name: "axum, same bytes",
            address: same_bytes.address,
            path: &path,
            server: &same_bytes.process,
        },
    ];
    let rounds = interleave(options, &lanes).await?;
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
    let server = cluster.process(follower)?;
    let (linearizable, local) = (path("linearizable"), path("local"));
    let lanes = [
        Lane { name: "linearizable", address, path: &linearizable, server },
        Lane { name: "local", address, path: &local, server },
    ];
    let rounds = interleave(options, &lanes).await?;
    report::at_least("linearizable ÷ local", rounds.ratio(0, 1), 0.7);
    Ok(())
}

fn path(consistency: &str) -> String {
    format!("/v1/routes/{}?consistency={consistency}", fixture::topic(0))
}

/// What is read, where, and whose CPU time counts.
struct Lane<'a> {
    name: &'static str,
    address: SocketAddr,
    path: &'a str,
    server: &'a Process,
}

/// Reads at each lane in turn, round by round.
async fn interleave(options: &Options, lanes: &[Lane<'_>]) -> Result<Rounds> {
    let mut callers = Vec::new();
    for lane in lanes {
        let mut reads = Repeat::get(lane.address, lane.path, options.connections).await?;
        reads.run(WARM_UP).await?;
        callers.push(reads);
    }
    let span = Duration::from_secs_f64(options.seconds);
    let names: Vec<&'static str> = lanes.iter().map(|lane| lane.name).collect();
    let mut rounds = Rounds::new(&names);
    let mut shown = vec![Vec::new(); lanes.len()];
    for _ in 0..options.rounds {
        let mut row = Vec::new();
        for (at, (lane, callers)) in lanes.iter().zip(&mut callers).enumerate() {
            let before = lane.server.cpu()?;
            let load = callers.run(span).await?;
            let cpu = (lane.server.cpu()? - before).as_secs_f64() * 1e6 / load.calls() as f64;
            row.push(load.rate());
            shown[at].push([load.percentile_ms(0.5), load.percentile_ms(0.99), cpu]);
        }
        rounds.add(row);
    }
    rounds.show_medians();
    for (name, shown) in names.iter().zip(shown) {
        let [p50, p99, cpu] =
            [0, 1, 2].map(|column| report::median(shown.iter().map(|row| row[column])));
        let figures = format!("{p50:.2} ms, {p99:.2} ms, {cpu:.1} µs");
        report::figure(&format!("{name}: p50, p99, CPU of the server for each"), figures);
    }
    Ok(rounds)
}
