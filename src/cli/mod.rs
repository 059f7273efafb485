//! The command line: what can be asked for, one file per command. Parsing only takes place here
//! and in [`crate::settings`]; each command's `run` does the asking.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::failure::Failure;
use crate::logging::LogFormat;
use crate::output::Format;

pub(crate) mod broker;
pub(crate) mod brokers;
pub(crate) mod chaos;
pub(crate) mod cluster;
pub(crate) mod consume;
pub(crate) mod demo;
pub(crate) mod dev;
pub(crate) mod namesrv;
pub(crate) mod produce;
pub(crate) mod route;
mod switch;
pub(crate) mod target;
pub(crate) mod topic;

/// A Raft-replicated, fault-tolerant name service for RocketMQ.
///
/// Every option may also be given as SIGNPOST_<OPTION> in the environment, or in the TOML file
/// of --config under its own name; the command line wins over the environment, the environment
/// over the file.
#[derive(Debug, Parser)]
#[command(name = "signpost", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// TOML file with options: flat, or in a table for each command
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What to log, to stderr: a level, or such as info,signpost_namesrv=debug [default: RUST_LOG,
    /// else info for services and warn for other commands]
    #[arg(long, global = true, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// How log lines look
    #[arg(long, global = true, value_enum, default_value = "text", value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
    /// How answers look, on stdout
    #[arg(short, long, global = true, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) output: Format,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Dev(dev::Options),
    Demo(demo::Options),
    Chaos(Box<chaos::Options>),
    Namesrv(Box<namesrv::Options>),
    Broker(Box<broker::Options>),
    Produce(Box<produce::Options>),
    Consume(consume::Options),
    Route(route::Options),
    Topic(topic::Options),
    Brokers(brokers::Options),
    Cluster(cluster::Options),
}

impl Command {
    /// Services tell what they do; other commands speak up only when something is wrong.
    pub(crate) fn default_log_filter(&self) -> &'static str {
        match self {
            Command::Namesrv(_) | Command::Broker(_) => "info,openraft=error",
            _ => "warn",
        }
    }

    /// How many threads shall serve; None: one for each core.
    pub(crate) fn worker_threads(&self) -> Option<usize> {
        match self {
            Command::Namesrv(options) => options.worker_threads.map(usize::from),
            _ => None,
        }
    }
}

/// Does what was asked for; answers the exit code.
///
/// # Errors
/// When it could not be done.
pub(crate) async fn run(cli: Cli) -> Result<u8, Failure> {
    let format = cli.global.output;
    match cli.command {
        Command::Dev(options) => crate::dev::run(&options).await,
        Command::Demo(options) => crate::demo::run(&options).await,
        Command::Chaos(options) => crate::chaos::run(&options, format).await,
        Command::Namesrv(options) => crate::serve::namesrv::run(&options).await,
        Command::Broker(options) => crate::serve::broker::run(&options).await,
        Command::Produce(options) => crate::produce::run(&options, format).await,
        Command::Consume(options) => crate::consume::run(&options, format).await,
        Command::Route(options) => route::run(&options, format).await,
        Command::Topic(options) => topic::run(&options, format).await,
        Command::Brokers(options) => brokers::run(&options, format).await,
        Command::Cluster(options) => cluster::run(&options, format).await,
    }
}
