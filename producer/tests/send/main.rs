//! Sends through a fake name cluster to fake brokers over real TCP. One capability, one file.

mod broker;
#[path = "../../../client/tests/fake/mod.rs"]
mod fake;
mod heartbeats;
mod hooks;
mod modes;
mod retries;
mod routes;
mod way;

use std::fmt::Debug;
use std::time::Duration;

use broker::Broker;
use fake::Fake;
use signpost_producer::{Message, Producer, ProducerConfig, TopicQueues};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

struct Stage {
    names: Fake,
    brokers: Vec<Broker>,
    producer: Producer,
}

fn config() -> ProducerConfig {
    ProducerConfig {
        attempt_timeout: Duration::from_millis(300),
        seed: Some(0),
        ..ProducerConfig::default()
    }
}

/// Brokers `b0`, `b1`, … that all have topic `t`, four queues each.
async fn stage(brokers: usize, config: ProducerConfig) -> Stage {
    let names = Fake::new(3);
    let mut started = Vec::new();
    for _ in 0..brokers {
        started.push(Broker::start().await);
    }
    let stage_route = |stage: &[Broker]| -> Vec<(String, String)> {
        stage.iter().enumerate().map(|(n, b)| (format!("b{n}"), b.address.clone())).collect()
    };
    put(&names, "t", &stage_route(&started));
    let client = names.client(signpost_client::Options::default());
    let producer = Producer::start(&client, config).expect("a sound configuration");
    Stage { names, brokers: started, producer }
}

fn put(names: &Fake, topic: &str, brokers: &[(String, String)]) {
    let brokers: Vec<_> = brokers.iter().map(|(n, a)| (n.as_str(), a.as_str())).collect();
    names.put_route(topic, &brokers);
}

fn message(body: &str) -> Message {
    Message::new("t", body.to_owned())
}

/// Waits until the producer's route of `t` has this many queues.
async fn until_queues(producer: &Producer, count: usize) {
    let mut routes = producer.routes();
    let told = routes.wait_for(|table| {
        let route = table.routes.get("t").and_then(Option::as_ref);
        route.map(|route| TopicQueues::of(route).len()) == Some(count)
    });
    timeout(PATIENCE, told).await.expect("in time").expect("the watch lives");
}

/// Looks until there is an answer.
async fn until<T: Debug>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            match look() {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    };
    timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}
