//! What operators and `mqadmin` ask of a broker, and its metrics.

mod support;

use signpost_remoting::{RemotingCommand, response};
use support::{Consumer, Names, Producer, config, start};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn text(answer: &RemotingCommand) -> String {
    assert_eq!(answer.code, 0, "{answer:?}");
    String::from_utf8(answer.body.to_vec()).unwrap()
}

fn topic<'a>(name: &'a str, queues: &'a str, perm: &'a str) -> [(&'a str, &'a str); 7] {
    [
        ("topic", name),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", queues),
        ("writeQueueNums", queues),
        ("perm", perm),
        ("topicFilterType", "SINGLE_TAG"),
        ("order", "false"),
    ]
}

#[tokio::test]
async fn topics_are_made_changed_shown_and_deleted_and_the_name_cluster_knows() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let config = config(&names.url, directory.path());
    let broker = start(&config).await;
    let (producer, operator) = (Producer::new(&broker), Consumer::new(&broker, "g", "c"));
    names.until("registered", |asked| asked.registrations.len() == 1).await;
    assert_eq!(operator.call(17, &topic("Made", "3", "6")).await.code, 0);
    assert_eq!(
        text(&operator.call(351, &[("topic", "Made"), ("lo", "true")]).await),
        r#"{"attributes":{},"order":false,"perm":6,"readQueueNums":3,"topicFilterType":"SINGLE_TAG","topicName":"Made","topicSysFlag":0,"writeQueueNums":3}"#
    );
    assert_eq!(producer.send("Made", 2, "x").await.code, 0);
    assert_eq!(operator.call(17, &topic("Made", "3", "4")).await.code, 0);
    assert_eq!(producer.send("Made", 2, "x").await.code, response::NO_PERMISSION);
    for wrong in [
        topic("Made", "0", "6"),
        topic("Made", "100000", "6"),
        topic("Made", "-1", "6"),
        topic("Made", "3", "9"),
        topic("a b", "3", "6"),
        topic("TBW102", "3", "6"),
        topic("SCHEDULE_TOPIC_XXXX", "3", "6"),
    ] {
        assert_eq!(operator.call(17, &wrong).await.code, 1, "{wrong:?}");
    }
    assert_eq!(operator.call(215, &[("topic", "broker-a")]).await.code, 1);
    operator.subscribe(&[("Made", "*")]).await;
    assert_eq!(operator.pull("Made", 2, 0).await.bodies(), ["x"]);
    assert_eq!(operator.call(215, &[("topic", "Made")]).await.code, 0);
    assert_eq!(operator.call(351, &[("topic", "Made")]).await.code, 17);
    assert_eq!(operator.pull("Made", 2, 0).await.code, 17);
    assert_eq!(operator.call(215, &[("topic", "Made")]).await.code, 0, "it is gone");
    names
        .until("told of it all", |asked| {
            let told = asked.patches.iter().filter_map(|patch| patch.topics.get("Made"));
            let told: Vec<_> = told.collect();
            told.last() == Some(&&None) && told.len() >= 2
        })
        .await;
    // Made anew it is empty.
    assert_eq!(operator.call(17, &topic("Made", "3", "6")).await.code, 0);
    assert_eq!(operator.pull("Made", 2, 0).await.remark, "NO_MESSAGE_IN_QUEUE");
}

#[tokio::test]
async fn queues_groups_and_progress_are_shown_as_mqadmin_reads_them() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let broker = start(&config(&names.url, directory.path())).await;
    let (producer, consumer) = (Producer::new(&broker), Consumer::new(&broker, "g", "c1"));
    for _ in 0..3 {
        assert_eq!(producer.send("T", 1, "x").await.code, 0);
    }
    consumer.subscribe(&[("T", "*")]).await;
    let last = consumer.pull("T", 1, 0).await.messages[2].store_timestamp_ms;
    let stats = text(&consumer.call(202, &[("topic", "T")]).await);
    let queue = format!(
        r#"{{"brokerName":"broker-a","queueId":1,"topic":"T"}}:{{"lastUpdateTimestamp":{last},"maxOffset":3,"minOffset":0}}"#
    );
    assert!(
        stats.starts_with(r#"{"offsetTable":{{"brokerName":"broker-a","queueId":0"#),
        "{stats}"
    );
    assert!(stats.contains(&queue) && stats.matches("queueId").count() == 4, "{stats}");
    assert_eq!(consumer.call(202, &[("topic", "Nowhere")]).await.code, 17);

    let commit = [("consumerGroup", "g"), ("topic", "T"), ("queueId", "1"), ("commitOffset", "2")];
    assert_eq!(consumer.call(15, &commit).await.code, 0);
    let progress = text(&consumer.call(208, &[("consumerGroup", "g")]).await);
    let head = r#"{"brokerName":"broker-a","queueId":1,"topic":"T"}:{"brokerOffset":3,"consumerOffset":2,"lastTimestamp":"#;
    assert!(progress.contains(head), "{progress}");
    let nobody = text(&consumer.call(208, &[("consumerGroup", "other")]).await);
    assert_eq!(nobody, r#"{"consumeTps":0.0,"offsetTable":{}}"#);

    let connections = text(&consumer.call(203, &[("consumerGroup", "g")]).await);
    for part in [
        r#""clientId":"c1","language":"JAVA","version":409}"#,
        r#""consumeType":"CONSUME_PASSIVELY","messageModel":"CLUSTERING""#,
        r#""subscriptionTable":{"T":{"#,
    ] {
        assert!(connections.contains(part), "{connections}");
    }
    let offline = consumer.call(203, &[("consumerGroup", "other")]).await;
    assert_eq!(offline.code, 206);
    assert_eq!(offline.remark.as_deref(), Some("the consumer group[other] not online"));
    assert_eq!(consumer.call(204, &[("producerGroup", "p")]).await.code, 1);
    let beat = r#"{"clientID":"p1","producerDataSet":[{"groupName":"p"}]}"#;
    assert_eq!(producer.ask(RemotingCommand::request(34).with_body(beat)).await.code, 0);
    let producers = text(&consumer.call(204, &[("producerGroup", "p")]).await);
    assert!(producers.contains(r#""clientId":"p1""#), "{producers}");
    let who = text(&consumer.call(300, &[("topic", "T")]).await);
    assert_eq!(who, r#"{"groupList":["g"]}"#);

    let changed = r#"{"groupName":"g","retryMaxTimes":3}"#;
    assert_eq!(consumer.ask(RemotingCommand::request(200).with_body(changed)).await.code, 0);
    let all = text(&consumer.call(201, &[]).await);
    assert!(all.contains(r#""groupName":"g""#) && all.contains(r#""retryMaxTimes":3"#), "{all}");
    let one = text(&consumer.call(352, &[("group", "g")]).await);
    assert!(one.contains(r#""retryMaxTimes":3"#), "{one}");
    let delete = [("groupName", "g"), ("cleanOffset", "true")];
    assert_eq!(consumer.call(207, &delete).await.code, 0);
    assert_eq!(consumer.call(352, &[("group", "g")]).await.code, 26);
    let gone = text(&consumer.call(208, &[("consumerGroup", "g")]).await);
    assert!(!gone.contains("queueId"), "{gone}");

    let shown = text(&consumer.call(28, &[]).await);
    let table: serde_json::Value = serde_json::from_str(&shown).unwrap();
    for key in [
        "brokerVersionDesc",
        "putTps",
        "getTransferedTps",
        "getTransferredTps",
        "sendThreadPoolQueueSize",
        "pullThreadPoolQueueSize",
        "sendThreadPoolQueueHeadWaitTimeMills",
        "pullThreadPoolQueueHeadWaitTimeMills",
        "pageCacheLockTimeMills",
        "earliestMessageTimeStamp",
        "commitLogDiskRatio",
        "brokerActive",
        "msgPutTotalYesterdayMorning",
        "msgGetTotalTodayNow",
    ] {
        assert!(table["table"][key].is_string(), "{key} in {shown}");
    }
    assert_eq!(table["table"]["msgPutTotalTodayNow"], "3");
}

#[tokio::test]
async fn metrics_have_rocketmq_s_names() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let mut config = config(&names.url, directory.path());
    config.metrics_listen = Some("127.0.0.1:0".to_owned());
    let broker = start(&config).await;
    let (producer, consumer) = (Producer::new(&broker), Consumer::new(&broker, "g", "c"));
    for body in ["a", "bcd"] {
        assert_eq!(producer.send("T", 0, body).await.code, 0);
    }
    consumer.subscribe(&[("T", "*")]).await;
    assert_eq!(consumer.pull("T", 0, 0).await.messages.len(), 2);
    let commit = [("consumerGroup", "g"), ("topic", "T"), ("queueId", "0"), ("commitOffset", "1")];
    assert_eq!(consumer.call(15, &commit).await.code, 0);
    let mut stream = TcpStream::connect(broker.metrics_addr().unwrap()).await.unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    let labels = r#"cluster="DefaultCluster",node_type="broker",node_id="broker-a""#;
    for line in [
        format!(r#"rocketmq_messages_in_total{{{labels},topic="T",is_system="false"}} 2"#),
        format!(r#"rocketmq_throughput_in_total{{{labels},topic="T",is_system="false"}} 4"#),
        format!(
            r#"rocketmq_messages_out_total{{{labels},topic="T",consumer_group="g",is_retry="false"}} 2"#
        ),
        format!(r#"rocketmq_consumer_lag_messages{{{labels},topic="T",consumer_group="g"}} 1"#),
        format!(r#"rocketmq_consumer_connections{{{labels},consumer_group="g"}} 1"#),
        format!(r#"rocketmq_processor_watermark{{{labels},processor="held_pull"}} 0"#),
        format!("rocketmq_broker_permission{{{labels}}} 6"),
        format!("rocketmq_consumer_group_number{{{labels}}} 1"),
    ] {
        assert!(said.contains(&line), "{line}\nin\n{said}");
    }
    assert!(said.contains("rocketmq_storage_size{") && said.starts_with("HTTP/1.1 200"), "{said}");
    assert!(broker.shutdown().await.is_clean());
}
