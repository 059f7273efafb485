//! `signpost produce`: sends messages.

use std::time::Duration;

use clap::Args;

use super::target::Target;
use crate::units::parse_duration;

/// Sends messages to a topic
///
/// Exit codes: 0 all were sent, 1 some surely failed, 2 of some it is not known whether the
/// broker has them, 64 wrong options.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The topic; brokers that allow it create it with the first message
    #[arg(long, value_name = "NAME")]
    pub(crate) topic: String,
    /// How many messages
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(crate) count: u64,
    /// Size of each body
    #[arg(long, value_name = "BYTES", default_value = "128", conflicts_with = "body",
          value_parser = size)]
    pub(crate) size: usize,
    /// The body of every message, instead of --size filler bytes
    #[arg(long, value_name = "TEXT")]
    pub(crate) body: Option<String>,
    /// At most this many messages a second [default: as fast as they are acknowledged]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
    /// Messages under way at once
    #[arg(long, value_name = "N", default_value = "16",
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) concurrency: u16,
    /// How long one message may take, all attempts together
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = parse_duration)]
    pub(crate) send_timeout: Duration,
}

/// RocketMQ's brokers take bodies of up to 4 MiB.
fn size(text: &str) -> Result<usize, String> {
    const BODY_BYTES_MAX: u64 = 4 << 20;
    let bytes = crate::units::parse_bytes(text)?;
    if bytes > BODY_BYTES_MAX {
        return Err(format!("a body has at most {BODY_BYTES_MAX} bytes"));
    }
    usize::try_from(bytes).map_err(|error| error.to_string())
}
