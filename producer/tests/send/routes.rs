//! Routes: found, kept up to date beside the sends, and kept when nobody can tell them.

use std::time::{Duration, Instant};

use signpost_client::types::QueueData;
use signpost_producer::{Cause, FaultAvoidance, Message, Producer, ProducerConfig};
use tokio::time::timeout;

use crate::broker::{Broker, Mode};
use crate::fake;
use crate::{PATIENCE, config, message, put, stage, until, until_queues};

#[tokio::test]
async fn a_route_change_is_learnt_at_once() {
    let mut stage = stage(2, config()).await;
    stage.producer.send(&message("x")).await.unwrap();
    until_queues(&stage.producer, 8).await;
    let changed_at = Instant::now();
    put(&stage.names, "t", &[("b1".into(), stage.brokers[1].address.clone())]);
    until_queues(&stage.producer, 4).await;
    assert!(changed_at.elapsed() < Duration::from_secs(2), "{:?}", changed_at.elapsed());
    let before = stage.brokers[0].seen();
    stage.brokers[0].stop().await;
    for n in 0..8 {
        let sent = stage.producer.send(&message(&n.to_string())).await.unwrap();
        assert_eq!((sent.queue.broker_name.as_str(), sent.attempts), ("b1", 1));
    }
    assert_eq!(stage.brokers[0].seen(), before);
}

#[tokio::test]
async fn works_on_from_the_last_routes_when_no_name_replica_answers() {
    let stage = stage(2, config()).await;
    stage.producer.send(&message("x")).await.unwrap();
    for mode in [fake::Mode::Dead, fake::Mode::Hung] {
        (0..3).for_each(|n| stage.names.set_mode(n, mode));
        for n in 0..8 {
            let started = Instant::now();
            let sent = stage.producer.send(&message(&n.to_string())).await.unwrap();
            assert_eq!(sent.attempts, 1);
            assert!(started.elapsed() < Duration::from_secs(1), "no send waits for a route");
        }
    }
    // A topic never heard of cannot be found then, and says why.
    let short = ProducerConfig { send_timeout: Duration::from_millis(200), ..config() };
    let client = stage.names.client(signpost_client::Options::default());
    let producer = Producer::start(&client, short).unwrap();
    let error = producer.send(&message("x")).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::RouteUnknown { .. }) && error.is_definite(), "{error}");
}

#[tokio::test]
async fn a_topic_that_does_not_exist_takes_the_default_topics_route() {
    let stage = stage(1, config()).await;
    let new = Message::new("new", "x");
    let error = stage.producer.send(&new).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::NoRoute { .. }) && error.is_definite(), "{error}");
    let mut route = fake::route(&[("b0", &stage.brokers[0].address)]);
    route.queue_datas = vec![QueueData {
        broker_name: "b0".into(),
        perm: 7,
        read_queue_nums: 8,
        write_queue_nums: 8,
        topic_sys_flag: 0,
    }];
    stage.names.world().tables.put_route("TBW102", Some(route));
    stage.names.put_route("wakes-nobody", &[]);
    let mut routes = stage.producer.routes();
    let told = routes.wait_for(|table| matches!(table.routes.get("TBW102"), Some(Some(_))));
    timeout(PATIENCE, told).await.unwrap().unwrap();
    let queues = stage.producer.queues("new").await.unwrap();
    assert_eq!(queues.len(), 4, "as many as the broker will create, not the default topic's 8");
    let sent = stage.producer.send(&new).await.unwrap();
    assert!(sent.queue.queue_id < 4);
    assert_eq!(stage.brokers[0].stored()[0].header.topic, "new");
}

#[tokio::test]
async fn a_route_change_is_learnt_while_all_sends_and_heartbeats_hang() {
    let often =
        ProducerConfig { heartbeat_interval: Duration::from_millis(50), retries: 0, ..config() };
    let stage = stage(1, often).await;
    stage.producer.send(&message("x")).await.unwrap();
    stage.brokers[0].set(Mode::Hung);
    let hanging: Vec<_> = (0..50)
        .map(|n| {
            let producer = stage.producer.clone();
            tokio::spawn(async move { producer.send(&message(&n.to_string())).await })
        })
        .collect();
    until("they hang", || (stage.brokers[0].seen() > 50).then_some(())).await;
    let well = Broker::start().await;
    let changed_at = Instant::now();
    put(&stage.names, "t", &[("b1".into(), well.address.clone())]);
    let mut routes = stage.producer.routes();
    let told = routes.wait_for(|table| {
        let route = table.routes.get("t").and_then(Option::as_ref);
        route.is_some_and(|route| route.broker_datas.iter().any(|data| data.broker_name == "b1"))
    });
    timeout(PATIENCE, told).await.expect("in time").expect("the watch lives");
    let sent = stage.producer.send(&message("y")).await.unwrap();
    assert_eq!((sent.queue.broker_name.as_str(), sent.attempts), ("b1", 1));
    assert!(changed_at.elapsed() < Duration::from_secs(2), "{:?}", changed_at.elapsed());
    assert!(hanging.iter().any(|send| !send.is_finished()), "they hung all the while");
    hanging.into_iter().for_each(|send| send.abort());
}

#[tokio::test]
async fn never_goes_back_to_an_older_route() {
    let stage = stage(2, config()).await;
    let both = |n: usize| (format!("b{n}"), stage.brokers[n].address.clone());
    let old = stage.names.put_route("t", &[("b0", &stage.brokers[0].address)]);
    put(&stage.names, "t", &[both(1)]);
    stage.producer.send(&message("x")).await.unwrap();
    until_queues(&stage.producer, 4).await;
    // The only replicas left are behind, and say so.
    stage.names.freeze(1, Some(old));
    stage.names.freeze(2, Some(old));
    stage.names.set_mode(0, fake::Mode::Dead);
    let end = Instant::now() + Duration::from_millis(1500);
    let before = stage.brokers[0].seen();
    while Instant::now() < end {
        let sent = stage.producer.send(&message("x")).await.unwrap();
        assert_eq!((sent.queue.broker_name.as_str(), sent.attempts), ("b1", 1));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(stage.brokers[0].seen(), before);
}

#[tokio::test]
async fn waiting_for_a_route_is_not_held_against_the_broker() {
    let rules = FaultAvoidance {
        latency_max: vec![Duration::from_millis(250)],
        not_available: vec![Duration::from_secs(60)],
        ..FaultAvoidance::default()
    };
    let stage = stage(2, ProducerConfig { fault_avoidance: Some(rules), ..config() }).await;
    (0..3).for_each(|n| stage.names.set_mode(n, fake::Mode::Hung));
    let producer = stage.producer.clone();
    let first = tokio::spawn(async move { producer.send(&message("x")).await });
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(!first.is_finished(), "it waits for its route");
    (0..3).for_each(|n| stage.names.set_mode(n, fake::Mode::Up));
    first.await.unwrap().unwrap();
    for _ in 0..16 {
        stage.producer.send(&message("x")).await.unwrap();
    }
    assert!(stage.brokers.iter().all(|broker| broker.seen() >= 4), "both are used");
}
