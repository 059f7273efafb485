//! Retries by mode, statuses, and brokers that are left alone for a while.

use std::time::Duration;

use signpost_producer::{Detector, FaultAvoidance, ProducerConfig, SendStatus};
use tokio::time::{Instant, sleep};

use crate::broker::Mode;
use crate::{Stage, config, message, stage, until};

#[tokio::test]
async fn an_async_send_is_retried_after_no_answer_and_not_after_an_error() {
    let stage = stage(4, config()).await;
    stage.brokers.iter().for_each(|broker| broker.set(Mode::Answers(14)));
    let error = stage.producer.send_async(&message("x")).await.unwrap().await.unwrap_err();
    assert_eq!(error.attempts().len(), 1, "an answer is an answer: {error:?}");
    stage.brokers.iter().for_each(|broker| broker.set(Mode::Mute));
    let error = stage.producer.send_async(&message("x")).await.unwrap().await.unwrap_err();
    assert_eq!(error.attempts().len(), 3, "two retries: {error:?}");
    let once = ProducerConfig { async_retries: 0, ..config() };
    let stage = crate::stage(2, once).await;
    stage.brokers.iter().for_each(|broker| broker.set(Mode::Mute));
    let error = stage.producer.send_async(&message("x")).await.unwrap().await.unwrap_err();
    assert_eq!(error.attempts().len(), 1, "{error:?}");
}

#[tokio::test]
async fn which_answers_are_tried_elsewhere_can_be_chosen() {
    let chosen = ProducerConfig { retry_codes: [13].into(), ..config() };
    let stage = stage(2, chosen).await;
    for (code, attempts) in [(13, 3), (14, 1)] {
        stage.brokers.iter().for_each(|broker| broker.set(Mode::Answers(code)));
        let error = stage.producer.send(&message("x")).await.unwrap_err();
        assert_eq!(error.attempts().len(), attempts, "{code}: {error:?}");
    }
}

#[tokio::test]
async fn what_is_stored_less_safely_is_sent_again_only_if_wished() {
    let again = ProducerConfig { retry_not_store_ok: true, ..config() };
    let stage = stage(2, again).await;
    stage.brokers[0].set(Mode::StoresAndAnswers(10));
    for _ in 0..4 {
        let sent = stage.producer.send(&message("x")).await.unwrap();
        assert_eq!((sent.status, sent.queue.broker_name.as_str()), (SendStatus::Ok, "b1"));
    }
    assert!(!stage.brokers[0].stored().is_empty(), "it was tried there first");
    // Nothing better is to be had: it is stored all the same.
    for second in [Mode::StoresAndAnswers(11), Mode::Answers(13), Mode::Answers(14)] {
        stage.brokers[1].set(second);
        stage.brokers[0].set(Mode::StoresAndAnswers(10));
        let mut stored = 0;
        for _ in 0..8 {
            stored += usize::from(stage.producer.send(&message("x")).await.is_ok());
        }
        assert!(stored > 0, "{second:?}");
    }
}

#[tokio::test]
async fn a_one_way_send_is_tried_once() {
    let mut stage = stage(1, config()).await;
    stage.brokers[0].stop().await;
    let error = stage.producer.send_oneway(&message("x")).await.unwrap_err();
    assert!(error.is_definite() && error.attempts().len() == 1, "{error:?}");
}

const OUT: Duration = Duration::from_millis(600);

async fn avoiding(detector: Option<Detector>) -> Stage {
    let rules = FaultAvoidance {
        latency_max: vec![Duration::from_millis(200)],
        not_available: vec![OUT],
        failure_latency: Duration::from_millis(200),
        detector,
    };
    let fault_avoidance = Some(rules);
    let stage = stage(3, ProducerConfig { fault_avoidance, ..config() }).await;
    stage.producer.queues("t").await.unwrap();
    stage
}

/// Sends until broker 0 has been tried; answers when that send began and ended.
async fn until_touched(stage: &Stage) -> (Instant, Instant) {
    let before = stage.brokers[0].seen();
    loop {
        let begun = Instant::now();
        stage.producer.send(&message("x")).await.unwrap();
        if stage.brokers[0].seen() > before {
            return (begun, Instant::now());
        }
    }
}

/// Broker 0 has failed; it is left alone until `end`, and then used again. Answers how many sends
/// went elsewhere meanwhile.
async fn left_alone_until(stage: &Stage, end: Instant) -> usize {
    let seen = stage.brokers[0].seen();
    let mut sends = 0;
    while Instant::now() < end {
        stage.producer.send(&message("x")).await.unwrap();
        sends += 1;
        let was_left_alone = stage.brokers[0].seen() == seen;
        // Looked at in this order: what it may do after the end proves nothing.
        assert!(was_left_alone || Instant::now() >= end, "it was used after {sends} sends");
        sleep(Duration::from_millis(2)).await;
    }
    let (_, used_at) = until_touched(stage).await;
    assert!(
        used_at - end < Duration::from_secs(5),
        "it is used again only {:?} later",
        used_at - end
    );
    sends
}

#[tokio::test]
async fn a_broker_that_failed_is_left_alone_for_a_while_and_used_again_after() {
    for mode in [Mode::Hung, Mode::Mute, Mode::Answers(14)] {
        let stage = avoiding(None).await;
        stage.brokers[0].set(mode);
        let (begun, _) = until_touched(&stage).await;
        stage.brokers[0].set(Mode::Up);
        // It failed no earlier than that: a hung one when the attempt's time was up.
        let failed = if mode == Mode::Hung { begun + config().attempt_timeout } else { begun };
        let sends = left_alone_until(&stage, failed + OUT).await;
        assert!(sends >= 12, "{mode:?}: three rounds, or this shows nothing: {sends}");
    }
}

#[tokio::test]
async fn half_a_second_and_still_unreachable_keeps_a_broker_out_for_three_seconds() {
    const OUT: Duration = Duration::from_millis(3_000);
    const SLOW: Duration = Duration::from_millis(500);
    let rules = FaultAvoidance {
        latency_max: vec![Duration::from_millis(50), SLOW],
        not_available: vec![Duration::ZERO, OUT],
        failure_latency: SLOW,
        detector: None,
    };
    let avoiding =
        ProducerConfig { attempt_timeout: SLOW, fault_avoidance: Some(rules), ..config() };
    let stage = stage(3, avoiding).await;
    stage.producer.queues("t").await.unwrap();
    stage.brokers[0].set(Mode::Hung);
    let (begun, _) = until_touched(&stage).await;
    // It would answer again at once; it is not asked.
    stage.brokers[0].set(Mode::Up);
    let sends = left_alone_until(&stage, begun + SLOW + OUT).await;
    assert!(sends >= 12, "three rounds, or this shows nothing: {sends}");
}

#[tokio::test]
async fn when_all_are_left_out_messages_are_sent_all_the_same() {
    let stage = avoiding(None).await;
    stage.brokers.iter().for_each(|broker| broker.set(Mode::Answers(14)));
    let error = stage.producer.send(&message("x")).await.unwrap_err();
    assert_eq!(error.attempts().len(), 3);
    stage.brokers.iter().for_each(|broker| broker.set(Mode::Up));
    stage.producer.send(&message("x")).await.expect("there is nothing better");
}

#[tokio::test]
async fn a_detector_probes_brokers_that_failed() {
    let detector =
        Detector { interval: Duration::from_millis(20), timeout: Duration::from_millis(200) };
    let stage = avoiding(Some(detector)).await;
    stage.brokers[0].set(Mode::Answers(14));
    until_touched(&stage).await;
    let probes = || stage.brokers[0].others(30);
    let probe = until("a probe", || probes().into_iter().next()).await;
    assert_eq!((probe.ext.get("topic"), probe.ext.get("queueId")), (Some("t"), Some("0")));
    assert!(stage.brokers[1].others(30).is_empty(), "nothing is held against it");
}
