//! Brokers that close all their connections are gone at once; whatever else ends a connection says
//! nothing about them.

use std::collections::BTreeMap;
use std::time::Duration;

use signpost_raft::machine::NodeId;
use signpost_remoting::response;
use tokio::time::sleep;

use super::scene::{Scene, Stock, Wire};
use crate::alarms::MASS_EXPIRY;
use crate::fake_log::{Calls, Rounds};
use crate::routes::command::{ExpiryCause, RouteCommand};

const GRACE: Duration = Duration::from_secs(1);
/// The grace, one question to each member, and one commit.
const SOON: Duration = Duration::from_millis(1_400);
const LONG: Duration = Duration::from_secs(60);

fn stock() -> Stock {
    Stock::new("a", &["T", "U"])
}

async fn registered(scene: &Scene) -> BTreeMap<NodeId, Wire> {
    let wires = scene.broker(&stock()).await;
    // The doors have learned since when they watch.
    sleep(Duration::from_millis(100)).await;
    wires
}

/// Nothing happens to it for a long while.
async fn lives_on(scene: &Scene) {
    sleep(LONG).await;
    assert!(scene.is_alive("a"));
    assert_eq!(scene.expiries(), 0);
}

/// Nothing happens to it until its lease ends.
async fn stays(scene: &Scene) {
    lives_on(scene).await;
    scene.until(Duration::from_secs(100), |scene| !scene.is_alive("a")).await;
}

#[tokio::test(start_paused = true)]
async fn who_closes_all_connections_is_gone_after_the_grace_and_not_before() {
    let scene = Scene::new();
    let wires = registered(&scene).await;
    drop(wires);
    sleep(GRACE - Duration::from_millis(50)).await;
    assert!(scene.is_alive("a"));
    scene.until(SOON - GRACE, |scene| !scene.is_alive("a")).await;
    let proposed = scene.leader().log.proposed();
    let Some(RouteCommand::Expire(expire)) = proposed.last() else { panic!("{proposed:?}") };
    assert_eq!(expire.cause, ExpiryCause::Closed);
    assert_eq!(scene.leader().service.counters().expired_closed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_knows_two_of_three_replicas_can_leave_too() {
    let scene = Scene::new();
    sleep(Duration::from_millis(100)).await;
    for id in 2..=3 {
        scene.replica(id).connect().register_ok(&stock()).await;
    }
    scene.until(SOON, |scene| scene.expiries() == 1).await;
    assert!(!scene.is_alive("a"));
}

#[tokio::test(start_paused = true)]
async fn one_open_connection_keeps_it_and_its_end_takes_it() {
    let scene = Scene::new();
    let mut wires = registered(&scene).await;
    wires.remove(&1);
    wires.remove(&3);
    sleep(LONG).await;
    assert!(scene.is_alive("a"));
    drop(wires);
    scene.until(SOON, |scene| !scene.is_alive("a")).await;
}

#[tokio::test(start_paused = true)]
async fn one_open_connection_of_an_earlier_epoch_keeps_it_too() {
    let scene = Scene::new();
    let mut wires = registered(&scene).await;
    // Reconnected to replica 2 alone: an epoch that only this connection has renewed.
    wires.remove(&2);
    let mut again = scene.replica(2).connect();
    again.register_ok(&stock()).await;
    drop(again);
    sleep(Duration::from_secs(20)).await;
    assert!(scene.is_alive("a"), "it repeats itself to the others any time now");
    for wire in wires.values_mut() {
        wire.register_ok(&stock()).await;
    }
    drop(wires);
    scene.until(SOON, |scene| !scene.is_alive("a")).await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_within_the_grace_stays() {
    let scene = Scene::new();
    drop(registered(&scene).await);
    sleep(GRACE / 2).await;
    let _wire = {
        let mut wire = scene.replica(3).connect();
        wire.register_ok(&stock()).await;
        wire
    };
    lives_on(&scene).await;
}

#[tokio::test(start_paused = true)]
async fn who_is_about_to_come_back_stays() {
    let scene = Scene::new();
    drop(registered(&scene).await);
    // Its registration has arrived, and is not answered before the grace has passed.
    let mut wire = scene.replica(3).connect();
    scene.replica(3).log.set_status(|status| status.leader = None);
    wire.send(stock().registration()).await;
    sleep(GRACE * 2).await;
    assert!(scene.is_alive("a"));
    scene.replica(3).log.set_status(|status| status.leader = Some(1));
    assert_eq!(wire.receive().await.expect("an answer").code, response::SUCCESS);
    assert_eq!(scene.expiries(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_grace_only_the_lease_ends_it() {
    let scene = Scene::with(|config| config.remoting.close_grace = Duration::ZERO);
    drop(registered(&scene).await);
    stays(&scene).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_replica_vetoes() {
    let scene = Scene::new();
    let wires = registered(&scene).await;
    // The leader hears of it, and can ask nobody.
    scene.leader().log.set_calls(Calls::Refuse);
    drop(wires);
    lives_on(&scene).await;
    scene.leader().log.set_calls(Calls::Deliver);
    scene.until(2 * SOON, |scene| !scene.is_alive("a")).await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_was_restarted_vetoes_until_the_broker_has_been_there_again() {
    for has_been_there in [false, true] {
        let scene = Scene::new();
        let wires = registered(&scene).await;
        drop(wires);
        // What a door says that opened after this epoch had begun.
        let witness = scene.replica(2).registrations.book.clone();
        *witness.lock() = super::super::ledger::Ledger::new();
        witness.lock().set_since(scene.leader().log.last_index());
        if has_been_there {
            scene.replica(2).connect().register_ok(&stock()).await;
            scene.until(2 * SOON, |scene| !scene.is_alive("a")).await;
        } else {
            stays(&scene).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_draining_door_says_nothing_of_brokers() {
    let scene = Scene::new();
    let wires = registered(&scene).await;
    scene.replica(2).stop.cancel();
    sleep(Duration::from_millis(100)).await;
    drop(wires);
    stays(&scene).await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_gave_up_waiting_for_an_answer_stays() {
    let scene = Scene::new();
    let mut wires = registered(&scene).await;
    scene.leader().log.set_rounds(Rounds::Hold);
    for wire in wires.values_mut() {
        wire.send(stock().registration()).await;
    }
    sleep(Duration::from_secs(3)).await;
    drop(wires);
    scene.leader().log.set_rounds(Rounds::Confirm);
    lives_on(&scene).await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_was_answered_an_error_stays() {
    let scene = Scene::new();
    let mut wires = registered(&scene).await;
    scene.leader().log.set_rounds(Rounds::Hold);
    let wire = wires.get_mut(&2).expect("connected");
    assert_eq!(wire.register(&stock()).await.code, response::SYSTEM_ERROR);
    drop(wires);
    scene.leader().log.set_rounds(Rounds::Confirm);
    lives_on(&scene).await;
}

#[tokio::test(start_paused = true)]
async fn in_a_new_term_the_leader_is_told_again() {
    let scene = Scene::new();
    let wires = registered(&scene).await;
    drop(wires);
    sleep(GRACE / 2).await;
    // Whatever was told in the former term is void.
    for replica in scene.replicas.values() {
        replica.log.begin_term(2, 1);
    }
    sleep(GRACE - Duration::from_millis(50)).await;
    assert!(scene.is_alive("a"), "a full grace in the new term");
    scene.until(SOON, |scene| !scene.is_alive("a")).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_told_in_a_former_term_is_not_judged_in_a_new_one() {
    let scene = Scene::new();
    sleep(Duration::from_millis(100)).await;
    for id in 2..=3 {
        scene.replica(id).connect().register_ok(&stock()).await;
    }
    sleep(GRACE / 2).await;
    // The same leader again, whom the doors cannot tell anew for a while.
    for id in 2..=3 {
        scene.replica(id).log.set_calls(Calls::Refuse);
    }
    for replica in scene.replicas.values() {
        replica.log.begin_term(2, 1);
    }
    lives_on(&scene).await;
    for id in 2..=3 {
        scene.replica(id).log.set_calls(Calls::Deliver);
    }
    scene.until(SOON, |scene| !scene.is_alive("a")).await;
}

#[tokio::test(start_paused = true)]
async fn when_too_many_leave_at_once_the_brake_holds_before_the_first_is_gone() {
    let scene = Scene::new();
    let mut brokers = BTreeMap::new();
    for number in 0..20 {
        let name = format!("b{number:02}");
        let stock = Stock::new(&name, &["T", "U"]);
        brokers.insert(name, scene.broker(&stock).await);
    }
    // They are alive for longer than a ttl.
    for _ in 0..6 {
        sleep(Duration::from_secs(30)).await;
        for (name, wires) in &mut brokers {
            for wire in wires.values_mut() {
                wire.register_ok(&Stock::new(name, &["T", "U"])).await;
            }
        }
    }
    let mut leaving: Vec<String> = brokers.keys().take(12).cloned().collect();
    let staying = brokers.split_off(&leaving[11]);
    leaving.pop();
    assert_eq!((leaving.len(), brokers.len(), staying.len()), (11, 11, 9));
    for name in &leaving {
        brokers.remove(name);
        sleep(Duration::from_millis(50)).await;
    }
    sleep(Duration::from_secs(10)).await;
    let alive = scene.leader().service.reads().peek().tables.registrations().count();
    assert_eq!(alive, 20);
    let service = &scene.leader().service;
    let alarms = service.alarms(service.deadline(None)).await.expect("the leader's");
    assert!(alarms.iter().any(|alarm| alarm.kind == MASS_EXPIRY), "{alarms:?}");
    service.release_alarm(MASS_EXPIRY.into(), service.deadline(None)).await.expect("it stood");
    scene.until(Duration::from_secs(5), |scene| scene.expiries() == 11).await;
    drop(staying);
}

#[tokio::test(start_paused = true)]
async fn a_silent_broker_that_expired_is_told_by_closing_its_connections() {
    // Before the door closes the connection because nothing moves on it.
    let scene = Scene::with(|config| config.timings.lease_ttl = Duration::from_secs(60));
    let mut wires = registered(&scene).await;
    let wire = wires.get_mut(&1).expect("connected");
    assert!(!wire.closes_within(Duration::from_secs(55)).await);
    assert!(wire.closes_within(Duration::from_secs(30)).await);
    assert!(!scene.is_alive("a"));
    // It wakes, and is back with its next registration.
    let mut again = scene.leader().connect();
    again.register_ok(&stock()).await;
    assert!(scene.is_alive("a"));
    assert!(!again.closes_within(Duration::from_secs(20)).await);
}
