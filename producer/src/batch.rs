//! Several messages in one request (code 320): all to one queue, each stored as a message of its
//! own. Pure. Source: RocketMQ `MessageBatch.generateFromList`.

use bytes::Bytes;
use signpost_remoting::message::batch::{BatchMessage, encode};

use crate::message::{InvalidMessage, Message};

/// Bytes of an entry besides body and properties.
const ENTRY_BYTES: usize = 22;
/// What the producer itself adds to a message's properties at most: id (56 digits with IPv6),
/// `WAIT`, and the names and separators of tag, keys and order key.
const OWN_PROPERTIES_BYTES: usize = 128;

/// Messages that have been checked together: their entries, and the queue that they ask for.
pub(crate) struct CheckedBatch {
    pub(crate) topic: String,
    pub(crate) body: Bytes,
    pub(crate) order_key: Option<String>,
}

/// Checks messages that are to go together; `ids` are theirs.
///
/// # Errors
/// One of them cannot be sent, or not with the others.
pub(crate) fn check(
    messages: &[Message],
    ids: &[String],
    max_bytes: usize,
) -> Result<CheckedBatch, InvalidMessage> {
    let wrong = |field, problem: String| Err(InvalidMessage { field, problem });
    let Some(first) = messages.first() else {
        return wrong("batch", "is empty; expected at least one message".to_owned());
    };
    let mut entries = Vec::with_capacity(messages.len());
    for (message, id) in messages.iter().zip(ids) {
        if message.topic != first.topic {
            let (one, other) = (&first.topic, &message.topic);
            return wrong("topic", format!("differs within one batch: {one} and {other}"));
        }
        if message.topic.starts_with("%RETRY%") {
            return wrong("topic", "of a retry takes no batches".to_owned());
        }
        if message.delay_level.is_some() {
            return wrong("delay_level", "cannot be had in a batch".to_owned());
        }
        if message.order_key != first.order_key {
            return wrong("order_key", "differs within one batch, which has one queue".to_owned());
        }
        let properties = message.check(max_bytes, id)?;
        let body = message.body.clone();
        entries.push(BatchMessage { flag: message.flag, body, properties });
    }
    let bytes: usize =
        entries.iter().map(|e| ENTRY_BYTES + e.body.len() + e.properties.len()).sum();
    if bytes > max_bytes {
        return wrong("batch", format!("has {bytes} bytes, more than {max_bytes}; split it"));
    }
    let body = encode(&entries);
    let body =
        body.map_err(|error| InvalidMessage { field: "batch", problem: error.to_string() })?;
    Ok(CheckedBatch { topic: first.topic.clone(), body, order_key: first.order_key.clone() })
}

/// Splits messages, in order, into batches that surely stay within `max_bytes` each; a message that
/// does not fit at all stands alone. All must be of one topic, as in any batch.
#[must_use]
pub fn split_into_batches(messages: &[Message], max_bytes: usize) -> Vec<&[Message]> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0_usize);
    for (at, message) in messages.iter().enumerate() {
        let more = entry_bytes_max(message);
        if at > start && bytes.saturating_add(more) > max_bytes {
            batches.push(&messages[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes = bytes.saturating_add(more);
    }
    if start < messages.len() {
        batches.push(&messages[start..]);
    }
    batches
}

/// What a message takes in a batch, at most.
fn entry_bytes_max(message: &Message) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let keys: usize = message.keys.iter().map(|key| key.len() + 1).sum();
    let own: usize = message.properties.iter().map(|(n, v)| n.len() + v.len() + 2).sum();
    let properties =
        OWN_PROPERTIES_BYTES + text(&message.tag) + text(&message.order_key) + keys + own;
    ENTRY_BYTES + message.body.len() + properties
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use signpost_remoting::message::batch::decode;
    use signpost_remoting::message::properties;

    fn ids(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("{n:056}")).collect()
    }

    fn message(body: &str) -> Message {
        Message::new("T", body.to_owned())
    }

    #[test]
    fn each_message_keeps_its_own_properties_and_flag() {
        let messages = [message("b1").with_tag("A"), Message { flag: 7, ..message("b22") }];
        let batch = check(&messages, &ids(2), 1000).unwrap();
        let entries = decode(batch.body, 10).unwrap();
        assert_eq!(
            entries.iter().map(|e| (e.flag, &e.body[..])).collect::<Vec<_>>(),
            [(0, &b"b1"[..]), (7, b"b22")]
        );
        let get = |at: usize, name| properties::get(&entries[at].properties, name);
        assert_eq!((get(0, "TAGS"), get(1, "TAGS")), (Some("A"), None));
        assert_eq!(get(1, "UNIQ_KEY"), Some(ids(2)[1].as_str()));
    }

    #[test]
    fn what_cannot_go_together_is_refused_with_its_field() {
        let cases = [
            (vec![], "batch"),
            (vec![message("b"), Message::new("other", "b")], "topic"),
            (vec![Message::new("%RETRY%g", "b")], "topic"),
            (vec![message("b"), message("b").with_delay_level(1)], "delay_level"),
            (vec![message("b"), message("b").with_order_key("k")], "order_key"),
            (vec![message("b"), message("")], "body"),
            (vec![message(&"x".repeat(600)), message(&"x".repeat(600))], "batch"),
        ];
        for (messages, field) in cases {
            let checked = check(&messages, &ids(messages.len()), 1000);
            assert_eq!(checked.err().expect("refused").field, field, "{messages:?}");
        }
    }

    proptest! {
        #[test]
        fn batches_are_all_messages_in_order_and_none_is_too_large(
            sizes in prop::collection::vec(1_usize..400, 0..20), max_bytes in 500_usize..2000,
        ) {
            let messages: Vec<_> = sizes.iter().map(|size| {
                let filler = "x".repeat(*size);
                message(&filler).with_tag(&filler[..size / 4 + 1]).with_key("k").with_key("key")
                    .with_order_key("o").with_property("mine", "1")
            }).collect();
            let batches = split_into_batches(&messages, max_bytes);
            prop_assert_eq!(&batches.concat(), &messages);
            for batch in batches {
                let checked = check(batch, &ids(batch.len()), max_bytes);
                prop_assert!(batch.len() == 1 || checked.is_ok());
                prop_assert!(!batch.is_empty());
            }
        }
    }

    #[test]
    fn a_message_that_never_fits_stands_alone() {
        let messages = [message("a"), message(&"x".repeat(2000)), message("b"), message("c")];
        let sizes: Vec<_> = split_into_batches(&messages, 500).iter().map(|b| b.len()).collect();
        assert_eq!(sizes, [1, 1, 2]);
        assert!(split_into_batches(&[], 500).is_empty());
    }
}
