//! A message as a whole: body, properties, keys, tag, flag, ids and place, byte for byte; our
//! producer to the stock consumers of both versions, and stock producers of both versions to ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use bytes::Bytes;
use serde_json::Value;
use signpost_producer::{
    Codec, Compression, Message, Producer, ProducerConfig, SendError, Sent, decompress,
};
use signpost_remoting::message::{StoredMessage, properties};

use super::Side;
use super::ours::Ours;
use crate::stage::Stage;
use crate::stock::Version;
use crate::stock::exchange::{RECEIVED_WITHIN, Received, heard};
use crate::support::cluster::Settings;
use crate::support::process::run;
use crate::support::wait::until_within;

/// The tag whose bodies `java/Exchange.java` writes to files.
const TAG: &str = "whole";
const FLAG: i32 = 7;
/// The longest body that a broker takes.
const LARGEST_BYTES: usize = 4 << 20;
/// Bodies are compressed from here on.
const COMPRESSED_FROM_BYTES: usize = 4096;

/// What can be sent, as both producers can.
const KINDS: [&str; 6] = ["sync", "async", "oneway", "ordered", "delayed", "batch"];
/// Names that Java knows, and our own codec.
const CODECS: [(&str, Codec, i32); 3] =
    [("ZLIB", Codec::Zlib, 0x301), ("LZ4", Codec::Lz4, 0x101), ("ZSTD", Codec::Zstd, 0x201)];

/// Properties of the application's own, with what a separator, a quote or a code page may spoil.
const OWN: [(&str, &str); 6] = [
    ("extra", "ä b"),
    ("emoji", "😀 世界"),
    ("white", " a\tb\r\nc "),
    ("quotes", "\"\\'<>&%="),
    ("ключ", "значение"),
    ("control", "\u{3}\u{1f}\u{7f}"),
];

/// What the stores and consumers add to a message's properties, or take away.
const OTHERS: [&str; 10] = [
    properties::WAIT,
    properties::CLUSTER,
    properties::REAL_TOPIC,
    properties::REAL_QUEUE_ID,
    properties::DELAY,
    "MIN_OFFSET",
    "MAX_OFFSET",
    "CONSUME_START_TIME",
    "MSG_REGION",
    "TRACE_ON",
];

/// A message that is to arrive.
struct Expected {
    body: Bytes,
    kind: &'static str,
    /// The sysFlag with which it is to be stored.
    sys_flag: i32,
    /// Its client's id and its place, as far as the sender was told.
    told: Told,
}

#[derive(Default)]
struct Told {
    id: Option<String>,
    /// Queue, its offset, and the id at the broker.
    place: Option<(i64, i64, String)>,
}

impl Told {
    fn by_ours(kind: &str, sent: Sent) -> Self {
        let place = (sent.queue.queue_id.into(), sent.queue_offset, sent.offset_message_id);
        // A delayed one was told where it waits.
        Self { id: Some(sent.message_id), place: (kind != "delayed").then_some(place) }
    }

    fn by_stock(kind: &str, answer: &Value) -> Self {
        assert_eq!(answer["status"], "SEND_OK", "{answer}");
        let (queue, offset) = (answer["queue"].as_i64(), answer["offset"].as_i64());
        let text = |name: &str| answer[name].as_str().expect("a text").to_owned();
        let place = queue.zip(offset).map(|(queue, offset)| (queue, offset, text("at")));
        match kind {
            "delayed" => Self { id: Some(text("id")), place: None },
            // All ids and places of a batch are told as one, joined by commas.
            "batch" => {
                let first = |all: String| all.split(',').next().unwrap_or_default().to_owned();
                let place = place.map(|(queue, offset, at)| (queue, offset, first(at)));
                Self { id: Some(first(text("id"))), place }
            }
            _ => Self { id: Some(text("id")), place },
        }
    }
}

/// All that are to arrive, by their keys.
type All = BTreeMap<String, Expected>;

#[tokio::test]
async fn messages_are_the_same_byte_for_byte_in_both_directions() {
    let mut stage = Stage::start(Settings::default()).await;
    let broker = Ours::start(&mut stage).await;
    let (mut four, mut five) = tokio::join!(
        Side::start(&stage, Version::Four, "four"),
        Side::start(&stage, Version::Five, "five"),
    );
    for side in [&mut four, &mut five] {
        side.two = None;
    }
    let expected = ours(&stage, &broker, &mut four, &mut five).await;
    eprintln!("{} of ours, read by stock consumers 4.9.7 and 5.5.0 and by our own", expected.len());
    for side in [&mut four, &mut five] {
        let expected = theirs(&stage, &broker, side).await;
        eprintln!("{} of stock {}, read by ours", expected.len(), side.version.number());
    }
    broker.said_nothing_unexpected();
}

/// Our producer sends, both stock consumers read.
async fn ours(stage: &Stage, broker: &Ours, four: &mut Side, five: &mut Side) -> All {
    const TOPIC: &str = "whole-ours";
    const GROUP: &str = "whole-readers";
    let mut expected = All::new();
    for (name, codec, flag) in CODECS {
        let compression = Some(Compression { codec, ..Compression::default() });
        let config = ProducerConfig { compression, ..ProducerConfig::default() };
        let producer = Producer::start(&stage.cluster.client(), config).expect("a producer");
        for (what, body, kind) in bodies_and_kinds() {
            let key = format!("{name}-{kind}-{what}");
            let compressed = compresses(&body) && kind != "batch" && is_worth_it(what);
            let sys_flag = if compressed { flag } else { 0 };
            for (key, told) in send(&producer, TOPIC, kind, &key, &body).await {
                let body = body.clone();
                expected.insert(key, Expected { body, kind, sys_flag, told });
            }
        }
        producer.close().await;
    }
    for side in [&mut *four, &mut *five] {
        // Groups of the same name at one broker would share the messages.
        let group = side.named(GROUP);
        side.one.order(&["listen", &group, TOPIC, "*", "2", "concurrently"]).await;
    }
    for side in [four, five] {
        let group = side.named(GROUP);
        let got = heard("all of ours are received", &[&side.one], |all| {
            let got = all[0].of(&group, TOPIC);
            let keys: BTreeSet<_> = got.iter().map(Received::body).collect();
            let missing = expected.keys().find(|key| !keys.contains(key.as_str()));
            missing.map_or(Ok(got.clone()), |key| Err(format!("{key}: {:?}", all[0].failed)))
        })
        .await;
        assert_eq!(got.len(), expected.len(), "nothing twice");
        for got in &got {
            let file = Path::new(got.text("file"));
            let body = fs::read(file).expect("where the body is");
            let texts = [got.text("keys"), got.text("tags"), got.text("id"), got.text("at")];
            let numbers = ["flag", "queue", "offset"].map(|name| got.said[name].as_i64());
            check(&expected, texts, numbers, got.text("properties"), &body, side.name);
        }
    }
    read_by_ours(stage, broker, TOPIC, &expected).await;
    expected
}

/// The stock producer of a version sends, ours reads.
async fn theirs(stage: &Stage, broker: &Ours, side: &mut Side) -> All {
    let topic = side.named("whole-theirs");
    let mut expected = All::new();
    for (name, _, flag) in CODECS {
        side.one.order(&["codec", name]).await;
        for (what, body, kind) in bodies_and_kinds() {
            let key = format!("{name}-{kind}-{what}");
            let file = side.homes.join(what);
            fs::write(&file, &body).expect("a file of the test's own");
            let (file, flags) = (file.display().to_string(), FLAG.to_string());
            let own = OWN.map(|(name, value)| [name.to_owned(), base64(value.as_bytes())]);
            let mut order = vec!["whole", kind, &topic, &key, &file, &flags];
            order.extend(own.iter().flatten().map(String::as_str));
            side.one.order(&order).await;
            let told = match kind {
                "oneway" => Told::default(),
                _ => Told::by_stock(kind, &side.one.sent(&key)),
            };
            // Stock producers send grown what does not compress.
            let sys_flag = if compresses(&body) && kind != "batch" { flag } else { 0 };
            if kind == "batch" {
                let told = Told::default();
                let twin = Expected { body: body.clone(), kind, sys_flag, told };
                expected.insert(format!("{key}-twin"), twin);
            }
            expected.insert(key, Expected { body, kind, sys_flag, told });
        }
    }
    read_by_ours(stage, broker, &topic, &expected).await;
    expected
}

/// What lies at the broker, and what `signpost consume` prints of it.
async fn read_by_ours(stage: &Stage, broker: &Ours, topic: &str, expected: &All) {
    // The delayed ones and the one-way ones are on their way.
    let stored = until_within(RECEIVED_WITHIN, "all are stored", || async {
        let mut stored = Vec::new();
        for queue in 0..4 {
            stored.extend(broker.queue(topic, queue).await);
        }
        if stored.len() == expected.len() { Ok(stored) } else { Err(stored.len()) }
    })
    .await;
    for message in &stored {
        let key = message.property(properties::KEYS).expect("keys");
        assert_eq!(message.sys_flag & 0x701, expected[key].sys_flag, "{key}");
        let body = decompress(message.sys_flag, &message.body, LARGEST_BYTES).expect("whole");
        check_stored(expected, message, &body);
    }
    let namesrv = stage.cluster.namesrv();
    let words = ["consume", "--namesrv", &namesrv, "--topic", topic, "--from", "earliest"];
    let output = run(&[&words[..], &["-o", "json"]].concat()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).expect("JSON");
    assert_eq!(printed.lines().count(), expected.len());
    for line in printed.lines() {
        let said: Value = serde_json::from_str(line).expect("JSON");
        let body = match said["body"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => unhex(said["bodyHex"].as_str().expect("a body")),
        };
        let mut text = String::new();
        for (name, value) in said["properties"].as_object().expect("properties") {
            properties::append(&mut text, name, value.as_str().expect("a text"));
        }
        let get = |name| properties::get(&text, name).unwrap_or_default();
        let at = said["offsetMessageId"].as_str().expect("an id");
        let texts = [get(properties::KEYS), get(properties::TAGS), get(properties::UNIQ_KEY), at];
        let numbers = ["flag", "queueId", "queueOffset"].map(|name| said[name].as_i64());
        check(expected, texts, numbers, &text, &body, "signpost consume");
    }
}

fn check_stored(expected: &All, message: &StoredMessage, body: &[u8]) {
    let get = |name| message.property(name).unwrap_or_default();
    let at = message.offset_id();
    let texts = [get(properties::KEYS), get(properties::TAGS), get(properties::UNIQ_KEY), &at];
    let numbers = [message.flag.into(), message.queue_id.into(), message.queue_offset].map(Some);
    check(expected, texts, numbers, &message.properties, body, "the store");
}

/// Holds what a reader has of a message against what was sent.
fn check(
    expected: &All,
    [keys, tag, id, at]: [&str; 4],
    [flag, queue, offset]: [Option<i64>; 3],
    text: &str,
    body: &[u8],
    reader: &str,
) {
    let sent = expected.get(keys).unwrap_or_else(|| panic!("{reader}: nobody sent {keys:?}"));
    assert!(*body == *sent.body, "{reader}: the body of {keys}, {} bytes", body.len());
    assert_eq!((tag, flag), (TAG, Some(FLAG.into())), "{reader}: {keys}");
    let got: BTreeMap<&str, &str> = properties::iter(text).collect();
    let mut wanted = BTreeMap::from(OWN);
    wanted.extend([(properties::KEYS, keys), (properties::TAGS, tag), (properties::UNIQ_KEY, id)]);
    let known = |name: &str| OTHERS.contains(&name) || name == properties::SHARDING_KEY;
    let rest: BTreeMap<_, _> = got.iter().filter(|(name, _)| !known(name)).collect();
    assert_eq!(rest, wanted.iter().collect(), "{reader}: {keys}");
    let delay = got.get(properties::DELAY).copied();
    assert_eq!(delay, (sent.kind == "delayed").then_some("1"), "{reader}: {keys}");
    // MessageClientIDSetter: the sender's address is part of it, of 4 bytes or of 16, in hexadecimal.
    assert!([32, 56].contains(&id.len()), "{reader}: {keys}: {id:?}");
    if let Some(told) = &sent.told.id {
        assert_eq!(id, told, "{reader}: the id of {keys}");
    }
    if let Some(place) = &sent.told.place {
        let got = (queue.unwrap_or(-1), offset.unwrap_or(-1), at.to_owned());
        assert_eq!(got, *place, "{reader}: the place of {keys}");
    }
}

/// Sends a body in one way; answers what is told of each message.
async fn send(
    producer: &Producer,
    topic: &str,
    kind: &'static str,
    key: &str,
    body: &Bytes,
) -> Vec<(String, Told)> {
    let message = |key: &str| {
        let mut message = Message::new(topic, body.clone()).with_tag(TAG).with_key(key);
        message.flag = FLAG;
        OWN.iter().fold(message, |message, (name, value)| message.with_property(*name, *value))
    };
    let one = message(key);
    let sent: Result<Vec<Sent>, SendError> = match kind {
        "sync" => producer.send(&one).await.map(|sent| vec![sent]),
        "async" => match producer.send_async(&one).await {
            Ok(pending) => pending.await.map(|sent| vec![sent]),
            Err(error) => Err(error),
        },
        "oneway" => producer.send_oneway(&one).await.map(|()| Vec::new()),
        "ordered" => producer.send(&one.with_order_key(key)).await.map(|sent| vec![sent]),
        "delayed" => producer.send(&one.with_delay_level(1)).await.map(|sent| vec![sent]),
        _ => producer.send_batch(&[one, message(&format!("{key}-twin"))]).await,
    };
    let sent = sent.unwrap_or_else(|error| panic!("{key}: {error}"));
    if kind == "oneway" {
        return vec![(key.to_owned(), Told::default())];
    }
    let keys = [key.to_owned(), format!("{key}-twin")];
    let told = sent.into_iter().map(|sent| Told::by_ours(kind, sent));
    keys.into_iter().zip(told).collect()
}

/// Every body in every way, but for the largest, which goes once.
fn bodies_and_kinds() -> Vec<(&'static str, Bytes, &'static str)> {
    let mut all = Vec::new();
    for (what, body) in bodies() {
        let kinds = if body.len() == LARGEST_BYTES { &KINDS[..1] } else { &KINDS[..] };
        all.extend(kinds.iter().map(|kind| (what, body.clone(), *kind)));
    }
    all
}

/// Bodies that a wire, a store or a compression may spoil.
fn bodies() -> Vec<(&'static str, Bytes)> {
    let repeating = |bytes: usize| -> Bytes { (0..bytes).map(|n| (n / 7 % 251) as u8).collect() };
    let mut state = 1_u64;
    let mut noise = |bytes: usize| -> Bytes {
        let byte = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        std::iter::repeat_with(byte).take(bytes).collect()
    };
    let half = LARGEST_BYTES / 2;
    vec![
        ("zero", Bytes::from_static(&[0])),
        ("every-byte", (0..=255).collect()),
        ("unicode", Bytes::from_static("Grüße, 世界 😀\0\u{1}\u{2}\r\n\t\u{FEFF}".as_bytes())),
        ("below", repeating(COMPRESSED_FROM_BYTES - 1)),
        ("at", repeating(COMPRESSED_FROM_BYTES)),
        ("long", repeating(100 << 10)),
        ("noise", noise(50 << 10)),
        ("largest", [noise(half), repeating(half)].concat().into()),
    ]
}

fn compresses(body: &[u8]) -> bool {
    body.len() >= COMPRESSED_FROM_BYTES
}

/// Ours leaves a body as it is that would only grow.
fn is_worth_it(what: &str) -> bool {
    what != "noise"
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).expect("ASCII"));
    digits.map(|two| u8::from_str_radix(two, 16).expect("hex")).collect()
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let group = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for digit in 0..4 {
            let has = digit <= three.len();
            let at = (group >> (18 - 6 * digit)) & 63;
            text.push(if has { char::from(DIGITS[at as usize]) } else { '=' });
        }
    }
    text
}
