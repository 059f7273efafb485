//! Records of the store's own, beside the commit mark: messages of topics that nobody may send to,
//! so that a rebuild from the log alone knows what the log's messages do not say.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use signpost_remoting::message::StoredMessage;

/// Topic of deletions.
pub const DELETION_TOPIC: &str = "SYS_TOPIC_DELETION";
/// Topic of queues' ends.
pub const QUEUE_ENDS_TOPIC: &str = "SYS_QUEUE_ENDS";

/// Bytes of one record of ends, at most a little more.
const ENDS_BYTES: usize = 64 * 1024;

/// Next offset of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QueueEnd {
    pub(super) topic: String,
    pub(super) queue_id: i32,
    pub(super) next: i64,
}

/// What a message means to the store.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// One for consumers.
    Message,
    /// The topic with all its messages before this one is gone.
    Deletion(&'a str),
    /// These queues went on at least so far, though the log does not reach back to their messages.
    Ends(Vec<QueueEnd>),
}

/// What a message is.
pub(super) fn kind(message: &StoredMessage) -> Kind<'_> {
    match &*message.topic {
        DELETION_TOPIC => Kind::Deletion(std::str::from_utf8(&message.body).unwrap_or_default()),
        QUEUE_ENDS_TOPIC => Kind::Ends(read_ends(message.body.clone())),
        _ => Kind::Message,
    }
}

/// The record that deletes a topic: a start that replays the log forgets the topic's messages where
/// they were forgotten before.
pub(super) fn deletion(topic: &str) -> StoredMessage {
    record(DELETION_TOPIC, Bytes::copy_from_slice(topic.as_bytes()))
}

/// The records that keep the ends of queues, all of whose messages are about to go with old
/// segments: their next messages must not get offsets that consumers have seen before.
pub(super) fn ends(ends: &[QueueEnd]) -> Vec<StoredMessage> {
    let (mut records, mut body) = (Vec::new(), BytesMut::new());
    for QueueEnd { topic, queue_id, next } in ends {
        body.put_u8(u8::try_from(topic.len()).unwrap_or(u8::MAX));
        body.put_slice(topic.as_bytes());
        body.put_i32(*queue_id);
        body.put_i64(*next);
        if body.len() >= ENDS_BYTES {
            records.push(record(QUEUE_ENDS_TOPIC, body.split().freeze()));
        }
    }
    if !body.is_empty() {
        records.push(record(QUEUE_ENDS_TOPIC, body.freeze()));
    }
    records
}

fn read_ends(mut body: Bytes) -> Vec<QueueEnd> {
    let mut ends = Vec::new();
    while let Some(length) = body.first().map(|length| usize::from(*length))
        && body.len() >= 1 + length + 12
    {
        body.advance(1);
        let topic = String::from_utf8_lossy(&body.split_to(length)).into_owned();
        ends.push(QueueEnd { topic, queue_id: body.get_i32(), next: body.get_i64() });
    }
    ends
}

/// A message of a topic of the store's own.
pub(super) fn record(topic: &str, body: Bytes) -> StoredMessage {
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
        body,
        topic: topic.to_owned(),
        properties: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_read_as_they_were_written() {
        let all: Vec<_> = (0..5000)
            .map(|n| QueueEnd {
                topic: format!("%RETRY%g{n}"),
                queue_id: n % 7,
                next: 1 << 40 | i64::from(n),
            })
            .collect();
        let records = ends(&all);
        assert!(records.len() > 1);
        let read: Vec<_> = records
            .iter()
            .flat_map(|record| match kind(record) {
                Kind::Ends(ends) => ends,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(read, all);
        assert_eq!(kind(&deletion("T")), Kind::Deletion("T"));
        assert_eq!(
            kind(&record(QUEUE_ENDS_TOPIC, Bytes::from_static(b"\x05ab"))),
            Kind::Ends(vec![])
        );
    }
}
