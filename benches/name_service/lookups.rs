//! Route lookups by RocketMQ's protocol (105 on 9876). Caller and server share the machine in every
//! lane alike.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use signpost_remoting::{ExtFields, RemotingCommand, request};

use crate::Result;
use crate::cluster::Cluster;
use crate::echo::Echo;
use crate::etcd::Etcd;
use crate::fixture;
use crate::frames::{self, Peer, RepeatFrame};
use crate::grpc::{EtcdPut, EtcdRange};
use crate::load::{Caller as _, Callers};
use crate::report::{self, Rounds};
use crate::stock::StockNameServer;

/// Brokers of the route that is read, and topics of each.
const BROKERS: usize = 4;
const TOPICS: usize = 1000;
/// The lanes warm up for this long: the JVM compiles in it what is hot.
const WARM_UP: Duration = Duration::from_secs(2);
/// Of the order of the lanes in each round.
const ORDER_SEED: u64 = 105;
/// The version of a 5.x client.
const CLIENT_VERSION: i32 = 513;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Seconds of each lane in each round: short, for a machine can be quicker for some seconds
    #[arg(long, default_value = "0.25")]
    seconds: f64,
    /// Interleaved rounds
    #[arg(long, default_value = "60")]
    rounds: usize,
    /// Folder with the jars of a stock name server:
    /// mvn -q -B -f benches/stock-rocketmq/pom.xml dependency:copy-dependencies
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/stock-rocketmq"))]
    stock_jars: PathBuf,
    /// etcd's program
    #[arg(long, default_value = "etcd")]
    etcd: PathBuf,
}

/// Local lookups beside an echo of the same sizes and beside a stock name server.
pub(crate) async fn local(options: &Options) -> Result<()> {
    let cluster = Cluster::start(&[("--remoting-reads", "local")]).await?;
    let (leader, _) = cluster.leader().await?;
    let address = cluster.remoting(leader);
    let stock = StockNameServer::start(&options.stock_jars).await?;
    let mut places = vec![address];
    places.extend(stock.as_ref().map(|stock| stock.address));
    let mut brokers = Brokers::connect(&places).await?;
    brokers.register().await?;
    let request = lookup()?;
    let answer = Peer::connect(address).await?.ask(&request).await?;
    let echo = Echo::start(request.len(), &answer).await?;
    for (connections, in_flight) in [(16, 1), (64, 1), (16, 16)] {
        report::title(&format!(
            "lookups: 105, local, {connections} connections × {in_flight} in flight, {} → {} \
             bytes; lookups/s",
            request.len(),
            answer.len()
        ));
        brokers.register().await?;
        let mut places = vec![("signpost", address), ("echo", echo.address)];
        places.extend(stock.as_ref().map(|stock| ("stock", stock.address)));
        let rounds = interleave(options, &places, &request, connections, in_flight).await?;
        if in_flight == 1 {
            report::at_least("signpost ÷ echo", rounds.ratio(0, 1), 0.85);
        } else {
            report::at_least("signpost, lookups/s", rounds.median(0), 500_000.0);
            report::at_least("signpost ÷ echo", rounds.ratio(0, 1), 0.25);
        }
        match stock {
            Some(_) => report::figure("signpost ÷ stock", format!("{:.2}", rounds.ratio(0, 2))),
            None => report::figure("stock name server", "SKIPPED, no folder of jars: see --help"),
        }
    }
    Ok(())
}

/// Linearizable lookups on a follower beside etcd's linearizable reads on a follower.
pub(crate) async fn linearizable(options: &Options) -> Result<()> {
    report::title("lookups-linearizable: 105 on a follower, 64 connections; lookups/s");
    let cluster = Cluster::start(&[("--remoting-reads", "linearizable")]).await?;
    let (leader, _) = cluster.leader().await?;
    fixture::register(cluster.http(leader), BROKERS, TOPICS).await?;
    cluster.settled().await?;
    let follower = cluster.ids().into_iter().find(|id| *id != leader).ok_or("no follower")?;
    let request = lookup()?;
    let answer = Peer::connect(cluster.remoting(follower)).await?.ask(&request).await?;
    let mut ours = RepeatFrame::callers(cluster.remoting(follower), &request, 64, 1).await?;
    ours.run(WARM_UP).await?;
    let Some(etcd) = Etcd::start(&options.etcd).await? else {
        report::figure("etcd", "SKIPPED, no such program: apt-get install etcd-server");
        return Ok(());
    };
    let their_leader = etcd.leader().await?;
    let value = "v".repeat(answer.len());
    let mut put = EtcdPut::at(their_leader, move |_| ("route".to_owned(), value.clone())).await?;
    put.call(0).await?;
    let mut others = etcd.addresses().into_iter().filter(|address| *address != their_leader);
    let their_follower = others.next().ok_or("no follower")?;
    let mut theirs = Vec::new();
    for _ in 0..64 {
        theirs.push(EtcdRange::at(their_follower, "route").await?);
    }
    let mut theirs = Callers::new(theirs);
    theirs.run(WARM_UP).await?;
    let span = Duration::from_secs_f64(options.seconds);
    let mut rounds = Rounds::new(&["signpost", "etcd"]);
    let mut p99 = Vec::new();
    for _ in 0..options.rounds {
        let (one, other) = (ours.run(span).await?, theirs.run(span).await?);
        p99.push(one.percentile_ms(0.99));
        rounds.add(vec![one.rate(), other.rate()]);
    }
    rounds.show_medians();
    report::figure("signpost: p99", format!("{:.2} ms", report::median(p99)));
    report::at_least("signpost ÷ etcd's linearizable reads", rounds.ratio(0, 1), 3.0);
    Ok(())
}

/// The brokers of the route at each name server, connected: it goes when they do.
struct Brokers(Vec<(Vec<u8>, Peer)>);

impl Brokers {
    async fn connect(places: &[SocketAddr]) -> Result<Self> {
        let mut brokers = Vec::new();
        for n in 0..BROKERS {
            let registration = frames::bytes_of(&fixture::remoting_request(n, TOPICS)?)?;
            for place in places {
                brokers.push((registration.clone(), Peer::connect(*place).await?));
            }
        }
        Ok(Self(brokers))
    }

    /// Registers them, or says again what they are, so that no connection is idle for too long.
    async fn register(&mut self) -> Result<()> {
        for (registration, peer) in &mut self.0 {
            peer.ask(registration).await?;
        }
        Ok(())
    }
}

/// A lookup as a 5.x client sends it.
fn lookup() -> Result<Vec<u8>> {
    let ext =
        ExtFields::new().with("topic", fixture::topic(0)).with("acceptStandardJsonOnly", true);
    let mut command = RemotingCommand::request(request::GET_ROUTEINFO_BY_TOPIC).with_ext(ext);
    command.version = CLIENT_VERSION;
    frames::bytes_of(&command)
}

async fn interleave(
    options: &Options,
    places: &[(&'static str, SocketAddr)],
    request: &[u8],
    connections: usize,
    in_flight: usize,
) -> Result<Rounds> {
    let mut lanes = Vec::new();
    for (_, address) in places {
        let mut lane = RepeatFrame::callers(*address, request, connections, in_flight).await?;
        lane.run(WARM_UP).await?;
        lanes.push(lane);
    }
    let names: Vec<&'static str> = places.iter().map(|(name, _)| *name).collect();
    let mut rounds = Rounds::new(&names);
    let mut p99 = vec![Vec::new(); lanes.len()];
    let span = Duration::from_secs_f64(options.seconds);
    let mut order: Vec<usize> = (0..lanes.len()).collect();
    let mut rng = SmallRng::seed_from_u64(ORDER_SEED);
    for _ in 0..options.rounds {
        // A server may go on with something when its callers have stopped, a JVM for one: no lane
        // shall always come after the same other.
        order.shuffle(&mut rng);
        let mut row = vec![0.0; lanes.len()];
        for at in &order {
            let load = lanes[*at].run(span).await?;
            row[*at] = load.rate() * in_flight as f64;
            p99[*at].push(load.percentile_ms(0.99));
        }
        rounds.add(row);
    }
    rounds.show_medians();
    for (name, p99) in names.iter().zip(p99) {
        report::figure(&format!("{name}: p99"), format!("{:.2} ms", report::median(p99)));
    }
    Ok(rounds)
}
