//! `signpost`, the one binary: parse, load, run.
//!
//! | module | holds |
//! | --- | --- |
//! | [`cli`] | the commands and their options, one file each; the short commands whole |
//! | [`settings`] | where options come from: flags, environment, file, defaults |
//! | [`serve`] | the services: a replica of the name service, a broker |
//! | [`produce`] | sends messages, counts and measures |
//! | [`consume`] | shows a topic's messages |
//! | [`local`] | a cluster of child processes on this machine |
//! | [`dev`], [`demo`] | the same to play with, and to watch |
//! | [`chaos`] | faults and proof, by the crate `signpost-chaos` |
//! | [`probe`] | one request to one replica |
//! | [`latency`] | a histogram |
//! | [`units`] | durations, ranges, sizes, peers as one writes them |
//! | [`output`], [`logging`] | answers on stdout, logs on stderr |
//! | [`failure`], [`stop`] | how a command ends: exit codes, signals |

mod chaos;
mod cli;
mod consume;
mod demo;
mod dev;
mod failure;
mod latency;
mod local;
mod logging;
mod output;
mod probe;
mod produce;
mod serve;
mod settings;
mod stop;
mod units;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::failure::Failure;

/// A replica's write allocates on every thread that it passes; glibc's allocator was a seventh of its
/// processor time (BENCHMARKS.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let cli = match settings::parse(&args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are "errors" that succeed. Nothing else to do if nobody reads it.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { failure::USAGE } else { failure::OK });
        }
    };
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            output::complain(format!("signpost: {failure}"));
            ExitCode::from(failure.code)
        }
    }
}

fn run(cli: cli::Cli) -> Result<u8, Failure> {
    let default = cli.command.default_log_filter();
    logging::start(cli.global.log.as_deref(), default, cli.global.log_format)
        .map_err(Failure::usage)?;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = cli.command.worker_threads() {
        builder.worker_threads(threads);
    }
    let runtime = builder.enable_all().build()?;
    runtime.block_on(cli::run(cli))
}
