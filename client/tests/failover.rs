//! One dead, hung or refusing replica never fails a call; outcomes are told apart.

mod fake;

use std::time::Duration;

use fake::{Fake, Mode, Scripted};
use hyper::Method;
use signpost_client::types::{Conflict, Registration, TopicConfig};
use signpost_client::{BrokerIdentity, CallError, Cause, Options, ReadMode};
use tokio::time::Instant;

fn broker() -> BrokerIdentity {
    BrokerIdentity { cluster: "C".into(), name: "broker-a".into(), id: 0 }
}

fn registration(seq: u64) -> Registration {
    Registration {
        incarnation: Some(7),
        seq: Some(seq),
        address: "h:1".into(),
        ..Registration::default()
    }
}

#[tokio::test(start_paused = true)]
async fn reads_go_on_whichever_replica_is_dead_or_hung() {
    for mode in [Mode::Dead, Mode::Hung, Mode::Mute] {
        for broken in 0..3 {
            let fake = Fake::new(3);
            fake.put_route("t", &[("a", "h:1")]);
            fake.set_mode(broken, mode);
            let client = fake.client_starting_at(broken, Options::default());
            let started = Instant::now();
            for read in [ReadMode::Linearizable, ReadMode::Local, ReadMode::AnyLocal] {
                let answer = client.route("t", read).await.expect("two replicas are well");
                assert_eq!(answer.value.expect("it exists").queue_datas.len(), 1);
            }
            // One hedge at most: afterwards the good replica is remembered.
            let hedge = Options::default().hedge_after;
            assert!(started.elapsed() <= hedge * 3 / 2, "{mode:?}: {:?}", started.elapsed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_hung_of_three_cost_two_hedges() {
    let fake = Fake::new(3);
    fake.put_route("t", &[("a", "h:1")]);
    fake.set_mode(0, Mode::Hung);
    fake.set_mode(1, Mode::Hung);
    let client = fake.client(Options::default());
    let started = Instant::now();
    client.route("t", ReadMode::Linearizable).await.expect("one is well");
    assert!(started.elapsed() <= Options::default().hedge_after * 5 / 2);
}

#[tokio::test(start_paused = true)]
async fn without_any_replica_a_call_fails_definitely_at_its_deadline() {
    let fake = Fake::new(3);
    (0..3).for_each(|n| fake.set_mode(n, Mode::Dead));
    let client = fake.client(Options::default());
    let started = Instant::now();
    let error = client.register(&broker(), &registration(1), false).await.unwrap_err();
    assert!(matches!(error, CallError::Failed(Cause::Unreachable(_))), "{error}");
    assert!(started.elapsed() <= Options::default().call_timeout);
    // Whatever the last pause before the deadline is rounded to.
    for micros in 0..300 {
        let hasty = client.with_timeout(Duration::from_micros(20_000 + micros * 7));
        let error = hasty.route("t", ReadMode::Linearizable).await.unwrap_err();
        assert!(error.is_definite());
    }
}

#[tokio::test(start_paused = true)]
async fn a_claimed_registration_is_repeated_at_another_replica_and_happens_once() {
    for mode in [Mode::Mute, Mode::Hung] {
        let fake = Fake::new(3);
        fake.set_mode(0, mode);
        let client = fake.client(Options::default());
        let answer = client.register(&broker(), &registration(1), false).await.expect("repeated");
        let world = fake.world();
        assert_eq!(world.tables.epochs, [answer.value.epoch], "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_writes_are_never_repeated_once_sent() {
    for mode in [Mode::Mute, Mode::Hung] {
        let fake = Fake::new(3);
        fake.set_mode(0, mode);
        let client = fake.client(Options::default());
        let error = client.put_kv("n", "k", "v", None).await.unwrap_err();
        assert!(matches!(error, CallError::Unknown(Cause::NoAnswer(_))), "{mode:?}: {error}");
        assert_eq!(fake.count(&Method::PUT, "/v1/kv"), 1, "{mode:?}");
        let by_hand = Registration { incarnation: None, seq: None, ..registration(1) };
        let client = fake.client(Options::default());
        let error = client.register(&broker(), &by_hand, false).await.unwrap_err();
        assert!(!error.is_definite());
        assert_eq!(fake.count(&Method::PUT, "/v1/brokers"), 1, "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn writes_that_surely_did_not_happen_are_repeated() {
    let fake = Fake::new(3);
    fake.set_mode(0, Mode::Dead);
    fake.script(1, [Scripted::problem(503, ""), Scripted::problem(503, "")]);
    fake.script(2, [Scripted::problem(503, "")]);
    let client = fake.client(Options::default());
    client.put_kv("n", "k", "v", None).await.expect("503 and refused connections are definite");
    assert_eq!(fake.count(&Method::PUT, "/v1/kv"), 4);
}

#[tokio::test(start_paused = true)]
async fn statuses_are_definite_or_unknown_as_the_contract_says() {
    for status in [400, 404, 409, 410, 412, 413] {
        let fake = Fake::new(3);
        fake.script(0, [Scripted::problem(status, r#","field":"f","code":1"#)]);
        let error = fake.client(Options::default()).put_kv("n", "k", "v", None).await.unwrap_err();
        assert!(error.is_definite(), "{status}");
        assert_eq!(error.status(), Some(status));
        assert_eq!(error.problem().and_then(|p| p.field.clone()).as_deref(), Some("f"));
        assert_eq!(fake.count(&Method::PUT, "/v1/kv"), 1, "{status} is final");
    }
    for status in [500, 502, 504] {
        let fake = Fake::new(3);
        fake.script(0, [Scripted { executed: true, ..Scripted::status(status) }]);
        let error = fake.client(Options::default()).put_kv("n", "k", "v", None).await.unwrap_err();
        assert!(!error.is_definite(), "{status}");
        // A read just goes to the next.
        fake.script(0, [Scripted::status(status)]);
        fake.put_route("t", &[("a", "h:1")]);
        fake.client(Options::default()).route("t", ReadMode::Local).await.expect("next replica");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_a_lost_attempt_stays_unknown_but_keeps_its_reason() {
    let fake = Fake::new(2);
    fake.script(0, [Scripted { executed: true, ..Scripted::status(504) }]);
    fake.script(1, [Scripted::problem(409, r#","reason":"superseded""#)]);
    let client = fake.client(Options::default());
    let error = client.register(&broker(), &registration(1), false).await.unwrap_err();
    assert!(!error.is_definite(), "the first attempt may have happened: {error}");
    assert_eq!(error.conflict(), Some(Conflict::Superseded));
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_kept_to_within_the_deadline() {
    let fake = Fake::new(1);
    let busy = |seconds: &str| Scripted {
        headers: vec![("retry-after", seconds.to_owned())],
        ..Scripted::problem(429, "")
    };
    fake.script(0, [busy("1")]);
    let client = fake.client(Options::default());
    let started = Instant::now();
    client.put_kv("n", "k", "v", None).await.expect("after a second");
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert!(started.elapsed() < Duration::from_secs(2));
    fake.script(0, [busy("60")]);
    let started = Instant::now();
    let error = client.put_kv("n", "k", "v", None).await.unwrap_err();
    assert!(error.is_definite() && error.status() == Some(429), "{error}");
    assert!(started.elapsed() < Duration::from_secs(1), "it does not wait for what cannot be");
}

#[tokio::test(start_paused = true)]
async fn a_removed_replica_is_dropped_and_the_one_it_names_is_asked() {
    let fake = Fake::new(3);
    fake.put_route("t", &[("a", "h:1")]);
    fake.set_mode(1, Mode::Dead);
    fake.script(0, [Scripted::problem(421, r#","peers":["r2:1"]"#)]);
    // This client was told of the first two only.
    let names = ["http://r0:1", "http://r1:1"];
    let dialer = std::sync::Arc::new(fake.clone());
    let client = signpost_client::Client::with_dialer(names, Options::default(), dialer).unwrap();
    for _ in 0..10 {
        let answer = client.route("t", ReadMode::Linearizable).await.expect("the named one");
        assert_eq!(answer.freshness.replica, "r2:1");
    }
    assert_eq!(client.replicas(), ["r0:1", "r1:1", "r2:1"]);
    let at_removed = fake.seen(&Method::GET, "/v1/routes");
    assert_eq!(at_removed.iter().filter(|seen| seen.replica == 0).count(), 1, "asked no more");
}

#[tokio::test(start_paused = true)]
async fn a_closed_idle_connection_is_no_failure() {
    let fake = Fake::new(1);
    let client = fake.client(Options::default());
    client.put_kv("n", "k", "v", None).await.expect("up");
    fake.set_mode(0, Mode::Dead);
    tokio::task::yield_now().await;
    fake.set_mode(0, Mode::Up);
    tokio::task::yield_now().await;
    client.put_kv("n", "k", "v", None).await.expect("over a new connection");
}

#[tokio::test(start_paused = true)]
async fn requests_say_how_long_their_caller_waits_and_who_he_is() {
    let fake = Fake::new(1);
    let options = Options { admin_token: Some("secret".into()), ..Options::default() };
    let client = fake.client(options).with_timeout(Duration::from_millis(400));
    client.put_kv("n", "k/1", "v", Some(3)).await.unwrap();
    client.snapshot().await.unwrap();
    let log = fake.world().log.clone();
    assert!((300..400).contains(&log[0].deadline_ms.unwrap()), "{log:?}");
    assert_eq!((log[0].path.as_str(), log[0].query.as_str()), ("/v1/kv/n/k%2F1", "if_index=3"));
    assert_eq!(log[0].token, None, "only where it is needed");
    assert_eq!(log[1].token.as_deref(), Some("Bearer secret"));
}

#[tokio::test(start_paused = true)]
async fn a_404_that_no_replica_wrote_is_not_an_absent_topic() {
    let fake = Fake::new(1);
    let client = fake.client(Options::default());
    assert_eq!(client.route("t", ReadMode::Linearizable).await.unwrap().value, None);
    fake.script(0, [Scripted { body: "nginx".into(), ..Scripted::status(404) }]);
    let error = client.route("t", ReadMode::Linearizable).await.unwrap_err();
    assert_eq!(error.problem().map(|p| p.detail.as_str()), Some("nginx"));
}

#[tokio::test]
async fn over_real_tcp() {
    let fake = Fake::new(1);
    fake.put_route("t", &[("a", "h:1")]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = fake.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serving.clone().serve(0, Box::new(stream)));
        }
    });
    let client =
        signpost_client::Client::new([format!("http://{address}")], Options::default()).unwrap();
    let mut registration = registration(1);
    for n in 0..5000 {
        registration.topics.insert(format!("topic-{n}"), TopicConfig::default());
    }
    client.register(&broker(), &registration, false).await.expect("a body of many frames");
    assert_eq!(fake.world().tables.topics().len(), 5000);
    assert!(client.route("t", ReadMode::Linearizable).await.unwrap().value.is_some());
}
