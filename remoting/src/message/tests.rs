//! The stored message and the batch: real records, round trips, hostile bytes.

use bytes::Bytes;
use proptest::prelude::*;

use super::batch::{self, BatchMessage};
use super::*;

fn hex(text: &str) -> Bytes {
    let digits: Vec<char> = text.chars().filter(|digit| !digit.is_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&String::from_iter(pair), 16).unwrap())
        .collect::<Vec<u8>>()
        .into()
}

/// A record written by a stock 4.9.8 broker.
const STOCK: &str = "000000c6 daa320a7 69c865ed 00000003 00000000 0000000000000000 0000000000000000
    00000000 000001a203c9b694 7f000001 0000e60a 000001a203c9b6d5 7f000001 00002a9f 00000000
    0000000000000000 0000000e 48656c6c6f20526f636b65744d51 09 546f70696354657374 0054
    4b455953016b65793102554e49515f4b455901374630303030303130423339354646443242323736463631434539
    343030303002434c55535445520144656661756c74436c757374657202544147530154616741";

/// The IPv6 form.
const IPV6: &str = "0000007cdaa320a758932aac0000000000000000000000000000000700000000000010000000
    00300000018bcfe5680000000000000000000000000000000001000013880000018bcfe5680100000000000000000000
    00000000000100002a9f00000000000000000000000000000002686901540006544147530141";

#[test]
fn a_stock_record_is_read_and_written_byte_for_byte() {
    let bytes = hex(STOCK);
    let message = StoredMessage::decode(&mut bytes.clone()).unwrap();
    assert_eq!(message.body, "Hello RocketMQ");
    assert_eq!((message.topic.as_str(), message.queue_id), ("TopicTest", 3));
    assert_eq!(message.born_host, "127.0.0.1:58890".parse().unwrap());
    assert_eq!(message.property(properties::TAGS), Some("TagA"));
    assert_eq!(message.property(properties::CLUSTER), Some("DefaultCluster"));
    assert_eq!(message.offset_id(), "7F00000100002A9F0000000000000000");
    let mut written = BytesMut::new();
    message.encode_into(&mut written).unwrap();
    assert_eq!((written.len(), message.encoded_bytes()), (198, 198));
    assert_eq!(written, bytes);
}

#[test]
fn an_ipv6_record_is_written_byte_for_byte() {
    let message = StoredMessage {
        queue_id: 0,
        flag: 0,
        queue_offset: 7,
        physical_offset: 4096,
        sys_flag: 0,
        born_timestamp_ms: 1_700_000_000_000,
        born_host: "[::1]:5000".parse().unwrap(),
        store_timestamp_ms: 1_700_000_000_001,
        store_host: "[::1]:10911".parse().unwrap(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: Bytes::from_static(b"hi"),
        topic: "T".to_owned(),
        properties: "TAGS\u{1}A".to_owned(),
    };
    let mut written = BytesMut::new();
    message.encode_into(&mut written).unwrap();
    assert_eq!(written, hex(IPV6));
    let read = StoredMessage::decode(&mut written.freeze()).unwrap();
    assert_eq!(read, StoredMessage { sys_flag: 0x30, ..message });
}

#[test]
fn a_damaged_record_is_refused_and_left_where_it_is() {
    let good = hex(STOCK);
    for (at, byte, expected) in [
        (100, 0xFF, "checksum"),  // in the body
        (4, 0, "magic"),          // in the magic number
        (3, 0xC5, "properties"),  // the size, one less
        (84, 0x7F, "body"),       // the body's length
        (0, 0x80, "cannot have"), // a negative size
    ] {
        let mut bytes = good.to_vec();
        bytes[at] = byte;
        let mut bytes = Bytes::from(bytes);
        let error = StoredMessage::decode(&mut bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{at}: {error}");
        assert_eq!(bytes.len(), good.len());
    }
    for end in 0..good.len() {
        assert!(StoredMessage::decode(&mut good.slice(..end)).is_err(), "cut at {end}");
    }
}

#[test]
fn fields_too_long_for_the_layout_are_refused() {
    let good = StoredMessage::decode(&mut hex(STOCK)).unwrap();
    for message in [
        StoredMessage { topic: "t".repeat(128), ..good.clone() },
        StoredMessage { properties: "p".repeat(32_768), ..good.clone() },
    ] {
        let mut dst = BytesMut::new();
        assert!(matches!(message.encode_into(&mut dst), Err(MessageError::TooLong { .. })));
        assert!(dst.is_empty());
    }
}

#[test]
fn the_documented_batch_is_read_and_written_byte_for_byte() {
    let bytes = hex("0000001f00000000000000000000000000000002623100075441475301410200000019
        000000000000000000000000000000036232320000");
    let messages = batch::decode(bytes.clone(), 2).unwrap();
    assert_eq!(messages.len(), 2);
    assert_eq!(
        (&messages[0].body[..], properties::get(&messages[0].properties, "TAGS")),
        (&b"b1"[..], Some("A"))
    );
    assert_eq!((&messages[1].body[..], messages[1].properties.as_str()), (&b"b22"[..], ""));
    assert_eq!(batch::encode(&messages).unwrap(), bytes);
    assert!(matches!(batch::decode(bytes, 1), Err(MessageError::TooLong { .. })));
}

#[test]
fn properties_follow_java_s_parser() {
    let text = "A\u{1}1\u{2}EMPTY\u{1}\u{2}\u{1}v\u{2}junk\u{2}A\u{1}2";
    assert_eq!(properties::iter(text).collect::<Vec<_>>(), [("A", "1"), ("A", "2")]);
    assert_eq!(properties::get(text, "A"), Some("2"));
    assert_eq!(properties::get_each(text, ["EMPTY", "A", "B"]), [None, Some("2"), None]);
    let mut text = "A\u{1}1".to_owned();
    properties::append(&mut text, "B", "2");
    assert_eq!(text, "A\u{1}1\u{2}B\u{1}2\u{2}");
    assert_eq!(properties::without(&text, "A"), "B\u{1}2\u{2}");
    assert!(
        !properties::is_legal("a\u{1}") && !properties::is_legal("") && properties::is_legal("é")
    );
}

fn host() -> impl Strategy<Value = SocketAddr> {
    (any::<bool>(), any::<u128>(), any::<u16>()).prop_map(|(v6, ip, port)| match v6 {
        true => SocketAddr::new(IpAddr::from(ip.to_be_bytes()), port),
        false => SocketAddr::new(IpAddr::from((ip as u32).to_be_bytes()), port),
    })
}

prop_compose! {
    fn message()(
        ints in prop::array::uniform4(any::<i32>()), longs in prop::array::uniform5(any::<i64>()),
        hosts in (host(), host()), body in prop::collection::vec(any::<u8>(), 0..200),
        topic in "[a-zA-Z0-9_%|-]{0,127}", properties in ".{0,60}",
    ) -> StoredMessage {
        StoredMessage {
            queue_id: ints[0], flag: ints[1],
            sys_flag: sys_flag::with_hosts(ints[2], hosts.0, hosts.1),
            reconsume_times: ints[3], queue_offset: longs[0], physical_offset: longs[1],
            born_timestamp_ms: longs[2], store_timestamp_ms: longs[3],
            prepared_transaction_offset: longs[4], born_host: hosts.0, store_host: hosts.1,
            body: body.into(), topic, properties,
        }
    }
}

proptest! {
    #[test]
    fn records_round_trip(messages in prop::collection::vec(message(), 0..4)) {
        let mut written = BytesMut::new();
        for message in &messages {
            let before = written.len();
            message.encode_into(&mut written).unwrap();
            prop_assert_eq!(written.len() - before, message.encoded_bytes());
        }
        prop_assert_eq!(StoredMessage::decode_all(written.freeze()).unwrap(), messages);
    }

    #[test]
    fn a_record_with_one_byte_changed_never_panics(message in message(), at: prop::sample::Index, byte: u8) {
        let mut written = BytesMut::new();
        message.encode_into(&mut written).unwrap();
        let at = at.index(written.len());
        written[at] = byte;
        let _ = StoredMessage::decode_all(written.freeze());
    }

    #[test]
    fn batches_round_trip(entries in prop::collection::vec((any::<i32>(), prop::collection::vec(any::<u8>(), 0..60), ".{0,20}"), 0..5)) {
        let messages: Vec<_> = entries.into_iter()
            .map(|(flag, body, properties)| BatchMessage { flag, body: body.into(), properties })
            .collect();
        prop_assert_eq!(batch::decode(batch::encode(&messages).unwrap(), 5).unwrap(), messages);
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), size in 0_u32..400) {
        let mut bytes = bytes;
        if bytes.len() > 8 {
            bytes[..4].copy_from_slice(&size.to_be_bytes());
            bytes[4..8].copy_from_slice(&MAGIC_V1.to_be_bytes());
        }
        let bytes = Bytes::from(bytes);
        let _ = StoredMessage::decode_all(bytes.clone());
        let _ = batch::decode(bytes, 100);
    }
}
