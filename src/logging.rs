//! Structured logs to stderr, as text or as JSON.

use std::io::{self, IsTerminal as _};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts logging. `filter` wins over `RUST_LOG`, which wins over `default`.
///
/// # Errors
/// When the filter cannot be read.
pub(crate) fn start(filter: Option<&str>, default: &str, format: LogFormat) -> Result<(), String> {
    let from_environment = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let text = filter.map(str::to_owned).or(from_environment).unwrap_or_else(|| default.to_owned());
    let filter = EnvFilter::try_new(&text).map_err(|error| {
        format!("log filter {text:?}: {error}; expected such as info or signpost_namesrv=debug")
    })?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let started = match format {
        LogFormat::Text => logs.try_init(),
        LogFormat::Json => logs.json().try_init(),
    };
    started.map_err(|error| format!("logging cannot start: {error}"))
}
