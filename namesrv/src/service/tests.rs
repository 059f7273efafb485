//! Any replica accepts any call: forwarding, deadlines and bounds.

use std::sync::Arc;
use std::time::Duration;

use signpost_raft::replica::CallHandler;
use tokio::time::{Instant, sleep};

use super::call::{Envelope, Reply, Request, decode, encode};
use super::{Forwarded, Heartbeat, NameService};
use crate::config::NodeConfig;
use crate::errors::{Missing, ServiceError, Unavailable};
use crate::fake_log::{Calls, FakeLog, Fate, Proposals, Rounds, master, registration};
use crate::log::ProposeError;
use crate::routes::command::RouteCommand;

/// A leader, and a follower that forwards to it.
struct Pair {
    leader_log: Arc<FakeLog>,
    leader: Arc<NameService>,
    follower_log: Arc<FakeLog>,
    follower: Arc<NameService>,
}

impl Pair {
    fn new() -> Self {
        let (leader_log, leader) = FakeLog::lead(NodeConfig::new(1, "test"));
        let (follower_log, follower) = FakeLog::lead(NodeConfig::new(2, "test"));
        follower_log.begin_term(1, 1);
        follower_log.set_peer(Arc::new(Forwarded::to(&leader)));
        Self { leader_log, leader, follower_log, follower }
    }
}

fn heartbeat(epoch: u64) -> Heartbeat {
    Heartbeat { key: master("a"), incarnation: Some(1), epoch }
}

#[tokio::test(start_paused = true)]
async fn a_follower_forwards_every_call_to_the_leader() {
    let pair = Pair::new();
    let deadline = pair.follower.deadline(None);
    let register = registration("a", 1, &["T"]);
    let registered = pair.follower.register(register, deadline).await.expect("forwarded");
    assert_eq!(registered.index, pair.leader_log.last_index(), "the leader's index");
    let renewed = pair.follower.heartbeat(heartbeat(registered.epoch), deadline).await;
    assert_eq!(renewed.expect("forwarded").lease_ttl_ms, 120_000);
    let (namespace, key) = ("n".to_owned(), "k".to_owned());
    let put = pair
        .follower
        .put_kv(namespace.clone(), key.clone(), "v".into(), Some(0), deadline)
        .await
        .expect("forwarded");
    let refused = pair.follower.put_kv(namespace, key, "w".into(), Some(0), deadline).await;
    assert_eq!(refused, Err(ServiceError::IndexMismatch { modified: put.index }));
    let missing = pair.follower.put_topic(
        "T".into(),
        [("nobody".to_owned(), crate::fake_log::queues())].into(),
        deadline,
    );
    let missing = missing.await.expect_err("no such broker");
    assert_eq!(missing, ServiceError::NotFound(Missing::Broker("nobody".into())));
    assert_eq!(pair.follower_log.proposed(), [], "nothing is proposed where nobody leads");
    assert_eq!(pair.follower.counters().forwards, 5);
    assert_eq!(pair.leader.counters().forwarded, 5);
}

#[tokio::test(start_paused = true)]
async fn a_forwarded_call_is_not_forwarded_again() {
    let pair = Pair::new();
    pair.leader_log.begin_term(2, 3);
    let answer = pair.follower.heartbeat(heartbeat(1), pair.follower.deadline(None)).await;
    assert_eq!(answer, Err(Unavailable::NotLeader { leader: Some(3) }.into()));
    assert_eq!(pair.leader.counters().forwards, 0);
}

#[tokio::test(start_paused = true)]
async fn the_callers_deadline_travels_with_the_call() {
    let pair = Pair::new();
    pair.leader_log.set_rounds(Rounds::Hold);
    pair.follower_log.set_calls(Calls::Deliver);
    let envelope = Envelope { remaining_ms: 700, request: Request::Heartbeat(heartbeat(1)) };
    let begun = Instant::now();
    let bytes = encode(&envelope).expect("small");
    let answer = Forwarded::to(&pair.leader).handle(2, bytes).await;
    let reply: Reply = decode(&answer).expect("a reply");
    assert_eq!(reply, Err(Unavailable::NoQuorum.into()));
    assert_eq!(begun.elapsed().as_millis(), 700, "the leader gives up when the caller does");
}

#[tokio::test(start_paused = true)]
async fn unsent_is_definite_and_a_lost_answer_is_not() {
    let pair = Pair::new();
    let register = || registration("a", 1, &["T"]);
    pair.follower_log.set_calls(Calls::Refuse);
    let refused = pair.follower.register(register(), pair.follower.deadline(None)).await;
    let refused = refused.expect_err("never sent");
    assert_eq!((refused.wire().status, refused.is_definite()), (503, true));
    assert_eq!(pair.leader_log.proposed(), []);

    pair.follower_log.set_calls(Calls::LoseAnswer);
    let lost = pair.follower.register(register(), pair.follower.deadline(None)).await;
    let lost = lost.expect_err("lost");
    assert_eq!((lost.wire().status, lost.is_definite()), (504, false));
    assert_eq!(pair.leader_log.proposed().len(), 1, "it happened");
}

#[tokio::test(start_paused = true)]
async fn rubbish_between_replicas_is_refused() {
    let pair = Pair::new();
    for bytes in [vec![], vec![9], vec![1, 2, 3], vec![1; 4096]] {
        let answer = Forwarded::to(&pair.leader).handle(2, bytes).await;
        let reply: Reply = decode(&answer).expect("a reply all the same");
        assert!(matches!(reply, Err(ServiceError::Unavailable(Unavailable::Refused(_)))));
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_leader_nothing_is_done_and_a_removed_replica_sends_elsewhere() {
    let (log, service) = FakeLog::lead(NodeConfig::new(1, "test"));
    log.set_status(|status| status.leader = None);
    let refused = service.delete_topic("T".into(), None, service.deadline(None)).await;
    assert_eq!(refused, Err(Unavailable::NoLeader.into()));
    log.set_status(|status| status.removed = true);
    let removed = service.delete_topic("T".into(), None, service.deadline(None)).await;
    let peers = vec!["http-2:8876".to_owned(), "http-3:8876".to_owned()];
    assert_eq!(removed, Err(ServiceError::Removed { peers }));
}

#[tokio::test(start_paused = true)]
async fn writes_in_flight_are_bounded() {
    let mut config = NodeConfig::new(1, "test");
    config.limits.proposals_in_flight = 1;
    let (log, service) = FakeLog::lead(config);
    log.set_proposals(Proposals::Hold);
    let first = {
        let service = Arc::clone(&service);
        tokio::spawn(
            async move { service.delete_topic("T".into(), None, service.deadline(None)).await },
        )
    };
    while log.held() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let second = service.delete_topic("T".into(), None, service.deadline(None)).await;
    assert_eq!(second.expect_err("one is in flight").wire().status, 429);
    log.settle(Fate::Apply);
    first.await.expect("no panic").expect("done");
    log.set_proposals(Proposals::Overload);
    let third = service.delete_topic("T".into(), None, service.deadline(None)).await;
    assert_eq!(third.expect_err("the log's own bound").wire().status, 429);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_after_proposing_is_unknown_and_before_it_is_definite() {
    let (log, service) = FakeLog::lead(NodeConfig::new(1, "test"));
    log.set_proposals(Proposals::Hold);
    let late = service.delete_topic("T".into(), None, service.deadline(None)).await;
    assert_eq!(late.expect_err("no answer").wire().status, 504);
    let past = service.delete_topic("T".into(), None, Instant::now()).await;
    assert_eq!(past.expect_err("too late to begin").wire().status, 503);
    assert_eq!(log.proposed().len(), 1);
    log.settle(Fate::Fail(ProposeError::Unknown));
}

#[tokio::test(start_paused = true)]
async fn deadlines_have_a_default_and_a_bound() {
    let (_log, service) = FakeLog::lead(NodeConfig::new(1, "test"));
    let in_ms = |asked| service.deadline(asked).duration_since(Instant::now()).as_millis();
    assert_eq!(in_ms(None), 5_000);
    assert_eq!(in_ms(Some(Duration::from_millis(7))), 7);
    assert_eq!(in_ms(Some(Duration::from_secs(86_400))), 60_000);
}

#[tokio::test(start_paused = true)]
async fn members_are_changed_at_the_leader() {
    let pair = Pair::new();
    let deadline = pair.follower.deadline(None);
    let added = pair.follower.add_member(4, "peer-4:7876".into(), deadline).await;
    assert_eq!(added.expect("added").index, pair.leader_log.last_index());
    pair.follower.promote_member(4, deadline).await.expect("promoted");
    let unknown = pair.follower.promote_member(9, deadline).await.expect_err("no member");
    assert!(!unknown.is_retryable(), "{unknown}");
    pair.follower.remove_member(4, deadline).await.expect("removed");
    assert_eq!(pair.leader.status().members.len(), 3);
    pair.follower.transfer_leadership(2, deadline).await.expect("handed over");
    assert_eq!(pair.leader.status().leader, Some(2));
    let saved = pair.follower.save_snapshot(deadline).await.expect("this replica's own");
    assert_eq!(saved, pair.follower_log.last_index());
}

#[tokio::test(start_paused = true)]
async fn who_holds_connections_hears_of_each_removal_with_cause_and_index() {
    let (log, service) = FakeLog::lead(NodeConfig::new(1, "test"));
    let mut changes = service.registration_changes();
    let applied = log.apply(RouteCommand::Register(registration("a", 1, &["T"])));
    sleep(Duration::from_secs(150)).await;
    let began = changes.recv().await.expect("it began");
    assert_eq!((began.index, began.epoch), (applied.index, applied.index));
    let expired = changes.recv().await.expect("it expired");
    assert_eq!(*expired.key, master("a"));
    assert_eq!(expired.index, log.last_index());
    let silent = crate::routes::command::ExpiryCause::Silent;
    assert_eq!(expired.what, crate::routes::RegistrationEvent::Expired(silent));
}

#[tokio::test(start_paused = true)]
async fn after_shutdown_calls_are_refused_and_the_tasks_have_ended() {
    let (_log, service) = FakeLog::lead(NodeConfig::new(1, "test"));
    service.shutdown().await;
    let refused = service.delete_topic("T".into(), None, service.deadline(None)).await;
    assert_eq!(refused, Err(Unavailable::Stopping.into()));
}
