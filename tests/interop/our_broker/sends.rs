//! Every kind of send, and what a consumer sees of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Side;
use crate::stock::exchange::heard;

/// Delay level 2 of the broker.
const DELAY: Duration = Duration::from_secs(2);

/// Sync, async, one-way, batch, ordered and delayed; all are received once, as they were sent.
pub(super) async fn all_kinds(side: &mut Side) {
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
    let got = heard("every kind is received", &[one], |all| {
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
    let got = heard("all of the ordered are received", &[one], |all| {
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
    let late = heard("the delayed one is received", &[one], |all| {
        let found = all[0].of(&group, &topic).into_iter().find(|got| got.body() == "late");
        found.ok_or_else(String::new)
    })
    .await;
    let took = late.at - begun;
    assert!(took >= DELAY, "it came after {took:?}");
    eprintln!("{}: delayed by {DELAY:?}, came after {took:?}", side.name);
}
