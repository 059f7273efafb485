//! What is bounded: sends and pulls that wait, connections, silence, and who makes topics.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use signpost_broker::{BrokerConfig, store};
use signpost_remoting::response;
use support::{Consumer, Names, Producer, config, header, start};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn sends_beyond_the_bound_are_busy_and_what_was_acknowledged_is_there() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let base = config(&names.url, directory.path());
    let broker = start(&BrokerConfig { max_pending_bytes: 96 * 1024, ..base }).await;
    let producer = Producer::new(&broker);
    let mut acknowledged = BTreeSet::new();
    let mut busy = 0;
    for round in 0..50 {
        let sends = (0..200).map(|number| {
            let body = format!("{round}/{number}/{}", "x".repeat(15_000));
            let producer = &producer;
            async move { (producer.send("T", 0, &body).await, body) }
        });
        for (answer, body) in join_all(sends).await {
            match answer.code {
                response::SUCCESS => assert!(acknowledged.insert(body)),
                response::SYSTEM_BUSY => busy += 1,
                _ => panic!("{answer:?}"),
            }
        }
        if busy > 0 {
            break;
        }
    }
    assert!(busy > 0, "{} sends at once, and none was too many", 200);
    assert_eq!(producer.send("T", 0, "after").await.code, 0, "it recovers at once");
    acknowledged.insert("after".to_owned());
    assert!(broker.shutdown().await.is_clean());
    let log_id = signpost_broker::log_id(directory.path()).unwrap();
    let stored = store::read_all(directory.path(), log_id).unwrap();
    let stored: Vec<_> =
        stored.into_iter().map(|one| String::from_utf8(one.body.to_vec()).unwrap()).collect();
    assert_eq!(stored.len(), acknowledged.len(), "what was refused is not stored");
    assert_eq!(stored.into_iter().collect::<BTreeSet<_>>(), acknowledged);
}

#[tokio::test]
async fn a_pull_too_many_is_told_to_come_back_soon() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let base = config(&names.url, directory.path());
    let broker = start(&BrokerConfig { max_held_pulls: 1, ..base }).await;
    let producer = Producer::new(&broker);
    assert_eq!(producer.send("T", 0, "first").await.code, 0);
    let consumer = Consumer::new(&broker, "g", "c");
    consumer.subscribe(&[("T", "*")]).await;
    // Whichever of the two comes first is held, and the other is refused.
    let one = std::pin::pin!(consumer.pull_held("T", 0, 1, 20_000));
    let other = std::pin::pin!(consumer.pull_held("T", 0, 1, 20_000));
    let (refused, held) = match timeout(PATIENCE, select(one, other)).await.expect("one too many") {
        Either::Left((refused, held)) | Either::Right((refused, held)) => (refused, held),
    };
    assert_eq!(refused.code, response::FLOW_CONTROL, "{refused:?}");
    let (pulled, sent) = tokio::join!(held, producer.send("T", 0, "second"));
    assert_eq!((sent.code, pulled.bodies()), (0, vec!["second"]));
    let again = consumer.pull_held("T", 0, 2, 10).await;
    assert_eq!(again.code, response::PULL_NOT_FOUND, "its place is free again");
}

#[tokio::test]
async fn connections_are_bounded_and_silent_ones_are_closed() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let base = config(&names.url, directory.path());
    let bounded = BrokerConfig { idle_ms: 500, max_connections: 1, ..base };
    let broker = start(&bounded).await;
    let opened = Instant::now();
    let mut silent = TcpStream::connect(broker.addr()).await.unwrap();
    let mut second = TcpStream::connect(broker.addr()).await.unwrap();
    let mut byte = [0];
    let ended = timeout(PATIENCE, silent.read(&mut byte)).await.expect("it is closed");
    assert!(matches!(ended, Ok(0) | Err(_)), "nothing was asked, nothing is said: {ended:?}");
    assert!(opened.elapsed() >= Duration::from_millis(500), "{:?}", opened.elapsed());
    // It was turned away, or waited for the place and then fell silent itself.
    let ended = timeout(PATIENCE, second.read(&mut byte)).await.expect("it is closed");
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    assert_eq!(Producer::new(&broker).send("T", 0, "x").await.code, 0, "there is a place again");
}

#[tokio::test]
async fn a_send_makes_no_topic_when_that_is_off() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let base = config(&names.url, directory.path());
    let broker = start(&BrokerConfig { auto_create_topics: false, ..base }).await;
    names.until("registered", |asked| !asked.registrations.is_empty()).await;
    let registered = names.asked.lock().unwrap().registrations[0].topics.clone();
    assert!(!registered.contains_key("TBW102"), "nobody is routed here for new topics");
    let producer = Producer::new(&broker);
    let answer = producer.send("New", 0, "x").await;
    assert_eq!(answer.code, response::TOPIC_NOT_EXIST, "{answer:?}");
    let made = support::command(17, &header("New", 0), "");
    let fields = [
        ("topic", "New"),
        ("readQueueNums", "2"),
        ("writeQueueNums", "2"),
        ("perm", "6"),
        ("topicSysFlag", "0"),
        ("order", "false"),
    ];
    let made = signpost_remoting::RemotingCommand { ext: fields.into_iter().collect(), ..made };
    assert_eq!(producer.ask(made).await.code, 0);
    assert_eq!(producer.send("New", 1, "x").await.code, 0);
}
