//! Measures the name service: real processes of the release binary on loopback, beside the limit or
//! the peer that each goal names, in one run and in interleaved rounds.
//!
//! ```text
//! cargo bench --bench name_service -- reads-local        one scenario
//! cargo bench --bench name_service -- --help             all of them, and their options
//! cargo bench                                            all that can run here, short
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`reads`] | route reads over HTTP beside a bare axum handler, on the leader and on a follower |
//! | [`lookups`] | route lookups by RocketMQ's protocol beside an echo, a stock name server and etcd |
//! | [`writes`] | writes beside etcd's, their CPU time, entries per sync |
//! | [`registrations`] | 100 brokers × 1,000 topics beside a stock name server, first and repeated |
//! | [`repeats`] | 200 brokers × 5,000 topics that repeat themselves for a minute: the log does not grow |
//! | [`memory`] | resident memory with 10,000 topics on four brokers |
//! | [`wake`] | kill -9 of a broker → a waiting producer holds the new route |
//! | [`failover`] | kill -9 of the leader → first acknowledged write; nothing lost |
//! | [`steady`] | full write load for minutes: no election |
//! | [`cluster`], [`etcd`], [`stock`], [`bare`], [`echo`] | what is measured, started and stopped |
//! | [`process`] | one process: its log, its CPU time, its memory |
//! | [`load`], [`http`], [`frames`], [`grpc`] | callers in a closed loop, cheap enough not to be the limit |
//! | [`fixture`] | registrations as JSON and as RocketMQ writes them |
//! | [`report`] | medians, ratios, goals |
//!
//! A missed goal is said and does not fail the run, since figures belong to a machine; a broken
//! promise (an acknowledged write lost, a failed local read, an election under load) does.

#![allow(clippy::print_stdout, reason = "a benchmark reports to whoever runs it")]

mod bare;
mod cluster;
mod echo;
mod etcd;
mod failover;
mod fixture;
mod frames;
mod grpc;
mod http;
mod load;
mod lookups;
mod memory;
#[path = "../../tests/support/ports.rs"]
mod ports;
mod process;
mod reads;
mod registrations;
mod repeats;
mod report;
mod steady;
mod stock;
mod wake;
mod writes;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// As the program's, so that what is measured beside it has the same.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Anything that ends a scenario early; it is shown and nothing else is done with it.
type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// Measures the name service beside its limits and peers, on this machine
#[derive(Debug, Parser)]
#[command(name = "name_service")]
struct Cli {
    #[command(subcommand)]
    scenario: Option<Scenario>,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// All that can run here, with their short defaults
    All,
    /// Local route reads at one replica beside a bare axum handler
    ReadsLocal(reads::Options),
    /// Linearizable route reads on a follower beside local reads at the same replica
    ReadsLinearizable(reads::Options),
    /// Local lookups by RocketMQ's protocol beside an echo and a stock name server
    LookupsLocal(lookups::Options),
    /// Linearizable lookups by RocketMQ's protocol on a follower beside etcd's reads
    LookupsLinearizable(lookups::Options),
    /// Writes on three processes beside etcd's
    Writes(writes::Options),
    /// Registrations of many brokers with the same topics beside a stock name server's
    Registrations(registrations::Options),
    /// Minutes of many brokers that repeat themselves to all replicas and write nothing
    Repeats(repeats::Options),
    /// Resident memory of a replica
    Memory(memory::Options),
    /// From a broker's death to the new route at a waiting producer
    Wake(wake::Options),
    /// From the leader's death to the first acknowledged write
    Failover(failover::Options),
    /// Elections under full write load
    Steady(steady::Options),
    /// Serves fixed bytes: the bare handler that reads are measured beside
    #[command(hide = true)]
    Bare(bare::Options),
    /// Answers so many bytes with so many others: what lookups are measured beside
    #[command(hide = true)]
    Echo(echo::Options),
}

fn main() -> ExitCode {
    // Cargo appends its own flag for benchmark harnesses.
    let cli = Cli::parse_from(std::env::args_os().filter(|arg| arg != "--bench"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let run = runtime.map_err(Into::into).and_then(|runtime| {
        runtime.block_on(async {
            match cli.scenario.unwrap_or(Scenario::All) {
                Scenario::All => all().await,
                one => run(one).await,
            }
        })
    });
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs every scenario; one that fails does not keep the others from running.
async fn all() -> Result<()> {
    let names = [
        "reads-local",
        "reads-linearizable",
        "lookups-local",
        "lookups-linearizable",
        "writes",
        "registrations",
        "repeats",
        "memory",
        "wake",
        "failover",
        "steady",
    ];
    let mut failed = Vec::new();
    for name in names {
        let Cli { scenario } = Cli::try_parse_from(["name_service", name])?;
        if let Some(scenario) = scenario
            && let Err(error) = run(scenario).await
        {
            println!("FAILED: {error}");
            failed.push(name);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}

async fn run(scenario: Scenario) -> Result<()> {
    match scenario {
        Scenario::Bare(options) => return bare::serve(options).await,
        Scenario::Echo(options) => return echo::serve(options).await,
        _ => {}
    }
    report::machine();
    match scenario {
        Scenario::ReadsLocal(options) => reads::local(&options).await,
        Scenario::ReadsLinearizable(options) => reads::linearizable(&options).await,
        Scenario::LookupsLocal(options) => lookups::local(&options).await,
        Scenario::LookupsLinearizable(options) => lookups::linearizable(&options).await,
        Scenario::Writes(options) => writes::run(&options).await,
        Scenario::Registrations(options) => registrations::run(&options).await,
        Scenario::Repeats(options) => repeats::run(&options).await,
        Scenario::Memory(options) => memory::run(&options).await,
        Scenario::Wake(options) => wake::run(&options).await,
        Scenario::Failover(options) => failover::run(&options).await,
        Scenario::Steady(options) => steady::run(&options).await,
        Scenario::All | Scenario::Bare(_) | Scenario::Echo(_) => Ok(()),
    }
}
