//! `signpost consume`: shows the messages of a topic.

use clap::{Args, ValueEnum};

use super::target::Target;

/// Shows the messages of a topic, without a group and without changing anything
///
/// Reads each queue in its order; messages of different queues come as they arrive. Ends when all
/// that was there at the start has been shown, unless --follow is given. Queues that are added
/// meanwhile are not read.
///
/// Exit codes: 0 shown, 1 there is no such topic or a broker could not be read, 64 wrong options.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The topic
    #[arg(long, value_name = "NAME")]
    pub(crate) topic: String,
    /// Where to begin in each queue
    #[arg(long, value_enum, value_name = "WHERE", default_value = "earliest")]
    pub(crate) from: From,
    /// Only messages with this tag, or one of them: A || B
    #[arg(long, value_name = "TAGS")]
    pub(crate) tag: Option<String>,
    /// End after so many messages
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Go on with what arrives, until Ctrl-C or --count
    #[arg(long)]
    pub(crate) follow: bool,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum From {
    /// With the oldest message that the broker still has
    Earliest,
    /// With the next one to arrive: needs --follow to show anything
    Latest,
}
