//! Registrations are compared at the leader with the last registered content: what says nothing
//! new writes nothing, and what differs is written alone.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::alarms::NAME_IN_TWO_CLUSTERS;
use crate::answers::{Renewal, RenewalAnswer};
use crate::config::NodeConfig;
use crate::errors::{ServiceError, Unavailable};
use crate::fake_log::{FakeLog, Fate, Proposals, Rounds, master, queues, registration};
use crate::routes::command::{
    BrokerKey, Claim, Door, Expire, ExpiryCause, Patch, Register, RouteCommand, Unregister,
};
use crate::service::{NameService, Patched, Registered};

struct Scene {
    log: Arc<FakeLog>,
    service: Arc<NameService>,
}

impl Scene {
    fn new() -> Self {
        let (log, service) = FakeLog::lead(NodeConfig::new(1, "test"));
        Self { log, service }
    }

    async fn register(&self, register: Register) -> Result<Registered, ServiceError> {
        self.service.register(register, self.service.deadline(None)).await
    }

    async fn patch(&self, patch: Patch) -> Result<Patched, ServiceError> {
        self.service.patch(patch, self.service.deadline(None)).await
    }

    /// The last registration that was proposed.
    fn proposed(&self) -> Register {
        let proposed = self.log.proposed();
        let last = proposed.iter().rev().find_map(|command| match command {
            RouteCommand::Register(register) => Some(register.clone()),
            _ => None,
        });
        last.expect("a registration was proposed")
    }
}

/// As a stock broker repeats it: without a claim, by the remoting door.
fn stock(topics: &[&str]) -> Register {
    Register { door: Door::Remoting, claim: None, ..registration("a", 1, topics) }
}

#[tokio::test(start_paused = true)]
async fn a_retry_keeps_its_epoch_and_writes_nothing() {
    let scene = Scene::new();
    let first = scene.register(registration("a", 1, &["T"])).await.expect("registered");
    assert!(first.changed);
    assert_eq!(first.epoch, first.index);
    let (index, digest) = (scene.log.last_index(), scene.log.digest());
    let again = scene.register(registration("a", 1, &["T"])).await.expect("a retry");
    assert_eq!(again, Registered { changed: false, index, ..first });
    assert_eq!(scene.log.last_index(), index);
    assert_eq!(scene.log.digest(), digest);
}

#[tokio::test(start_paused = true)]
async fn a_retry_renews_the_lease() {
    let scene = Scene::new();
    scene.register(registration("a", 1, &["T"])).await.expect("registered");
    for _ in 0..5 {
        sleep(Duration::from_secs(100)).await;
        scene.register(registration("a", 1, &["T"])).await.expect("alive all the time");
    }
}

#[tokio::test(start_paused = true)]
async fn unchanged_is_said_only_with_a_quorum() {
    let scene = Scene::new();
    scene.register(registration("a", 1, &["T"])).await.expect("registered");
    scene.log.set_rounds(Rounds::Hold);
    let answer = scene.register(registration("a", 1, &["T"])).await;
    assert_eq!(answer, Err(Unavailable::NoQuorum.into()));
}

#[tokio::test(start_paused = true)]
async fn a_higher_seq_always_writes_and_only_what_differs() {
    let scene = Scene::new();
    let first = scene.register(registration("a", 1, &["A", "B", "C"])).await.expect("registered");
    let second = scene.register(registration("a", 2, &["A", "B", "C"])).await.expect("changed");
    assert!(second.index > first.index, "the fence must rise in the log");
    assert_eq!(second.epoch, first.epoch);
    assert!(scene.proposed().topics.is_empty() && scene.proposed().gone.is_empty());

    scene.register(registration("a", 3, &["A", "D", "C"])).await.expect("changed");
    let proposed = scene.proposed();
    assert_eq!(proposed.topics.keys().collect::<Vec<_>>(), ["D"]);
    assert_eq!(proposed.gone, ["B"]);
    assert_eq!(proposed.base.map(|base| base.epoch), Some(first.epoch));
}

#[tokio::test(start_paused = true)]
async fn a_stock_brokers_repeat_writes_nothing_and_undoes_no_operators_change() {
    let scene = Scene::new();
    scene.register(stock(&["A", "B"])).await.expect("registered");
    let deadline = scene.service.deadline(None);
    scene.service.delete_topic("A".into(), None, deadline).await.expect("deleted");
    scene.service.set_write_permission(None, "a".into(), false, deadline).await.expect("wiped");
    let index = scene.log.last_index();
    let repeat = scene.register(stock(&["A", "B"])).await.expect("unchanged");
    assert!(!repeat.changed);
    assert_eq!(scene.log.last_index(), index);
    let view = scene.service.reads().peek();
    assert!(view.tables.topic("A").is_none(), "a deleted topic does not come back");
    let row = view.tables.topic("B").expect("it stays");
    assert_eq!(row.queue("a").expect("its broker's").queues.perm, 4);
}

#[tokio::test(start_paused = true)]
async fn what_moved_while_it_was_compared_is_compared_anew() {
    let scene = Scene::new();
    scene.register(registration("a", 1, &["A"])).await.expect("registered");
    scene.log.set_proposals(Proposals::Hold);
    let change = {
        let service = Arc::clone(&scene.service);
        tokio::spawn(async move {
            let deadline = service.deadline(None);
            service.register(registration("a", 5, &["A", "B"]), deadline).await
        })
    };
    while scene.log.held() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    // Another leader's write of this broker, inherited: the base is no longer what it was.
    scene.log.apply(RouteCommand::Register(registration("a", 2, &["C"])));
    scene.log.set_proposals(Proposals::Apply);
    scene.log.settle(Fate::Apply);
    change.await.expect("no panic").expect("compared anew");
    let view = scene.service.reads().peek();
    let topics: Vec<&str> = view.tables.topics().map(|(topic, _)| &**topic).collect();
    assert_eq!(topics, ["A", "B"]);
}

#[tokio::test(start_paused = true)]
async fn one_broker_is_compared_one_at_a_time() {
    let scene = Scene::new();
    scene.log.set_proposals(Proposals::Hold);
    let spawn = |seq| {
        let service = Arc::clone(&scene.service);
        tokio::spawn(async move {
            let deadline = service.deadline(None);
            service.register(registration("a", seq, &["T"]), deadline).await
        })
    };
    let (first, second) = (spawn(1), spawn(1));
    sleep(Duration::from_millis(100)).await;
    assert_eq!(scene.log.held(), 1, "the retry waits for the first");
    scene.log.settle(Fate::Apply);
    let first = first.await.expect("no panic").expect("registered");
    let second = second.await.expect("no panic").expect("a retry");
    assert_eq!(first.epoch, second.epoch);
    assert!(first.changed && !second.changed);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_is_unknown_and_the_retry_finds_it_done() {
    let scene = Scene::new();
    scene.log.set_proposals(Proposals::ApplyAndForget);
    let lost = scene.register(registration("a", 1, &["T"])).await.expect_err("lost");
    assert_eq!((lost.is_definite(), lost.wire().status), (false, 504));
    scene.log.set_proposals(Proposals::Apply);
    let index = scene.log.last_index();
    let retry = scene.register(registration("a", 1, &["T"])).await.expect("done before");
    assert!(!retry.changed);
    assert_eq!(scene.log.last_index(), index);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_the_removal_is_refused_and_a_later_write_begins_anew() {
    let scene = Scene::new();
    let first = scene.register(registration("a", 1, &["T"])).await.expect("registered");
    let cause = ExpiryCause::Silent;
    scene.log.apply(RouteCommand::Expire(Expire { key: master("a"), epoch: first.epoch, cause }));
    let retry = scene.register(registration("a", 1, &["T"])).await;
    assert_eq!(retry, Err(ServiceError::Expired));
    let anew = scene.register(registration("a", 2, &["T"])).await.expect("registered");
    assert!(anew.epoch > first.epoch);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_told_with_what_is_known_and_write_nothing() {
    let scene = Scene::new();
    let first = scene.register(registration("a", 7, &["T"])).await.expect("registered");
    let index = scene.log.last_index();
    let stale = scene.register(registration("a", 6, &["T"])).await;
    let highest = Claim { incarnation: 1, seq: 7 };
    assert_eq!(stale, Err(ServiceError::Stale { highest }));
    let other = registration("a", 7, &["T", "U"]);
    assert_eq!(scene.register(other).await, Err(ServiceError::Stale { highest }));
    let newcomer = Register {
        claim: Some(Claim { incarnation: 2, seq: 1 }),
        address: "elsewhere:1".into(),
        ..registration("a", 1, &["T"])
    };
    let address = "a:10911".to_owned();
    let refused = scene.register(newcomer.clone()).await;
    assert_eq!(refused, Err(ServiceError::LiveElsewhere { address }));
    assert_eq!(scene.log.last_index(), index);

    let takeover = Register { takeover: true, ..newcomer };
    let taken = scene.register(takeover).await.expect("taken over");
    assert!(taken.epoch > first.epoch);
    let highest = Claim { incarnation: 2, seq: 1 };
    let former = scene.register(registration("a", 8, &["T"])).await;
    assert_eq!(former, Err(ServiceError::Superseded { highest }));
    assert_eq!(scene.service.counters().superseded, 1);
}

#[tokio::test(start_paused = true)]
async fn a_name_in_two_clusters_raises_an_alarm() {
    let scene = Scene::new();
    scene.register(registration("a", 1, &["T"])).await.expect("registered");
    let key = BrokerKey { cluster: "D".into(), ..master("a") };
    let refused = scene.register(Register { key, ..registration("a", 1, &["T"]) }).await;
    assert_eq!(refused, Err(ServiceError::NameInOtherCluster { cluster: "C".into() }));
    let alarms = scene.service.alarms(scene.service.deadline(None)).await.expect("the leader's");
    assert_eq!(alarms[0].kind, NAME_IN_TWO_CLUSTERS);
    let deadline = scene.service.deadline(None);
    scene.service.release_alarm(NAME_IN_TWO_CLUSTERS.into(), deadline).await.expect("it stood");
    assert_eq!(scene.service.alarms(deadline).await, Ok(vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_slave_is_told_its_master_also_when_nothing_changes() {
    let scene = Scene::new();
    let ha_address = "a:10912".to_owned();
    scene
        .register(Register { ha_address: ha_address.clone(), ..registration("a", 1, &["T"]) })
        .await
        .expect("registered");
    let slave = Register {
        key: BrokerKey { id: 1, ..master("a") },
        address: "a1:10911".into(),
        ..registration("a", 1, &[])
    };
    let master = Some(("a:10911".to_owned(), ha_address));
    assert_eq!(scene.register(slave.clone()).await.expect("registered").master, master);
    assert_eq!(scene.register(slave).await.expect("a retry").master, master);
}

#[tokio::test(start_paused = true)]
async fn a_patch_merges_is_idempotent_and_renews() {
    let scene = Scene::new();
    let epoch = scene.register(registration("a", 1, &["A", "B"])).await.expect("registered").epoch;
    let patch = Patch {
        key: master("a"),
        claim: Claim { incarnation: 1, seq: 2 },
        epoch,
        data_version: None,
        topics: [("B".to_owned(), None), ("C".to_owned(), Some(queues()))].into(),
    };
    let patched = scene.patch(patch.clone()).await.expect("patched");
    assert_eq!(patched.epoch, epoch);
    let index = scene.log.last_index();
    for _ in 0..3 {
        sleep(Duration::from_secs(100)).await;
        scene.patch(patch.clone()).await.expect("a retry keeps it alive");
    }
    assert_eq!(scene.log.last_index(), index);
    let view = scene.service.reads().peek();
    let topics: Vec<&str> = view.tables.topics().map(|(topic, _)| &**topic).collect();
    assert_eq!(topics, ["A", "C"]);
    let moved = scene.patch(Patch { epoch: epoch + 1, ..patch }).await;
    assert_eq!(moved, Err(ServiceError::Moved { epoch }));
}

#[tokio::test(start_paused = true)]
async fn a_late_unregister_of_a_former_epoch_removes_nothing() {
    let scene = Scene::new();
    let old = scene.register(registration("a", 1, &["T"])).await.expect("registered").epoch;
    let restarted =
        Register { claim: Some(Claim { incarnation: 2, seq: 1 }), ..registration("a", 1, &["T"]) };
    scene.register(restarted).await.expect("registered");
    let late = Unregister {
        key: master("a"),
        claim: Some(Claim { incarnation: 1, seq: 2 }),
        epoch: Some(old),
    };
    let refused = scene.service.unregister(late, scene.service.deadline(None)).await;
    assert_eq!(refused.expect_err("it has moved on").wire().status, 409);
    assert!(scene.service.reads().peek().tables.registration(&master("a")).is_some());
}

#[tokio::test(start_paused = true)]
async fn an_unreasonable_ttl_is_refused() {
    let scene = Scene::new();
    let register = Register { lease_ttl_ms: 1, ..registration("a", 1, &["T"]) };
    let refused = scene.register(register).await.expect_err("too short");
    assert_eq!(refused.wire().field, Some("leaseTtlMs"));
    assert_eq!(scene.log.proposed(), []);
}

#[tokio::test(start_paused = true)]
async fn a_stock_broker_begins_anew_only_where_its_former_connection_renewed_the_live_epoch() {
    let scene = Scene::new();
    let register = async |former| {
        let deadline = scene.service.deadline(None);
        let compared = scene.service.register_stock(stock(&["A", "B"]), former, deadline).await;
        compared.expect("registered")
    };
    let first = register(None).await;
    assert_eq!(first.content_digest, None, "what a write made of the content is not known yet");
    let epoch = first.registered.epoch;
    // Another replica's connection, one that knows of an older epoch, and one of a later.
    for former in [None, Some(epoch - 1), Some(epoch + 9)] {
        let joined = register(former).await;
        assert_eq!((joined.registered.epoch, joined.registered.changed), (epoch, false));
        assert!(joined.content_digest.is_some());
    }
    let second = register(Some(epoch)).await.registered;
    assert!(second.epoch > epoch && second.changed);
    assert_eq!(register(Some(epoch)).await.registered.epoch, second.epoch, "begun once");
    assert_eq!(scene.log.proposed().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_successor_that_somebody_else_began_first_is_joined() {
    let scene = Scene::new();
    let deadline = scene.service.deadline(None);
    let register = |former| scene.service.register_stock(stock(&["A", "B"]), former, deadline);
    let epoch = register(None).await.expect("registered").registered.epoch;
    scene.log.set_proposals(Proposals::Hold);
    let late = {
        let service = Arc::clone(&scene.service);
        tokio::spawn(async move {
            service.register_stock(stock(&["A", "B", "C"]), Some(epoch), deadline).await
        })
    };
    while scene.log.held() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    // Through another leader, whose entries this one inherits before its own is applied.
    let claim = Some(Claim { incarnation: 2, seq: 1 });
    let begun = scene.log.apply(RouteCommand::Register(Register { claim, ..stock(&["A", "B"]) }));
    scene.log.set_proposals(Proposals::Apply);
    scene.log.settle(Fate::Apply);
    let late = late.await.expect("no panic").expect("joined").registered;
    assert_eq!(late.epoch, begun.index);
    assert!(scene.service.reads().peek().tables.topic("C").is_some());
}

#[tokio::test(start_paused = true)]
async fn repeats_are_answered_one_by_one_in_one_call() {
    let scene = Scene::new();
    let deadline = scene.service.deadline(None);
    let register = |register| scene.service.register_stock(register, None, deadline);
    let epoch = register(stock(&["A", "B"])).await.expect("registered").registered.epoch;
    let compared = register(stock(&["A", "B"])).await.expect("unchanged");
    let content_digest = compared.content_digest.expect("compared");
    let renewal = |epoch, content_digest| Renewal { key: master("a"), epoch, content_digest };
    let renewals = vec![
        renewal(epoch, Some(content_digest)),
        renewal(epoch, None),
        renewal(epoch, Some(content_digest ^ 1)),
        renewal(epoch + 1, Some(content_digest)),
        Renewal { key: master("nobody"), epoch, content_digest: None },
    ];
    let unchanged = RenewalAnswer::Unchanged { master: None };
    let anew = RenewalAnswer::CompareAnew;
    let answers = scene.service.renew_unchanged(renewals, deadline).await;
    let expected = vec![unchanged.clone(), unchanged, anew.clone(), anew.clone(), anew];
    assert_eq!(answers, Ok(expected));
    scene.log.set_rounds(Rounds::Hold);
    let refused = scene.service.renew_unchanged(vec![renewal(epoch, None)], deadline).await;
    assert_eq!(refused, Err(Unavailable::NoQuorum.into()));
}
