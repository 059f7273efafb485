//! Request and response codes (RocketMQ `RequestCode`, `ResponseCode`, `RemotingSysResponseCode`).

/// What a request asks for. The names are RocketMQ's.
pub mod request {
    macro_rules! codes {
        ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
            $($(#[$doc])* pub const $name: i32 = $code;)*

            /// RocketMQ's name of a request code, for logs; `UNKNOWN` when it is not one of ours.
            pub fn name(code: i32) -> &'static str {
                match code {
                    $($name => stringify!($name),)*
                    _ => "UNKNOWN",
                }
            }
        };
    }

    codes! {
        /// Send one message, long field names (Go always, Java when told to).
        SEND_MESSAGE = 10;
        /// Pull messages of one queue.
        PULL_MESSAGE = 11;
        /// Look messages up by key.
        QUERY_MESSAGE = 12;
        /// A group's progress in a queue.
        QUERY_CONSUMER_OFFSET = 14;
        /// Store a group's progress in a queue.
        UPDATE_CONSUMER_OFFSET = 15;
        /// Create or change a topic on this broker.
        UPDATE_AND_CREATE_TOPIC = 17;
        /// The whole topic table of a broker.
        GET_ALL_TOPIC_CONFIG = 21;
        /// Numbers about a broker, for `mqadmin clusterList`.
        GET_BROKER_RUNTIME_INFO = 28;
        /// Queue offset by store time.
        SEARCH_OFFSET_BY_TIMESTAMP = 29;
        /// Next offset of a queue.
        GET_MAX_OFFSET = 30;
        /// Oldest offset of a queue.
        GET_MIN_OFFSET = 31;
        /// Store time of a queue's oldest message.
        GET_EARLIEST_MSG_STORETIME = 32;
        /// Read a message by its commit-log offset.
        VIEW_MESSAGE_BY_ID = 33;
        /// A client names its groups and subscriptions, every 30 s.
        HEART_BEAT = 34;
        /// A client takes a group back.
        UNREGISTER_CLIENT = 35;
        /// A consumer gives a message back to be retried later.
        CONSUMER_SEND_MSG_BACK = 36;
        /// Commit or roll back a half message.
        END_TRANSACTION = 37;
        /// Members of a consumer group.
        GET_CONSUMER_LIST_BY_GROUP = 38;
        /// Broker to producer: what became of a half message.
        CHECK_TRANSACTION_STATE = 39;
        /// Broker to consumer: the members of your group have changed.
        NOTIFY_CONSUMER_IDS_CHANGED = 40;
        /// Lock queues for an ordered consumer.
        LOCK_BATCH_MQ = 41;
        /// Give such locks back.
        UNLOCK_BATCH_MQ = 42;
        /// Whether the broker accepts a subscription expression.
        CHECK_CLIENT_CONFIG = 46;
        /// Write a value of the name server's KV configuration.
        PUT_KV_CONFIG = 100;
        /// Read a value of the KV configuration.
        GET_KV_CONFIG = 101;
        /// Delete a value of the KV configuration.
        DELETE_KV_CONFIG = 102;
        /// A broker registers itself and its topics.
        REGISTER_BROKER = 103;
        /// A broker takes itself out.
        UNREGISTER_BROKER = 104;
        /// The route of a topic.
        GET_ROUTEINFO_BY_TOPIC = 105;
        /// All clusters and brokers.
        GET_BROKER_CLUSTER_INFO = 106;
        /// Create or change a consumer group's settings.
        UPDATE_AND_CREATE_SUBSCRIPTIONGROUP = 200;
        /// The settings of all consumer groups of a broker.
        GET_ALL_SUBSCRIPTIONGROUP_CONFIG = 201;
        /// Topic statistics of a broker.
        GET_TOPIC_STATS_INFO = 202;
        /// Members of a consumer group with their connections.
        GET_CONSUMER_CONNECTION_LIST = 203;
        /// Members of a producer group with their connections.
        GET_PRODUCER_CONNECTION_LIST = 204;
        /// Take write permission from a broker's topics.
        WIPE_WRITE_PERM_OF_BROKER = 205;
        /// All topics.
        GET_ALL_TOPIC_LIST_FROM_NAMESERVER = 206;
        /// Progress of a consumer group.
        GET_CONSUME_STATS = 208;
        /// Delete a consumer group's settings.
        DELETE_SUBSCRIPTIONGROUP = 207;
        /// Delete a topic on a broker.
        DELETE_TOPIC_IN_BROKER = 215;
        /// Delete a topic in the name server.
        DELETE_TOPIC_IN_NAMESRV = 216;
        /// Make a topic on known brokers (5.x).
        REGISTER_TOPIC_IN_NAMESRV = 217;
        /// A namespace of the KV configuration.
        GET_KVLIST_BY_NAMESPACE = 219;
        /// Topics of one cluster.
        GET_TOPICS_BY_CLUSTER = 224;
        /// Consumer groups of a topic.
        QUERY_TOPIC_CONSUME_BY_WHO = 300;
        /// Topics and subscriptions that the broker itself needs.
        GET_SYSTEM_TOPIC_LIST_FROM_BROKER = 305;
        /// Cluster and broker names as topics.
        GET_SYSTEM_TOPIC_LIST_FROM_NS = 304;
        /// Send one message, one-letter field names (Java, Node).
        SEND_MESSAGE_V2 = 310;
        /// Topics whose unit bit is set.
        GET_UNIT_TOPIC_LIST = 311;
        /// Topics whose unit-subscription bit is set.
        GET_HAS_UNIT_SUB_TOPIC_LIST = 312;
        /// Topics with unit subscriptions that are not unit topics themselves.
        GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST = 313;
        /// Change name server properties; never served here (docs/GUARANTEES.md, promise 8).
        UPDATE_NAMESRV_CONFIG = 318;
        /// Name server properties.
        GET_NAMESRV_CONFIG = 319;
        /// Send several messages to one queue in one request.
        SEND_BATCH_MESSAGE = 320;
        /// Whether a broker's data version has moved on.
        QUERY_DATA_VERSION = 322;
        /// Answer of the request-reply pattern, long field names.
        SEND_REPLY_MESSAGE = 324;
        /// Answer of the request-reply pattern, one-letter field names.
        SEND_REPLY_MESSAGE_V2 = 325;
        /// Give write permission back to a broker's topics.
        ADD_WRITE_PERM_OF_BROKER = 327;
        /// One topic's configuration.
        GET_TOPIC_CONFIG = 351;
        /// One consumer group's settings.
        GET_SUBSCRIPTIONGROUP_CONFIG = 352;
        /// Brokers that share a name (5.x).
        GET_BROKER_MEMBER_GROUP = 901;
        /// A broker says that it lives (5.x).
        BROKER_HEARTBEAT = 904;
        /// Name server to broker: the least broker id of your group has changed (5.x).
        NOTIFY_MIN_BROKER_ID_CHANGE = 905;
    }
}

/// How a request ended. The names are RocketMQ's.
pub mod response {
    /// Done.
    pub const SUCCESS: i32 = 0;
    /// Failed for a reason that has no code of its own; the remark says it.
    pub const SYSTEM_ERROR: i32 = 1;
    /// Too much to do; try elsewhere or later.
    pub const SYSTEM_BUSY: i32 = 2;
    /// Nobody here serves that request code.
    pub const REQUEST_CODE_NOT_SUPPORTED: i32 = 3;
    /// Stored, but not synced in time. Clients count it as sent.
    pub const FLUSH_DISK_TIMEOUT: i32 = 10;
    /// Stored, but there is no slave in reach. Clients count it as sent.
    pub const SLAVE_NOT_AVAILABLE: i32 = 11;
    /// Stored, but no slave has it in time. Clients count it as sent.
    pub const FLUSH_SLAVE_TIMEOUT: i32 = 12;
    /// The message itself is refused (too large, properties too long).
    pub const MESSAGE_ILLEGAL: i32 = 13;
    /// The broker cannot store now (full disk, stopping); another one may.
    pub const SERVICE_NOT_AVAILABLE: i32 = 14;
    /// The client's version is refused.
    pub const VERSION_NOT_SUPPORTED: i32 = 15;
    /// Not allowed: permission bits, forbidden topic, or authentication.
    pub const NO_PERMISSION: i32 = 16;
    /// There is no such topic.
    pub const TOPIC_NOT_EXIST: i32 = 17;
    /// There is such a topic already.
    pub const TOPIC_EXIST_ALREADY: i32 = 18;
    /// No message at that offset yet.
    pub const PULL_NOT_FOUND: i32 = 19;
    /// Messages, but none that matches; pull on from the given offset.
    pub const PULL_RETRY_IMMEDIATELY: i32 = 20;
    /// The offset is outside the queue; the right one is given.
    pub const PULL_OFFSET_MOVED: i32 = 21;
    /// Nothing is stored under what was asked for.
    pub const QUERY_NOT_FOUND: i32 = 22;
    /// The subscription expression cannot be read.
    pub const SUBSCRIPTION_PARSE_FAILED: i32 = 23;
    /// The group has no such subscription here (yet).
    pub const SUBSCRIPTION_NOT_EXIST: i32 = 24;
    /// The request knows a newer subscription than the broker.
    pub const SUBSCRIPTION_NOT_LATEST: i32 = 25;
    /// There is no such consumer group.
    pub const SUBSCRIPTION_GROUP_NOT_EXIST: i32 = 26;
    /// A parameter is out of its range (5.x).
    pub const INVALID_PARAMETER: i32 = 29;
    /// The broker belongs to another unit.
    pub const NOT_IN_CURRENT_UNIT: i32 = 205;
    /// No member of that consumer group is connected.
    pub const CONSUMER_NOT_ONLINE: i32 = 206;
    /// The client is sending or pulling too quickly.
    pub const FLOW_CONTROL: i32 = 215;
    /// The server is closing this connection; send again on a new one (5.x).
    pub const GO_AWAY: i32 = 1500;
}
