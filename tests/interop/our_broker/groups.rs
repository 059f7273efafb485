//! Consumer groups in cluster mode.

use std::collections::{BTreeMap, BTreeSet};

use signpost_remoting::request;
use tokio::time::Instant;

use super::Side;
use super::ours::Ours;
use crate::stock::exchange::{Exchange, Heard, heard};
use crate::support::wait::until;

const QUEUES: i32 = 4;
const MESSAGES: usize = 80;

/// How often a group's members received each body that begins so.
fn counts(all: &[Heard], group: &str, topic: &str, prefix: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for got in all.iter().flat_map(|one| one.of(group, topic)) {
        if got.body().starts_with(prefix) {
            *counts.entry(got.body().to_owned()).or_default() += 1;
        }
    }
    counts
}

async fn send(client: &mut Exchange, topic: &str, prefix: &str, count: usize) {
    // One after the other over all queues: sixteen orders of five go quicker than eighty.
    for n in 0..count.div_ceil(5) {
        client.order(&["ordered", topic, &n.to_string(), &format!("{prefix}-{n}"), "5"]).await;
    }
}

/// Two members share the queues and read each message once; when one dies the other has them all.
pub(super) async fn quiet_and_takeover(side: &mut Side) {
    let (topic, group) = (side.named("shared"), side.named("shared-group"));
    let (one, mut two) = (&mut side.one, side.two.take().expect("it runs"));
    one.order(&["sync", &topic, "x", "x", "makes the topic"]).await;
    for client in [&mut *one, &mut two] {
        client.order(&["listen", &group, &topic, "*", "2", "concurrently"]).await;
    }
    // Until the queues are shared out.
    let mut round = 0;
    loop {
        let prefix = format!("probe{round}");
        send(one, &topic, &prefix, 20).await;
        let shares = heard("a round of probes is received", &[one, &two], |all| {
            let got = counts(all, &group, &topic, &prefix);
            let share = |at: usize| counts(&all[at..=at], &group, &topic, &prefix).len();
            if got.len() == 20 { Ok([share(0), share(1)]) } else { Err(format!("{}", got.len())) }
        })
        .await;
        if shares == [10, 10] {
            break;
        }
        round += 1;
        assert!(round < 50, "the queues are never shared out evenly: {shares:?}");
    }
    send(one, &topic, "quiet", MESSAGES).await;
    let got = heard("all are received", &[one, &two], |all| {
        let got = counts(all, &group, &topic, "quiet");
        if got.len() == MESSAGES { Ok(got) } else { Err(format!("{}", got.len())) }
    })
    .await;
    assert!(got.values().all(|count| *count == 1), "exactly once: {got:?}");

    drop(two);
    let dead = Instant::now();
    send(one, &topic, "after", MESSAGES).await;
    heard("the one that is left has taken over", &[one], |all| {
        let got = counts(all, &group, &topic, "after");
        if got.len() == MESSAGES { Ok(()) } else { Err(format!("{}", got.len())) }
    })
    .await;
    eprintln!("{}: taken over, and all received, after {:?}", side.name, dead.elapsed());

    // Tags: only what was asked for.
    let (topic, group) = (side.named("tagged"), side.named("tagged-group"));
    let one = &mut side.one;
    one.order(&["listen", &group, &topic, "A || B", "2", "concurrently"]).await;
    for (n, tag) in ["A", "C", "B", "C", "A"].into_iter().enumerate() {
        one.order(&["sync", &topic, tag, "k", &format!("{tag}{n}")]).await;
    }
    let wanted = BTreeSet::from(["A0", "B2", "A4"].map(str::to_owned));
    let got = heard("what was asked for is received", &[one], |all| {
        let got: BTreeSet<_> = counts(all, &group, &topic, "").into_keys().collect();
        if got.len() >= wanted.len() { Ok(got) } else { Err(format!("{got:?}")) }
    })
    .await;
    assert_eq!(got, wanted);
}

/// A message that cannot be consumed comes again as often as it may, and is then a dead letter.
pub(super) async fn failures(side: &mut Side, broker: &Ours) {
    let (topic, group) = (side.named("failing"), side.named("failing-group"));
    let one = &mut side.one;
    one.order(&["listen", &group, &topic, "*", "2", "concurrently"]).await;
    one.order(&["sync", &topic, "x", "poison-key", "poison"]).await;
    one.order(&["sync", &topic, "x", "x", "healthy"]).await;
    let got = heard("it has come three times", &[one], |all| {
        let got = all[0].of(&group, &topic);
        let poison: Vec<_> = got.into_iter().filter(|one| one.body() == "poison").collect();
        if poison.len() >= 3 { Ok(poison) } else { Err(format!("{poison:?}")) }
    })
    .await;
    let retries: Vec<_> = got.iter().map(|one| one.said["retries"].as_i64()).collect();
    assert_eq!(retries, [Some(0), Some(1), Some(2)]);
    let ids: BTreeSet<_> = got.iter().map(|one| one.text("id")).collect();
    assert_eq!(ids.len(), 1, "it keeps its id");
    let dead = broker.first(&format!("%DLQ%{group}")).await;
    assert_eq!((dead.body.as_ref(), dead.reconsume_times), (&b"poison"[..], 3));
    assert_eq!(dead.property("KEYS"), Some("poison-key"));
    assert_eq!(dead.property("RETRY_TOPIC"), Some(&*topic));
    let healthy = counts(&[one.heard()], &group, &topic, "healthy");
    assert_eq!(healthy.values().sum::<usize>(), 1);
}

/// The group's last member leaves; what it has consumed is known to the broker, and on disk.
pub(super) async fn leave_with_offsets(side: &mut Side, broker: &Ours) {
    let (topic, group) = (side.named("shared"), side.named("shared-group"));
    for queue in 0..QUEUES {
        let queue = queue.to_string();
        let at = [("topic", &*topic), ("queueId", &*queue)];
        let consumed = [&at[..], &[("consumerGroup", &*group)]].concat();
        until("what was consumed is known to the broker", || async {
            let end = broker.offset(request::GET_MAX_OFFSET, &at).await;
            let known = broker.offset(request::QUERY_CONSUMER_OFFSET, &consumed).await;
            if known == end { Ok(()) } else { Err((known, end)) }
        })
        .await;
    }
    side.one.order(&["hush", &group]).await;
    broker.until_written(&topic, &group).await;
}

/// After the broker's kill -9 the group goes on where it was, and reads nothing again.
pub(super) async fn go_on(side: &mut Side) {
    let (topic, group) = (side.named("shared"), side.named("shared-group"));
    let one = &mut side.one;
    let before = one.heard().of(&group, &topic).len();
    one.order(&["listen", &group, &topic, "*", "2", "concurrently"]).await;
    send(one, &topic, "later", MESSAGES).await;
    let got = heard("what comes later is received", &[one], |all| {
        let got = all[0].of(&group, &topic).split_off(before);
        let later: BTreeSet<_> = got.iter().map(|one| one.body().to_owned()).collect();
        let later = later.iter().filter(|body| body.starts_with("later")).count();
        if later == MESSAGES { Ok(got) } else { Err(format!("{later}, {:?}", all[0].failed)) }
    })
    .await;
    let again: Vec<_> = got.iter().filter(|one| !one.body().starts_with("later")).collect();
    assert!(again.is_empty(), "read again: {again:?}");
}
