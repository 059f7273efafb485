//! What is not done, or not surely: every status of the contract, and what it says.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use signpost_client::types::headers;
use signpost_namesrv::config::NodeConfig;
use signpost_namesrv::fake_log::{Calls, FakeLog, Proposals, Rounds};
use signpost_namesrv::service::Forwarded;
use tokio::time::Instant;
use uuid::Uuid;

use crate::door::Door;

const BROKER: &str = "/v1/brokers/C/broker-a/0";
const BODY: &str = r#"{"incarnation":7,"seq":1,"address":"a:1"}"#;

/// Calls of every kind that needs the tables or the leader.
async fn statuses(door: &Door) -> Vec<(String, u16, String)> {
    let heartbeat = r#"{"incarnation":7,"epoch":5}"#;
    let patch = r#"{"incarnation":7,"epoch":5,"seq":2,"topics":{"A":{}}}"#;
    let brokers = r#"{"brokers":{"broker-a":{}}}"#;
    let calls = [
        (Method::GET, "/v1/routes/A".to_owned(), ""),
        (Method::GET, "/v1/routes/A?consistency=local".to_owned(), ""),
        (Method::GET, "/v1/routes?topics=A,B".to_owned(), ""),
        (Method::GET, "/v1/routes/A?index=0&wait=1s".to_owned(), ""),
        (Method::GET, "/v1/brokers".to_owned(), ""),
        (Method::GET, "/v1/clusters".to_owned(), ""),
        (Method::GET, "/v1/topics".to_owned(), ""),
        (Method::GET, "/v1/kv/N/K".to_owned(), ""),
        (Method::PUT, BROKER.to_owned(), BODY),
        (Method::PATCH, format!("{BROKER}/topics"), patch),
        (Method::POST, format!("{BROKER}/heartbeat"), heartbeat),
        (Method::DELETE, BROKER.to_owned(), ""),
        (Method::POST, "/v1/brokers/C/b/write-permission".to_owned(), r#"{"writable":true}"#),
        (Method::PUT, "/v1/topics/A".to_owned(), brokers),
        (Method::DELETE, "/v1/topics/A".to_owned(), ""),
        (Method::PUT, "/v1/kv/N/K".to_owned(), r#"{"value":"v"}"#),
        (Method::DELETE, "/v1/kv/N/K".to_owned(), ""),
    ];
    let mut seen = Vec::new();
    for (method, uri, body) in calls {
        let what = format!("{method} {uri}");
        let ask = door.ask(method, &uri);
        let ask = if body.is_empty() { ask } else { ask.json(body) };
        let reply = ask.send().await;
        let reason = if reply.status >= 400 { reply.reason() } else { String::new() };
        seen.push((what, reply.status, reason));
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn a_removed_replica_sends_everybody_to_its_peers() {
    let door = Door::open();
    door.register("broker-a", &["A"]).await;
    door.log.set_status(|status| status.removed = true);
    for (what, status, reason) in statuses(&door).await {
        assert_eq!((status, reason.as_str()), (421, "removed"), "{what}");
    }
    let peers = door.get("/v1/routes/A").await.problem().peers;
    assert_eq!(peers, ["http-2:8876", "http-3:8876"]);
    assert_eq!(door.get("/v1/cluster").await.status, 200, "it may still be looked at");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_was_never_fed_knows_nothing() {
    let door = Door::open();
    door.log.set_status(|status| {
        status.fed = false;
        status.leader = None;
        status.cluster = None;
    });
    for (what, status, _) in statuses(&door).await {
        assert_eq!(status, 503, "{what}");
    }
    let reply = door.get("/v1/routes/A?consistency=local").await;
    assert_eq!((reply.reason().as_str(), reply.header(headers::CLUSTER)), ("not-fed", None));
}

#[tokio::test(start_paused = true)]
async fn without_a_leader_writes_are_surely_not_done() {
    let door = Door::open();
    door.log.set_status(|status| status.leader = None);
    let entries = door.log.proposed().len();
    for (what, status, reason) in statuses(&door).await {
        if what.contains("local") {
            assert_eq!(status, 404, "{what}");
        } else {
            assert_eq!((status, reason.as_str()), (503, "no-leader"), "{what}");
        }
    }
    assert_eq!(door.log.proposed().len(), entries);
}

#[tokio::test(start_paused = true)]
async fn a_stopping_replica_says_so() {
    let door = Door::open();
    door.service.shutdown().await;
    let reply = door.put(BROKER, BODY).await;
    assert_eq!((reply.status, reply.reason().as_str()), (503, "stopping"));
}

#[tokio::test(start_paused = true)]
async fn another_history_is_refused_before_anything_else() {
    let door = Door::open();
    let entries = door.log.last_index();
    let theirs = Uuid::from_u128(0xBAD).to_string();
    for (method, uri, body) in [
        (Method::GET, "/v1/routes/A", ""),
        (Method::PUT, BROKER, BODY),
        (Method::GET, "/v1/cluster", ""),
        (Method::DELETE, BROKER, ""),
    ] {
        let ask = door.ask(method, uri).header(headers::CLUSTER, &theirs);
        let ask = if body.is_empty() { ask } else { ask.json(body) };
        let reply = ask.send().await;
        assert_eq!((reply.status, reply.reason().as_str()), (409, "other-history"), "{uri}");
        let ours = Uuid::from_u128(0xC1).to_string();
        assert_eq!(reply.header(headers::CLUSTER), Some(ours.as_str()));
    }
    assert_eq!(door.log.last_index(), entries);
    let ours = Uuid::from_u128(0xC1).to_string().to_uppercase();
    let reply = door.ask(Method::GET, "/v1/topics").header(headers::CLUSTER, &ours).send().await;
    assert_eq!(reply.status, 200);
}

#[tokio::test(start_paused = true)]
async fn too_much_at_once_is_429() {
    let door = Door::open();
    door.log.set_proposals(Proposals::Overload);
    let reply = door.put(BROKER, BODY).await;
    assert_eq!((reply.status, reply.problem().code), (429, Some(2)));
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_is_unknown_never_failed() {
    let door = Door::open();
    door.log.set_proposals(Proposals::ApplyAndForget);
    let reply = door.put(BROKER, BODY).await;
    assert_eq!((reply.status, reply.reason().as_str()), (504, "unknown"));
    door.log.set_proposals(Proposals::Hold);
    let begun = Instant::now();
    let ask = door.ask(Method::PUT, "/v1/kv/N/K").header(headers::DEADLINE_MS, "300");
    let late = ask.json(r#"{"value":"v"}"#).send().await;
    assert_eq!(late.status, 504, "{late:?}");
    assert_eq!(begun.elapsed().as_millis(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_bounded() {
    let door = Door::open_with(|config| {
        config.timings.call_timeout = Duration::from_millis(500);
        config.timings.call_timeout_max = Duration::from_secs(2);
    });
    door.log.set_rounds(Rounds::Hold);
    let begun = Instant::now();
    let ask = door.ask(Method::GET, "/v1/topics").header(headers::DEADLINE_MS, "600000");
    assert_eq!(ask.send().await.status, 503);
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
    let begun = Instant::now();
    assert_eq!(door.get("/v1/topics").await.status, 503);
    assert_eq!(begun.elapsed(), Duration::from_millis(500));
}

/// A follower's door whose calls reach a leader.
fn follower() -> (Door, Arc<FakeLog>) {
    let (leader_log, leader) = FakeLog::lead(NodeConfig::new(2, "tests"));
    let door = Door::open();
    door.log.begin_term(2, 2);
    door.log.set_peer(Arc::new(Forwarded::to(&leader)));
    // The leader's service lives as long as its log is asked.
    std::mem::forget(leader);
    (door, leader_log)
}

#[tokio::test(start_paused = true)]
async fn a_follower_forwards_writes_with_the_callers_deadline() {
    let (door, leader) = follower();
    let reply = door.put(BROKER, BODY).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.index(), leader.last_index(), "the leader's index");
    assert_eq!(door.log.proposed().len(), 0);
    leader.set_proposals(Proposals::Hold);
    let begun = Instant::now();
    let ask = door.ask(Method::PUT, "/v1/kv/N/K").header(headers::DEADLINE_MS, "400");
    assert_eq!(ask.json(r#"{"value":"v"}"#).send().await.status, 504);
    assert_eq!(begun.elapsed().as_millis(), 400);
}

#[tokio::test(start_paused = true)]
async fn a_forward_that_never_left_is_definite_and_a_lost_answer_is_not() {
    let (door, _leader) = follower();
    door.log.set_calls(Calls::Refuse);
    let refused = door.put(BROKER, BODY).await;
    assert_eq!((refused.status, refused.reason().as_str()), (503, "leader-unreachable"));
    door.log.set_calls(Calls::LoseAnswer);
    let lost = door.put(BROKER, BODY).await;
    assert_eq!((lost.status, lost.reason().as_str()), (504, "unknown"));
}
