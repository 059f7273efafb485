//! `signpost produce`: sends messages.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use signpost_producer::{Codec, Compression, FaultAvoidance, Message, ProducerConfig};

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
    #[arg(long, value_name = "N", default_value = "1000", conflicts_with = "input")]
    pub(crate) count: u64,
    /// Size of each body
    #[arg(long, value_name = "BYTES", default_value = "128", conflicts_with_all = ["body", "input"],
          value_parser = size)]
    pub(crate) size: usize,
    /// The body of every message, instead of --size filler bytes
    #[arg(long, alias = "message", value_name = "TEXT", conflicts_with = "input")]
    pub(crate) body: Option<String>,
    /// Send each line of this file as a message; - is stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Tag of every message
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Option<String>,
    /// Key of every message, to find it by; may be given again
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Vec<String>,
    /// All to one queue, the one that this key stands for
    #[arg(long, value_name = "KEY")]
    pub(crate) order_key: Option<String>,
    /// Deliver later: 1 is 1s, then 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h, 18 is 2h
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u32).range(1..=18))]
    pub(crate) delay_level: Option<u32>,
    /// How bodies of 4 KiB and more are compressed; batches never are
    #[arg(long, value_enum, value_name = "CODEC", default_value = "zlib")]
    pub(crate) compress: Compress,
    /// Do not wait for one answer before the next send, and retry only where none came
    #[arg(long = "async", conflicts_with_all = ["oneway", "batch"])]
    pub(crate) asynchronous: bool,
    /// Ask for no answers at all
    #[arg(long, conflicts_with = "batch")]
    pub(crate) oneway: bool,
    /// Send this many messages in one request
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) batch: Option<u16>,
    /// Leave slow and failing brokers alone for a while
    #[arg(long)]
    pub(crate) fault_avoidance: bool,
    /// The producer group
    #[arg(long, value_name = "NAME", default_value = "SIGNPOST_PRODUCER")]
    pub(crate) group: String,
    /// At most this many messages a second [default: as fast as they are acknowledged]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
    /// Sends under way at once
    #[arg(long, value_name = "N", default_value = "16",
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) concurrency: u16,
    /// How long one message may take, all attempts together
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = parse_duration)]
    pub(crate) send_timeout: Duration,
    /// How long one attempt may take that another one may follow
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    pub(crate) attempt_timeout: Duration,
    /// Attempts after the first
    #[arg(long, value_name = "N", default_value = "2")]
    pub(crate) retries: u32,
}

/// How bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compress {
    /// Not at all
    None,
    /// What every RocketMQ client reads
    Zlib,
    /// Quickest; consumers from 4.9.4 on
    Lz4,
    /// Smallest; consumers from 4.9.4 on
    Zstd,
}

impl Options {
    /// The producer that was asked for.
    pub(crate) fn config(&self) -> ProducerConfig {
        let codec = match self.compress {
            Compress::None => None,
            Compress::Zlib => Some(Codec::Zlib),
            Compress::Lz4 => Some(Codec::Lz4),
            Compress::Zstd => Some(Codec::Zstd),
        };
        ProducerConfig {
            group: self.group.clone(),
            send_timeout: self.send_timeout,
            attempt_timeout: self.attempt_timeout,
            retries: self.retries,
            async_retries: self.retries,
            compression: codec.map(|codec| Compression { codec, ..Compression::default() }),
            fault_avoidance: self.fault_avoidance.then(FaultAvoidance::default),
            max_in_flight: usize::from(self.concurrency),
            ..ProducerConfig::default()
        }
    }

    /// A message with this body.
    pub(crate) fn message(&self, body: impl Into<Bytes>) -> Message {
        Message {
            tag: self.tag.clone(),
            keys: self.key.clone(),
            order_key: self.order_key.clone(),
            delay_level: self.delay_level,
            ..Message::new(self.topic.clone(), body)
        }
    }
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
