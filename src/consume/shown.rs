//! A message as it is shown. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use signpost_producer::decompress;
use signpost_remoting::message::{StoredMessage, properties};

/// No body inflates to more here; brokers take up to 4 MiB unless told otherwise.
const BODY_BYTES_MAX: usize = 64 << 20;

/// What programs get.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    topic: String,
    broker: String,
    queue_id: i32,
    pub(super) queue_offset: i64,
    /// By which the broker finds it.
    offset_message_id: String,
    born_timestamp_ms: i64,
    store_timestamp_ms: i64,
    reconsume_times: i32,
    flag: i32,
    properties: BTreeMap<String, String>,
    /// Decompressed; null when it is no text.
    body: Option<String>,
    /// What it is when it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_hex: Option<String>,
    /// Why the body is shown as it is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_problem: Option<String>,
}

impl Shown {
    /// A message of this broker.
    pub(super) fn of(message: &StoredMessage, broker: &str) -> Self {
        let plain = decompress(message.sys_flag, &message.body, BODY_BYTES_MAX);
        let body_problem = plain.as_ref().err().map(ToString::to_string);
        let bytes = plain.unwrap_or_else(|_| message.body.clone());
        let body = std::str::from_utf8(&bytes).ok().map(str::to_owned);
        let own = properties::iter(&message.properties);
        Self {
            topic: message.topic.clone(),
            broker: broker.to_owned(),
            queue_id: message.queue_id,
            queue_offset: message.queue_offset,
            offset_message_id: message.offset_id(),
            born_timestamp_ms: message.born_timestamp_ms,
            store_timestamp_ms: message.store_timestamp_ms,
            reconsume_times: message.reconsume_times,
            flag: message.flag,
            properties: own.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body_hex: body.is_none().then(|| hex(&bytes)),
            body,
            body_problem,
        }
    }

    /// One line: where it lies, its properties, its body. Nothing in it reaches the terminal as a
    /// control character.
    pub(super) fn for_people(&self) -> String {
        let mut line = format!("{}:{} {} ", self.broker, self.queue_id, self.queue_offset);
        for (name, value) in &self.properties {
            let _ = write!(line, " {name}={value}");
        }
        let body = self.body.as_ref().or(self.body_hex.as_ref()).map_or("", String::as_str);
        if let Some(problem) = &self.body_problem {
            let _ = write!(line, "  ({problem})");
        }
        let _ = write!(line, "  {body}");
        let mut shown = String::with_capacity(line.len() + 1);
        for letter in line.chars() {
            match letter.is_control() {
                true => shown.extend(letter.escape_default()),
                false => shown.push(letter),
            }
        }
        shown.push('\n');
        shown
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn message(sys_flag: i32, body: &'static [u8]) -> StoredMessage {
        let host = "127.0.0.1:10911".parse().expect("an address");
        StoredMessage {
            queue_id: 3,
            flag: 0,
            queue_offset: 7,
            physical_offset: 0,
            sys_flag,
            born_timestamp_ms: 1,
            born_host: host,
            store_timestamp_ms: 2,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: Bytes::from_static(body),
            topic: "t".to_owned(),
            properties: "TAGS\u{1}A\u{2}KEYS\u{1}k\u{2}".to_owned(),
        }
    }

    #[test]
    fn text_is_shown_as_text_and_never_commands_the_terminal() {
        let shown = Shown::of(&message(0, b"hi\x1b[2J\nyou"), "broker-a");
        assert_eq!(shown.for_people(), "broker-a:3 7  KEYS=k TAGS=A  hi\\u{1b}[2J\\nyou\n");
        let json = serde_json::to_value(&shown).expect("JSON");
        assert_eq!((&json["queueOffset"], &json["properties"]["TAGS"]), (&7.into(), &"A".into()));
        assert_eq!(json["offsetMessageId"], "7F00000100002A9F0000000000000000");
    }

    #[test]
    fn other_bodies_are_shown_in_hex_and_what_cannot_be_inflated_says_so() {
        let shown = Shown::of(&message(0, b"\xff\x00"), "b");
        assert_eq!((shown.body.as_deref(), shown.body_hex.as_deref()), (None, Some("ff00")));
        let shown = Shown::of(&message(0x301, b"no zlib"), "b");
        assert!(shown.body_problem.is_some(), "{shown:?}");
        assert_eq!(shown.body.as_deref(), Some("no zlib"));
    }
}
