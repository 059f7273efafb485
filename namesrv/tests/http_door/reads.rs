//! Reads: RocketMQ's field names, one index, freshness as asked for.

use std::time::Duration;

use axum::http::Method;
use serde_json::json;
use signpost_client::types::{Route, headers};
use signpost_namesrv::fake_log::Rounds;
use tokio::time::Instant;

use crate::door::Door;

#[tokio::test(start_paused = true)]
async fn a_route_has_rocketmqs_fields() {
    let door = Door::open();
    let epoch = door.register("broker-a", &["TopicA"]).await;
    let reply = door.get("/v1/routes/TopicA").await;
    let expected = json!({
        "brokerDatas":[{"brokerAddrs":{"0":"broker-a:10911"},"brokerName":"broker-a","cluster":"C",
            "enableActingMaster":false}],
        "filterServerTable":{},
        "queueDatas":[{"brokerName":"broker-a","perm":6,"readQueueNums":16,"topicSysFlag":0,
            "writeQueueNums":16}]});
    assert_eq!(reply.json(), expected);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.modified(), epoch);
    let route: Route = serde_json::from_str(&reply.text).expect("the client's own type");
    assert_eq!(route.broker_datas[0].master(), Some("broker-a:10911"));
}

#[tokio::test(start_paused = true)]
async fn headers_say_where_an_answer_comes_from() {
    let door = Door::open();
    door.register("broker-a", &["TopicA"]).await;
    let reply = door.get("/v1/routes/TopicA").await;
    assert_eq!(reply.index(), door.log.last_index());
    assert_eq!(reply.number(headers::LEADER), Some(1));
    assert_eq!(reply.number(headers::TERM), Some(1));
    assert_eq!(reply.number(headers::NODE), Some(1));
    let cluster = uuid::Uuid::from_u128(0xC1).to_string();
    assert_eq!(reply.header(headers::CLUSTER), Some(cluster.as_str()));
    assert_eq!(reply.header(headers::CONSISTENCY), Some("linearizable"));
    assert_eq!(reply.number(headers::QUORUM_AGE_MS), Some(0));
    let local = door.get("/v1/routes/TopicA?consistency=local").await;
    assert_eq!(local.header(headers::CONSISTENCY), Some("local"));
    assert_eq!(local.text, reply.text);
    door.log.set_status(|status| status.leader = None);
    let leaderless = door.get("/v1/routes/TopicA?consistency=local").await;
    assert_eq!((leaderless.status, leaderless.header(headers::LEADER)), (200, None));
}

#[tokio::test(start_paused = true)]
async fn a_linearizable_read_waits_for_its_round_and_a_local_one_does_not() {
    let door = Door::open();
    door.register("broker-a", &["TopicA"]).await;
    door.log.set_rounds(Rounds::Delay(Duration::from_millis(70)));
    let begun = Instant::now();
    assert_eq!(door.get("/v1/routes/TopicA?consistency=local").await.status, 200);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    for uri in [
        "/v1/routes/TopicA",
        "/v1/routes?topics=TopicA",
        "/v1/brokers",
        "/v1/clusters",
        "/v1/topics",
        "/v1/kv/N",
    ] {
        let begun = Instant::now();
        assert_eq!(door.get(uri).await.status, 200, "{uri}");
        assert!(begun.elapsed() >= Duration::from_millis(70), "{uri} did not wait for its round");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_only_local_reads_are_answered() {
    let door = Door::open();
    door.register("broker-a", &["TopicA"]).await;
    assert_eq!(door.get("/v1/routes/TopicA").await.status, 200);
    door.log.set_rounds(Rounds::Hold);
    let local = door.get("/v1/routes/TopicA?consistency=local").await;
    assert_eq!(local.status, 200);
    let begun = Instant::now();
    let refused =
        door.ask(Method::GET, "/v1/routes/TopicA").header(headers::DEADLINE_MS, "250").send().await;
    assert_eq!((refused.status, refused.reason().as_str()), (503, "no-quorum"));
    assert_eq!(begun.elapsed().as_millis(), 250, "the caller's deadline is kept");
    let later = door.get("/v1/routes/TopicA?consistency=local").await;
    assert!(later.number(headers::QUORUM_AGE_MS) >= Some(250), "{later:?}");
}

#[tokio::test(start_paused = true)]
async fn a_read_reaches_its_min_index_or_is_refused() {
    let door = Door::open();
    door.register("broker-a", &["TopicA"]).await;
    let ahead = door.log.last_index() + 1;
    let uri = format!("/v1/routes/TopicA?consistency=local&min_index={ahead}");
    let refused = door.ask(Method::GET, &uri).header(headers::DEADLINE_MS, "100").send().await;
    assert_eq!((refused.status, refused.reason().as_str()), (503, "behind"));
    let (reply, _) = tokio::join!(door.get(&uri), async { door.log.append_blank() });
    assert_eq!((reply.status, reply.index()), (200, ahead));
}

#[tokio::test(start_paused = true)]
async fn a_missing_topic_says_since_when() {
    let door = Door::open();
    door.register("broker-a", &["TopicA"]).await;
    let gone_at = door.delete("/v1/topics/TopicA").await.json()["index"].as_u64();
    door.log.append_blank();
    let missing = door.get("/v1/routes/TopicA").await;
    assert_eq!((missing.status, missing.problem().code), (404, Some(17)));
    assert_eq!(missing.number(headers::MODIFIED), gone_at);
    assert_eq!(missing.header(headers::CONSISTENCY), Some("linearizable"));
    let never = door.get("/v1/routes/Never").await;
    assert!(never.modified() < missing.modified(), "the floor: {never:?}");
}

#[tokio::test(start_paused = true)]
async fn many_routes_are_read_at_one_index() {
    let door = Door::open();
    door.register("broker-a", &["A", "%RETRY%g"]).await;
    let reply = door.get("/v1/routes?topics=B,A,%25RETRY%25g,A&consistency=local").await;
    let one = door.get("/v1/routes/%25RETRY%25g").await;
    let routes = reply.json();
    assert_eq!(routes["routes"]["%RETRY%g"], one.json());
    assert_eq!(routes["routes"]["B"], json!(null));
    assert!(reply.text.starts_with(r#"{"routes":{"%RETRY%g":{"#), "sorted: {}", reply.text);
    assert_eq!(routes["routes"].as_object().map(serde_json::Map::len), Some(3));
    assert_eq!(reply.modified(), one.modified());
}

#[tokio::test(start_paused = true)]
async fn lists_are_sorted_and_complete() {
    let door = Door::open();
    let b = door.register("broker-b", &["Z"]).await;
    let a = door.register("broker-a", &["A"]).await;
    assert_eq!(door.get("/v1/topics").await.json(), json!({"topics":["A","Z"]}));
    let clusters = json!({"clusters":{"C":["broker-a","broker-b"]}});
    assert_eq!(door.get("/v1/clusters").await.json(), clusters);
    let brokers = door.get("/v1/brokers?consistency=local").await.json();
    let entry = |name: &str, epoch: u64| {
        json!({"cluster":"C","name":name,"id":0,"address":format!("{name}:10911"),"haAddress":null,
            "epoch":epoch,"incarnation":7,"seq":1,"leaseTtlMs":120_000,"topics":1,
            "dataVersion":{"counter":0,"timestamp":0,"stateVersion":0}})
    };
    assert_eq!(brokers, json!({"brokers":[entry("broker-a", a), entry("broker-b", b)]}));
}

#[tokio::test(start_paused = true)]
async fn head_answers_without_a_body() {
    let door = Door::open();
    door.register("broker-a", &["TopicA"]).await;
    let reply = door.ask(Method::HEAD, "/v1/routes/TopicA").send().await;
    assert_eq!((reply.status, reply.text.as_str()), (200, ""));
}
