//! Old messages and a full disk, as clients see them.

mod support;

use std::time::Duration;

use signpost_broker::{Broker, BrokerConfig};
use signpost_remoting::response;
use support::{Consumer, Names, Producer, config, start};

async fn until_answered(producer: &Producer, code: i32) -> String {
    for _ in 0..1000 {
        let answer = producer.send("T", 1, "hello").await;
        if answer.code == code {
            return answer.remark.unwrap_or_default();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("ten seconds, and a send is not answered {code}");
}

async fn restarted(broker: Broker, config: &BrokerConfig) -> Broker {
    assert!(broker.shutdown().await.is_clean());
    start(config).await
}

#[tokio::test]
async fn a_pull_of_what_has_gone_is_told_where_to_go_on() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let config = config(&names.url, directory.path());
    let broker = start(&config).await;
    let producer = Producer::new(&broker);
    let body = "x".repeat(10_000);
    for _ in 0..40 {
        assert_eq!(producer.send("T", 0, &body).await.code, 0);
    }
    // What is older than a moment goes; a broker looks when it starts, and then every ten seconds.
    let short = BrokerConfig { delay_levels_ms: vec![1], retention_ms: 2, ..config.clone() };
    let broker = restarted(broker, &short).await;
    let consumer = Consumer::new(&broker, "G", "c");
    consumer.subscribe(&[("T", "*")]).await;
    for turn in 0.. {
        let pulled = consumer.pull("T", 0, 0).await;
        if pulled.code == response::PULL_OFFSET_MOVED {
            assert_eq!(pulled.remark, "OFFSET_TOO_SMALL");
            assert!(pulled.min > 0 && pulled.next == pulled.min && pulled.max == 40);
            let rest = consumer.pull("T", 0, pulled.next).await;
            assert_eq!((rest.code, rest.messages[0].queue_offset), (0, pulled.min));
            break;
        }
        assert!(turn < 1000, "ten seconds, and nothing has gone: {}", pulled.code);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let minimum = consumer.call(31, &[("topic", "T"), ("queueId", "0")]).await;
    assert!(minimum.ext.get("offset").unwrap().parse::<i64>().unwrap() > 0);
    assert!(broker.shutdown().await.is_clean());
}

#[tokio::test]
async fn a_disk_above_its_mark_refuses_sends_and_serves_pulls() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let config = config(&names.url, directory.path());
    let broker = start(&config).await;
    assert_eq!(Producer::new(&broker).send("T", 1, "hello").await.code, 0);
    // Every disk is used a little.
    let full = BrokerConfig { disk_clean_above: 0.0, disk_refuse_above: 0.0, ..config.clone() };
    let broker = restarted(broker, &full).await;
    let said = until_answered(&Producer::new(&broker), response::SERVICE_NOT_AVAILABLE).await;
    assert!(said.contains("of the broker's disk are used"), "{said}");
    let consumer = Consumer::new(&broker, "G", "c");
    consumer.subscribe(&[("T", "*")]).await;
    assert_eq!(consumer.pull("T", 1, 0).await.code, 0, "the segment that is written stays");
    let broker = restarted(broker, &config).await;
    until_answered(&Producer::new(&broker), 0).await;
    assert!(broker.shutdown().await.is_clean());
}
