//! "How 7 is kept" (docs/GUARANTEES.md), line by line: each test fails when its line is taken out.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use signpost_raft::machine::Index;
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep, timeout};

use crate::alarms::MASS_EXPIRY;
use crate::config::NodeConfig;
use crate::errors::{ServiceError, Unavailable};
use crate::fake_log::{FakeLog, Fate, Proposals, Rounds, master, registration};
use crate::log::ProposeError;
use crate::routes::command::{Claim, Expire, ExpiryCause, Register, RouteCommand, RouteOutcome};
use crate::service::{Heartbeat, NameService, Renewed};

const TTL: Duration = Duration::from_secs(120);
const SCAN: Duration = Duration::from_secs(10);

struct Scene {
    log: Arc<FakeLog>,
    service: Arc<NameService>,
}

impl Scene {
    fn new() -> Self {
        let (log, service) = FakeLog::lead(NodeConfig::new(1, "test"));
        Self { log, service }
    }

    /// Broker "a" has fallen silent, and the proposal of its expiry is held. Answers its epoch.
    async fn with_an_expiry_under_way() -> (Self, Index) {
        let scene = Self::new();
        let epoch = scene.register("a").await;
        scene.log.set_proposals(Proposals::Hold);
        until(|| scene.log.held() > 0).await;
        (scene, epoch)
    }

    async fn register(&self, name: &str) -> Index {
        let register = registration(name, 1, &["TopicA"]);
        let deadline = self.service.deadline(None);
        self.service.register(register, deadline).await.expect("registered").epoch
    }

    fn heartbeat(&self, name: &str, epoch: Index) -> JoinHandle<Result<Renewed, ServiceError>> {
        let service = Arc::clone(&self.service);
        let heartbeat = Heartbeat { key: master(name), incarnation: Some(1), epoch };
        tokio::spawn(async move {
            let deadline = service.deadline(None);
            service.heartbeat(heartbeat, deadline).await
        })
    }

    /// A broker that renews every 30 s and asks again a second after each failure.
    fn keep(&self, name: &str, epoch: Index) {
        let service = Arc::clone(&self.service);
        let heartbeat = Heartbeat { key: master(name), incarnation: Some(1), epoch };
        tokio::spawn(async move {
            loop {
                let deadline = service.deadline(None);
                let renewed = service.heartbeat(heartbeat.clone(), deadline).await;
                sleep(Duration::from_secs(if renewed.is_ok() { 30 } else { 1 })).await;
            }
        });
    }

    fn is_alive(&self, name: &str) -> bool {
        self.service.reads().peek().tables.registration(&master(name)).is_some()
    }

    fn expiries(&self) -> usize {
        let is_expiry = |command: &&RouteCommand| matches!(command, RouteCommand::Expire(_));
        self.log.proposed().iter().filter(is_expiry).count()
    }
}

/// Waits until it holds; fails after an hour of virtual time.
async fn until(holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(3600);
    while !holds() {
        assert!(Instant::now() < end, "waited in vain");
        sleep(Duration::from_millis(100)).await;
    }
}

async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> T {
    timeout(limit, future).await.expect("it should have come to an end")
}

fn expire(name: &str, epoch: Index) -> RouteCommand {
    RouteCommand::Expire(Expire { key: master(name), epoch, cause: ExpiryCause::Silent })
}

#[tokio::test(start_paused = true)]
async fn a_silent_broker_goes_in_ttl_and_two_scans_and_a_kept_one_stays() {
    let scene = Scene::new();
    let silent = scene.register("silent").await;
    let kept = scene.register("kept").await;
    scene.keep("kept", kept);
    let from = Instant::now();
    let index = scene.log.last_index();

    sleep(TTL - Duration::from_millis(1)).await;
    assert!(scene.is_alive("silent"), "no lease ends early");
    assert_eq!(scene.log.last_index(), index, "heartbeats write nothing to the log");
    until(|| !scene.is_alive("silent")).await;
    assert!(from.elapsed() <= TTL + 2 * SCAN + Duration::from_millis(200), "{:?}", from.elapsed());
    assert!(scene.is_alive("kept"));
    let answer = scene.heartbeat("silent", silent).await.expect("no panic");
    assert_eq!(answer, Err(ServiceError::Expired));
    assert_eq!(scene.service.counters().expired_silent, 1);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_is_judged_after_a_round_begun_after_it_arrived() {
    let scene = Scene::new();
    let epoch = scene.register("a").await;
    scene.log.set_rounds(Rounds::Delay(Duration::from_millis(50)));
    let heartbeat = scene.heartbeat("a", epoch);
    sleep(Duration::from_millis(10)).await;
    // Inherited: an expiry that this leader knows nothing of comes to be applied meanwhile.
    assert_eq!(scene.log.apply(expire("a", epoch)).outcome, RouteOutcome::Expired);
    assert_eq!(heartbeat.await.expect("no panic"), Err(ServiceError::Expired));
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_nothing_is_acknowledged_and_nobody_expires() {
    let scene = Scene::new();
    let epoch = scene.register("a").await;
    scene.log.set_rounds(Rounds::Hold);
    let answer = scene.heartbeat("a", epoch).await.expect("no panic");
    assert_eq!(answer, Err(Unavailable::NoQuorum.into()));
    sleep(3 * TTL).await;
    assert_eq!(scene.expiries(), 0, "the scanner needs a confirmed round");
    assert!(scene.is_alive("a"));
}

#[tokio::test(start_paused = true)]
async fn what_was_overdue_at_one_scan_only_is_not_proposed() {
    let scene = Scene::new();
    // Overdue at the scan 125 s after the start, and not yet at the one before.
    sleep(Duration::from_secs(2)).await;
    let epoch = scene.register("a").await;
    sleep(Duration::from_secs(124)).await;
    assert_eq!(scene.expiries(), 0, "once overdue");
    scene.heartbeat("a", epoch).await.expect("no panic").expect("renewed at the last moment");
    sleep(Duration::from_secs(20)).await;
    assert_eq!(scene.expiries(), 0);
    assert!(scene.is_alive("a"));
}

#[tokio::test(start_paused = true)]
async fn while_an_expiry_is_undecided_a_heartbeat_waits_and_then_hears_of_it() {
    let (scene, epoch) = Scene::with_an_expiry_under_way().await;
    let heartbeat = scene.heartbeat("a", epoch);
    sleep(Duration::from_secs(1)).await;
    assert!(!heartbeat.is_finished(), "not acknowledged before the outcome is known");
    assert!(scene.log.settle(Fate::Apply));
    assert_eq!(heartbeat.await.expect("no panic"), Err(ServiceError::Expired));
}

#[tokio::test(start_paused = true)]
async fn an_expiry_that_was_not_proposed_leaves_the_lease_to_be_renewed() {
    let (scene, epoch) = Scene::with_an_expiry_under_way().await;
    let heartbeat = scene.heartbeat("a", epoch);
    sleep(Duration::from_secs(1)).await;
    scene.log.set_proposals(Proposals::Apply);
    assert!(scene.log.settle(Fate::Fail(ProposeError::Overloaded)));
    heartbeat.await.expect("no panic").expect("renewed");
    sleep(TTL - Duration::from_secs(1)).await;
    assert!(scene.is_alive("a"), "for a full ttl");
}

#[tokio::test(start_paused = true)]
async fn an_expiry_whose_fate_is_hidden_is_answered_503_and_settled_by_a_later_round() {
    let (scene, epoch) = Scene::with_an_expiry_under_way().await;
    let heartbeat = scene.heartbeat("a", epoch);
    sleep(Duration::from_secs(1)).await;
    scene.log.begin_term(2, 1);
    assert!(scene.log.settle(Fate::Fail(ProposeError::Unknown)));
    let answer = heartbeat.await.expect("no panic");
    assert_eq!(answer, Err(Unavailable::ExpiryUndecided.into()));
    scene.heartbeat("a", epoch).await.expect("no panic").expect("settled by its own round");
}

#[tokio::test(start_paused = true)]
async fn an_expiry_still_under_way_stays_undecided_in_a_new_term_of_the_same_leader() {
    let (scene, epoch) = Scene::with_an_expiry_under_way().await;
    // Lost and won again before the proposal reached the log: it lands in the new term.
    scene.log.begin_term(3, 1);
    sleep(Duration::from_secs(2)).await;
    let heartbeat = scene.heartbeat("a", epoch);
    sleep(Duration::from_secs(1)).await;
    assert!(!heartbeat.is_finished(), "acknowledged, it would be lost when the entry is applied");
    assert!(scene.log.settle(Fate::Apply));
    assert_eq!(heartbeat.await.expect("no panic"), Err(ServiceError::Expired));
}

#[tokio::test(start_paused = true)]
async fn an_expiry_of_a_former_epoch_is_refused_and_harms_nobody() {
    let (scene, old) = Scene::with_an_expiry_under_way().await;
    let late = scene.heartbeat("a", old);
    // The broker was restarted meanwhile.
    let restarted = Register {
        claim: Some(Claim { incarnation: 2, seq: 1 }),
        ..registration("a", 1, &["TopicA"])
    };
    scene.log.apply(RouteCommand::Register(restarted));
    scene.log.set_proposals(Proposals::Apply);
    assert!(scene.log.settle(Fate::Apply));
    let answer = late.await.expect("no panic").expect_err("another process lives");
    assert_eq!(answer.wire().reason, Some("superseded"));
    sleep(TTL - SCAN).await;
    assert!(scene.is_alive("a"), "the new epoch has a lease of its own");
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_registration_waits_for_the_fate_of_the_expiry_too() {
    let (scene, _) = Scene::with_an_expiry_under_way().await;
    let repeat = {
        let service = Arc::clone(&scene.service);
        tokio::spawn(async move {
            let deadline = service.deadline(None);
            service.register(registration("a", 1, &["TopicA"]), deadline).await
        })
    };
    sleep(Duration::from_secs(1)).await;
    assert!(!repeat.is_finished());
    assert!(scene.log.settle(Fate::Apply));
    assert_eq!(repeat.await.expect("no panic"), Err(ServiceError::Expired));
}

#[tokio::test(start_paused = true)]
async fn a_new_term_gives_every_broker_its_full_ttl() {
    let scene = Scene::new();
    scene.register("a").await;
    sleep(TTL - Duration::from_secs(1)).await;
    scene.log.begin_term(2, 2);
    sleep(Duration::from_millis(500)).await;
    // Only the number tells: both changes may have come as one notification.
    scene.log.begin_term(3, 1);
    sleep(TTL - Duration::from_secs(1)).await;
    assert!(scene.is_alive("a"), "it may have renewed under the leader of term 2");
    within(3 * SCAN, until(|| !scene.is_alive("a"))).await;
}

#[tokio::test(start_paused = true)]
async fn a_deposed_leader_neither_acknowledges_nor_expires() {
    let scene = Scene::new();
    let epoch = scene.register("a").await;
    scene.log.begin_term(2, 2);
    let round_of_another = scene.service.reads().rounds().confirm(scene.service.deadline(None));
    let round = round_of_another.await.expect("confirmed through the new leader");
    let heartbeat = Heartbeat { key: master("a"), incarnation: Some(1), epoch };
    let judged = scene.service.lessor.judge(&round, &heartbeat);
    assert!(matches!(
        judged,
        super::Judged::Refused(ServiceError::Unavailable(Unavailable::NotLeader { .. }))
    ));
    sleep(3 * TTL).await;
    assert_eq!(scene.expiries(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_paused_leader_takes_nobody_away_when_it_goes_on() {
    let scene = Scene::new();
    let kept = scene.register("kept").await;
    scene.register("silent").await;
    sleep(Duration::from_secs(1)).await;
    // Everything in this process stands still, and all timers are due at once.
    advance(3 * TTL).await;
    scene.keep("kept", kept);
    let resumed = Instant::now();
    sleep(TTL - Duration::from_secs(1)).await;
    assert!(scene.is_alive("kept") && scene.is_alive("silent"));
    assert!(scene.service.counters().runs_broken >= 1);
    until(|| !scene.is_alive("silent")).await;
    assert!(resumed.elapsed() <= TTL + 2 * SCAN + Duration::from_secs(1));
    assert!(scene.is_alive("kept"));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_was_cut_off_in_its_own_term_takes_nobody_away() {
    let scene = Scene::new();
    let kept = scene.register("kept").await;
    scene.register("silent").await;
    scene.keep("kept", kept);
    sleep(Duration::from_secs(1)).await;
    scene.log.set_rounds(Rounds::Hold);
    sleep(2 * TTL).await;
    scene.log.set_rounds(Rounds::Confirm);
    sleep(TTL - Duration::from_secs(1)).await;
    assert!(scene.is_alive("kept") && scene.is_alive("silent"));
    within(3 * SCAN, until(|| !scene.is_alive("silent"))).await;
    assert!(scene.is_alive("kept"));
}

#[tokio::test(start_paused = true)]
async fn missed_scans_are_not_made_up_for() {
    let scene = Scene::new();
    sleep(Duration::from_secs(6)).await;
    let before = scene.service.counters().scans;
    advance(Duration::from_secs(3600)).await;
    sleep(Duration::from_secs(1)).await;
    assert!(scene.service.counters().scans <= before + 1);
}

#[tokio::test(start_paused = true)]
async fn of_twenty_brokers_twelve_cut_off_lose_none_until_the_brake_is_released() {
    let scene = Scene::new();
    for number in 0..20 {
        let name = format!("b{number}");
        let epoch = scene.register(&name).await;
        if number >= 12 {
            scene.keep(&name, epoch);
        }
    }
    let alive = || (0..20).filter(|number| scene.is_alive(&format!("b{number}"))).count();
    // They were alive a ttl ago only when a ttl has passed: the first minutes are no test.
    sleep(TTL + 2 * SCAN + Duration::from_secs(60)).await;
    assert_eq!(alive(), 20, "not one is lost before the brake holds");
    let alarms = scene.service.alarms(scene.service.deadline(None)).await.expect("the leader's");
    assert_eq!(alarms.len(), 1);
    assert_eq!(alarms[0].kind, MASS_EXPIRY);
    assert!(scene.service.counters().brake_holds);

    let deadline = scene.service.deadline(None);
    scene.service.release_alarm(MASS_EXPIRY.into(), deadline).await.expect("it stood");
    within(2 * SCAN, until(|| alive() == 8)).await;
    sleep(TTL).await;
    assert_eq!(alive(), 8, "those who renewed stay");
    let deadline = scene.service.deadline(None);
    let again = scene.service.release_alarm(MASS_EXPIRY.into(), deadline).await;
    assert_eq!(again.expect_err("none stands").wire().status, 404);
}

#[tokio::test(start_paused = true)]
async fn of_five_brokers_one_silent_goes_whatever_the_brake() {
    let scene = Scene::new();
    for number in 1..5 {
        let name = format!("b{number}");
        let epoch = scene.register(&name).await;
        scene.keep(&name, epoch);
    }
    scene.register("b0").await;
    within(TTL + 3 * SCAN, until(|| !scene.is_alive("b0"))).await;
    let alarms = scene.service.alarms(scene.service.deadline(None)).await.expect("the leader's");
    assert_eq!(alarms, []);
}

#[tokio::test(start_paused = true)]
async fn a_changed_registration_that_races_its_expiry_is_not_called_done() {
    let (scene, _) = Scene::with_an_expiry_under_way().await;
    let change = {
        let service = Arc::clone(&scene.service);
        tokio::spawn(async move {
            let deadline = service.deadline(None);
            service.register(registration("a", 2, &["TopicA", "TopicB"]), deadline).await
        })
    };
    until(|| scene.log.held() == 2).await;
    // The change is applied first; the expiry names the same epoch and is applied after it.
    let expiry = scene.log.take_held(0);
    assert!(scene.log.settle(Fate::Apply));
    sleep(Duration::from_secs(1)).await;
    assert!(!change.is_finished(), "its lease is still being decided");
    scene.log.settle_taken(expiry, Fate::Apply);
    let answer = change.await.expect("no panic").expect_err("it is gone");
    assert!(!answer.is_definite(), "it was visible for a moment: {answer}");
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_was_there_before_the_leader_started_has_a_lease_too() {
    let register = RouteCommand::Register(registration("a", 1, &["TopicA"]));
    let (log, service) = FakeLog::lead_with(NodeConfig::new(1, "test"), vec![register]);
    let scene = Scene { log, service };
    sleep(TTL - Duration::from_secs(1)).await;
    assert!(scene.is_alive("a"));
    within(3 * SCAN, until(|| !scene.is_alive("a"))).await;
}

#[tokio::test(start_paused = true)]
async fn a_scan_without_a_round_breaks_the_succession() {
    let scene = Scene::new();
    sleep(Duration::from_secs(2)).await;
    scene.register("a").await;
    // Overdue from 122 s on; scans at 125 s, and at 135 s without a quorum for all of its time.
    sleep(Duration::from_secs(132)).await;
    scene.log.set_rounds(Rounds::Hold);
    sleep(Duration::from_secs(12)).await;
    scene.log.set_rounds(Rounds::Confirm);
    sleep(Duration::from_secs(4)).await;
    assert_eq!(scene.expiries(), 0, "overdue at two scans, but not at two in succession");
    within(2 * SCAN, until(|| !scene.is_alive("a"))).await;
}
