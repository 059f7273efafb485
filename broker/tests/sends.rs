//! Sends over TCP: stored as they should be, refused as they should be, there after a crash.

mod support;

use std::collections::BTreeSet;

use bytes::Bytes;
use signpost_broker::{Broker, store};
use signpost_remoting::message::batch::{self, BatchMessage};
use signpost_remoting::message::{StoredMessage, properties};
use signpost_remoting::send::SendResponse;
use signpost_remoting::{HeaderKind, RemotingCommand, response};
use support::{Names, Producer, command, config, header, start};

fn stored(data_dir: &std::path::Path) -> Vec<StoredMessage> {
    let log_id = signpost_broker::log_id(data_dir).unwrap();
    store::read_all(data_dir, log_id).unwrap()
}

#[tokio::test]
async fn all_three_codes_are_stored_as_they_were_sent() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let broker = start(&config(&names.url, directory.path())).await;
    let producer = Producer::new(&broker);
    let mut answers = Vec::new();
    for (code, kind) in [(10, HeaderKind::Json), (310, HeaderKind::Json), (310, HeaderKind::Binary)]
    {
        let command = RemotingCommand { header: kind, ..command(code, &header("T", 2), "hello") };
        let answer = producer.ask(command).await;
        assert_eq!((answer.code, answer.header, &answer.remark), (0, kind, &None), "{answer:?}");
        answers.push(SendResponse::decode(&answer.ext).unwrap());
    }
    let inner = [("one", "TAGS\u{1}A"), ("two", "")].map(|(body, properties)| BatchMessage {
        flag: 1,
        body: Bytes::from(body),
        properties: properties.to_owned(),
    });
    let answer = producer.ask(command(320, &header("T", 2), batch::encode(&inner).unwrap())).await;
    let batched = SendResponse::decode(&answer.ext).unwrap();
    assert_eq!((batched.queue_id, batched.queue_offset), (2, 3));
    let address = broker.addr();
    assert!(broker.shutdown().await.is_clean());

    let all = stored(directory.path());
    assert_eq!(all.len(), 5);
    for (offset, (message, answer)) in all.iter().zip(&answers).enumerate() {
        assert_eq!((message.queue_offset, answer.queue_offset), (offset as i64, offset as i64));
        assert_eq!((message.body.as_ref(), message.flag), (&b"hello"[..], 5));
        assert_eq!((message.born_timestamp_ms, message.store_host), (1_700_000_000_000, address));
        assert_eq!(answer.message_id, message.offset_id());
        assert_eq!(answer.transaction_id.as_deref(), Some("ID1"));
        let text: Vec<_> = properties::iter(&message.properties).collect();
        assert_eq!(text, [("UNIQ_KEY", "ID1"), ("TAGS", "TagA"), ("CLUSTER", "DefaultCluster")]);
    }
    let ids = format!("{},{}", all[3].offset_id(), all[4].offset_id());
    assert_eq!(batched.message_id, ids);
    assert_eq!((all[3].property("TAGS"), all[4].property("TAGS")), (Some("A"), None));
    assert_eq!((&all[4].body[..], all[4].queue_offset), (&b"two"[..], 4));
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_crash() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let config = config(&names.url, directory.path());
    let mut acknowledged = BTreeSet::new();
    for round in 0..4 {
        let broker = start(&config).await;
        assert!(broker.recovery().messages >= acknowledged.len() as u64);
        let producer = Producer::new(&broker);
        let sends = (0..40).map(|number| {
            let (producer, topic) = (&producer, format!("T{}", number % 3));
            async move {
                let body = format!("round {round} message {number} {}", "x".repeat(number * 20));
                let answer = producer.send(&topic, (number % 4) as i32, &body).await;
                (answer.code == 0).then_some(body)
            }
        });
        let mut sends: futures_util::stream::FuturesUnordered<_> = sends.collect();
        // The crash comes while some are still on their way.
        while acknowledged.len() < 40 * round + 25 {
            let body = futures_util::StreamExt::next(&mut sends).await.unwrap();
            acknowledged.insert(body.expect("every send is acknowledged"));
        }
        drop(sends);
        drop(broker);
    }
    let broker = start(&config).await;
    assert_eq!(broker.recovery().cut_messages, 0);
    assert!(broker.shutdown().await.is_clean());
    let all = stored(directory.path());
    let bodies: Vec<_> =
        all.iter().map(|message| String::from_utf8(message.body.to_vec()).unwrap()).collect();
    let distinct: BTreeSet<_> = bodies.iter().cloned().collect();
    assert_eq!(distinct.len(), bodies.len(), "something is there twice");
    let lost: Vec<_> = acknowledged.difference(&distinct).collect();
    assert!(lost.is_empty(), "{lost:?}");
    let mut next = std::collections::BTreeMap::new();
    for message in &all {
        let next = next.entry((message.topic.clone(), message.queue_id)).or_insert(0);
        assert_eq!(message.queue_offset, *next, "offsets go on after a crash, without gaps");
        *next += 1;
    }
}

#[tokio::test]
async fn a_one_way_send_is_stored_though_its_sender_hangs_up_at_once() {
    use tokio::io::AsyncWriteExt as _;
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let broker = start(&config(&names.url, directory.path())).await;
    let mut oneway = command(10, &header("New", 0), "first");
    oneway.mark_oneway();
    let mut bytes = bytes::BytesMut::new();
    signpost_remoting::FrameCodec::default().encode_into(&oneway, &mut bytes).unwrap();
    let mut stream = tokio::net::TcpStream::connect(broker.addr()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    drop(stream);
    // Its topic is made first, and told to the name cluster; by then it has been read.
    names.until("topic made", |asked| !asked.patches.is_empty()).await;
    assert!(broker.shutdown().await.is_clean());
    let bodies: Vec<_> = stored(directory.path()).into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, ["first"]);
}

#[tokio::test]
async fn refusals() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    names.asked.lock().unwrap().routes.insert(
        "ReadOnly".to_owned(),
        r#"{"queueDatas":[{"brokerName":"broker-a","perm":4,"readQueueNums":4,"writeQueueNums":4}]}"#.to_owned(),
    );
    let broker = start(&config(&names.url, directory.path())).await;
    let producer = Producer::new(&broker);
    let timer = {
        let mut header = header("T", 0);
        properties::append(&mut header.properties, "TIMER_DELAY_SEC", "3");
        header
    };
    let half = {
        let mut header = header("T", 0);
        properties::append(&mut header.properties, "TRAN_MSG", "true");
        header
    };
    let long = {
        let mut header = header("T", 0);
        properties::append(&mut header.properties, "K", &"v".repeat(32_767));
        header
    };
    let no_default = {
        let mut header = header("Unknown", 0);
        header.default_topic = String::new();
        header
    };
    for (what, sent, code) in [
        ("queue", command(310, &header("T", 4), "x"), response::SYSTEM_ERROR),
        ("name", command(310, &header("a b", 0), "x"), response::SYSTEM_ERROR),
        ("long name", command(310, &header(&"t".repeat(128), 0), "x"), response::SYSTEM_ERROR),
        ("forbidden", command(10, &header("SELF_TEST_TOPIC", 0), "x"), response::NO_PERMISSION),
        ("marks", command(10, &header("SYS_COMMIT_MARK", 0), "x"), response::NO_PERMISSION),
        ("unknown", command(310, &no_default, "x"), response::TOPIC_NOT_EXIST),
        ("read only", command(310, &header("ReadOnly", 0), "x"), response::NO_PERMISSION),
        ("size", command(310, &header("T", 0), vec![0; 20_000]), response::MESSAGE_ILLEGAL),
        ("properties", command(310, &long, "x"), response::MESSAGE_ILLEGAL),
        ("timer", command(310, &timer, "x"), response::MESSAGE_ILLEGAL),
        ("transaction", command(310, &half, "x"), response::NO_PERMISSION),
        ("batch", command(320, &header("T", 0), "junk"), response::MESSAGE_ILLEGAL),
        ("empty batch", command(320, &header("T", 0), ""), response::MESSAGE_ILLEGAL),
        ("no header", RemotingCommand::request(310), response::SYSTEM_ERROR),
        ("assignment", RemotingCommand::request(400), response::REQUEST_CODE_NOT_SUPPORTED),
        ("nonsense", RemotingCommand::request(-9), response::REQUEST_CODE_NOT_SUPPORTED),
    ] {
        let answer = producer.ask(sent).await;
        assert_eq!(answer.code, code, "{what}: {answer:?}");
        assert!(answer.remark.is_some(), "{what}");
    }
    assert!(broker.shutdown().await.is_clean());
    assert!(stored(directory.path()).is_empty());
}

#[tokio::test]
async fn a_sender_that_leaves_the_queue_to_the_broker_reaches_all_of_them() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let broker = start(&config(&names.url, directory.path())).await;
    let producer = Producer::new(&broker);
    let mut queues = BTreeSet::new();
    for _ in 0..4 {
        let answer = producer.send("T", -1, "x").await;
        queues.insert(SendResponse::decode(&answer.ext).unwrap().queue_id);
    }
    assert_eq!(queues, BTreeSet::from([0, 1, 2, 3]));
}

#[tokio::test]
async fn a_directory_in_use_and_a_slave_are_refused_with_the_reason() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let config = config(&names.url, directory.path());
    let _broker = start(&config).await;
    let error = Broker::start(config.clone()).await.err().unwrap().to_string();
    assert!(error.contains("in use by another broker process"), "{error}");
    let slave = signpost_broker::BrokerConfig { id: 1, ..config };
    let error = Broker::start(slave).await.err().unwrap().to_string();
    assert!(error.contains("can only be a master"), "{error}");
}
