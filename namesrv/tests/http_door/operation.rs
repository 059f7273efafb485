//! Operation: status, members, leadership, snapshot, alarms, probes and metrics.

use std::time::Duration;

use axum::http::Method;
use serde_json::json;

use crate::door::{Door, TOKEN};

#[tokio::test(start_paused = true)]
async fn the_status_is_this_replicas_own_view() {
    let door = Door::open();
    door.register("broker-a", &["A"]).await;
    let status = door.get("/v1/cluster").await.json();
    assert_eq!(status["cluster"], json!(uuid::Uuid::from_u128(0xC1).to_string()));
    assert_eq!(status["clusterName"], "tests");
    assert_eq!((&status["nodeId"], &status["role"]), (&json!(1), &json!("leader")));
    assert_eq!((&status["term"], &status["leader"]), (&json!(1), &json!(1)));
    assert_eq!(status["applied"], json!(door.log.last_index()));
    assert_eq!(status["digest"], json!(format!("{:032x}", door.log.digest())));
    let member = json!({"id":3,"role":"voter","peer":"peer-3:7876","http":"http-3:8876","remoting":"door-3:9876",
        "diskId":uuid::Uuid::from_u128(3).to_string()});
    assert_eq!(status["members"][2], member);
}

/// Every call that needs the token: method, path, body.
fn admin_calls() -> Vec<(Method, &'static str, &'static str)> {
    vec![
        (Method::POST, "/v1/cluster/members", r#"{"id":4,"peer":"peer-4:7876"}"#),
        (Method::POST, "/v1/cluster/members/4/promote", ""),
        (Method::DELETE, "/v1/cluster/members/4", ""),
        (Method::POST, "/v1/cluster/snapshot", "{}"),
        (Method::POST, "/v1/cluster/transfer", r#"{"leader":2}"#),
        (Method::POST, "/v1/alarms/mass-expiry/release", ""),
    ]
}

#[tokio::test(start_paused = true)]
async fn operation_needs_the_token_and_nothing_happens_without() {
    let door = Door::open();
    let before = door.log.last_index();
    let wrong = TOKEN.replace("an", "no");
    for (method, uri, body) in admin_calls() {
        for authorization in [None, Some(wrong.as_str()), Some("Bearer"), Some("Bearer x")] {
            let mut ask = door.ask(method.clone(), uri);
            if let Some(authorization) = authorization {
                ask = ask.header("authorization", authorization);
            }
            let ask = if body.is_empty() { ask } else { ask.json(body) };
            let reply = ask.send().await;
            assert_eq!((reply.status, reply.reason().as_str()), (401, "unauthorized"), "{uri}");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
            assert!(!reply.text.contains(TOKEN));
        }
    }
    assert_eq!(door.log.last_index(), before);
    assert_eq!(door.get("/v1/cluster").await.json()["term"], 1);
}

#[tokio::test(start_paused = true)]
async fn members_come_and_go() {
    let door = Door::open();
    for (method, uri, body) in &admin_calls()[..4] {
        let ask = door.ask(method.clone(), uri).token();
        let ask = if body.is_empty() { ask } else { ask.json(body) };
        let reply = ask.send().await;
        assert_eq!(reply.status, 200, "{uri}: {reply:?}");
        assert!(reply.json()["index"].as_u64().is_some_and(|index| index > 0), "{reply:?}");
        let members = door.get("/v1/cluster").await.json()["members"].clone();
        let fourth = members.as_array().and_then(|members| members.get(3)).cloned();
        match *uri {
            "/v1/cluster/members" => {
                assert_eq!(fourth.expect("added")["role"], "learner");
            }
            "/v1/cluster/members/4/promote" => {
                assert_eq!(fourth.expect("promoted")["role"], "voter");
            }
            _ => assert_eq!(fourth, None),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_leadership_is_handed_over() {
    let door = Door::open();
    let ask = door.ask(Method::POST, "/v1/cluster/transfer").token();
    let reply = ask.json(r#"{"leader":2}"#).send().await;
    assert_eq!((reply.status, reply.json()), (200, json!({"leader":2})));
    let status = door.get("/v1/cluster").await.json();
    assert_eq!((&status["leader"], &status["role"]), (&json!(2), &json!("follower")));
}

#[tokio::test(start_paused = true)]
async fn alarms_are_shown_and_released() {
    let door = Door::open();
    assert_eq!(door.get("/v1/alarms").await.json(), json!({"alarms":[]}));
    door.register("broker-a", &[]).await;
    door.put("/v1/brokers/D/broker-a/1", r#"{"address":"b:1"}"#).await;
    let alarms = door.get("/v1/alarms").await.json();
    let kind = alarms["alarms"][0]["kind"].as_str().expect("a kind").to_owned();
    assert!(alarms["alarms"][0]["detail"].is_string() && alarms["alarms"][0]["ageMs"].is_u64());
    let uri = format!("/v1/alarms/{kind}/release");
    let released = door.ask(Method::POST, &uri).token().send().await;
    assert_eq!((released.status, released.json()), (200, json!({})));
    assert_eq!(door.get("/v1/alarms").await.json(), json!({"alarms":[]}));
    let again = door.ask(Method::POST, &uri).token().send().await;
    assert_eq!((again.status, again.reason().as_str()), (404, "no-such-alarm"));
}

#[tokio::test(start_paused = true)]
async fn probes_tell_why_not() {
    let door = Door::open();
    let ready = json!({"ok":true,"reasons":[]});
    assert_eq!(door.get("/livez").await.json(), ready);
    assert_eq!(door.get("/readyz").await.json(), ready);
    assert_eq!(door.get("/readyz?quorum").await.json(), ready);
    for (spoil, word) in [
        ((|s| s.fed = false) as fn(&mut signpost_namesrv::log::Status), "fed"),
        (|s| s.removed = true, "removed"),
        (|s| s.disk_ok = false, "disk"),
    ] {
        let door = Door::open();
        door.log.set_status(spoil);
        let reply = door.get("/readyz").await;
        assert_eq!((reply.status, &reply.json()["ok"]), (503, &json!(false)));
        assert!(reply.text.contains(word), "{reply:?}");
        assert_eq!(door.get("/livez").await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_without_a_leader_comes_after_ten_seconds_and_with_quorum_never() {
    let door = Door::open();
    door.log.set_status(|status| {
        status.caught_up = false;
        status.leader = None;
    });
    assert_eq!(door.get("/readyz").await.status, 503);
    tokio::time::advance(Duration::from_millis(9_900)).await;
    assert_eq!(door.get("/readyz").await.status, 503);
    tokio::time::advance(Duration::from_millis(200)).await;
    assert_eq!(door.get("/readyz").await.status, 200);
    let with_quorum = door.get("/readyz?quorum").await;
    assert_eq!(with_quorum.status, 503, "{with_quorum:?}");
    door.log.set_status(|status| status.leader = Some(2));
    assert_eq!(door.get("/readyz").await.status, 503, "there is a leader to catch up with");
}

#[tokio::test(start_paused = true)]
async fn metrics_are_what_happened() {
    let door = Door::open();
    let epoch = door.register("broker-a", &["A"]).await;
    let beat = format!(r#"{{"incarnation":7,"epoch":{epoch}}}"#);
    door.post("/v1/brokers/C/broker-a/0/heartbeat", &beat).await;
    door.get("/v1/routes/A").await;
    door.get("/v1/routes/Never").await;
    door.get("/no/such/path").await;
    door.delete("/v1/brokers/C/broker-a/0").await;
    let reply = door.get("/metrics").await;
    let content_type = reply.header("content-type").unwrap_or_default();
    assert!(content_type.starts_with("application/openmetrics-text"), "{content_type}");
    let applied = format!("signpost_applied_index {}", door.log.last_index());
    for line in [
        r#"signpost_http_requests_total{method="GET",route="/v1/routes/{topic}",status="200"} 1"#,
        r#"signpost_http_requests_total{method="GET",route="/v1/routes/{topic}",status="404"} 1"#,
        r#"signpost_http_requests_total{method="GET",route="unmatched",status="404"} 1"#,
        r#"signpost_http_request_seconds_count{route="/v1/routes/{topic}"} 2"#,
        r#"signpost_registrations_ended_total{cause="unregistered"} 1"#,
        r#"signpost_registrations_ended_total{cause="silent"} 0"#,
        "signpost_registrations_begun_total 1",
        "signpost_http_in_flight 1",
        "signpost_raft_term 1",
        "signpost_is_leader 1",
        "signpost_members 3",
        "signpost_registrations 0",
        "signpost_waiters 0",
        "signpost_brake_holds 0",
        &applied,
    ] {
        assert!(reply.text.lines().any(|have| have == line), "no `{line}` in\n{}", reply.text);
    }
    let help = reply.text.lines().filter(|line| line.starts_with("# HELP ")).count();
    assert!(help >= 30, "{help} metrics");
}

#[tokio::test(start_paused = true)]
async fn the_storages_figures_are_asked_at_each_scrape() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use signpost_namesrv::http::{AdminToken, Storage, router_with_storage};
    use signpost_raft::replica::LogCounters;

    let mut door = Door::open();
    let syncs = Arc::new(AtomicU64::new(5));
    let asked = Arc::clone(&syncs);
    let token = AdminToken::new(TOKEN).expect("long enough");
    door.router = router_with_storage(Arc::clone(&door.service), token, move || Storage {
        log: LogCounters { syncs: asked.load(Ordering::Relaxed), ..LogCounters::default() },
        disk_bytes: 4096,
    });
    let first = door.get("/metrics").await;
    assert!(first.text.contains("\nsignpost_log_syncs_total 5\n"), "{}", first.text);
    assert!(first.text.contains("\nsignpost_disk_bytes 4096\n"));
    syncs.store(6, Ordering::Relaxed);
    assert!(door.get("/metrics").await.text.contains("\nsignpost_log_syncs_total 6\n"));
}
