//! The deletion of a topic: a record in the log, so that a start that replays the log forgets the
//! topic's messages where they were forgotten before.
//!
//! Like a commit mark it is a message of a topic that nobody may send to.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use signpost_remoting::message::StoredMessage;

/// Topic of deletions.
pub const DELETION_TOPIC: &str = "SYS_TOPIC_DELETION";

/// The record that deletes a topic.
pub(super) fn record(topic: &str) -> StoredMessage {
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    StoredMessage {
        queue_id: 0,
        flag: 0,
        queue_offset: 0,
        physical_offset: 0,
        sys_flag: 0,
        born_timestamp_ms: 0,
        born_host: nowhere,
        store_timestamp_ms: 0,
        store_host: nowhere,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: Bytes::copy_from_slice(topic.as_bytes()),
        topic: DELETION_TOPIC.to_owned(),
        properties: String::new(),
    }
}

/// The topic that a record deletes, if it is such a one.
pub(super) fn deleted_topic(message: &StoredMessage) -> Option<&str> {
    let topic = (message.topic == DELETION_TOPIC).then_some(&message.body)?;
    std::str::from_utf8(topic).ok()
}
