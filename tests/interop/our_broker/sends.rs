//! Every kind of send, and what a consumer sees of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::time::Duration;

use flate2::read::ZlibDecoder;
use signpost_producer::{Message, Producer, ProducerConfig};
use signpost_remoting::message::sys_flag;

use super::Side;
use super::ours::Ours;
use crate::stage::Stage;
use crate::stock::exchange::{Received, heard};

const WITHIN: Duration = Duration::from_secs(30);
/// Delay level 2 of the broker.
const DELAY: Duration = Duration::from_secs(2);

/// Sync, async, one-way, batch, ordered, delayed and rich; all are received once, as they were sent.
pub(super) async fn all_kinds(side: &mut Side, broker: &Ours) {
    let (topic, group) = (side.named("kinds"), side.named("kinds-group"));
    let one = &mut side.one;
    let mut expected = BTreeSet::new();
    for (kind, count) in [("sync", 5), ("async", 5), ("oneway", 5)] {
        for n in 0..count {
            let body = format!("{kind}-{n}");
            one.order(&[kind, &topic, "TagA", &format!("key-{body}"), &body]).await;
            expected.insert(body);
        }
    }
    one.order(&["batch", &topic, "TagB", "batched", "10"]).await;
    expected.extend((0..10).map(|n| format!("batched-{n}")));
    one.order(&["listen", &group, &topic, "*", "2", "concurrently"]).await;
    let got = heard("every kind is received", WITHIN, &[one], |all| {
        let got = all[0].of(&group, &topic);
        let bodies: BTreeSet<_> = got.iter().map(|one| one.body().to_owned()).collect();
        if bodies == expected { Ok(got) } else { Err(format!("{:?}, {:?}", bodies, all[0].failed)) }
    })
    .await;
    assert_eq!(got.len(), expected.len(), "nothing twice");
    let find = |body: &str| got.iter().find(|one| one.body() == body).expect("received");
    for body in ["sync-0", "async-4"] {
        let (sent, got) = (one.sent(body), find(body));
        assert_eq!(sent["status"], "SEND_OK");
        for name in ["queue", "offset", "id", "at"] {
            assert_eq!(sent[name], got.said[name], "{name} of {body}");
        }
        assert_eq!((got.text("tags"), got.text("keys")), ("TagA", &*format!("key-{body}")));
    }
    let ids: BTreeSet<_> = got.iter().map(|one| one.text("id")).collect();
    assert_eq!(ids.len(), got.len(), "each has an id of its own, in a batch too");
    assert_eq!(find("batched-3").text("keys"), "key-batched-3");

    ordered(side).await;
    delayed(side).await;
    rich(side, broker).await;
}

/// Three shards; each arrives in its order at an orderly consumer.
async fn ordered(side: &mut Side) {
    let (topic, group) = (side.named("ordered"), side.named("ordered-group"));
    let one = &mut side.one;
    one.order(&["sync", &topic, "x", "x", "makes the topic"]).await;
    one.order(&["listen", &group, &topic, "*", "2", "orderly"]).await;
    for shard in ["0", "1", "2"] {
        one.order(&["ordered", &topic, shard, &format!("shard{shard}"), "20"]).await;
    }
    let got = heard("all of the ordered are received", WITHIN, &[one], |all| {
        let got = all[0].of(&group, &topic);
        if got.len() >= 61 { Ok(got) } else { Err(format!("{}", got.len())) }
    })
    .await;
    let mut shards: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for one in got.iter().filter(|one| one.body().starts_with("shard")) {
        let (shard, number) = one.body().split_once('-').expect("two parts");
        shards.entry(shard).or_default().push(number);
    }
    let in_order: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    assert_eq!(shards.len(), 3);
    assert!(shards.values().all(|numbers| *numbers == in_order), "{shards:?}");
    one.order(&["hush", &group]).await;
}

/// Comes when it is due and not before, and has its own topic.
async fn delayed(side: &mut Side) {
    let (topic, group) = (side.named("kinds"), side.named("kinds-group"));
    let one = &mut side.one;
    let begun = tokio::time::Instant::now();
    one.order(&["delayed", &topic, "2", "late"]).await;
    let late = heard("the delayed one is received", WITHIN, &[one], |all| {
        let found = all[0].of(&group, &topic).into_iter().find(|got| got.body() == "late");
        found.ok_or_else(String::new)
    })
    .await;
    let took = late.at - begun;
    assert!(took >= DELAY, "it came after {took:?}");
    eprintln!("{}: delayed by {DELAY:?}, came after {took:?}", side.name);
}

/// 100 KiB that a stock producer compresses, with a property, a flag and keys.
async fn rich(side: &mut Side, broker: &Ours) {
    let (topic, group) = (side.named("kinds"), side.named("kinds-group"));
    let one = &mut side.one;
    let body = rich_body();
    one.order(&["rich", &topic, "rich-key", &base64(&body), "extra", "ä b"]).await;
    let got = received_rich(&[one], &group, &topic, "rich-key").await;
    assert_eq!(got.text("base64"), base64(&body));
    assert_eq!((got.text("extra"), got.said["flag"].as_i64()), ("ä b", Some(7)));
    // It lies in the store as it came.
    let mut stored = Vec::new();
    for queue in 0..4 {
        stored.extend(broker.queue(&topic, queue).await);
    }
    let stored = stored.into_iter().find(|one| one.property("KEYS") == Some("rich-key"));
    let stored = stored.expect("it is stored");
    assert_ne!(stored.sys_flag & sys_flag::COMPRESSED, 0);
    assert!(stored.body.len() < body.len() / 2);
    let mut plain = Vec::new();
    ZlibDecoder::new(&stored.body[..]).read_to_end(&mut plain).expect("zlib");
    assert_eq!(plain, body);
    assert_eq!((stored.property("extra"), stored.property("TAGS")), (Some("ä b"), Some("rich")));
}

/// Our producer sends, the stock consumers of both versions read.
pub(super) async fn ours(stage: &Stage, sides: &mut [&mut Side]) {
    let config = ProducerConfig::default();
    let producer = Producer::start(&stage.cluster.client(), config).expect("a producer");
    for side in sides {
        let (topic, group) = (side.named("kinds"), side.named("kinds-group"));
        let body = rich_body();
        for (key, body) in [("ours-big", body.clone()), ("ours-small", b"\0\xFFsmall".to_vec())] {
            let message = Message::new(&topic, body.clone())
                .with_tag("rich")
                .with_key(key)
                .with_property("extra", "ö=1");
            producer.send(&message).await.expect("stored");
            let got = received_rich(&[&side.one], &group, &topic, key).await;
            assert_eq!(got.text("base64"), base64(&body), "{key} at {}", side.name);
            assert_eq!((got.text("extra"), got.text("keys")), ("ö=1", key));
        }
    }
    producer.close().await;
}

async fn received_rich(
    clients: &[&crate::stock::exchange::Exchange],
    group: &str,
    topic: &str,
    key: &str,
) -> Received {
    heard("the rich one is received", WITHIN, clients, |all| {
        let got = all.iter().flat_map(|one| one.of(group, topic)).find(|got| got.body() == key);
        got.ok_or_else(|| format!("{:?}", all[0].failed))
    })
    .await
}

/// Well above what producers compress from, and worth compressing.
fn rich_body() -> Vec<u8> {
    (0..100 * 1024_u32).map(|n| (n / 7 % 251) as u8).collect()
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
