//! The bodies of calls: what brokers register and clients say, what clients and tools are
//! answered. Pure, like the other codecs.
//!
//! | file | holds |
//! | --- | --- |
//! | [`registration`] | [`RegisterBody`]: what a broker registers (103), plain or compressed |
//! | [`topic`] | what a registration says of one topic: [`TopicConfig`], [`TopicQueueMappingInfo`] |
//! | [`version`] | [`DataVersion`] (103, 322) |
//! | [`route`] | [`TopicRouteData`] (105, 217), [`BrokerData`], [`QueueData`] |
//! | [`lists`] | [`TopicList`], [`KvTable`], [`ClusterInfo`], [`BrokerMemberGroup`] |
//! | [`heartbeat`] | [`Heartbeat`]: a client's groups and [`Subscription`]s (34); what a filter check asks (46) |
//! | [`consumers`] | members of groups (38, 203), groups of a topic (300), locks of queues (41, 42) |
//! | [`stats`] | queues' offsets (202) and groups' progress (208), keyed by objects |
//! | [`group`] | [`SubscriptionGroup`]: settings of a consumer group (200, 201, 352) |
//! | [`table`] | [`Table`]: a map in the least memory |
//! | [`json`] | JSON as fastjson writes and reads it: bare integer keys, bounded depth and memory |
//! | `lenient` | fields read as fastjson reads them: numbers as strings, null as absent |
//!
//! Reading bounds everything that comes from outside: depth, inflated bytes, entries, and memory:
//! never more is taken than four times the bytes received and a small constant, and everything is
//! paid for before it is allocated. Of a compressed body its bytes are those that it inflates to.
//! Unknown fields are ignored, missing ones take the defaults of RocketMQ's classes.
//!
//! Source: RocketMQ `remoting.protocol.body`, `remoting.protocol.route` (5.3.3), `common.protocol`
//! (4.9.8).

pub mod consumers;
pub mod group;
pub mod heartbeat;
pub mod json;
mod lenient;
pub mod lists;
pub mod registration;
pub mod route;
pub mod stats;
pub mod table;
pub mod topic;
pub mod version;

pub use consumers::{ConsumerConnections, LockBatch, QueueRef};
pub use group::SubscriptionGroup;
pub use heartbeat::{Heartbeat, Subscription};
pub use lists::{BrokerMemberGroup, ClusterInfo, KvTable, TopicList};
pub use registration::RegisterBody;
pub use route::{BrokerData, QueueData, TopicRouteData};
pub use table::Table;
pub use topic::{Attributes, TopicConfig, TopicFilterType, TopicQueueMappingInfo};
pub use version::DataVersion;

/// From this protocol version on (3.0.11) a registration is a `RegisterBrokerBody`; before, it is
/// the bare topic table.
pub const REGISTER_BODY_VERSION: i32 = 37;

/// From this protocol version on (4.9.4) a route is answered in standard JSON.
pub const STANDARD_JSON_VERSION: i32 = 401;

/// From this protocol version on (5.0.0) a compressed registration ends with static-topic mappings.
pub const MAPPING_VERSION: i32 = 413;

/// Most topics, or mappings, that one body may list. A backstop of the codec: a service has a
/// lower bound of its own.
pub const TOPICS_MAX: usize = 1_000_000;

/// Most brokers that a route or the table of clusters may list.
pub const BROKERS_MAX: usize = 65_536;

/// Most filter servers that one broker may list; stock brokers list none.
pub const FILTER_SERVERS_MAX: usize = 1_024;

/// Most addresses that one broker name may have.
pub const ADDRESSES_MAX: usize = 4_096;

/// Why a body cannot be read. The text is what the sender is told, with code 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The header's checksum is not that of the body. The text is RocketMQ's.
    #[error("crc32 not match")]
    Crc32 {
        /// What the header says.
        header: i32,
        /// What the body has.
        body: i32,
    },
    /// Not the JSON that is expected here: syntax, a type, too many entries.
    #[error("the body cannot be read as JSON: {0}")]
    Json(String),
    /// JSON that nests deeper than any body does.
    #[error("the body's JSON nests deeper than {limit} levels")]
    TooDeep {
        /// The limit in force.
        limit: usize,
    },
    /// The compressed body would inflate to more than the limit.
    #[error("the compressed body inflates to more than {limit} bytes")]
    TooLarge {
        /// The limit in force, in bytes.
        limit: usize,
    },
    /// The compressed body is not a whole zlib stream.
    #[error("the compressed body cannot be inflated: {0}")]
    Zlib(String),
    /// What was inflated is not laid out as a compressed registration is.
    #[error("the compressed registration cannot be read: {0}")]
    Layout(String),
}
