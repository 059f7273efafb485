//! Typed headers of a broker's calls, sends ([`crate::send`]) and pulls ([`crate::pull`]) aside.
//!
//! Codes 28, 34, 41, 42, 46, 200 and 201 have none: what they say is in their bodies. Fields that
//! are not named here (signatures, `bname`, proxies' marks) are ignored.
//! Source: RocketMQ `remoting.protocol.header` (5.3.3), `common.protocol.header` (4.9.8).

#[cfg(test)]
mod tests;

pub use crate::fields::HeaderError;
use crate::fields::{Field, headers};

headers! {
    /// 12: look messages up by key.
    QueryMessageHeader {
        /// Their topic.
        topic: String = "topic",
        /// One of their keys, or their unique key.
        key: String = "key",
        /// At most so many.
        max_num: u32 = "maxNum",
        /// Stored from then on, in ms since 1970.
        begin_timestamp_ms: i64 = "beginTimestamp",
        /// Stored up to then.
        end_timestamp_ms: i64 = "endTimestamp",
        /// The key is a unique key: `maxNum` does not count, the broker's own bound does.
        unique_key: bool = "_UNIQUE_KEY_QUERY",
    }

    /// Answer of 12.
    QueryMessageResponseHeader {
        /// When the index was written last, in ms since 1970.
        index_last_update_timestamp_ms: i64 = "indexLastUpdateTimestamp",
        /// Up to which offset of the commit log.
        index_last_update_physical_offset: i64 = "indexLastUpdatePhyoffset",
    }

    /// 14: how far a group is in a queue.
    QueryConsumerOffsetHeader {
        /// The group.
        consumer_group: String = "consumerGroup",
        /// The topic.
        topic: String = "topic",
        /// The queue.
        queue_id: u32 = "queueId",
        /// 5.x: false says that "nothing is stored" is to be answered as that.
        set_zero_if_not_found: Option<bool> = "setZeroIfNotFound",
    }

    /// 15: a group has come so far.
    UpdateConsumerOffsetHeader {
        /// The group.
        consumer_group: String = "consumerGroup",
        /// The topic.
        topic: String = "topic",
        /// The queue.
        queue_id: u32 = "queueId",
        /// The next offset that it wants.
        commit_offset: i64 = "commitOffset",
    }

    /// 17: create or change a topic.
    CreateTopicHeader {
        /// The topic.
        topic: String = "topic",
        /// Queues that consumers read.
        read_queue_nums: u32 = "readQueueNums",
        /// Queues that producers write.
        write_queue_nums: u32 = "writeQueueNums",
        /// Permission bits.
        perm: u32 = "perm",
        /// Unit bits.
        topic_sys_flag: i32 = "topicSysFlag",
        /// Ordered, as its owner says.
        order: bool = "order",
    }

    /// 29: the offset at a store time.
    SearchOffsetHeader {
        /// The topic.
        topic: String = "topic",
        /// The queue.
        queue_id: u32 = "queueId",
        /// In ms since 1970.
        timestamp_ms: i64 = "timestamp",
        /// 5.x: `LOWER` or `UPPER`; not said: lower.
        boundary: Option<String> = "boundaryType",
    }

    /// 30, 31 and 32: ends of a queue.
    QueueHeader {
        /// The topic.
        topic: String = "topic",
        /// The queue.
        queue_id: u32 = "queueId",
    }

    /// Answer of 14, 29, 30 and 31.
    OffsetResponseHeader {
        /// An offset of the queue.
        offset: i64 = "offset",
    }

    /// Answer of 32.
    StoreTimeResponseHeader {
        /// When the queue's oldest message was stored, in ms since 1970.
        timestamp_ms: i64 = "timestamp",
    }

    /// 33: the message at an offset of the commit log.
    ViewMessageHeader {
        /// Where its record begins.
        offset: i64 = "offset",
    }

    /// 35: a client leaves.
    UnregisterClientHeader {
        /// Its id.
        client_id: String = "clientID",
        /// The producer group that it leaves.
        producer_group: Option<String> = "producerGroup",
        /// The consumer group that it leaves.
        consumer_group: Option<String> = "consumerGroup",
    }

    /// 36: a consumer could not consume a message.
    SendBackHeader {
        /// Where the message lies in the commit log.
        offset: i64 = "offset",
        /// The group.
        group: String = "group",
        /// 0: the broker decides; below: no retry.
        delay_level: i32 = "delayLevel",
        /// The client's id of the message.
        origin_message_id: Option<String> = "originMsgId",
        /// The topic that it was sent to.
        origin_topic: Option<String> = "originTopic",
        /// Most retries.
        max_reconsume_times: Option<i32> = "maxReconsumeTimes",
    }

    /// 38, 40, 203 and 208: a consumer group. 208 may name a topic as well.
    ConsumerGroupHeader {
        /// The group.
        consumer_group: String = "consumerGroup",
        /// 208: only this topic.
        topic: Option<String> = "topic",
    }

    /// 202, 215, 300 and 351: a topic.
    TopicHeader {
        /// The topic.
        topic: String = "topic",
    }

    /// 204: a producer group.
    ProducerGroupHeader {
        /// The group.
        producer_group: String = "producerGroup",
    }

    /// 352: a consumer group's settings.
    GetGroupHeader {
        /// The group.
        group: String = "group",
    }

    /// 207: delete a consumer group's settings.
    DeleteGroupHeader {
        /// The group.
        group_name: String = "groupName",
        /// Its offsets too.
        clean_offset: bool = "cleanOffset",
    }
}
