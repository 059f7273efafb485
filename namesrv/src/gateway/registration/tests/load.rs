//! Many brokers with many topics, which repeat themselves all the time.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;

use super::scene::{Scene, Stock};
use crate::fake_log::{Fate, Proposals, Rounds};

async fn repeats_write_nothing(brokers: usize, topics: usize, repeats: usize) {
    let scene = Scene::new();
    let topics: Vec<String> = (0..topics).map(|number| format!("Topic-{number:05}")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let mut wires = BTreeMap::new();
    for number in 0..brokers {
        let stock = Stock::new(&format!("broker-{number:03}"), &topics);
        wires.insert(number, (scene.broker(&stock).await, stock));
    }
    let (index, log) = (scene.leader().log.last_index(), &scene.leader().log);
    for _ in 0..repeats {
        sleep(Duration::from_secs(30)).await;
        for (wires, stock) in wires.values_mut() {
            for wire in wires.values_mut() {
                wire.register_ok(stock).await;
            }
        }
    }
    assert_eq!(log.last_index(), index, "the log has grown");
    let (wires, stock) = wires.get_mut(&0).expect("the first");
    let changed = stock.clone().and("one-more");
    for wire in wires.values_mut() {
        wire.register_ok(&changed).await;
    }
    assert_eq!(log.last_index(), index + 1);
    let bytes = signpost_raft::codec::encode(log.proposed().last().expect("proposed"));
    assert!(bytes.expect("small").len() < 1024);
}

#[tokio::test(start_paused = true)]
async fn twenty_brokers_of_five_hundred_topics_write_nothing() {
    repeats_write_nothing(20, 500, 3).await;
}

/// Issue size; minutes without optimisation.
#[tokio::test(start_paused = true)]
#[ignore = "full size: run with --release -- --ignored"]
async fn two_hundred_brokers_of_five_thousand_topics_write_nothing() {
    repeats_write_nothing(200, 5_000, 3).await;
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
