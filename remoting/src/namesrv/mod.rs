//! Typed headers of the name server's calls.
//!
//! Codes 106, 206, 304, 311 to 313, 318 and 319 have none. Any request may carry more fields
//! (signatures, namespaces, zones); what is not named here is ignored.
//! Source: RocketMQ `remoting.protocol.header.namesrv` (5.3.3), `common.protocol.header.namesrv`
//! (4.9.8).

#[cfg(test)]
mod tests;

pub use crate::fields::HeaderError;
use crate::fields::{Field, headers};

headers! {
    /// 100: set a value of the KV configuration.
    PutKvConfigHeader {
        /// Its namespace.
        namespace: String = "namespace",
        /// Its key.
        key: String = "key",
        /// Its value. RocketMQ takes a missing one, and answers as if it were not there.
        value: Option<String> = "value",
    }

    /// 101: read a value.
    GetKvConfigHeader {
        /// Its namespace.
        namespace: String = "namespace",
        /// Its key.
        key: String = "key",
    }

    /// Answer of 101.
    GetKvConfigResponseHeader {
        /// The value.
        value: Option<String> = "value",
    }

    /// 102: delete a value.
    DeleteKvConfigHeader {
        /// Its namespace.
        namespace: String = "namespace",
        /// Its key.
        key: String = "key",
    }

    /// 103: a broker registers. Its body: [`RegisterBody`](crate::body::RegisterBody).
    RegisterBrokerHeader {
        /// The name that it shares with its master or slaves.
        broker_name: String = "brokerName",
        /// `host:port` that clients dial.
        broker_addr: String = "brokerAddr",
        /// The cluster that it belongs to.
        cluster_name: String = "clusterName",
        /// `host:port` for replication.
        ha_server_addr: String = "haServerAddr",
        /// 0 is the master.
        broker_id: u64 = "brokerId",
        /// Whether the body is compressed. 5.0.0 to 5.3.3 say no of bodies that are.
        compressed: bool = "compressed",
        /// [`crc32`](crate::body::registration::crc32) of the body; 0: not checked.
        body_crc32: i32 = "bodyCrc32",
        /// 5.x: how long it lives without a sign, in ms; not said: 120,000.
        heartbeat_timeout_ms: Option<i64> = "heartbeatTimeoutMillis",
        /// 5.x: may its smallest slave act as master. Brokers before 5.0 do not say.
        enable_acting_master: Option<bool> = "enableActingMaster",
        /// 5.x: the zone that it stands in, set by a hook.
        zone_name: Option<String> = "__ZONE_NAME",
    }

    /// Answer of 103; empty for masters, and for slaves without a live master.
    RegisterBrokerResponseHeader {
        /// The master's `host:port` for replication.
        ha_server_addr: Option<String> = "haServerAddr",
        /// The master's address.
        master_addr: Option<String> = "masterAddr",
    }

    /// 104: a broker takes itself out.
    UnregisterBrokerHeader {
        /// Its name.
        broker_name: String = "brokerName",
        /// Its address.
        broker_addr: String = "brokerAddr",
        /// Its cluster.
        cluster_name: String = "clusterName",
        /// Its id.
        broker_id: u64 = "brokerId",
    }

    /// 105: the route of a topic.
    GetRouteInfoHeader {
        /// The topic.
        topic: String = "topic",
        /// Standard JSON is wanted, whatever the version.
        accept_standard_json_only: bool = "acceptStandardJsonOnly",
        /// 5.x: only brokers of a zone are wanted.
        zone_mode: bool = "__ZONE_MODE",
        /// 5.x: that zone.
        zone_name: Option<String> = "__ZONE_NAME",
    }

    /// 205: take write permission from a broker's topics.
    WipeWritePermHeader {
        /// Its name.
        broker_name: String = "brokerName",
    }

    /// Answer of 205.
    WipeWritePermResponseHeader {
        /// Topics whose permission changed.
        wipe_topic_count: i32 = "wipeTopicCount",
    }

    /// 327: give write permission back to a broker's topics.
    AddWritePermHeader {
        /// Its name.
        broker_name: String = "brokerName",
    }

    /// Answer of 327.
    AddWritePermResponseHeader {
        /// Topics whose permission changed.
        add_topic_count: i32 = "addTopicCount",
    }

    /// 216: delete a topic.
    DeleteTopicHeader {
        /// The topic.
        topic: String = "topic",
        /// Only from this cluster's brokers; an empty name is none.
        cluster_name: Option<String> = "clusterName",
    }

    /// 217: make a topic on known brokers. Its body: the queues of a
    /// [`TopicRouteData`](crate::body::TopicRouteData).
    RegisterTopicHeader {
        /// The topic.
        topic: String = "topic",
    }

    /// 219: a namespace of the KV configuration.
    GetKvListHeader {
        /// The namespace.
        namespace: String = "namespace",
    }

    /// 224: the topics of a cluster.
    GetTopicsByClusterHeader {
        /// The cluster.
        cluster: String = "cluster",
    }

    /// 322: has this broker's data version moved on? Its body: a
    /// [`DataVersion`](crate::body::DataVersion).
    QueryDataVersionHeader {
        /// Its name.
        broker_name: String = "brokerName",
        /// Its address.
        broker_addr: String = "brokerAddr",
        /// Its cluster.
        cluster_name: String = "clusterName",
        /// Its id.
        broker_id: u64 = "brokerId",
    }

    /// Answer of 322.
    QueryDataVersionResponseHeader {
        /// Whether the version known here is another one, or none.
        changed: bool = "changed",
    }

    /// 901: who shares this broker name?
    GetBrokerMemberGroupHeader {
        /// The cluster, given back in the answer.
        cluster_name: String = "clusterName",
        /// The name.
        broker_name: String = "brokerName",
    }

    /// 904: a broker says that it lives.
    BrokerHeartbeatHeader {
        /// Its cluster.
        cluster_name: String = "clusterName",
        /// Its address.
        broker_addr: String = "brokerAddr",
        /// Its name.
        broker_name: String = "brokerName",
        /// Its id.
        broker_id: Option<u64> = "brokerId",
        /// The controller's epoch.
        epoch: Option<i32> = "epoch",
        /// Where its log ends.
        max_offset: Option<i64> = "maxOffset",
        /// What its slaves have of it.
        confirm_offset: Option<i64> = "confirmOffset",
        /// How long it lives without a sign, in ms. RocketMQ spells it so.
        heartbeat_timeout_ms: Option<i64> = "heartbeatTimeoutMills",
        /// How readily it becomes master.
        election_priority: Option<i32> = "electionPriority",
    }

    /// 905, sent to brokers: the smallest id of their group has changed. What is not known is
    /// left out.
    NotifyMinBrokerIdChangeHeader {
        /// The smallest id now.
        min_broker_id: Option<u64> = "minBrokerId",
        /// The group's name; stock name servers never say it.
        broker_name: Option<String> = "brokerName",
        /// The address of the smallest id.
        min_broker_addr: Option<String> = "minBrokerAddr",
        /// The address that left.
        offline_broker_addr: Option<String> = "offlineBrokerAddr",
        /// The `host:port` for replication of the one that joined.
        ha_broker_addr: Option<String> = "haBrokerAddr",
    }
}
