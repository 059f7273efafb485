//! Writes that succeed, and the conflicts that the tables decide.

use serde_json::json;
use signpost_client::types::headers;

use crate::door::Door;

const BROKER: &str = "/v1/brokers/C/broker-a/0";

#[tokio::test(start_paused = true)]
async fn a_registration_answers_its_epoch_and_a_retry_the_same() {
    let door = Door::open();
    let body = r#"{"incarnation":8273,"seq":1,"address":"10.0.0.1:10911","haAddress":"10.0.0.1:10912",
        "dataVersion":{"counter":1,"timestamp":0,"stateVersion":0},
        "topics":{"TopicA":{"readQueueNums":4,"writeQueueNums":4,"perm":6,"topicSysFlag":0,"order":false}},
        "filterServers":[],"leaseTtlMs":120000}"#;
    let first = door.put(BROKER, body).await;
    assert_eq!(first.status, 200, "{first:?}");
    let epoch = first.json()["epoch"].as_u64().expect("an epoch");
    let expected = json!({"epoch":epoch,"index":epoch,"leaseTtlMs":120_000,
        "masterAddress":null,"haAddress":null});
    assert_eq!(first.json(), expected);
    assert_eq!(first.index(), epoch);
    assert_eq!(first.header(headers::CONSISTENCY), Some("linearizable"));
    let entries = door.log.proposed().len();
    let retry = door.put(BROKER, body).await;
    assert_eq!((retry.status, retry.json()["epoch"].as_u64()), (200, Some(epoch)));
    assert_eq!(door.log.proposed().len(), entries, "a retry is no entry");
}

#[tokio::test(start_paused = true)]
async fn a_slave_learns_of_its_master() {
    let door = Door::open();
    let master = r#"{"incarnation":7,"seq":1,"address":"m:10911","haAddress":"m:10912"}"#;
    assert_eq!(door.put(BROKER, master).await.status, 200);
    let slave = r#"{"incarnation":7,"seq":1,"address":"s:10911"}"#;
    let reply = door.put("/v1/brokers/C/broker-a/1", slave).await.json();
    assert_eq!(
        (&reply["masterAddress"], &reply["haAddress"]),
        (&json!("m:10911"), &json!("m:10912"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_registration_by_hand_needs_an_address_only() {
    let door = Door::open();
    let reply = door.put(BROKER, r#"{"address":"a:1"}"#).await;
    assert_eq!((reply.status, reply.json()["leaseTtlMs"].as_u64()), (200, Some(120_000)));
    assert_eq!(door.delete(BROKER).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_lives_elsewhere_is_taken_only_on_demand() {
    let door = Door::open();
    door.register("broker-a", &["TopicA"]).await;
    let other = r#"{"incarnation":8,"seq":1,"address":"other:10911"}"#;
    let refused = door.put(BROKER, other).await;
    assert_eq!((refused.status, refused.reason().as_str()), (409, "live-elsewhere"));
    assert_eq!(refused.problem().address.as_deref(), Some("broker-a:10911"));
    assert_eq!(door.put(&format!("{BROKER}?takeover=true"), other).await.status, 200);
    let former = r#"{"incarnation":7,"seq":2,"address":"broker-a:10911"}"#;
    let superseded = door.put(BROKER, former).await;
    assert_eq!((superseded.status, superseded.reason().as_str()), (409, "superseded"));
    assert_eq!(superseded.problem().highest_incarnation, Some(8));
}

#[tokio::test(start_paused = true)]
async fn an_older_write_is_stale() {
    let door = Door::open();
    let body = |seq: u64, topic: &str| {
        format!(r#"{{"incarnation":7,"seq":{seq},"address":"a:1","topics":{{"{topic}":{{}}}}}}"#)
    };
    assert_eq!(door.put(BROKER, &body(5, "A")).await.status, 200);
    for (seq, topic) in [(4, "A"), (5, "B")] {
        let stale = door.put(BROKER, &body(seq, topic)).await;
        assert_eq!((stale.status, stale.reason().as_str()), (409, "stale"), "{seq}");
        let problem = stale.problem();
        assert_eq!((problem.highest_incarnation, problem.highest_seq), (Some(7), Some(5)));
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_name_in_two_clusters_is_refused() {
    let door = Door::open();
    door.register("broker-a", &[]).await;
    let refused = door.put("/v1/brokers/D/broker-a/1", r#"{"address":"b:1"}"#).await;
    assert_eq!(refused.status, 409);
    assert_eq!(refused.problem().field.as_deref(), Some("cluster"));
    let alarms = door.get("/v1/alarms").await.json();
    assert!(alarms["alarms"].as_array().is_some_and(|alarms| !alarms.is_empty()), "{alarms}");
}

#[tokio::test(start_paused = true)]
async fn heartbeats_renew_what_lives_and_write_nothing() {
    let door = Door::open();
    let epoch = door.register("broker-a", &["TopicA"]).await;
    let entries = door.log.last_index();
    let uri = format!("{BROKER}/heartbeat");
    let beat = |incarnation: u64, epoch: u64| {
        format!(r#"{{"incarnation":{incarnation},"epoch":{epoch}}}"#)
    };
    let renewed = door.post(&uri, &beat(7, epoch)).await;
    assert_eq!(renewed.json(), json!({"epoch":epoch,"leaseTtlMs":120_000}));
    assert_eq!(door.log.last_index(), entries);
    let superseded = door.post(&uri, &beat(6, epoch)).await;
    assert_eq!((superseded.status, superseded.reason().as_str()), (409, "superseded"));
    let moved = door.post(&uri, &beat(7, epoch + 100)).await;
    assert_eq!((moved.status, moved.reason().as_str()), (409, "moved"));
    assert_eq!(moved.problem().epoch, Some(epoch));
    let expired = door.post("/v1/brokers/C/nobody/0/heartbeat", &beat(7, epoch)).await;
    assert_eq!(expired.status, 410);
}

#[tokio::test(start_paused = true)]
async fn a_patch_merges_and_null_deletes() {
    let door = Door::open();
    let epoch = door.register("broker-a", &["A", "B"]).await;
    let uri = format!("{BROKER}/topics");
    let patch = format!(
        r#"{{"incarnation":7,"epoch":{epoch},"seq":2,"topics":{{"B":null,"C":{{"perm":4}}}}}}"#
    );
    let reply = door.patch(&uri, &patch).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.json(), json!({"epoch":epoch,"index":reply.index()}));
    assert_eq!(door.get("/v1/topics").await.json(), json!({"topics":["A","C"]}));
    assert_eq!(door.get("/v1/routes/C").await.json()["queueDatas"][0]["perm"], 4);
    let stale = door.patch(&uri, &patch.replace(r#""seq":2"#, r#""seq":1"#)).await;
    assert_eq!((stale.status, stale.reason().as_str()), (409, "stale"));
    let other_epoch = patch.replace(&format!(r#""epoch":{epoch}"#), r#""epoch":999"#);
    let moved = door.patch(&uri, &other_epoch.replace(r#""seq":2"#, r#""seq":3"#)).await;
    assert_eq!((moved.status, moved.reason().as_str()), (409, "moved"));
}

#[tokio::test(start_paused = true)]
async fn an_unregister_is_ok_twice_and_never_takes_another() {
    let door = Door::open();
    let epoch = door.register("broker-a", &["A"]).await;
    let uri = |epoch: u64| format!("{BROKER}?incarnation=7&seq=2&epoch={epoch}");
    let moved = door.delete(&uri(epoch + 1)).await;
    assert_eq!((moved.status, moved.reason().as_str()), (409, "moved"));
    let first = door.delete(&uri(epoch)).await;
    assert_eq!((first.status, first.json()), (200, json!({"index":first.index()})));
    assert_eq!(door.delete(&uri(epoch)).await.status, 200);
    assert_eq!(door.get("/v1/routes/A").await.status, 404);
    let late = r#"{"incarnation":7,"seq":1,"address":"broker-a:10911"}"#;
    assert_ne!(door.put(BROKER, late).await.status, 200, "a PUT from before the DELETE");
    assert_eq!(door.get("/v1/brokers").await.json(), json!({"brokers":[]}));
}

#[tokio::test(start_paused = true)]
async fn write_permission_is_wiped_and_restored() {
    let door = Door::open();
    door.register("broker-a", &["A", "B"]).await;
    let uri = "/v1/brokers/C/broker-a/write-permission";
    let wiped = door.post(uri, r#"{"writable":false}"#).await;
    assert_eq!(wiped.json(), json!({"index":wiped.index(),"changedTopics":2}));
    assert_eq!(door.get("/v1/routes/A").await.json()["queueDatas"][0]["perm"], 4);
    assert_eq!(door.post(uri, r#"{"writable":true}"#).await.json()["changedTopics"], 2);
    assert_eq!(door.get("/v1/routes/A").await.json()["queueDatas"][0]["perm"], 6);
}

#[tokio::test(start_paused = true)]
async fn topics_are_made_on_known_brokers_and_deleted_everywhere() {
    let door = Door::open();
    door.register("broker-a", &[]).await;
    let made = door
        .put("/v1/topics/New", r#"{"brokers":{"broker-a":{"readQueueNums":2,"writeQueueNums":3}}}"#)
        .await;
    assert_eq!(made.json(), json!({"index":made.index()}));
    let queues = &door.get("/v1/routes/New").await.json()["queueDatas"][0];
    assert_eq!((&queues["readQueueNums"], &queues["writeQueueNums"]), (&json!(2), &json!(3)));
    let entries = door.get("/v1/topics").await.json();
    let refused = door.put("/v1/topics/Other", r#"{"brokers":{"broker-a":{},"nobody":{}}}"#).await;
    assert_eq!((refused.status, refused.reason().as_str()), (404, "no-such-broker"));
    assert_eq!(door.get("/v1/topics").await.json(), entries, "all or none");
    assert_eq!(door.delete("/v1/topics/New").await.status, 200);
    assert_eq!(door.get("/v1/routes/New").await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn kv_writes_may_name_the_index_they_build_on() {
    let door = Door::open();
    let uri = "/v1/kv/ORDER_TOPIC_CONFIG/TopicA";
    let missing = door.get(uri).await;
    assert_eq!((missing.status, missing.problem().code), (404, Some(22)));
    let made = door.put(&format!("{uri}?if_index=0"), r#"{"value":"broker-a:4"}"#).await;
    assert_eq!(made.status, 200, "{made:?}");
    let modified = made.json()["index"].as_u64().expect("an index");
    let read = door.get(uri).await;
    assert_eq!(read.json(), json!({"value":"broker-a:4","modified":modified}));
    let refused = door.put(&format!("{uri}?if_index=0"), r#"{"value":"x"}"#).await;
    assert_eq!((refused.status, refused.problem().index), (412, Some(modified)));
    assert_eq!(door.delete(&format!("{uri}?if_index=1")).await.status, 412);
    let all = door.get("/v1/kv/ORDER_TOPIC_CONFIG").await;
    assert_eq!(all.json(), json!({"values":{"TopicA":"broker-a:4"}}));
    assert_eq!(door.delete(&format!("{uri}?if_index={modified}")).await.status, 200);
    assert_eq!(door.get(uri).await.status, 404);
    assert_eq!(door.get("/v1/kv/never").await.json(), json!({"values":{}}));
}

#[tokio::test(start_paused = true)]
async fn a_registration_may_be_large() {
    let door = Door::open();
    let topics: Vec<String> = (0..30_000)
        .map(|topic| {
            format!(r#""topic-{topic}":{{"readQueueNums":4,"writeQueueNums":4,"perm":6}}"#)
        })
        .collect();
    let body = format!(r#"{{"address":"a:1","topics":{{{}}}}}"#, topics.join(","));
    assert!(body.len() > 1024 * 1024, "{} bytes", body.len());
    assert_eq!(door.put(BROKER, &body).await.status, 200);
    let list = door.get("/v1/topics").await.json();
    assert_eq!(list["topics"].as_array().map(Vec::len), Some(30_000));
}
