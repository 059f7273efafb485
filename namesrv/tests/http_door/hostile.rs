//! Input that no well-behaved caller sends: each is refused by name and changes nothing.

use axum::body::Body;
use axum::http::Method;
use signpost_client::types::headers;

use crate::door::{Door, Reply};

/// Method, path and query, JSON body (empty: none), status, the field that is named.
type Case = (&'static str, &'static str, &'static str, u16, &'static str);

const BROKER: &str = "/v1/brokers/C/broker-a/0";

async fn ask(door: &Door, method: &str, uri: &str, body: &str) -> Reply {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let ask = door.ask(method, uri).token();
    if body.is_empty() { ask.send().await } else { ask.json(body).send().await }
}

/// Asks every case on a replica that holds something to damage, and looks for damage.
async fn refuse_all(cases: &[Case]) {
    let door = Door::open();
    door.register("broker-a", &["TopicA"]).await;
    let before = (door.log.last_index(), door.log.digest(), door.log.proposed().len());
    for (method, uri, body, status, field) in cases {
        let reply = ask(&door, method, uri, body).await;
        let what = format!("{method} {uri} {body:.80}");
        assert_eq!(reply.status, *status, "{what}: {reply:?}");
        let named = reply.problem().field.unwrap_or_default();
        assert_eq!(named, *field, "{what}: {reply:?}");
        assert!(reply.text.len() < 2_000, "{what}: {} bytes", reply.text.len());
    }
    let after = (door.log.last_index(), door.log.digest(), door.log.proposed().len());
    assert_eq!(before, after, "a refused request changed something");
}

#[tokio::test(start_paused = true)]
async fn paths() {
    refuse_all(&[
        ("GET", "/", "", 404, ""),
        ("GET", "/v1", "", 404, ""),
        ("GET", "/v1/", "", 404, ""),
        ("GET", "/v2/routes/TopicA", "", 404, ""),
        ("GET", "/v1/routes/", "", 404, ""),
        ("GET", "/v1/routes/a/b", "", 404, ""),
        ("GET", "/v1/routes/TopicA/", "", 404, ""),
        ("GET", "/v1/../etc/passwd", "", 404, ""),
        ("GET", "//v1/topics", "", 404, ""),
        ("GET", "/V1/topics", "", 404, ""),
        ("POST", "/v1/routes/TopicA", "{}", 405, ""),
        ("DELETE", "/v1/brokers", "", 405, ""),
        ("PUT", "/v1/kv/N", "{}", 405, ""),
        ("GET", BROKER, "", 405, ""),
        ("BREW", "/v1/topics", "", 405, ""),
        ("TRACE", "/v1/topics", "", 405, ""),
        ("GET", "/v1/routes/a%20b", "", 400, "topic"),
        ("GET", "/v1/routes/a%2Fb", "", 400, "topic"),
        ("GET", "/v1/routes/..%2f..%2fetc", "", 400, "topic"),
        ("GET", "/v1/routes/a.b", "", 400, "topic"),
        ("GET", "/v1/routes/%00", "", 400, "topic"),
        ("GET", "/v1/routes/%0d%0aX:1", "", 400, "topic"),
        ("GET", "/v1/routes/%e2%82%ac", "", 400, "topic"),
        ("GET", "/v1/routes/%ff%fe", "", 400, "path"),
        ("GET", "/v1/routes/%RETRY%25g", "", 400, "path"),
        ("GET", "/v1/routes/TopicA%", "", 400, "path"),
        ("GET", "/v1/routes/TopicA%4", "", 400, "path"),
        ("PUT", "/v1/brokers/C/broker-a/-1", r#"{"address":"a:1"}"#, 400, "id"),
        ("PUT", "/v1/brokers/C/broker-a/0x1", r#"{"address":"a:1"}"#, 400, "id"),
        ("PUT", "/v1/brokers/C/broker-a/9007199254740992", r#"{"address":"a:1"}"#, 400, "id"),
        ("PUT", "/v1/brokers/C%20D/broker-a/0", r#"{"address":"a:1"}"#, 400, "cluster"),
        ("PUT", "/v1/brokers/C/broker%2fa/0", r#"{"address":"a:1"}"#, 400, "name"),
        ("DELETE", "/v1/topics/a+b", "", 400, "topic"),
        ("GET", "/v1/kv/N/%0a", "", 400, "key"),
        ("GET", "/v1/kv/%7f/K", "", 400, "namespace"),
        ("DELETE", "/v1/cluster/members/x", "", 400, "id"),
        ("POST", "/v1/alarms/a%20b/release", "", 400, "kind"),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn parameters() {
    refuse_all(&[
        ("GET", "/v1/routes/TopicA?min_indx=7", "", 400, "min_indx"),
        ("GET", "/v1/routes/TopicA?Consistency=local", "", 400, "Consistency"),
        ("GET", "/v1/routes/TopicA?consistency=eventual", "", 400, "consistency"),
        ("GET", "/v1/routes/TopicA?consistency=", "", 400, "consistency"),
        ("GET", "/v1/routes/TopicA?consistency=local&consistency=local", "", 400, "consistency"),
        ("GET", "/v1/routes/TopicA?min_index=-1", "", 400, "min_index"),
        ("GET", "/v1/routes/TopicA?min_index=1.5", "", 400, "min_index"),
        ("GET", "/v1/routes/TopicA?min_index=", "", 400, "min_index"),
        ("GET", "/v1/routes/TopicA?min_index=18446744073709551616", "", 400, "min_index"),
        ("GET", "/v1/routes/TopicA?min_index=%ff", "", 400, "min_index"),
        ("GET", "/v1/routes/TopicA?min_index=%zz", "", 400, "query"),
        ("GET", "/v1/routes/TopicA?index=1", "", 400, "wait"),
        ("GET", "/v1/routes/TopicA?wait=1s", "", 400, "index"),
        ("GET", "/v1/routes/TopicA?index=1&wait=1", "", 400, "wait"),
        ("GET", "/v1/routes/TopicA?index=1&wait=1h", "", 400, "wait"),
        ("GET", "/v1/routes/TopicA?index=1&wait=-1s", "", 400, "wait"),
        ("GET", "/v1/routes/TopicA?index=1&wait=61s", "", 400, "wait"),
        ("GET", "/v1/routes/TopicA?index=x&wait=1s", "", 400, "index"),
        ("GET", "/v1/routes/TopicA?topics=a", "", 400, "topics"),
        ("GET", "/v1/routes", "", 400, "topics"),
        ("GET", "/v1/routes?topics=", "", 400, "topics"),
        ("GET", "/v1/routes?topics=a,,b", "", 400, "topics"),
        ("GET", "/v1/routes?topics=a,b%20c", "", 400, "topics"),
        ("GET", "/v1/routes?topics=a;b", "", 400, "topics"),
        ("GET", "/v1/brokers?index=1&wait=1s", "", 400, "index"),
        ("GET", "/v1/topics?prefix=a", "", 400, "prefix"),
        ("GET", "/v1/cluster?consistency=local", "", 400, "consistency"),
        ("GET", "/v1/kv/N/K?if_index=1", "", 400, "if_index"),
        ("PUT", "/v1/kv/N/K?if_index=x", r#"{"value":"v"}"#, 400, "if_index"),
        ("PUT", "/v1/brokers/C/broker-a/0?takeover=yes", r#"{"address":"a:1"}"#, 400, "takeover"),
        (
            "PUT",
            "/v1/brokers/C/broker-a/0?take_over=true",
            r#"{"address":"a:1"}"#,
            400,
            "take_over",
        ),
        ("DELETE", "/v1/brokers/C/broker-a/0?incarnation=7", "", 400, "seq"),
        ("DELETE", "/v1/brokers/C/broker-a/0?seq=7", "", 400, "incarnation"),
        ("DELETE", "/v1/brokers/C/broker-a/0?epoch=0", "", 400, "epoch"),
        ("DELETE", "/v1/brokers/C/broker-a/0?epoch=abc", "", 400, "epoch"),
        ("DELETE", "/v1/topics/TopicA?cluster=C", "", 400, "cluster"),
        ("GET", "/readyz?quorum=maybe", "", 400, "quorum"),
        ("GET", "/livez?verbose", "", 400, "verbose"),
        ("GET", "/metrics?name=x", "", 400, "name"),
        ("POST", "/v1/cluster/snapshot?now", "", 400, "now"),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn registrations() {
    let bodies: &[(&str, &str)] = &[
        ("null", "body"),
        ("[]", "body"),
        (r#"[7,1,"a:1",null,null,{},null,null]"#, "body"),
        ("7", "body"),
        (r#""text""#, "body"),
        ("{", "body"),
        (r#"{"address":"a:1"}}"#, "body"),
        (r#"{"address":"a:1"} {"address":"b:1"}"#, "body"),
        (r#"{'address':'a:1'}"#, "body"),
        ("\u{feff}{\"address\":\"a:1\"}", "body"),
        ("   ", "body"),
        ("{}", "address"),
        (r#"{"adress":"a:1"}"#, "adress"),
        (r#"{"address":"a:1","Topics":{}}"#, "Topics"),
        (r#"{"address":"a:1","address":"b:1"}"#, "address"),
        (r#"{"address":null}"#, "address"),
        (r#"{"address":7}"#, "address"),
        (r#"{"address":"a"}"#, "address"),
        (r#"{"address":"a:0"}"#, "address"),
        (r#"{"address":"a:65536"}"#, "address"),
        (r#"{"address":"http://a:1"}"#, "address"),
        (r#"{"address":"a:1\u0000"}"#, "address"),
        (r#"{"address":"a b:1"}"#, "address"),
        (r#"{"address":"a:1","haAddress":"nowhere"}"#, "haAddress"),
        (r#"{"address":"a:1","incarnation":0,"seq":1}"#, "incarnation"),
        (r#"{"address":"a:1","incarnation":-1,"seq":1}"#, "incarnation"),
        (r#"{"address":"a:1","incarnation":1.5,"seq":1}"#, "incarnation"),
        (r#"{"address":"a:1","incarnation":1e3,"seq":1}"#, "incarnation"),
        (r#"{"address":"a:1","incarnation":"7","seq":1}"#, "incarnation"),
        (r#"{"address":"a:1","incarnation":9007199254740992,"seq":1}"#, "incarnation"),
        (r#"{"address":"a:1","incarnation":99999999999999999999999,"seq":1}"#, "incarnation"),
        (r#"{"address":"a:1","seq":1}"#, "incarnation"),
        (r#"{"address":"a:1","incarnation":9,"seq":-1}"#, "seq"),
        (r#"{"address":"a:1","leaseTtlMs":0}"#, "leaseTtlMs"),
        (r#"{"address":"a:1","leaseTtlMs":999999999999}"#, "leaseTtlMs"),
        (r#"{"address":"a:1","dataVersion":{"count":1}}"#, "dataVersion.count"),
        (r#"{"address":"a:1","dataVersion":7}"#, "dataVersion"),
        (r#"{"address":"a:1","filterServers":"f:1"}"#, "filterServers"),
        (r#"{"address":"a:1","filterServers":["f:1",""]}"#, "filterServers[1]"),
        (r#"{"address":"a:1","topics":["a"]}"#, "topics"),
        (r#"{"address":"a:1","topics":{"":{}}}"#, "topics."),
        (r#"{"address":"a:1","topics":{"a b":{}}}"#, "topics.a b"),
        (r#"{"address":"a:1","topics":{"T":null}}"#, "topics.T"),
        (r#"{"address":"a:1","topics":{"T":{"perms":6}}}"#, "topics.T.perms"),
        (r#"{"address":"a:1","topics":{"T":{"perm":8}}}"#, "topics.T.perm"),
        (r#"{"address":"a:1","topics":{"T":{"perm":-1}}}"#, "topics.T.perm"),
        (r#"{"address":"a:1","topics":{"T":{"perm":"6"}}}"#, "topics.T.perm"),
        (r#"{"address":"a:1","topics":{"T":{"readQueueNums":65536}}}"#, "topics.T.readQueueNums"),
        (
            r#"{"address":"a:1","topics":{"T":{"writeQueueNums":4294967296}}}"#,
            "topics.T.writeQueueNums",
        ),
        (
            r#"{"address":"a:1","topics":{"T":{"topicSysFlag":2147483648}}}"#,
            "topics.T.topicSysFlag",
        ),
        (r#"{"address":"a:1","topics":{"T":{"order":1}}}"#, "topics.T.order"),
    ];
    let cases: Vec<Case> =
        bodies.iter().map(|(body, field)| ("PUT", BROKER, *body, 400, *field)).collect();
    refuse_all(&cases).await;
}

#[tokio::test(start_paused = true)]
async fn other_bodies() {
    const TOPICS: &str = "/v1/brokers/C/broker-a/0/topics";
    const BEAT: &str = "/v1/brokers/C/broker-a/0/heartbeat";
    const PERMISSION: &str = "/v1/brokers/C/broker-a/write-permission";
    refuse_all(&[
        ("PATCH", TOPICS, "{}", 400, "incarnation"),
        ("PATCH", TOPICS, r#"{"incarnation":7,"seq":2,"topics":{}}"#, 400, "epoch"),
        ("PATCH", TOPICS, r#"{"incarnation":0,"epoch":2,"seq":2,"topics":{}}"#, 400, "incarnation"),
        ("PATCH", TOPICS, r#"{"incarnation":7,"epoch":0,"seq":2,"topics":{}}"#, 400, "epoch"),
        (
            "PATCH",
            TOPICS,
            r#"{"incarnation":7,"epoch":2,"seq":2,"topics":{"a/b":null}}"#,
            400,
            "topics.a/b",
        ),
        (
            "PATCH",
            TOPICS,
            r#"{"incarnation":7,"epoch":2,"seq":2,"topics":{"T":{"perm":9}}}"#,
            400,
            "topics.T.perm",
        ),
        ("POST", BEAT, "{}", 400, "epoch"),
        ("POST", BEAT, r#"{"epoch":0}"#, 400, "epoch"),
        ("POST", BEAT, r#"{"epoch":2,"incarnation":0}"#, 400, "incarnation"),
        ("POST", BEAT, r#"{"epoch":2,"seq":1}"#, 400, "seq"),
        ("POST", BEAT, "", 415, "content-type"),
        ("POST", PERMISSION, "{}", 400, "writable"),
        ("POST", PERMISSION, r#"{"writable":"no"}"#, 400, "writable"),
        ("POST", PERMISSION, r#"{"writable":null}"#, 400, "writable"),
        ("PUT", "/v1/topics/T", "{}", 400, "brokers"),
        ("PUT", "/v1/topics/T", r#"{"brokers":{}}"#, 400, "brokers"),
        ("PUT", "/v1/topics/T", r#"{"brokers":{"a b":{}}}"#, 400, "brokers.a b"),
        ("PUT", "/v1/topics/T", r#"{"brokers":{"a":{"perm":8}}}"#, 400, "brokers.a.perm"),
        ("PUT", "/v1/topics/a%20b", r#"{"brokers":{"a":{}}}"#, 400, "topic"),
        ("PUT", "/v1/kv/N/K", r#"{"value":7}"#, 400, "value"),
        ("PUT", "/v1/kv/N/K", r#"{"value":"\ud800"}"#, 400, "body"),
        ("PUT", "/v1/kv/N/K", "{}", 400, "value"),
        ("POST", "/v1/cluster/members", r#"{"id":0,"peer":"p:1"}"#, 400, "id"),
        ("POST", "/v1/cluster/members", r#"{"id":4,"peer":"p"}"#, 400, "peer"),
        ("POST", "/v1/cluster/members", r#"{"id":4}"#, 400, "peer"),
        ("POST", "/v1/cluster/transfer", r#"{"leader":0}"#, 400, "leader"),
        ("POST", "/v1/cluster/transfer", r#"{"to":2}"#, 400, "to"),
        ("POST", "/v1/cluster/snapshot", r#"{"now":true}"#, 400, "body"),
        ("DELETE", BROKER, r#"{"incarnation":7}"#, 400, "body"),
        ("DELETE", "/v1/topics/TopicA", "garbage", 400, "body"),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn headers_that_make_no_sense() {
    let door = Door::open();
    for (name, value) in [
        (headers::CLUSTER, "not-a-uuid"),
        (headers::CLUSTER, ""),
        (headers::DEADLINE_MS, "0"),
        (headers::DEADLINE_MS, "-5"),
        (headers::DEADLINE_MS, "soon"),
        (headers::DEADLINE_MS, "99999999999999999999"),
        (headers::DEADLINE_MS, "1.5"),
    ] {
        let reply = door.ask(Method::GET, "/v1/topics").header(name, value).send().await;
        assert_eq!((reply.status, reply.problem().field.as_deref()), (400, Some(name)), "{value}");
    }
    let ask = door.ask(Method::GET, "/v1/topics");
    let twice = ask.header(headers::DEADLINE_MS, "5").header(headers::DEADLINE_MS, "6");
    assert_eq!(twice.send().await.status, 400);
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_not_called_json() {
    let door = Door::open();
    for content_type in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("application/jsonp"),
        Some(""),
    ] {
        let mut ask = door.ask(Method::PUT, BROKER).body(Body::from(r#"{"address":"a:1"}"#));
        if let Some(content_type) = content_type {
            ask = ask.header("content-type", content_type);
        }
        let reply = ask.send().await;
        assert_eq!(reply.status, 415, "{content_type:?}");
        assert_eq!(reply.problem().field.as_deref(), Some("content-type"));
    }
    assert_eq!(door.log.proposed().len(), 0);
    let ask =
        door.ask(Method::PUT, BROKER).header("content-type", "Application/JSON; charset=utf-8");
    assert_eq!(ask.body(Body::from(r#"{"address":"a:1"}"#)).send().await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn bodies_beyond_their_limit() {
    let door = Door::open_with(|config| {
        config.limits.registration_bytes = 10_000;
        config.limits.body_bytes = 1_000;
        config.limits.topics_per_registration = 20;
    });
    let padded = |bytes: usize| format!(r#"{{"address":"a:1"{}}}"#, " ".repeat(bytes));
    assert_eq!(door.put(BROKER, &padded(5_000)).await.status, 200);
    let entries = door.log.proposed().len();
    assert_eq!(door.put(BROKER, &padded(10_001)).await.status, 413);
    assert_eq!(
        door.put("/v1/kv/N/K", &format!(r#"{{"value":"{}"}}"#, "x".repeat(1_001))).await.status,
        413
    );
    // Neither is believed when it does not say its size, or lies.
    for (declared, actual) in [(None, 10_001), (Some("5"), 10_001), (Some("99999999999"), 10)] {
        let chunks = [padded(actual), padded(actual)].map(Ok::<_, std::io::Error>);
        let body = Body::from_stream(futures_util::stream::iter(chunks));
        let mut ask = door.ask(Method::PUT, BROKER).header("content-type", "application/json");
        if let Some(declared) = declared {
            ask = ask.header("content-length", declared);
        }
        assert_eq!(ask.body(body).send().await.status, 413, "{declared:?}");
    }
    let topics: Vec<String> = (0..21).map(|topic| format!(r#""t{topic}":{{}}"#)).collect();
    let many = format!(r#"{{"address":"a:1","topics":{{{}}}}}"#, topics.join(","));
    let reply = door.put(BROKER, &many).await;
    assert_eq!((reply.status, reply.problem().field.as_deref()), (400, Some("topics")));
    assert_eq!(door.log.proposed().len(), entries);
}

#[tokio::test(start_paused = true)]
async fn deep_and_long_input() {
    let door = Door::open_with(|config| config.limits.topics_per_read = 100);
    let deep = format!(r#"{{"address":{}"#, "[".repeat(100_000));
    assert_eq!(door.put(BROKER, &deep).await.status, 400);
    let long = "x".repeat(30_000);
    for uri in [
        format!("/v1/routes/{long}"),
        format!("/v1/kv/{long}/K"),
        format!("/v1/topics?{long}=1"),
        format!("/{long}"),
        format!("/v1/routes?topics={}", vec!["t"; 101].join(",")),
    ] {
        let reply = door.get(&uri).await;
        assert!(matches!(reply.status, 400 | 404), "{reply:?}");
        assert!(reply.text.len() < 2_000, "{} bytes", reply.text.len());
    }
    let value = format!(r#"{{"value":"{}"}}"#, "v".repeat(64 * 1024 + 1));
    let reply = door.put("/v1/kv/N/K", &value).await;
    assert_eq!((reply.status, reply.problem().field.as_deref()), (400, Some("value")));
    let field = format!(r#"{{"address":"a:1","{}":1}}"#, "\\u001b[31m".repeat(1_000));
    let reply = door.put(BROKER, &field).await;
    assert_eq!(reply.status, 400);
    assert!(!reply.text.contains("\\u001b") && reply.text.len() < 2_000, "{reply:?}");
    assert_eq!(door.log.proposed().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_allow_header_lists_what_a_path_has() {
    let door = Door::open();
    let reply = door.ask(Method::PUT, "/v1/topics").send().await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET,HEAD")));
}
