//! Delays, retries and dead letters.

mod support;

use signpost_broker::BrokerConfig;
use signpost_remoting::RemotingCommand;
use signpost_remoting::message::{StoredMessage, properties};
use signpost_remoting::send::SendResponse;
use support::{Consumer, Names, Producer, command, config, header, start};

/// Levels that a test need not wait for: 1 and 2, then those of the first two retries.
const LEVELS_MS: [i64; 4] = [100, 400, 20, 20];

fn quick(names: &str, directory: &std::path::Path) -> BrokerConfig {
    BrokerConfig { delay_levels_ms: LEVELS_MS.to_vec(), ..config(names, directory) }
}

async fn send_delayed(producer: &Producer, level: &str, body: &str) -> SendResponse {
    let mut header = header("T", 2);
    properties::append(&mut header.properties, properties::DELAY, level);
    let answer = producer.ask(command(310, &header, body.to_owned())).await;
    assert_eq!(answer.code, 0, "{answer:?}");
    SendResponse::decode(&answer.ext).unwrap()
}

#[tokio::test]
async fn a_delayed_message_comes_when_it_is_due_as_it_was_sent() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let broker = start(&quick(&names.url, directory.path())).await;
    let producer = Producer::new(&broker);
    assert_eq!(producer.send("T", 0, "makes the topic").await.code, 0);
    let consumer = Consumer::new(&broker, "g", "c");
    consumer.subscribe(&[("T", "*")]).await;
    let sent = send_delayed(&producer, "2", "later").await;
    assert_eq!(sent.queue_id, 2);
    send_delayed(&producer, "1", "sooner").await;
    assert_eq!(consumer.pull("T", 2, 0).await.messages.len(), 0, "not yet");
    let sooner = consumer.first("T", 2, 0).await;
    let later = consumer.first("T", 2, 1).await;
    assert_eq!((&sooner.body[..], &later.body[..]), (&b"sooner"[..], &b"later"[..]));
    assert_eq!((&*later.topic, later.queue_id, later.flag), ("T", 2, 5));
    assert_eq!(later.born_timestamp_ms, 1_700_000_000_000);
    assert_eq!(later.property("TAGS"), Some("TagA"));
    assert_eq!(later.property("UNIQ_KEY"), Some("ID1"));
    // RocketMQ leaves these in.
    assert_eq!((later.property("DELAY"), later.property("REAL_QID")), (Some("2"), Some("2")));
    assert!(later.store_timestamp_ms - sooner.store_timestamp_ms >= 200);
}

#[tokio::test]
async fn delayed_messages_survive_a_crash_and_a_stop() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let mut config = quick(&names.url, directory.path());
    config.delay_levels_ms = vec![3_000];
    let broker = start(&config).await;
    let producer = Producer::new(&broker);
    assert_eq!(producer.send("T", 0, "makes the topic").await.code, 0);
    for body in ["a", "b"] {
        send_delayed(&producer, "1", body).await;
    }
    drop((producer, broker));
    let broker = start(&config).await;
    let producer = Producer::new(&broker);
    send_delayed(&producer, "1", "c").await;
    let consumer = Consumer::new(&broker, "g", "c");
    consumer.subscribe(&[("T", "*")]).await;
    for (offset, body) in ["a", "b", "c"].into_iter().enumerate() {
        let message = consumer.first("T", 2, offset as i64).await;
        assert_eq!(message.body, body);
    }
    // What was delivered before an orderly stop is not delivered again.
    assert!(broker.shutdown().await.is_clean());
    let broker = start(&config).await;
    let (producer, consumer) = (Producer::new(&broker), Consumer::new(&broker, "g", "c"));
    consumer.subscribe(&[("T", "*")]).await;
    send_delayed(&producer, "1", "d").await;
    assert_eq!(consumer.first("T", 2, 3).await.body, "d");
    assert_eq!(consumer.pull("T", 2, 0).await.max, 4);
}

async fn send_back(consumer: &Consumer, message: &StoredMessage, more: &[(&str, &str)]) {
    let offset = message.physical_offset.to_string();
    let fields = [
        ("offset", &*offset),
        ("group", &*consumer.group),
        ("delayLevel", "0"),
        ("originMsgId", "ID1"),
        ("originTopic", "T"),
        ("unitMode", "false"),
        ("maxReconsumeTimes", "2"),
    ];
    let answer = consumer.call(36, &[&fields[..], more].concat()).await;
    assert_eq!(answer.code, 0, "{answer:?}");
}

#[tokio::test]
async fn what_fails_comes_again_until_it_becomes_a_dead_letter() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let broker = start(&quick(&names.url, directory.path())).await;
    let producer = Producer::new(&broker);
    assert_eq!(producer.send("T", 3, "poison").await.code, 0);
    let consumer = Consumer::new(&broker, "g", "c");
    consumer.subscribe(&[("T", "*"), ("%RETRY%g", "*"), ("%DLQ%g", "*")]).await;
    let first = consumer.first("T", 3, 0).await;
    send_back(&consumer, &first, &[]).await;
    let second = consumer.first("%RETRY%g", 0, 0).await;
    assert_eq!(second.reconsume_times, 1);
    assert_eq!(second.property("RETRY_TOPIC"), Some("T"));
    assert_eq!(second.property("ORIGIN_MESSAGE_ID"), Some(&*first.offset_id()));
    assert_eq!(second.property("UNIQ_KEY"), Some("ID1"));
    assert_eq!(second.property("DELAY"), Some("3"));
    assert_eq!(second.body, first.body);
    send_back(&consumer, &second, &[]).await;
    let third = consumer.first("%RETRY%g", 0, 1).await;
    assert_eq!((third.reconsume_times, third.property("DELAY")), (2, Some("4")));
    assert_eq!(third.property("ORIGIN_MESSAGE_ID"), Some(&*first.offset_id()));
    assert_eq!(third.property("REAL_TOPIC"), Some("%RETRY%g"));
    send_back(&consumer, &third, &[]).await;
    let dead = consumer.first("%DLQ%g", 0, 0).await;
    assert_eq!((dead.reconsume_times, dead.property("DELAY")), (3, None));
    assert_eq!(dead.property("DLQ_ORIGIN_TOPIC"), Some("T"));
    assert_eq!(dead.body, "poison");
    // At once, if the consumer says so.
    send_back(&consumer, &first, &[("delayLevel", "-1")]).await;
    assert_eq!(consumer.first("%DLQ%g", 0, 1).await.body, "poison");

    let missing = [("offset", "1"), ("group", "g"), ("delayLevel", "0")];
    let answer = consumer.call(36, &missing).await;
    assert_eq!(answer.code, 1);
    assert_eq!(answer.remark.as_deref(), Some("look message by offset failed, 1"));
}

#[tokio::test]
async fn a_client_may_send_the_retry_itself() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let broker = start(&quick(&names.url, directory.path())).await;
    let producer = Producer::new(&broker);
    let consumer = Consumer::new(&broker, "g", "c");
    consumer.subscribe(&[("%RETRY%g", "*"), ("%DLQ%g", "*")]).await;
    let retry = |times, body: &'static str| {
        let mut header = header("%RETRY%g", 0);
        header.reconsume_times = times;
        header.max_reconsume_times = Some(2);
        properties::append(&mut header.properties, properties::DELAY, "3");
        producer.ask(command(310, &header, body))
    };
    assert_eq!(retry(2, "once more").await.code, 0);
    assert_eq!(retry(3, "enough").await.code, 0);
    assert_eq!(consumer.first("%RETRY%g", 0, 0).await.body, "once more");
    let dead = consumer.first("%DLQ%g", 0, 0).await;
    assert_eq!((&dead.body[..], dead.reconsume_times), (&b"enough"[..], 3));
    assert_eq!(dead.property("DELAY"), None);
}

#[tokio::test]
async fn a_delayed_message_whose_topic_has_gone_is_dropped() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let broker = start(&quick(&names.url, directory.path())).await;
    let producer = Producer::new(&broker);
    assert_eq!(producer.send("T", 0, "makes the topic").await.code, 0);
    send_delayed(&producer, "1", "nowhere to go").await;
    let delete = RemotingCommand::request(215).with_ext([("topic", "T")].into_iter().collect());
    assert_eq!(producer.ask(delete).await.code, 0);
    let mut other = header("U", 0);
    properties::append(&mut other.properties, properties::DELAY, "1");
    assert_eq!(producer.ask(command(310, &other, "goes on")).await.code, 0);
    let consumer = Consumer::new(&broker, "g", "c");
    consumer.subscribe(&[("T", "*"), ("U", "*")]).await;
    assert_eq!(consumer.first("U", 0, 0).await.body, "goes on");
    assert_eq!(consumer.pull("T", 0, 0).await.code, 17);
}
