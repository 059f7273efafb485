//! Many brokers with many topics, which repeat themselves all the time.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::scene::{Scene, Stock};
use crate::fake_log::{Fate, Proposals, Rounds};

/// Topics of each broker, unless the environment says so: 5,000 are compared in the same way, and take
/// minutes without optimisation.
const TOPICS: usize = 500;
/// Names how many it shall be.
const TOPICS_VARIABLE: &str = "SIGNPOST_LOAD_TOPICS";

#[tokio::test(start_paused = true)]
async fn two_hundred_brokers_that_repeat_themselves_to_three_replicas_write_nothing() {
    let scene = Scene::new();
    let count =
        std::env::var(TOPICS_VARIABLE).map_or(TOPICS, |text| text.parse().expect("how many"));
    let topics: Vec<String> = (0..count).map(|number| format!("Topic-{number:05}")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    // All have the same topics, and so the same body; encoding it is no part of what is tested.
    let like = Stock::new("like all others", &topics);
    let body = Bytes::from(like.body.encode_json(like.version));
    let mut brokers = Vec::new();
    for number in 0..200 {
        let registration = Stock::new(&format!("b{number:03}"), &[]).registration_of(body.clone());
        let mut wires = Vec::new();
        for replica in scene.replicas.values() {
            let mut wire = replica.connect();
            wire.ask_ok(registration.clone()).await;
            wires.push(wire);
        }
        brokers.push((registration, wires));
    }
    let log = &scene.leader().log;
    let index = log.last_index();
    for _ in 0..3 {
        sleep(Duration::from_secs(30)).await;
        for (registration, wires) in &mut brokers {
            for wire in wires {
                wire.ask_ok(registration.clone()).await;
            }
        }
    }
    assert_eq!(log.last_index(), index, "the log has grown");
    let changed = Stock { header: Stock::new("b000", &[]).header, ..like.and("one-more") };
    for wire in &mut brokers[0].1 {
        wire.register_ok(&changed).await;
    }
    assert_eq!(log.last_index(), index + 1);
    let bytes = signpost_raft::codec::encode(log.proposed().last().expect("proposed"));
    assert!(bytes.expect("small").len() < 1024);
}

#[tokio::test(start_paused = true)]
async fn repeats_that_wait_for_the_leader_share_its_rounds() {
    let scene = Scene::new();
    let stocks: Vec<Stock> =
        (0..100).map(|number| Stock::new(&format!("b{number:03}"), &["T", "U"])).collect();
    let mut wires = Vec::new();
    for stock in &stocks {
        let mut wire = scene.replica(2).connect();
        for _ in 0..2 {
            wire.register_ok(stock).await;
        }
        wires.push(wire);
    }
    scene.leader().log.set_rounds(Rounds::Delay(Duration::from_millis(20)));
    let (forwards, renewed) = {
        let counters = scene.replica(2).service.counters();
        (counters.forwards, scene.leader().service.counters().renewed)
    };
    for (wire, stock) in wires.iter_mut().zip(&stocks) {
        wire.send(stock.registration()).await;
    }
    for wire in &mut wires {
        assert_eq!(wire.receive().await.expect("an answer").code, 0);
    }
    assert_eq!(scene.leader().service.counters().renewed - renewed, 100);
    let calls = scene.replica(2).service.counters().forwards - forwards;
    assert!(calls <= 3, "{calls} calls for 100 repeats that came at once");
}

#[tokio::test(start_paused = true)]
async fn registrations_that_do_not_fit_memory_together_wait_for_each_other() {
    // Each takes a quarter of what may be in hand.
    let scene = Scene::with(|config| config.limits.registration_bytes = 64 * 1024);
    let log = &scene.leader().log;
    log.set_proposals(Proposals::Hold);
    let mut wires = Vec::new();
    for number in 0..12 {
        let mut wire = scene.replica(2).connect();
        wire.send(Stock::new(&format!("b{number:02}"), &["T", "U"]).registration()).await;
        wires.push(wire);
    }
    scene.until(Duration::from_secs(1), |_| log.held() == 4).await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(log.held(), 4);
    for _ in 0..12 {
        scene.until(Duration::from_secs(1), |_| log.held() > 0).await;
        log.settle(Fate::Apply);
    }
    for wire in &mut wires {
        assert_eq!(wire.receive().await.expect("an answer").code, 0);
    }
}
