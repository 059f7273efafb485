//! [`ProducerConfig`]: how a producer behaves.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use signpost_client::WatchOptions;
use signpost_remoting::client::ClientOptions;

/// Longest group name that RocketMQ takes.
const MAX_GROUP_BYTES: usize = 255;

/// Deadlines, retries and limits of a producer. The defaults are RocketMQ's where it has some.
#[derive(Clone)]
pub struct ProducerConfig {
    /// The producer group.
    pub group: String,
    /// A send as a whole, all attempts together (RocketMQ `sendMsgTimeout`).
    pub send_timeout: Duration,
    /// One attempt: a broker that hangs costs no more than this.
    pub attempt_timeout: Duration,
    /// Attempts after the first (RocketMQ `retryTimesWhenSendFailed`).
    pub retries: u32,
    /// Try again when an attempt may have been carried out: at-least-once, as in RocketMQ. Off:
    /// such a send ends as unknown, and nothing is ever stored twice.
    pub retry_unknown: bool,
    /// The topic whose route stands in for topics that do not exist yet.
    pub default_topic: String,
    /// Queues that a topic gets when it is created by its first message.
    pub default_topic_queue_nums: u32,
    /// Longest body, in bytes.
    pub max_message_bytes: usize,
    /// Sends under way at once; further ones wait for a place, within their own deadline.
    pub max_in_flight: usize,
    /// How routes are kept up to date: waiting reads, and a poll as backstop.
    pub watch: WatchOptions,
    /// Connections to brokers.
    pub brokers: ClientOptions,
    /// This machine's address, for message ids.
    pub client_ip: IpAddr,
    /// Seed of the first queue and of the ids' random part; None takes a random one.
    pub seed: Option<u64>,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            group: "DEFAULT_PRODUCER".to_owned(),
            send_timeout: Duration::from_secs(3),
            attempt_timeout: Duration::from_secs(1),
            retries: 2,
            retry_unknown: true,
            default_topic: "TBW102".to_owned(),
            default_topic_queue_nums: 4,
            max_message_bytes: 4 << 20,
            max_in_flight: 1024,
            watch: WatchOptions::default(),
            brokers: ClientOptions::default(),
            client_ip: Ipv4Addr::LOCALHOST.into(),
            seed: None,
        }
    }
}

/// Why a producer cannot work with its configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {expected}")]
pub struct ConfigError {
    /// The field.
    pub field: &'static str,
    /// What was expected of it.
    pub expected: String,
}

impl ProducerConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let wrong =
            |field, expected: &str| Err(ConfigError { field, expected: expected.to_owned() });
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"%|-_".contains(&byte);
        if self.group.is_empty() || self.group.len() > MAX_GROUP_BYTES {
            return wrong("group", "expected 1 to 255 bytes");
        }
        if !self.group.bytes().all(legal) {
            return wrong("group", "expected letters, digits, and any of % | - _");
        }
        if self.send_timeout.is_zero() || self.attempt_timeout.is_zero() {
            return wrong("send_timeout, attempt_timeout", "expected more than nothing");
        }
        if !(1..=0xFFFF).contains(&self.default_topic_queue_nums) {
            return wrong("default_topic_queue_nums", "expected 1 to 65535");
        }
        if self.max_in_flight == 0 || self.max_in_flight > tokio::sync::Semaphore::MAX_PERMITS {
            return wrong("max_in_flight", "expected at least 1");
        }
        Ok(())
    }
}
