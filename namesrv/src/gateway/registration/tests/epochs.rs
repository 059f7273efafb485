//! When a stock broker's registration begins a new epoch, and what a late unregistration may take
//! away.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};

use signpost_raft::machine::NodeId;

use super::scene::{Scene, Stock, Wire};
use crate::routes::command::{Expire, ExpiryCause, RouteCommand};

#[tokio::test(start_paused = true)]
async fn three_connections_of_one_broker_share_one_epoch() {
    let scene = Scene::new();
    let stock = Stock::new("a", &["T", "U"]);
    let mut wires = scene.broker(&stock).await;
    let epoch = scene.epoch("a");
    for _ in 0..3 {
        for wire in wires.values_mut() {
            wire.register_ok(&stock).await;
            assert_eq!(scene.epoch("a"), epoch);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_process_begins_one_new_epoch_whichever_replica_hears_of_it_first() {
    for first in 1..=3 {
        let scene = Scene::new();
        let stock = Stock::new("a", &["T", "U"]);
        let former = scene.broker(&stock).await;
        let epoch = scene.epoch("a").expect("alive");
        let mut wires = Vec::new();
        for turn in 0..3 {
            let id = (first - 1 + turn) % 3 + 1;
            let mut wire = scene.replica(id).connect();
            wire.register_ok(&stock).await;
            assert!(scene.epoch("a").expect("alive") > epoch, "begun by the first");
            wires.push(wire);
        }
        let begun = scene.epoch("a");
        for wire in &mut wires {
            wire.register_ok(&stock).await;
        }
        assert_eq!(scene.epoch("a"), begun, "the others joined it");
        assert_eq!(scene.leader().log.proposed().len(), 2);
        drop(former);
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_was_restarted_begins_none() {
    let mut scene = Scene::new();
    let stock = Stock::new("a", &["T", "U"]);
    let _wires = scene.broker(&stock).await;
    let epoch = scene.epoch("a");
    scene.replicas.get_mut(&2).expect("it is there").reopen();
    scene.replica(2).connect().register_ok(&stock).await;
    assert_eq!(scene.epoch("a"), epoch);
}

#[tokio::test(start_paused = true)]
async fn an_unregistration_takes_away_what_its_connection_registered() {
    let scene = Scene::new();
    let stock = Stock::new("a", &["T", "U"]);
    let mut wires = scene.broker(&stock).await;
    wires.get_mut(&2).expect("connected").unregister_ok(&stock).await;
    assert!(!scene.is_alive("a"));
    for wire in wires.values_mut() {
        wire.unregister_ok(&stock).await;
    }
    assert_eq!(scene.leader().log.proposed().len(), 4, "idempotent at each replica");
    // The same process may come back on the same connection.
    wires.get_mut(&2).expect("connected").register_ok(&stock).await;
    assert!(scene.is_alive("a"));
    wires.get_mut(&2).expect("connected").unregister_ok(&stock).await;
    assert!(!scene.is_alive("a"));
}

#[tokio::test(start_paused = true)]
async fn an_unregistration_of_another_address_or_connection_takes_nothing_away() {
    let scene = Scene::new();
    let stock = Stock::new("a", &["T", "U"]);
    let mut wires = scene.broker(&stock).await;
    scene.leader().connect().unregister_ok(&stock).await;
    let mut other = stock.clone();
    other.header.broker_addr = "elsewhere:1".into();
    wires.get_mut(&1).expect("connected").unregister_ok(&other).await;
    assert!(scene.is_alive("a"));
}

#[tokio::test(start_paused = true)]
async fn a_late_unregistration_of_the_former_process_takes_nothing_away() {
    let scene = Scene::new();
    let stock = Stock::new("a", &["T", "U"]);
    let mut former = scene.broker(&stock).await;
    let _wires = scene.broker(&stock).await;
    // It repeats itself once more before it goes: that does not make the new epoch its own.
    for wire in former.values_mut() {
        wire.register_ok(&stock).await;
    }
    for wire in former.values_mut() {
        wire.unregister_ok(&stock).await;
        assert!(scene.is_alive("a"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_unregistration_waits_for_the_registration_before_it() {
    let scene = Scene::new();
    let stock = Stock::new("a", &["T", "U"]);
    let mut wire = scene.replica(2).connect();
    wire.send(stock.registration()).await;
    wire.send(stock.unregistration()).await;
    wire.receive().await.expect("an answer");
    wire.receive().await.expect("an answer");
    assert!(!scene.is_alive("a"));
}

/// What the former process and the scanner still have to say, and the new process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    LateRepeat(NodeId),
    LateUnregister(NodeId),
    LateClose(NodeId),
    LateExpiry,
    Register(NodeId),
}

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// apache/rocketmq#11043: a late unregistration or expiry against a fresh registration. From the
/// first acknowledged registration of the new process on it is never missing, whatever the order.
#[tokio::test(start_paused = true)]
async fn in_a_thousand_random_orders_a_live_broker_is_never_missing() {
    let seed = std::env::var("RACE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| RandomState::new().hash_one("seed"));
    for round in 0..1_000 {
        let mut rng = Rng(seed.wrapping_add(round));
        race(&mut rng).await.unwrap_or_else(|why| panic!("RACE_SEED={seed}, round {round}: {why}"));
    }
}

async fn race(rng: &mut Rng) -> Result<(), String> {
    let scene = Scene::new();
    let stock = Stock::new("a", &["T", "U"]);
    let mut former = scene.broker(&stock).await;
    let epoch = scene.epoch("a").expect("alive");
    let mut fresh: BTreeMap<NodeId, Wire> = BTreeMap::new();
    let mut steps = vec![Step::LateExpiry];
    for id in 1..=3 {
        steps.extend([Step::Register(id), Step::LateUnregister(id)]);
        if rng.below(2) == 0 {
            steps.push(Step::LateRepeat(id));
        }
        if rng.below(2) == 0 {
            steps.push(Step::LateClose(id));
        }
    }
    for last in (1..steps.len()).rev() {
        steps.swap(last, rng.below(last + 1));
    }
    let mut is_registered = false;
    for (done, step) in steps.iter().enumerate() {
        match *step {
            Step::LateRepeat(id) => {
                if let Some(wire) = former.get_mut(&id) {
                    wire.try_ask(stock.registration()).await;
                }
            }
            Step::LateUnregister(id) => {
                if let Some(wire) = former.get_mut(&id) {
                    wire.try_ask(stock.unregistration()).await;
                }
            }
            Step::LateClose(id) => {
                former.remove(&id);
            }
            Step::LateExpiry => {
                let (key, cause) = (super::scene::key("a", 0), ExpiryCause::Silent);
                scene.leader().log.apply(RouteCommand::Expire(Expire { key, epoch, cause }));
            }
            Step::Register(id) => {
                let mut wire = scene.replica(id).connect();
                wire.register_ok(&stock).await;
                fresh.insert(id, wire);
                is_registered = true;
            }
        }
        if is_registered && !scene.is_alive("a") {
            return Err(format!("missing after step {done} of {steps:?}"));
        }
    }
    Ok(())
}
