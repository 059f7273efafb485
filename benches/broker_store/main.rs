//! Measures the embedded broker's store, beside the limit that each goal names: the same bytes
//! written, synced or read by nothing but system calls, in one run and in interleaved rounds.
//!
//! ```text
//! cargo bench --bench broker_store -- sync-sends      one scenario
//! cargo bench --bench broker_store -- --help          all of them, and their options
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`sends`] | sends with synchronous and with asynchronous flush |
//! | [`pulls`] | reading what is stored; from the send to the consumer |
//! | [`stage`] | a broker with clients, a store without; one message |
//! | [`raw`] | what they are measured beside |
//!
//! A missed goal is said and does not fail the run, since figures belong to a machine; a send that
//! fails does.

#![allow(clippy::print_stdout, reason = "a benchmark reports to whoever runs it")]

mod pulls;
mod raw;
#[allow(dead_code, reason = "shared with name_service, which needs more of it")]
#[path = "../name_service/report.rs"]
mod report;
mod sends;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// As the program's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Anything that ends a scenario early; it is shown and nothing else is done with it.
type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// Measures the embedded broker's store beside its limits, on this machine
#[derive(Debug, Parser)]
#[command(name = "broker_store")]
struct Cli {
    #[command(subcommand)]
    scenario: Option<Scenario>,
    /// As cargo says it; of no other meaning
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// All, one after the other
    All(Options),
    /// Sends to a broker with synchronous flush, 1, 16 and 64 clients, beside fdatasync
    SyncSends(Options),
    /// Appends with asynchronous flush beside raw writes of the same bytes
    AsyncSends(Options),
    /// Messages read from the store, and pulled from a broker, beside reading the file
    Pulls(Options),
    /// From the start of a send until a waiting consumer has the message
    Latency(Options),
}

#[derive(Debug, Clone, Args)]
struct Options {
    /// Rounds; in each all lanes come one after the other
    #[arg(long, default_value = "5")]
    rounds: usize,
    /// How long each lane of a round takes, in ms
    #[arg(long, default_value = "2000")]
    lane_ms: u64,
    /// Bytes of a message's body
    #[arg(long, default_value = "1024")]
    body: usize,
    /// Directory on the disk that is measured
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    dir: PathBuf,
}

impl Options {
    fn lane(&self) -> Duration {
        Duration::from_millis(self.lane_ms)
    }

    fn directory(&self) -> Result<tempfile::TempDir> {
        Ok(tempfile::tempdir_in(&self.dir)?)
    }
}

impl Default for Options {
    fn default() -> Self {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        Self { rounds: 3, lane_ms: 1000, body: 1024, dir }
    }
}

fn main() -> ExitCode {
    let scenario = Cli::parse().scenario.unwrap_or_else(|| Scenario::All(Options::default()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    report::machine();
    let outcome = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(&scenario)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(scenario: &Scenario) -> Result<()> {
    match scenario {
        Scenario::All(options) => {
            sends::with_sync(options).await?;
            sends::without_sync(options).await?;
            pulls::throughput(options).await?;
            pulls::latency(options).await
        }
        Scenario::SyncSends(options) => sends::with_sync(options).await,
        Scenario::AsyncSends(options) => sends::without_sync(options).await,
        Scenario::Pulls(options) => pulls::throughput(options).await,
        Scenario::Latency(options) => pulls::latency(options).await,
    }
}
