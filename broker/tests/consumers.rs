//! Consumer groups: who is in them, who is told, how far they are, which queues they hold.

mod support;

use std::time::Duration;

use signpost_remoting::RemotingCommand;
use signpost_remoting::body::consumers::ConsumerIds;
use signpost_remoting::body::{LockBatch, QueueRef};
use support::{Consumer, Names, Producer, config, start};

async fn ids(consumer: &Consumer) -> Vec<String> {
    let answer = consumer.call(38, &[("consumerGroup", &consumer.group)]).await;
    assert_eq!(answer.code, 0, "{answer:?}");
    ConsumerIds::from_json(&answer.body).unwrap().consumer_id_list
}

#[tokio::test]
async fn members_are_told_when_others_come_leave_and_break_off() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let broker = start(&config(&names.url, directory.path())).await;
    let one = Consumer::new(&broker, "g", "c1");
    let nobody = one.call(38, &[("consumerGroup", "g")]).await;
    assert_eq!(nobody.code, 1);
    assert_eq!(nobody.remark.as_deref(), Some("no consumer for this group, g"));
    one.subscribe(&[("T", "*")]).await;
    assert_eq!(ids(&one).await, ["c1"]);
    one.until_pushed(1).await;

    let two = Consumer::new(&broker, "g", "c2");
    two.subscribe(&[("T", "*")]).await;
    assert_eq!(ids(&one).await, ["c1", "c2"]);
    one.until_pushed(2).await;
    two.until_pushed(1).await;
    one.subscribe(&[("T", "*")]).await;
    assert_eq!((one.pushed(), two.pushed()), (2, 1), "nothing has changed");
    one.subscribe(&[("T", "*"), ("U", "*")]).await;
    one.until_pushed(3).await;

    let left = two.call(35, &[("clientID", "c2"), ("consumerGroup", "g")]).await;
    assert_eq!(left.code, 0);
    one.until_pushed(4).await;
    assert_eq!(ids(&one).await, ["c1"]);
    let three = Consumer::new(&broker, "g", "c3");
    three.subscribe(&[("T", "*"), ("U", "*")]).await;
    one.until_pushed(5).await;
    drop(three);
    one.until_pushed(6).await;
    assert_eq!(ids(&one).await, ["c1"]);
    // The group's retry topic has been made, and the name cluster knows it.
    let retry = |asked: &support::Asked| {
        asked.patches.iter().any(|patch| patch.topics.contains_key("%RETRY%g"))
    };
    names.until("retry topic", retry).await;
}

#[tokio::test]
async fn offsets_are_kept_and_an_answered_one_survives_a_crash() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let config = config(&names.url, directory.path());
    let broker = start(&config).await;
    let producer = Producer::new(&broker);
    for body in ["0", "1", "2"] {
        assert_eq!(producer.send("T", 1, body).await.code, 0);
    }
    let consumer = Consumer::new(&broker, "g", "c");
    let query = [("consumerGroup", "g"), ("topic", "T"), ("queueId", "1")];
    // A young queue is read from its beginning by a new group, unless it asks to be told.
    let young = consumer.call(14, &query).await;
    assert_eq!((young.code, young.ext.get("offset")), (0, Some("0")));
    let strict = [&query[..], &[("setZeroIfNotFound", "false")]].concat();
    assert_eq!(consumer.call(14, &strict).await.code, 22);
    let commit = |offset| [&query[..], &[("commitOffset", offset)]].concat();
    assert_eq!(consumer.call(15, &commit("1")).await.code, 0);
    assert_eq!(consumer.call(15, &commit("2")).await.code, 0);
    assert_eq!(consumer.call(14, &query).await.ext.get("offset"), Some("2"));
    assert_eq!(consumer.call(15, &commit("-1")).await.code, 1);
    assert_eq!(consumer.call(15, &[("consumerGroup", "g")]).await.code, 1);
    let unknown =
        [("consumerGroup", "g"), ("topic", "Nowhere"), ("queueId", "1"), ("commitOffset", "1")];
    assert_eq!(consumer.call(15, &unknown).await.code, 17);
    drop((consumer, producer, broker));

    let broker = start(&config).await;
    let consumer = Consumer::new(&broker, "g", "c");
    let kept = consumer.call(14, &query).await;
    assert_eq!((kept.code, kept.ext.get("offset")), (0, Some("2")));
    // One that nobody waits for is there after an orderly stop.
    let mut oneway = RemotingCommand::request(15).with_ext(commit("3").into_iter().collect());
    oneway.mark_oneway();
    let connection = signpost_remoting::Client::new(Default::default());
    let address = broker.addr().to_string();
    connection.notify(&address, oneway, Duration::from_secs(5)).await.unwrap();
    let arrived = async {
        while consumer.call(14, &query).await.ext.get("offset") != Some("3") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), arrived).await.unwrap();
    assert!(broker.shutdown().await.is_clean());
    let broker = start(&config).await;
    let consumer = Consumer::new(&broker, "g", "c");
    assert_eq!(consumer.call(14, &query).await.ext.get("offset"), Some("3"));
}

#[tokio::test]
async fn ordered_consumers_share_queues_by_locks() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let broker = start(&config(&names.url, directory.path())).await;
    let producer = Producer::new(&broker);
    assert_eq!(producer.send("T", 0, "x").await.code, 0);
    let queue =
        |queue_id| QueueRef { broker_name: "broker-a".to_owned(), queue_id, topic: "T".to_owned() };
    let lock = |code, client: &str, queues: &[i32]| {
        let batch = LockBatch {
            client_id: client.to_owned(),
            consumer_group: "g".to_owned(),
            mq_set: queues.iter().map(|id| queue(*id)).collect(),
        };
        producer.ask(RemotingCommand::request(code).with_body(batch.to_json()))
    };
    let locked = |answer: &RemotingCommand| {
        assert_eq!(answer.code, 0, "{answer:?}");
        String::from_utf8(answer.body.to_vec()).unwrap().matches("queueId").count()
    };
    let first = lock(41, "c1", &[0, 1]).await;
    let text = r#"{"lockOKMQSet":[{"brokerName":"broker-a","queueId":0,"topic":"T"},{"brokerName":"broker-a","queueId":1,"topic":"T"}]}"#;
    assert_eq!(std::str::from_utf8(&first.body).unwrap(), text);
    assert_eq!(locked(&lock(41, "c2", &[1, 2, 99]).await), 1, "one is taken, one is none");
    assert_eq!(lock(42, "c1", &[1]).await.code, 0);
    assert_eq!(locked(&lock(41, "c2", &[1]).await), 1);
}

#[tokio::test]
async fn a_filter_that_nobody_evaluates_is_refused_when_it_is_asked_for() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let broker = start(&config(&names.url, directory.path())).await;
    let consumer = Consumer::new(&broker, "g", "c");
    for (kind, code) in [("TAG", 0), ("SQL92", 1)] {
        let body = format!(
            r#"{{"clientId":"c","group":"g","subscriptionData":{{"topic":"T","subString":"a > 1","expressionType":"{kind}"}}}}"#
        );
        let answer = consumer.ask(RemotingCommand::request(46).with_body(body)).await;
        assert_eq!(answer.code, code, "{answer:?}");
    }
}
