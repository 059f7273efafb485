//! Heartbeats: to the masters of all topics in use, again and again, and a last word.

use std::time::Duration;

use signpost_producer::ProducerConfig;

use crate::broker::{Broker, Mode};
use crate::{config, message, put, stage, until};

const HEART_BEAT: i32 = 34;
const UNREGISTER_CLIENT: i32 = 35;

#[tokio::test]
async fn all_masters_of_the_topics_in_use_are_told_and_at_the_end_too() {
    let often = ProducerConfig {
        group: "orders".into(),
        heartbeat_interval: Duration::from_millis(50),
        ..config()
    };
    let stage = stage(2, often).await;
    stage.producer.send(&message("x")).await.unwrap();
    for broker in &stage.brokers {
        let beats = until("three heartbeats", || {
            let beats = broker.others(HEART_BEAT);
            (beats.len() >= 3).then_some(beats)
        })
        .await;
        let body: serde_json::Value = serde_json::from_slice(&beats[0].body).unwrap();
        assert_eq!(body["producerDataSet"][0]["groupName"], "orders");
        assert!(body["consumerDataSet"].as_array().unwrap().is_empty());
        let id = body["clientID"].as_str().unwrap();
        assert!(id.starts_with("127.0.0.1@"), "{id}");
        assert!(broker.others(UNREGISTER_CLIENT).is_empty());
    }
    stage.producer.close().await;
    for broker in &stage.brokers {
        let [farewell] = &broker.others(UNREGISTER_CLIENT)[..] else { panic!("one last word") };
        assert_eq!(farewell.ext.get("producerGroup"), Some("orders"));
        assert!(farewell.ext.get("clientID").unwrap().starts_with("127.0.0.1@"));
    }
}

#[tokio::test]
async fn a_broker_that_enters_a_route_is_told_at_once_and_no_hung_one_holds_up_the_others() {
    let stage = stage(1, config()).await;
    stage.producer.send(&message("x")).await.unwrap();
    until("the first", || stage.brokers[0].others(HEART_BEAT).pop()).await;
    stage.brokers[0].set(Mode::Hung);
    let late = Broker::start().await;
    let both =
        [("b0".into(), stage.brokers[0].address.clone()), ("b1".into(), late.address.clone())];
    put(&stage.names, "t", &both);
    until("the second", || late.others(HEART_BEAT).pop()).await;
    drop(stage.producer);
    until("a last word without close", || late.others(UNREGISTER_CLIENT).pop()).await;
}
