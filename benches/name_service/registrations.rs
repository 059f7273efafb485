//! Many brokers with the same topics, all at once, as stock brokers send them (103): first
//! registrations, and the same again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use signpost_remoting::{Client, ClientOptions, RemotingCommand, response};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Result;
use crate::cluster::Cluster;
use crate::fixture;
use crate::report::{self, Rounds};
use crate::stock::StockNameServer;

/// One registration's deadline.
const TIMEOUT: Duration = Duration::from_secs(24);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Brokers
    #[arg(long, default_value = "100")]
    brokers: usize,
    /// Topics, the same of each broker
    #[arg(long, default_value = "1000")]
    topics: usize,
    /// Rounds, each with a new cluster and a name server just started
    #[arg(long, default_value = "3")]
    rounds: usize,
    /// How often each broker repeats its registration
    #[arg(long, default_value = "10")]
    repeats: usize,
    /// Folder with the jars of a stock name server:
    /// mvn -q -B -f benches/stock-rocketmq/pom.xml dependency:copy-dependencies
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/stock-rocketmq"))]
    stock_jars: PathBuf,
}

/// What one round has shown of one name service.
#[derive(Debug, Clone, Copy)]
struct Shown {
    /// All brokers' first registrations, seconds.
    first_s: f64,
    /// CPU for each of these, ms.
    first_cpu_ms: f64,
    /// CPU for each repeat, ms.
    repeat_cpu_ms: f64,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    report::title(&format!(
        "registrations: {} brokers × the same {} topics, all at once",
        options.brokers, options.topics
    ));
    let mut first = Rounds::new(&["signpost, s", "stock, s"]);
    let (mut ours, mut stock) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let shown = signpost(options).await?;
        let other = at_stock(options).await?;
        first.add(vec![shown.first_s, other.map_or(f64::NAN, |other| other.first_s)]);
        ours.push(shown);
        stock.extend(other);
    }
    first.show_medians();
    let cpu = |shown: &[Shown], figure: fn(&Shown) -> f64| report::median(shown.iter().map(figure));
    let lanes = [("signpost, three replicas together", &ours), ("stock", &stock)];
    for (name, shown) in lanes.into_iter().filter(|(_, shown)| !shown.is_empty()) {
        let (first, repeat) = (cpu(shown, |s| s.first_cpu_ms), cpu(shown, |s| s.repeat_cpu_ms));
        let what = format!("CPU for each registration, {name}: first, unchanged");
        report::figure(&what, format!("{first:.2} ms, {repeat:.2} ms"));
    }
    report::at_most("CPU for each unchanged, ms", cpu(&ours, |s| s.repeat_cpu_ms), 0.3);
    if stock.is_empty() {
        report::figure(
            "stock name server",
            format!("SKIPPED, no folder {}: see --help", options.stock_jars.display()),
        );
    } else {
        report::at_most("first registrations, time ÷ stock's", first.ratio(0, 1), 1.0);
    }
    Ok(())
}

/// Spread over all three replicas, acknowledged when a quorum has them on disk.
async fn signpost(options: &Options) -> Result<Shown> {
    let cluster = Cluster::start(&[]).await?;
    let (leader, _) = cluster.leader().await?;
    let doors: Vec<SocketAddr> = cluster.ids().into_iter().map(|id| cluster.remoting(id)).collect();
    let brokers = Broker::connect(&doors, options).await?;
    let cpu = cluster.cpu()?;
    let begun = Instant::now();
    all_at_once(&brokers).await?;
    let first_s = begun.elapsed().as_secs_f64();
    // Followers may still apply what is acknowledged; their work counts too.
    cluster.settled().await?;
    let first_cpu = cluster.cpu()? - cpu;

    // The first repeat is still read and compared; from then on its bytes are known.
    all_at_once(&brokers).await?;
    let index = cluster.settled().await?;
    let cpu = cluster.cpu()?;
    for _ in 0..options.repeats {
        all_at_once(&brokers).await?;
    }
    let repeat_cpu = cluster.cpu()? - cpu;
    let after = cluster.metric(leader, "signpost_log_last_index").await? as u64;
    if after != index {
        return Err(format!("repeats wrote {} log entries", after - index).into());
    }
    Ok(shown(first_s, [first_cpu, repeat_cpu], options))
}

/// At a stock name server just started, which keeps them in memory; None when there is none.
async fn at_stock(options: &Options) -> Result<Option<Shown>> {
    let Some(stock) = StockNameServer::start(&options.stock_jars).await? else { return Ok(None) };
    let brokers = Broker::connect(&[stock.address], options).await?;
    let cpu = stock.process.cpu()?;
    let begun = Instant::now();
    all_at_once(&brokers).await?;
    let first_s = begun.elapsed().as_secs_f64();
    let first_cpu = stock.process.cpu()? - cpu;
    all_at_once(&brokers).await?;
    let cpu = stock.process.cpu()?;
    for _ in 0..options.repeats {
        all_at_once(&brokers).await?;
    }
    let repeat_cpu = stock.process.cpu()? - cpu;
    Ok(Some(shown(first_s, [first_cpu, repeat_cpu], options)))
}

/// A broker with a connection of its own, and what it says of itself (103).
#[derive(Clone)]
pub(crate) struct Broker {
    client: Client,
    door: String,
    registration: RemotingCommand,
}

impl Broker {
    /// All brokers, spread over these doors.
    async fn connect(doors: &[SocketAddr], options: &Options) -> Result<Vec<Self>> {
        let mut brokers = Vec::new();
        for n in 0..options.brokers {
            let (client, door) = (Client::new(ClientOptions::default()), doors[n % doors.len()]);
            let door = door.to_string();
            client.connection(&door, Instant::now() + TIMEOUT).await?;
            let registration = fixture::remoting_request(n, options.topics)?;
            brokers.push(Self { client, door, registration });
        }
        Ok(brokers)
    }

    /// The `n`th broker, as connected to each of these doors.
    pub(crate) async fn connect_to_all(
        n: usize,
        doors: &[SocketAddr],
        topics: usize,
    ) -> Result<Vec<Self>> {
        let client = Client::new(ClientOptions::default());
        let registration = fixture::remoting_request(n, topics)?;
        let mut wires = Vec::new();
        for door in doors.iter().map(SocketAddr::to_string) {
            client.connection(&door, Instant::now() + TIMEOUT).await?;
            let (client, registration) = (client.clone(), registration.clone());
            wires.push(Self { client, door, registration });
        }
        Ok(wires)
    }

    /// The same broker with something else to say.
    pub(crate) fn saying(&self, registration: &RemotingCommand) -> Self {
        Self { registration: registration.clone(), ..self.clone() }
    }

    /// Says it, and is answered success.
    pub(crate) async fn register(&self) -> Result<()> {
        let answer = self.client.invoke(&self.door, self.registration.clone(), TIMEOUT).await?;
        match answer.code {
            response::SUCCESS => Ok(()),
            code => Err(format!("code {code}: {:?}", answer.remark).into()),
        }
    }
}

pub(crate) async fn all_at_once(brokers: &[Broker]) -> Result<()> {
    let mut running = JoinSet::new();
    for broker in brokers {
        let broker = broker.clone();
        running.spawn(async move { broker.register().await });
    }
    running.join_all().await.into_iter().collect()
}

fn shown(first_s: f64, [first, repeat]: [Duration; 2], options: &Options) -> Shown {
    let each_ms = |cpu: Duration, count: usize| cpu.as_secs_f64() * 1e3 / count.max(1) as f64;
    Shown {
        first_s,
        first_cpu_ms: each_ms(first, options.brokers),
        repeat_cpu_ms: each_ms(repeat, options.brokers * options.repeats),
    }
}
