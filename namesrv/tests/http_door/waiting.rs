//! Reads that wait until a topic changes: woken by exactly their topics, bounded, and ended.

use std::time::Duration;

use axum::http::Method;
use signpost_client::types::headers;
use signpost_namesrv::fake_log::Rounds;
use tokio::time::Instant;

use crate::door::Door;

/// Runs until everything that can go on without time passing has done so.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_wakes_its_topics_waiters_and_nobody_else() {
    let door = Door::open();
    door.register("broker-a", &["A", "B"]).await;
    let seen = door.log.last_index();
    let uri = |topic: &str| format!("/v1/routes/{topic}?index={seen}&wait=30s");
    let (of_a, of_b) = (uri("A"), uri("B"));
    let begun = Instant::now();
    let timed = |uri: String| {
        let door = &door;
        async move {
            let reply = door.get(&uri).await;
            (reply, begun.elapsed())
        }
    };
    let change = async {
        settle().await;
        tokio::time::advance(Duration::from_millis(500)).await;
        door.put("/v1/topics/A", r#"{"brokers":{"broker-a":{"perm":4}}}"#).await
    };
    let ((a, a_took), (b, b_took), changed) = tokio::join!(timed(of_a), timed(of_b), change);
    assert_eq!(changed.status, 200);
    assert!(a_took < Duration::from_secs(1), "woken by its change, not by time: {a_took:?}");
    assert_eq!((a.status, a.modified()), (200, changed.json()["index"].as_u64().expect("index")));
    assert_eq!(a.json()["queueDatas"][0]["perm"], 4);
    assert!(b_took >= Duration::from_secs(30), "not woken by another topic: {b_took:?}");
    assert_eq!(b.status, 200);
    assert!(b.modified() <= seen);
}

#[tokio::test(start_paused = true)]
async fn any_of_many_topics_wakes() {
    let door = Door::open();
    door.register("broker-a", &["A"]).await;
    let seen = door.log.last_index();
    let uri = format!("/v1/routes?topics=A,New&index={seen}&wait=30s");
    let begun = Instant::now();
    let change = async {
        settle().await;
        door.put("/v1/topics/New", r#"{"brokers":{"broker-a":{}}}"#).await
    };
    let (reply, _) = tokio::join!(door.get(&uri), change);
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert!(reply.modified() > seen);
    assert!(reply.json()["routes"]["New"].is_object(), "{reply:?}");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_a_change_too() {
    let door = Door::open();
    door.register("broker-a", &["A"]).await;
    let seen = door.log.last_index();
    let uri = format!("/v1/routes/A?index={seen}&wait=30s");
    let change = async {
        settle().await;
        door.delete("/v1/topics/A").await
    };
    let (reply, deleted) = tokio::join!(door.get(&uri), change);
    assert_eq!(reply.status, 404);
    assert_eq!(Some(reply.modified()), deleted.json()["index"].as_u64());
}

#[tokio::test(start_paused = true)]
async fn what_has_changed_already_is_answered_at_once() {
    let door = Door::open();
    let epoch = door.register("broker-a", &["A"]).await;
    let begun = Instant::now();
    let reply = door.get(&format!("/v1/routes/A?index={}&wait=30s", epoch - 1)).await;
    assert_eq!((reply.status, begun.elapsed()), (200, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_linearizable_wait_does_its_round_first() {
    let door = Door::open();
    let epoch = door.register("broker-a", &["A"]).await;
    door.log.set_rounds(Rounds::Hold);
    let uri = format!("/v1/routes/A?index={}&wait=30s", epoch - 1);
    let refused = door.ask(Method::GET, &uri).header(headers::DEADLINE_MS, "200").send().await;
    assert_eq!(refused.status, 503, "the change is there, but no quorum vouches for it");
    let local = door.get(&format!("{uri}&consistency=local")).await;
    assert_eq!(local.status, 200);
}

#[tokio::test(start_paused = true)]
async fn the_callers_deadline_ends_a_wait() {
    let door = Door::open();
    door.register("broker-a", &["A"]).await;
    let uri = format!("/v1/routes/A?index={}&wait=30s", door.log.last_index());
    let begun = Instant::now();
    let reply = door.ask(Method::GET, &uri).header(headers::DEADLINE_MS, "700").send().await;
    assert_eq!((reply.status, begun.elapsed().as_millis()), (200, 700));
}

#[tokio::test(start_paused = true)]
async fn waiters_are_bounded_and_leave_room_when_they_go() {
    let door = Door::open_with(|config| config.limits.waiters = 3);
    door.register("broker-a", &["A"]).await;
    let uri = format!("/v1/routes/A?index={}&wait=10s", door.log.last_index());
    let fourth = async {
        settle().await;
        let refused = door.get(&uri).await;
        assert_eq!(refused.status, 429, "{refused:?}");
        door.get("/v1/routes/A").await.status
    };
    let (a, b, c, plain) = tokio::join!(door.get(&uri), door.get(&uri), door.get(&uri), fourth);
    assert_eq!((a.status, b.status, c.status, plain), (200, 200, 200, 200));
    assert_eq!(door.get(&uri).await.status, 200, "they have left");
    assert_eq!(door.service.counters().waiters, 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_gives_up_the_place() {
    let door = Door::open();
    door.register("broker-a", &["A"]).await;
    let uri = format!("/v1/routes/A?index={}&wait=60s", door.log.last_index());
    let look = async {
        settle().await;
        door.service.counters().waiters
    };
    tokio::select! {
        reply = door.get(&uri) => panic!("nothing has changed: {reply:?}"),
        waiters = look => assert_eq!(waiters, 1),
    }
    assert_eq!(door.service.counters().waiters, 0);
}

#[tokio::test(start_paused = true)]
async fn waits_end_when_the_replica_stops() {
    let door = Door::open();
    door.register("broker-a", &["A"]).await;
    let uri = format!("/v1/routes/A?index={}&wait=60s", door.log.last_index());
    let begun = Instant::now();
    let stop = async {
        settle().await;
        door.service.shutdown().await;
    };
    let (reply, ()) = tokio::join!(door.get(&uri), stop);
    assert_eq!((reply.status, reply.reason().as_str()), (503, "stopping"));
    assert!(begun.elapsed() < Duration::from_secs(1));
}
