//! [`ProducerConfig`]: how a producer behaves.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use signpost_client::WatchOptions;
use signpost_remoting::client::ClientOptions;
use signpost_remoting::response;
use tokio::sync::Semaphore;

use crate::compression::{Compression, MAX_LEVEL};
use crate::faults::FaultAvoidance;
use crate::hooks::Hooks;

/// Longest group name that RocketMQ takes (`Validators.GROUP_MAX_LENGTH`).
const MAX_GROUP_BYTES: usize = 120;
/// The group that RocketMQ refuses: nobody chose it, so everybody would share it.
const NOBODYS_GROUP: &str = "DEFAULT_PRODUCER";
/// The broker belongs to another owner (RocketMQ `NO_BUYER_ID`).
pub(crate) const NO_BUYER_ID: i32 = 204;

/// Deadlines, retries and limits of a producer. The defaults are RocketMQ's where it has some.
#[derive(Clone)]
pub struct ProducerConfig {
    /// The producer group.
    pub group: String,
    /// A send as a whole, all attempts together (RocketMQ `sendMsgTimeout`).
    pub send_timeout: Duration,
    /// One attempt after which another may follow (RocketMQ `sendMsgMaxTimeoutPerRequest`): a broker
    /// that hangs costs no more than this. The last attempt has all the time that is left.
    pub attempt_timeout: Duration,
    /// Attempts after the first (RocketMQ `retryTimesWhenSendFailed`).
    pub retries: u32,
    /// The same for async sends, which are retried only when the broker was not reached or did not
    /// answer (RocketMQ `retryTimesWhenSendAsyncFailed`).
    pub async_retries: u32,
    /// Codes of brokers' answers after which another broker is tried (RocketMQ
    /// `retryResponseCodes`). All others would be the same everywhere.
    pub retry_codes: BTreeSet<i32>,
    /// Send again, elsewhere, what was stored less safely than it should be: with another status
    /// than [`SendStatus::Ok`](crate::SendStatus::Ok) (RocketMQ `retryAnotherBrokerWhenNotStoreOK`).
    pub retry_not_store_ok: bool,
    /// Try again when an attempt may have been carried out: at-least-once, as in RocketMQ. Off:
    /// such a send ends as unknown, and nothing is ever stored twice.
    pub retry_unknown: bool,
    /// The topic whose route stands in for topics that do not exist yet.
    pub default_topic: String,
    /// Queues that a topic gets when it is created by its first message.
    pub default_topic_queue_nums: u32,
    /// Longest body, in bytes.
    pub max_message_bytes: usize,
    /// Which bodies are compressed, and how; None: none. Batches never are.
    pub compression: Option<Compression>,
    /// Slow and failing brokers are left alone for a while (RocketMQ `sendLatencyFaultEnable`).
    pub fault_avoidance: Option<FaultAvoidance>,
    /// Called on the way of each message.
    pub hooks: Hooks,
    /// Sends under way at once; further ones wait for a place, within their own deadline (RocketMQ
    /// `backPressureForAsyncSendNum`).
    pub max_in_flight: usize,
    /// Bytes of bodies under way at once, likewise (RocketMQ `backPressureForAsyncSendSize`).
    pub max_in_flight_bytes: usize,
    /// How often the masters of all topics in use are told of this producer.
    pub heartbeat_interval: Duration,
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
            group: "SIGNPOST_PRODUCER".to_owned(),
            send_timeout: Duration::from_secs(3),
            attempt_timeout: Duration::from_secs(1),
            retries: 2,
            async_retries: 2,
            retry_codes: default_retry_codes(),
            retry_not_store_ok: false,
            retry_unknown: true,
            default_topic: "TBW102".to_owned(),
            default_topic_queue_nums: 4,
            max_message_bytes: 4 << 20,
            compression: Some(Compression::default()),
            fault_avoidance: None,
            hooks: Hooks::default(),
            max_in_flight: 1024,
            max_in_flight_bytes: 100 << 20,
            heartbeat_interval: Duration::from_secs(30),
            watch: WatchOptions::default(),
            brokers: ClientOptions::default(),
            client_ip: Ipv4Addr::LOCALHOST.into(),
            seed: None,
        }
    }
}

/// RocketMQ 5's, and `FLOW_CONTROL`, which only says that this broker has too much to do.
fn default_retry_codes() -> BTreeSet<i32> {
    BTreeSet::from([
        response::SYSTEM_ERROR,
        response::SYSTEM_BUSY,
        response::SERVICE_NOT_AVAILABLE,
        response::NO_PERMISSION,
        response::TOPIC_NOT_EXIST,
        NO_BUYER_ID,
        response::NOT_IN_CURRENT_UNIT,
        response::FLOW_CONTROL,
        response::GO_AWAY,
    ])
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
            return wrong("group", "expected 1 to 120 bytes");
        }
        if self.group == NOBODYS_GROUP {
            return wrong("group", "expected a name of your own, not DEFAULT_PRODUCER");
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
        let places = 1..=Semaphore::MAX_PERMITS.min(u32::MAX as usize);
        if !places.contains(&self.max_in_flight) {
            return wrong("max_in_flight", "expected at least 1");
        }
        if !places.contains(&self.max_in_flight_bytes) {
            return wrong("max_in_flight_bytes", "expected at least 1, and less than 4 GiB");
        }
        if self.heartbeat_interval.is_zero() {
            return wrong("heartbeat_interval", "expected more than nothing");
        }
        if self.compression.is_some_and(|compression| compression.level > MAX_LEVEL) {
            return wrong("compression", "expected a level from 0 to 9");
        }
        if let Some(problem) = self.fault_avoidance.as_ref().and_then(FaultAvoidance::problem) {
            return wrong("fault_avoidance", problem);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_rocketmq_s() {
        let config = ProducerConfig::default();
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.send_timeout, Duration::from_secs(3));
        assert_eq!((config.retries, config.async_retries), (2, 2));
        let codes = [1, 2, 14, 16, 17, 204, 205, 215, 1500];
        assert_eq!(config.retry_codes, BTreeSet::from(codes));
        assert_eq!((&*config.default_topic, config.default_topic_queue_nums), ("TBW102", 4));
        assert_eq!(config.max_message_bytes, 4 * 1024 * 1024);
        assert_eq!(config.heartbeat_interval, Duration::from_secs(30));
        let compression = config.compression.expect("it is on");
        assert_eq!((compression.level, compression.from_bytes), (5, 4096));
        assert!(config.fault_avoidance.is_none() && !config.retry_not_store_ok);
    }
}
