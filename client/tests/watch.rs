//! Watching routes: one waiting read for all topics, news within milliseconds, never back.

mod fake;

use std::sync::Arc;
use std::time::Duration;

use fake::{Fake, Mode, Scripted};
use hyper::Method;
use signpost_client::{Options, RouteTable, RouteWatch, WatchError, WatchOptions};
use tokio::time::{Instant, sleep, timeout};

async fn until(watch: &RouteWatch, what: impl FnMut(&Arc<RouteTable>) -> bool) -> Arc<RouteTable> {
    let mut changes = watch.changes();
    let reached = timeout(Duration::from_secs(600), changes.wait_for(what)).await;
    reached.expect("in time").expect("the watch lives").clone()
}

fn brokers(table: &RouteTable, topic: &str) -> Option<String> {
    let route = table.routes.get(topic)?.as_ref()?;
    let names: Vec<_> = route.queue_datas.iter().map(|data| data.broker_name.as_str()).collect();
    Some(names.join("+"))
}

fn is(topic: &'static str, names: &'static str) -> impl Fn(&Arc<RouteTable>) -> bool {
    move |table| brokers(table, topic).as_deref() == Some(names)
}

#[tokio::test(start_paused = true)]
async fn a_change_arrives_at_once_and_one_request_waits_for_all() {
    let fake = Fake::new(3);
    fake.put_route("t1", &[("a", "h:1")]);
    let watch =
        fake.client(Options::default()).watch(["t1", "t2"], WatchOptions::default()).unwrap();
    let table = until(&watch, is("t1", "a")).await;
    assert_eq!(table.routes["t2"], None, "answered: it does not exist");
    sleep(Duration::from_secs(10)).await;
    let changed_at = Instant::now();
    fake.put_route("t2", &[("b", "h:2")]);
    let table = until(&watch, is("t2", "b")).await;
    assert!(changed_at.elapsed() < Duration::from_millis(5), "{:?}", changed_at.elapsed());
    assert_eq!(brokers(&table, "t1").as_deref(), Some("a"));
    fake.put_route("t1", &[]);
    until(&watch, |table| table.routes["t1"].is_none()).await;
    // Topics that are not watched do not wake it.
    let reads = fake.count(&Method::GET, "/v1/routes");
    fake.put_route("t3", &[("c", "h:3")]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(fake.count(&Method::GET, "/v1/routes"), reads);
    let queries = fake.seen(&Method::GET, "/v1/routes");
    assert!(queries.iter().all(|seen| seen.query.contains("topics=t1,t2")), "{queries:?}");
}

#[tokio::test(start_paused = true)]
async fn a_topic_can_be_added_and_is_answered_at_once() {
    let fake = Fake::new(1);
    fake.put_route("t", &[("a", "h:1")]);
    let none: [&str; 0] = [];
    let watch = fake.client(Options::default()).watch(none, WatchOptions::default()).unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(fake.world().log.len(), 0, "nothing to ask for");
    assert_eq!(watch.add("t"), Ok(true));
    until(&watch, is("t", "a")).await;
    assert_eq!(watch.add("t"), Ok(false));
    let added_at = Instant::now();
    watch.add("u").unwrap();
    until(&watch, |table| table.routes.contains_key("u")).await;
    assert!(added_at.elapsed() < Duration::from_millis(5));
    watch.remove("t");
    until(&watch, |table| !table.routes.contains_key("t")).await;
    for bad in ["", "a b", "a,b", &"x".repeat(256)] {
        assert_eq!(watch.add(bad), Err(WatchError::BadTopic(bad.chars().take(255).collect())));
    }
    let many: Vec<_> = (0..1001).map(|n| format!("t{n}")).collect();
    assert!(
        (many.iter().map(|topic| watch.add(topic))).any(|added| added == Err(WatchError::TooMany))
    );
    let long = (0..400).map(|n| format!("{}{n}", "x".repeat(250)));
    let client = fake.client(Options::default());
    let refused = client.watch(long, WatchOptions::default()).err();
    assert_eq!(refused, Some(WatchError::TooMany));
}

#[tokio::test(start_paused = true)]
async fn survives_every_way_in_which_its_replica_can_fail() {
    for mode in [Mode::Dead, Mode::Hung, Mode::Mute] {
        let fake = Fake::new(3);
        fake.put_route("t", &[("a", "h:1")]);
        let watch = fake.client(Options::default()).watch(["t"], WatchOptions::default()).unwrap();
        until(&watch, is("t", "a")).await;
        sleep(Duration::from_secs(7)).await;
        fake.set_mode(0, mode);
        let failed_at = Instant::now();
        fake.put_route("t", &[("b", "h:2")]);
        until(&watch, is("t", "b")).await;
        // A dead one is noticed at once, a hung one by its probe.
        let WatchOptions { probe, .. } = WatchOptions::default();
        let patience = probe + Options::default().attempt_timeout + Duration::from_millis(500);
        assert!(failed_at.elapsed() < patience, "{mode:?}: {:?}", failed_at.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn leaves_a_replica_that_has_lost_its_quorum() {
    let fake = Fake::new(2);
    let index = fake.put_route("t", &[("a", "h:1")]);
    let watch = fake.client(Options::default()).watch(["t"], WatchOptions::default()).unwrap();
    until(&watch, is("t", "a")).await;
    fake.freeze(0, Some(index));
    fake.world().replicas[0].quorum_age_ms = 6000;
    fake.put_route("t", &[("b", "h:2")]);
    let cut_off_at = Instant::now();
    until(&watch, is("t", "b")).await;
    assert!(cut_off_at.elapsed() < Duration::from_secs(5), "{:?}", cut_off_at.elapsed());
}

#[tokio::test(start_paused = true)]
async fn never_goes_back_to_an_older_route() {
    let fake = Fake::new(2);
    let old = fake.put_route("t", &[("a", "h:1")]);
    fake.put_route("t", &[("b", "h:2")]);
    let watch = fake.client(Options::default()).watch(["t"], WatchOptions::default()).unwrap();
    until(&watch, is("t", "b")).await;
    fake.freeze(1, Some(old));
    fake.set_mode(0, Mode::Dead);
    sleep(Duration::from_secs(120)).await;
    assert!(is("t", "b")(&watch.routes()), "the last one stands: {:?}", watch.routes());
    fake.freeze(1, None);
    fake.put_route("t", &[("c", "h:3")]);
    until(&watch, is("t", "c")).await;
}

#[tokio::test(start_paused = true)]
async fn the_backstop_finds_what_waiting_misses() {
    let fake = Fake::new(1);
    fake.put_route("t", &[("a", "h:1")]);
    let options = WatchOptions { wait: Duration::from_secs(300), ..WatchOptions::default() };
    let watch = fake.client(Options::default()).watch(["t"], options).unwrap();
    until(&watch, is("t", "a")).await;
    // Its waiters are never woken: the change comes to the tables without a word.
    let changed_at = Instant::now();
    fake.world().tables.put_route("t", Some(fake::route(&[("b", "h:2")])));
    until(&watch, is("t", "b")).await;
    assert!(changed_at.elapsed() <= Duration::from_secs(31), "{:?}", changed_at.elapsed());
}

#[tokio::test(start_paused = true)]
async fn works_without_a_quorum_and_under_overload() {
    let fake = Fake::new(1);
    fake.put_route("t", &[("a", "h:1")]);
    fake.script(0, (0..3).map(|_| Scripted::problem(503, "")));
    let watch = fake.client(Options::default()).watch(["t"], WatchOptions::default()).unwrap();
    until(&watch, is("t", "a")).await;
    fake.script(0, (0..20).map(|_| Scripted::problem(429, "")));
    let overloaded_at = Instant::now();
    fake.put_route("t", &[("b", "h:2")]);
    until(&watch, is("t", "b")).await;
    assert!(overloaded_at.elapsed() < Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn another_history_replaces_everything() {
    let fake = Fake::new(2);
    for _ in 0..5 {
        fake.put_route("t", &[("a", "h:1")]);
    }
    let watch = fake.client(Options::default()).watch(["t", "u"], WatchOptions::default()).unwrap();
    until(&watch, is("t", "a")).await;
    fake.begin_history("second");
    let index = fake.put_route("u", &[("b", "h:2")]);
    let table = until(&watch, is("u", "b")).await;
    assert_eq!((table.index, table.generation, &table.routes["t"]), (index, 1, &None));
}

#[tokio::test(start_paused = true)]
async fn ends_when_it_is_dropped() {
    let fake = Fake::new(1);
    fake.put_route("t", &[("a", "h:1")]);
    let watch = fake.client(Options::default()).watch(["t"], WatchOptions::default()).unwrap();
    until(&watch, is("t", "a")).await;
    drop(watch);
    let requests = fake.world().log.len();
    sleep(Duration::from_secs(100)).await;
    assert_eq!(fake.world().log.len(), requests);
}
