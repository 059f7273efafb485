//! Async, batch, ordered, delayed and compressed sends.

use std::collections::BTreeSet;
use std::time::Duration;

use signpost_producer::{
    ByKey, Cause, Codec, Compression, Message, MessageQueue, ProducerConfig, SendError,
    TopicQueues, decompress,
};
use signpost_remoting::message::{batch, properties};

use crate::broker::Mode;
use crate::{config, message, stage, until};

#[tokio::test]
async fn an_async_send_goes_on_whether_or_not_it_is_awaited() {
    let stage = stage(1, config()).await;
    let pending = stage.producer.send_async(&message("awaited")).await.unwrap();
    assert_eq!(pending.await.unwrap().queue_offset, 0);
    drop(stage.producer.send_async(&message("dropped")).await.unwrap());
    until("both are stored", || (stage.brokers[0].stored().len() == 2).then_some(())).await;
    let error = stage.producer.send_async(&Message::new("bad topic", "x")).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::Invalid(_)), "told before it begins: {error}");
}

#[tokio::test]
async fn async_sends_are_bounded_by_count_and_by_bytes() {
    for (count, bytes) in [(2, 1 << 20), (100, 10)] {
        let bounds = ProducerConfig {
            max_in_flight: count,
            max_in_flight_bytes: bytes,
            send_timeout: Duration::from_millis(400),
            ..config()
        };
        let stage = stage(1, bounds).await;
        stage.producer.queues("t").await.unwrap();
        stage.brokers[0].set(Mode::Slow);
        let first = stage.producer.send_async(&message("12345")).await.unwrap();
        let second = stage.producer.send_async(&message("12345")).await.unwrap();
        let error = stage.producer.send_async(&message("1")).await.unwrap_err();
        assert!(matches!(error, SendError::Failed { cause: Cause::Deadline, .. }), "{error}");
        stage.brokers[0].set(Mode::Up);
        // Their own time may have run out meanwhile: then it says that it does not know.
        for pending in [first, second] {
            let ended = pending.await;
            assert!(!ended.is_err_and(|error| error.is_definite()));
        }
        stage.producer.send(&message("12345678901")).await.expect("the largest still goes, alone");
    }
}

#[tokio::test]
async fn closing_waits_for_async_sends() {
    let stage = stage(1, config()).await;
    stage.producer.queues("t").await.unwrap();
    stage.brokers[0].set(Mode::Slow);
    let pending = stage.producer.send_async(&message("x")).await.unwrap();
    until("it is under way", || (stage.brokers[0].seen() == 1).then_some(())).await;
    let (sent, (), ()) = tokio::join!(pending, stage.producer.close(), async {
        stage.brokers[0].set(Mode::Up);
    });
    sent.expect("not cut off");
}

#[tokio::test]
async fn a_batch_is_one_request_to_one_queue_and_each_message_has_its_own_outcome() {
    let stage = stage(2, config()).await;
    let messages = [message("b1").with_tag("A"), message("b22").with_key("k"), message("b333")];
    let sent = stage.producer.send_batch(&messages).await.unwrap();
    assert_eq!(sent.iter().map(|sent| sent.queue_offset).collect::<Vec<_>>(), [0, 1, 2]);
    let ids: BTreeSet<_> = sent.iter().map(|sent| &sent.message_id).collect();
    let offset_ids: BTreeSet<_> = sent.iter().map(|sent| &sent.offset_message_id).collect();
    assert_eq!((ids.len(), offset_ids.len()), (3, 3));
    assert!(sent.iter().all(|each| each.queue == sent[0].queue));
    let stored: Vec<_> = stage.brokers.iter().flat_map(|broker| broker.stored()).collect();
    let [stored] = &stored[..] else { panic!("one request: {stored:?}") };
    assert_eq!((stored.code, stored.header.batch, stored.header.sys_flag), (320, true, 0));
    assert_eq!(properties::get(&stored.header.properties, "UNIQ_KEY"), None, "of its own messages");
    let entries = batch::decode(stored.body.clone().into(), 9).unwrap();
    let own = |at: usize, name| properties::get(&entries[at].properties, name);
    assert_eq!(own(2, "UNIQ_KEY"), Some(sent[2].message_id.as_str()));
    assert_eq!((own(0, "TAGS"), own(1, "KEYS")), (Some("A"), Some("k")));

    let large: Vec<_> = (0..3).map(|_| message(&"x".repeat(5000))).collect();
    let pending = stage.producer.send_batch_async(&large).await.unwrap();
    assert_eq!(pending.await.unwrap().len(), 3);
    let all = stage.brokers.iter().flat_map(|broker| broker.stored());
    assert!(all.clone().all(|stored| stored.header.sys_flag == 0), "batches are never compressed");
    let mixed = [message("a"), message("b").with_delay_level(1)];
    let error = stage.producer.send_batch(&mixed).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::Invalid(_)) && error.is_definite());
}

#[tokio::test]
async fn a_batch_whose_outcome_is_not_known_says_so() {
    let short = ProducerConfig { send_timeout: Duration::from_millis(300), ..config() };
    let stage = stage(1, short).await;
    stage.brokers[0].set(Mode::Hung);
    let error = stage.producer.send_batch(&[message("a"), message("b")]).await.unwrap_err();
    assert!(matches!(error, SendError::Unknown { .. }), "{error}");
    let pending = stage.producer.send_async(&message("a")).await.unwrap();
    assert!(matches!(pending.await, Err(SendError::Unknown { .. })));
}

#[tokio::test]
async fn what_has_an_order_key_stays_in_one_queue() {
    let stage = stage(3, config()).await;
    let mut queues = BTreeSet::new();
    for key in ["a", "b", "c", "d", "e"] {
        let mut own = BTreeSet::new();
        for n in 0..4 {
            let message = message(&n.to_string()).with_order_key(key);
            own.insert(stage.producer.send(&message).await.unwrap().queue);
            let selected = stage.producer.send_to(&message, &ByKey(key)).await.unwrap();
            own.insert(selected.queue);
            let pending = stage.producer.send_async_to(&message, &ByKey(key)).await.unwrap();
            own.insert(pending.await.unwrap().queue);
        }
        assert_eq!(own.len(), 1, "{key}: {own:?}");
        queues.extend(own);
    }
    assert_eq!(queues.len(), 5, "keys spread");
    let stored = stage.brokers.iter().flat_map(|broker| broker.stored()).next().unwrap();
    assert!(properties::get(&stored.header.properties, "__SHARDINGKEY").is_some());
}

#[tokio::test]
async fn an_ordered_send_is_not_retried_on_another_queue() {
    let stage = stage(2, config()).await;
    let queue = MessageQueue { topic: "t".into(), broker_name: "b0".into(), queue_id: 3 };
    stage.producer.send_to(&message("x"), &queue).await.unwrap();
    stage.brokers[0].set(Mode::Answers(14));
    let error = stage.producer.send_to(&message("x"), &queue).await.unwrap_err();
    assert_eq!(error.attempts().len(), 1, "sync: once, {error:?}");
    stage.brokers[0].set(Mode::Hung);
    let pending = stage.producer.send_async_to(&message("x"), &queue).await.unwrap();
    let error = pending.await.unwrap_err();
    assert_eq!(error.attempts().len(), 3, "async: again, {error:?}");
    assert!(error.attempts().iter().all(|attempt| attempt.queue == queue), "{error:?}");
    assert_eq!(stage.brokers[1].seen(), 0, "never elsewhere");

    let gone = MessageQueue { queue_id: 4, ..queue };
    let error = stage.producer.send_to(&message("x"), &gone).await.unwrap_err();
    assert!(matches!(error.cause(), Cause::NotSelected { .. }) && error.is_definite(), "{error}");
    let last = |_: &Message, queues: &TopicQueues| queues.len().checked_sub(1);
    let sent = stage.producer.send_to(&message("x"), &last).await.unwrap();
    assert_eq!((sent.queue.broker_name.as_str(), sent.queue.queue_id), ("b1", 3));
}

#[tokio::test]
async fn a_delay_is_a_property() {
    let stage = stage(1, config()).await;
    stage.producer.send(&message("x").with_delay_level(3)).await.unwrap();
    let header = &stage.brokers[0].stored()[0].header;
    assert_eq!(properties::get(&header.properties, "DELAY"), Some("3"));
}

#[tokio::test]
async fn bodies_from_four_kib_on_arrive_compressed_unless_that_is_off() {
    let body = "a body that repeats itself; ".repeat(8000);
    for (codec, sys_flag) in [(Codec::Zlib, 0x301), (Codec::Lz4, 0x101), (Codec::Zstd, 0x201)] {
        let compression = Some(Compression { codec, ..Compression::default() });
        let stage = stage(1, ProducerConfig { compression, ..config() }).await;
        for bytes in [4095, 4096, body.len()] {
            stage.producer.send(&message(&body[..bytes])).await.unwrap();
        }
        let stored = stage.brokers[0].stored();
        let flags: Vec<_> = stored.iter().map(|stored| stored.header.sys_flag).collect();
        assert_eq!(flags, [0, sys_flag, sys_flag]);
        assert!(stored[2].body.len() < body.len() / 10);
        let plain = decompress(sys_flag, &stored[2].body.clone().into(), 1 << 20).unwrap();
        assert_eq!(plain, body.as_bytes());
    }
    let stage = stage(1, ProducerConfig { compression: None, ..config() }).await;
    stage.producer.send(&message(&body)).await.unwrap();
    assert_eq!(stage.brokers[0].stored()[0].body, body.as_bytes());
}
