//! The way of a message: what arrives, what is tried elsewhere, and how each ending is told.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use signpost_producer::{Cause, Message, Producer, ProducerConfig, SendError, SendStatus};
use signpost_remoting::message::properties;
use tokio::time::timeout;

use crate::broker::Mode;
use crate::fake::Fake;
use crate::{PATIENCE, config, message, stage};

#[tokio::test]
async fn a_message_arrives_as_it_was_sent() {
    let stage = stage(1, config()).await;
    let message = Message { flag: 9, ..message("hello") }
        .with_tag("TagA")
        .with_key("k1")
        .with_property("mine", "1");
    let sent = stage.producer.send(&message).await.unwrap();
    assert_eq!((sent.status, sent.attempts, sent.queue_offset), (SendStatus::Ok, 1, 0));
    assert_eq!(sent.queue.broker_name, "b0");
    let stored = &stage.brokers[0].stored()[0];
    assert_eq!((stored.code, stored.body.as_slice(), stored.oneway), (310, &b"hello"[..], false));
    let header = &stored.header;
    assert_eq!((header.topic.as_str(), header.default_topic.as_str()), ("t", "TBW102"));
    assert_eq!((header.default_topic_queue_nums, header.flag, header.sys_flag), (4, 9, 0));
    assert_eq!(header.queue_id, i32::try_from(sent.queue.queue_id).unwrap());
    assert_eq!(header.broker_name.as_deref(), Some("b0"));
    let property = |name| properties::get(&header.properties, name);
    assert_eq!(property("UNIQ_KEY"), Some(sent.message_id.as_str()));
    assert_eq!((property("TAGS"), property("KEYS")), (Some("TagA"), Some("k1")));
    assert_eq!((property("WAIT"), property("mine")), (Some("true"), Some("1")));
    assert_eq!(sent.message_id.len(), 32);
}

#[tokio::test]
async fn sends_go_round_over_all_queues_and_ids_are_unique() {
    let stage = stage(3, config()).await;
    let mut ids = BTreeSet::new();
    let mut queues = BTreeSet::new();
    for n in 0..12 {
        let sent = stage.producer.send(&message(&n.to_string())).await.unwrap();
        queues.insert(sent.queue);
        ids.insert(sent.message_id);
    }
    assert_eq!((queues.len(), ids.len()), (12, 12));
    let all = (0..200).map(|n| {
        let producer = stage.producer.clone();
        tokio::spawn(async move { producer.send(&message(&n.to_string())).await })
    });
    for sent in all.collect::<Vec<_>>() {
        ids.insert(sent.await.unwrap().unwrap().message_id);
    }
    assert_eq!(ids.len(), 212);
}

#[tokio::test]
async fn another_broker_is_tried_after_each_failure_that_calls_for_it() {
    let retried = [1, 2, 14, 16, 17, 204, 205, 215, 1500];
    for mode in retried.map(Mode::Answers).into_iter().chain([Mode::Hung, Mode::Mute]) {
        let stage = stage(2, config()).await;
        stage.brokers[0].set(mode);
        for n in 0..8 {
            let sent = stage.producer.send(&message(&n.to_string())).await;
            let sent = sent.unwrap_or_else(|error| panic!("{mode:?}: {error}"));
            assert_eq!(sent.queue.broker_name, "b1", "{mode:?}");
            assert!(sent.attempts <= 2, "{mode:?}: the failed broker is not tried again");
        }
        assert!(stage.brokers[0].seen() > 0, "{mode:?}");
    }
}

#[tokio::test]
async fn what_would_fail_everywhere_is_not_tried_elsewhere() {
    for code in [3, 13, 29] {
        let stage = stage(3, config()).await;
        stage.brokers.iter().for_each(|broker| broker.set(Mode::Answers(code)));
        let error = stage.producer.send(&message("x")).await.unwrap_err();
        assert!(error.is_definite() && error.attempts().len() == 1, "{code}: {error}");
        assert!(matches!(error.cause(), Cause::Broker { code: answered, .. } if *answered == code));
    }
}

#[tokio::test]
async fn three_attempts_in_all_at_three_brokers() {
    let stage = stage(4, config()).await;
    stage.brokers.iter().for_each(|broker| broker.set(Mode::Answers(14)));
    let error = stage.producer.send(&message("x")).await.unwrap_err();
    assert!(error.is_definite());
    let tried: BTreeSet<_> = error.attempts().iter().map(|a| &a.queue.broker_name).collect();
    assert_eq!((error.attempts().len(), tried.len()), (3, 3), "{error:?}");
}

#[tokio::test]
async fn an_outcome_that_is_not_known_says_so_even_when_a_later_attempt_surely_failed() {
    for (first, second) in [(Mode::Hung, Mode::Answers(14)), (Mode::Mute, Mode::Answers(13))] {
        let stage = stage(2, config()).await;
        // Whichever comes first: both orders end as unknown only if the first may have stored it.
        stage.brokers[0].set(first);
        stage.brokers[1].set(second);
        let mut unknown = 0;
        for n in 0..8 {
            let error = stage.producer.send(&message(&n.to_string())).await.unwrap_err();
            let touched = error.attempts().iter().any(|a| a.queue.broker_name == "b0");
            assert_eq!(!error.is_definite(), touched, "{error:?}");
            unknown += usize::from(touched);
        }
        assert!(unknown > 0);
    }
    for mode in [Mode::Answers(1), Mode::Answers(4711), Mode::Bare] {
        let stage = stage(1, config()).await;
        stage.brokers[0].set(mode);
        let error = stage.producer.send(&message("x")).await.unwrap_err();
        assert!(matches!(error, SendError::Unknown { .. }), "{mode:?}: {error}");
        if mode == Mode::Bare {
            assert_eq!(stage.brokers[0].stored().len(), 1, "it was stored: not sent again");
        }
    }
}

#[tokio::test]
async fn without_retries_of_unknown_outcomes_nothing_is_stored_twice() {
    let config = ProducerConfig { retry_unknown: false, ..config() };
    let stage = stage(2, config).await;
    stage.brokers[0].set(Mode::Mute);
    let mut unknown = 0;
    for n in 0..8 {
        match stage.producer.send(&message(&n.to_string())).await {
            Ok(sent) => assert_eq!(sent.queue.broker_name, "b1"),
            Err(SendError::Unknown { .. }) => unknown += 1,
            Err(failed) => panic!("{failed}"),
        }
    }
    assert!(unknown > 0);
    let stored = |n: usize| stage.brokers[n].stored();
    let bodies: Vec<_> = stored(0).into_iter().chain(stored(1)).map(|s| s.body).collect();
    assert_eq!((bodies.len(), bodies.iter().collect::<BTreeSet<_>>().len()), (8, 8));
}

#[tokio::test]
async fn statuses_of_stored_messages_are_told() {
    let statuses = [
        (10, SendStatus::FlushDiskTimeout),
        (11, SendStatus::SlaveNotAvailable),
        (12, SendStatus::FlushSlaveTimeout),
    ];
    for (code, status) in statuses {
        let stage = stage(2, config()).await;
        stage.brokers.iter().for_each(|broker| broker.set(Mode::StoresAndAnswers(code)));
        let sent = stage.producer.send(&message("x")).await.unwrap();
        assert_eq!((sent.status, sent.attempts), (status, 1));
    }
}

#[tokio::test]
async fn a_hung_broker_cannot_eat_the_budget() {
    let stage = stage(2, config()).await;
    stage.brokers[0].set(Mode::Hung);
    for n in 0..4 {
        let started = Instant::now();
        stage.producer.send(&message(&n.to_string())).await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }
    // All hung: the send's own deadline holds.
    stage.brokers[1].set(Mode::Hung);
    let short =
        ProducerConfig { send_timeout: Duration::from_millis(500), retries: 100, ..config() };
    let client = stage.names.client(signpost_client::Options::default());
    let producer = Producer::start(&client, short).unwrap();
    let started = Instant::now();
    let error = producer.send(&message("x")).await.unwrap_err();
    assert!(!error.is_definite());
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn oneway_asks_for_no_answer() {
    let stage = stage(1, config()).await;
    stage.producer.send_oneway(&message("x")).await.unwrap();
    let arrived = async {
        while stage.brokers[0].stored().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, arrived).await.expect("it arrives");
    assert!(stage.brokers[0].stored()[0].oneway);
}

#[tokio::test]
async fn closing_waits_for_what_is_under_way_and_refuses_the_rest() {
    let stage = stage(1, config()).await;
    stage.producer.send(&message("first")).await.unwrap();
    let producer = stage.producer.clone();
    let under_way = tokio::spawn(async move { producer.send(&message("second")).await });
    tokio::task::yield_now().await;
    stage.producer.close().await;
    let error = stage.producer.send(&message("third")).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::Closed) && error.is_definite());
    match under_way.await.unwrap() {
        Ok(_) => assert_eq!(stage.brokers[0].stored().len(), 2),
        Err(error) => assert!(matches!(error.cause(), Cause::Closed), "{error}"),
    }
}

#[tokio::test]
async fn refuses_what_cannot_work() {
    let names = Fake::new(1);
    let client = names.client(signpost_client::Options::default());
    let started = |config| Producer::start(&client, config).map(|_| ()).map_err(|e| e.field);
    let base = ProducerConfig::default;
    for group in ["", "a b", "DEFAULT_PRODUCER", &"x".repeat(121)] {
        assert_eq!(started(ProducerConfig { group: group.into(), ..base() }), Err("group"));
    }
    assert_eq!(started(ProducerConfig { max_in_flight: 0, ..base() }), Err("max_in_flight"));
    let producer = Producer::start(&client, base()).unwrap();
    let error = producer.send(&Message::new("bad topic", "x")).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::Invalid(_)) && error.is_definite());
    assert!(names.world().log.is_empty(), "nothing was asked for it");
}
