//! Pulls: what is found, what is held, what wakes it, what is filtered and what is refused.

mod support;

use std::time::Duration;

use bytes::Bytes;
use signpost_remoting::message::batch::{self, BatchMessage};
use signpost_remoting::pull::sys_flag;
use signpost_remoting::{RemotingCommand, response};
use support::{Consumer, Names, Producer, command, config, header, start};
use tokio::time::Instant;

fn tagged(topic: &str, tag: &str) -> signpost_remoting::send::SendHeader {
    let mut header = header(topic, 0);
    header.properties = format!("TAGS\u{1}{tag}\u{2}");
    header
}

#[tokio::test]
async fn each_position_has_its_code_and_all_four_offsets() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let broker = start(&config(&names.url, directory.path())).await;
    let producer = Producer::new(&broker);
    for body in ["a", "b", "c"] {
        assert_eq!(producer.send("T", 2, body).await.code, 0);
    }
    let consumer = Consumer::new(&broker, "g", "c");
    consumer.subscribe(&[("T", "*")]).await;
    for (queue, from, code, remark, next, max) in [
        (2, 0, response::SUCCESS, "FOUND", 3, 3),
        (2, 2, response::SUCCESS, "FOUND", 3, 3),
        (2, 3, response::PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE", 3, 3),
        (2, 4, response::PULL_OFFSET_MOVED, "OFFSET_OVERFLOW_BADLY", 3, 3),
        (2, -1, response::PULL_OFFSET_MOVED, "OFFSET_TOO_SMALL", 0, 3),
        (1, 0, response::PULL_NOT_FOUND, "NO_MESSAGE_IN_QUEUE", 0, 0),
        (1, 5, response::PULL_OFFSET_MOVED, "NO_MESSAGE_IN_QUEUE", 0, 0),
    ] {
        let pulled = consumer.pull("T", queue, from).await;
        let got = (pulled.code, &*pulled.remark, pulled.next, pulled.min, pulled.max);
        assert_eq!(got, (code, remark, next, 0, max), "queue {queue} from {from}");
    }
    let all = consumer.pull("T", 2, 0).await;
    assert_eq!(all.bodies(), ["a", "b", "c"]);
    assert_eq!((all.messages[1].queue_offset, all.messages[1].queue_id), (1, 2));
    assert_eq!(all.messages[1].property("TAGS"), Some("TagA"));
    let one = consumer
        .pull_as(&signpost_remoting::pull::PullHeader {
            max_msg_nums: 1,
            ..consumer.pull_header("T", 2, 1)
        })
        .await;
    assert_eq!((one.bodies(), one.next), (vec!["b"], 2));
}

#[tokio::test]
async fn a_held_pull_is_answered_by_the_next_message_and_not_by_others() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let broker = start(&config(&names.url, directory.path())).await;
    let producer = Producer::new(&broker);
    assert_eq!(producer.send("T", 0, "before").await.code, 0);
    let consumer = Consumer::new(&broker, "g", "c");
    consumer.subscribe(&[("T", "*")]).await;
    let mut held = std::pin::pin!(consumer.pull_held("T", 0, 1, 20_000));
    for (queue, body) in [(1, "elsewhere"), (2, "elsewhere")] {
        tokio::select! {
            pulled = &mut held => panic!("{pulled:?}"),
            sent = producer.send("T", queue, body) => assert_eq!(sent.code, 0),
        }
    }
    let (pulled, sent) = tokio::join!(held, producer.send("T", 0, "now"));
    assert_eq!((sent.code, pulled.bodies(), pulled.next), (0, vec!["now"], 2));
    // And by the end of its time.
    let (begun, hold) = (Instant::now(), Duration::from_millis(300));
    let pulled = consumer.pull_held("T", 0, 2, 300).await;
    assert_eq!((pulled.code, pulled.next), (response::PULL_NOT_FOUND, 2));
    assert!(begun.elapsed() >= hold);
}

#[tokio::test]
async fn a_stop_answers_those_who_wait() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let broker = start(&config(&names.url, directory.path())).await;
    assert_eq!(Producer::new(&broker).send("T", 0, "x").await.code, 0);
    let consumer = Consumer::new(&broker, "g", "c");
    consumer.subscribe(&[("T", "*")]).await;
    let (held, waiting) = (consumer.pull_held("T", 0, 1, 30_000), consumer.pull("T", 0, 0));
    let mut held = std::pin::pin!(held);
    tokio::select! {
        pulled = &mut held => panic!("{pulled:?}"),
        pulled = waiting => assert_eq!(pulled.code, 0),
    }
    let begun = Instant::now();
    let (pulled, exit) = tokio::join!(held, broker.shutdown());
    assert!(exit.is_clean() && begun.elapsed() < Duration::from_secs(10));
    assert_eq!(pulled.code, response::PULL_NOT_FOUND);
}

#[tokio::test]
async fn tags_are_filtered_here_by_their_hash() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let broker = start(&config(&names.url, directory.path())).await;
    let producer = Producer::new(&broker);
    for (tag, body) in [("A", "a1"), ("B", "b1"), ("A", "a2"), ("C", "c1"), ("C", "c2")] {
        let sent = producer.ask(command(310, &tagged("T", tag), body)).await;
        assert_eq!(sent.code, 0);
    }
    let consumer = Consumer::new(&broker, "g", "c");
    consumer.subscribe(&[("T", "A || B")]).await;
    let pulled = consumer.pull("T", 0, 0).await;
    assert_eq!((pulled.bodies(), pulled.next), (vec!["a1", "b1", "a2"], 5));
    let none = consumer.pull("T", 0, 3).await;
    assert_eq!((none.code, &*none.remark, none.next), (20, "NO_MATCHED_MESSAGE", 5));
    // Held, it passes over what it does not want.
    let mut held = std::pin::pin!(consumer.pull_held("T", 0, 5, 20_000));
    let others = async {
        assert_eq!(producer.ask(command(310, &tagged("T", "C"), "c3")).await.code, 0);
        assert_eq!(producer.ask(command(310, &tagged("T", "B"), "b2")).await.code, 0);
    };
    let (pulled, ()) = tokio::join!(&mut held, others);
    assert_eq!((pulled.bodies(), pulled.next), (vec!["b2"], 7));
    // The subscription may stand in the request.
    let mut own = consumer.pull_header("T", 0, 0);
    own.consumer_group = "stranger".to_owned();
    own.sys_flag = sys_flag::SUBSCRIPTION;
    for (expression, bodies) in [
        (Some("C"), vec!["c1", "c2", "c3"]),
        (Some("A||B"), vec!["a1", "b1", "a2", "b2"]),
        (Some("*"), vec!["a1", "b1", "a2", "c1", "c2", "c3", "b2"]),
        (None, vec!["a1", "b1", "a2", "c1", "c2", "c3", "b2"]),
    ] {
        own.subscription = expression.map(str::to_owned);
        assert_eq!(consumer.pull_as(&own).await.bodies(), bodies, "{expression:?}");
    }
    own.subscription = Some("||".to_owned());
    assert_eq!(consumer.pull_as(&own).await.code, 23);
    own.expression_type = Some("SQL92".to_owned());
    assert_eq!(consumer.pull_as(&own).await.code, 1);
}

#[tokio::test]
async fn refusals() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let mut config = config(&names.url, directory.path());
    config.max_held_pulls = 1;
    let broker = start(&config).await;
    let producer = Producer::new(&broker);
    assert_eq!(producer.send("T", 0, "x").await.code, 0);
    let consumer = Consumer::new(&broker, "g", "c");
    assert_eq!(consumer.pull("T", 0, 0).await.code, 24, "no heartbeat yet");
    consumer.subscribe(&[("T", "*"), ("U", "*")]).await;
    assert_eq!(consumer.pull("U", 0, 0).await.code, 17);
    for queue in [-1, 4] {
        assert_eq!(consumer.pull("T", queue, 0).await.code, 1, "queue {queue}");
    }
    let mut newer = consumer.pull_header("T", 0, 0);
    newer.sub_version = 8;
    assert_eq!(consumer.pull_as(&newer).await.code, 25);
    assert_eq!(consumer.pull("BenchmarkTest", 0, 0).await.code, 24, "not subscribed");
    let write_only = [
        ("topic", "W"),
        ("readQueueNums", "1"),
        ("writeQueueNums", "1"),
        ("perm", "2"),
        ("topicFilterType", "SINGLE_TAG"),
    ];
    assert_eq!(consumer.call(17, &write_only).await.code, 0);
    consumer.subscribe(&[("T", "*"), ("W", "*")]).await;
    assert_eq!(consumer.pull("W", 0, 0).await.code, 16);
    assert_eq!(consumer.call(11, &[("topic", "T")]).await.code, 1);
    // A second one that would wait is told to come back soon; when the first has gone, it may.
    {
        let first = Consumer::new(&broker, "g", "c2");
        first.subscribe(&[("T", "*"), ("W", "*")]).await;
        let mut held = std::pin::pin!(first.pull_held("T", 0, 1, 30_000));
        let refused = async {
            let waits = |told: RemotingCommand| {
                String::from_utf8(told.body.to_vec()).unwrap().contains(r#""heldPulls":"1""#)
            };
            while !waits(consumer.call(28, &[]).await) {}
            consumer.pull_held("T", 0, 1, 30_000).await
        };
        tokio::select! {
            pulled = &mut held => panic!("{pulled:?}"),
            refused = refused => assert_eq!(refused.code, response::FLOW_CONTROL),
        }
    }
    let let_in =
        async { while consumer.pull_held("T", 0, 1, 10).await.code != response::PULL_NOT_FOUND {} };
    tokio::time::timeout(Duration::from_secs(10), let_in).await.unwrap();
    let off = r#"{"groupName":"g","consumeEnable":false}"#;
    assert_eq!(consumer.ask(RemotingCommand::request(200).with_body(off)).await.code, 0);
    assert_eq!(consumer.pull("T", 0, 0).await.code, 16);
}

#[tokio::test]
async fn a_pull_may_carry_the_group_s_progress() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let broker = start(&config(&names.url, directory.path())).await;
    let producer = Producer::new(&broker);
    assert_eq!(producer.send("T", 0, "x").await.code, 0);
    let consumer = Consumer::new(&broker, "g", "c");
    consumer.subscribe(&[("T", "*")]).await;
    let mut header = consumer.pull_header("T", 0, 0);
    header.sys_flag = sys_flag::COMMIT_OFFSET | sys_flag::SUSPEND;
    header.commit_offset = 1;
    assert_eq!(consumer.pull_as(&header).await.code, 0);
    let query = [("consumerGroup", "g"), ("topic", "T"), ("queueId", "0")];
    assert_eq!(consumer.call(14, &query).await.ext.get("offset"), Some("1"));
}

#[tokio::test]
async fn messages_are_found_by_key_by_id_and_by_time() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let broker = start(&config(&names.url, directory.path())).await;
    let producer = Producer::new(&broker);
    let mut inner = Vec::new();
    for number in 0..5 {
        inner.push(BatchMessage {
            flag: 0,
            body: Bytes::from(format!("body {number}")),
            properties: format!("UNIQ_KEY\u{1}U{number}\u{2}KEYS\u{1}k{number} all\u{2}"),
        });
    }
    let sent = producer.ask(command(320, &header("T", 0), batch::encode(&inner).unwrap())).await;
    assert_eq!(sent.code, 0);
    let consumer = Consumer::new(&broker, "g", "c");
    consumer.subscribe(&[("T", "*")]).await;
    let all = consumer.pull("T", 0, 0).await.messages;
    let decode = |body: Bytes| signpost_remoting::message::StoredMessage::decode_all(body).unwrap();

    let by_key = async |key: &str, max: &str| {
        let fields = [
            ("topic", "T"),
            ("key", key),
            ("maxNum", max),
            ("beginTimestamp", "0"),
            ("endTimestamp", "9223372036854775807"),
        ];
        consumer.call(12, &fields).await
    };
    let found = by_key("k3", "32").await;
    assert_eq!(decode(found.body), [all[3].clone()]);
    assert!(found.ext.get("indexLastUpdateTimestamp").is_some());
    assert!(found.ext.get("indexLastUpdatePhyoffset").is_some());
    assert_eq!(decode(by_key("U2", "32").await.body), [all[2].clone()]);
    assert_eq!(decode(by_key("all", "2").await.body).len(), 2);
    assert_eq!(by_key("none", "32").await.code, 22);

    let id = all[4].physical_offset.to_string();
    assert_eq!(decode(consumer.call(33, &[("offset", &id)]).await.body), [all[4].clone()]);
    for wrong in ["1", "-1", "9223372036854775807"] {
        assert_eq!(consumer.call(33, &[("offset", wrong)]).await.code, 1, "{wrong}");
    }

    let queue = [("topic", "T"), ("queueId", "0")];
    let offset = |answer: RemotingCommand| answer.ext.get("offset").unwrap().to_owned();
    assert_eq!(offset(consumer.call(30, &queue).await), "5");
    assert_eq!(offset(consumer.call(31, &queue).await), "0");
    let nowhere = [("topic", "Nowhere"), ("queueId", "0")];
    assert_eq!(offset(consumer.call(30, &nowhere).await), "0");
    let stored = consumer.call(32, &queue).await;
    assert_eq!(stored.ext.get("timestamp"), Some(&*all[0].store_timestamp_ms.to_string()));
    for (time, expected) in [("0", "0"), ("9999999999999", "4")] {
        let at = [&queue[..], &[("timestamp", time)]].concat();
        assert_eq!(offset(consumer.call(29, &at).await), expected, "{time}");
    }
}
