//! Fallback to local reads; writes that wait for a leader.

use std::time::Duration;

use signpost_namesrv::config::RemotingReads;
use signpost_namesrv::fake_log::{Calls, Proposals, Rounds};
use signpost_remoting::RemotingCommand;
use tokio::time::{Instant, timeout};

use crate::door::{DEADLINE, Door, NEW, Peer, consistency, look_up, request};

const NEVER: Duration = Duration::from_secs(3600);

fn put() -> RemotingCommand {
    request(100, &[("namespace", "N"), ("key", "K"), ("value", "V")])
}

fn lose_the_leader(door: &Door) {
    door.log.set_status(|status| {
        status.leader = None;
        status.role = signpost_namesrv::log::Role::Follower;
    });
}

#[tokio::test]
async fn without_a_leader_a_read_is_local_at_once_and_says_so() {
    let door = Door::open_with(|config| config.remoting.read_patience = NEVER).await;
    door.master("a", &["T"]);
    let fresh = door.ask(look_up("T", NEW)).await;
    assert_eq!(consistency(&fresh), None);
    lose_the_leader(&door);
    let local = timeout(DEADLINE, door.ask(look_up("T", NEW))).await.expect("no patience needed");
    assert_eq!((local.code, &local.body), (0, &fresh.body));
    assert_eq!(consistency(&local), Some("local"));
    for (code, expected) in [(105, 17), (106, 0), (101, 22), (206, 0)] {
        let answer = door.ask(request(code, &[])).await;
        assert_eq!((answer.code, consistency(&answer)), (expected, Some("local")));
    }
    door.log.begin_term(2, 1);
    assert_eq!(consistency(&door.ask(look_up("T", NEW)).await), None, "a leader again");
}

#[tokio::test]
async fn without_a_quorum_a_read_is_local_after_a_moment() {
    let patience = Duration::from_millis(100);
    let door = Door::open_with(|config| config.remoting.read_patience = patience).await;
    door.master("a", &["T"]);
    door.log.set_rounds(Rounds::Hold);
    let begun = Instant::now();
    let local = door.ask(look_up("T", NEW)).await;
    assert!(begun.elapsed() >= patience);
    assert_eq!((local.code, consistency(&local)), (0, Some("local")));
}

#[tokio::test]
async fn a_read_waits_for_its_round() {
    let door = Door::open_with(|config| config.remoting.read_patience = NEVER).await;
    door.master("a", &["T"]);
    door.log.set_rounds(Rounds::Hold);
    let mut peer = door.dial().await;
    peer.send(look_up("T", NEW)).await;
    let early = timeout(Duration::from_millis(100), peer.hear()).await;
    assert!(early.is_err(), "no round has confirmed it");
    door.log.set_rounds(Rounds::Confirm);
    let answer = peer.hear().await.expect("an answer");
    assert_eq!((answer.code, consistency(&answer)), (0, None));
}

#[tokio::test]
async fn reads_can_be_told_to_be_linearizable_or_nothing() {
    let door = Door::open_with(|config| {
        config.remoting.reads = RemotingReads::Linearizable;
        config.remoting.read_patience = Duration::from_millis(50);
    })
    .await;
    door.master("a", &["T"]);
    assert_eq!(door.ask(look_up("T", NEW)).await.code, 0);
    door.log.set_rounds(Rounds::Hold);
    let refused = door.ask(look_up("T", NEW)).await;
    assert_eq!((refused.code, consistency(&refused)), (1, None));
    assert!(refused.remark.expect("a remark").contains("quorum"));
    lose_the_leader(&door);
    assert_eq!(door.ask(look_up("T", NEW)).await.code, 1);
}

#[tokio::test]
async fn reads_can_be_told_to_be_local_and_then_ask_nobody() {
    let door = Door::open_with(|config| config.remoting.reads = RemotingReads::Local).await;
    door.master("a", &["T"]);
    door.log.set_rounds(Rounds::Hold);
    let answer = door.ask(look_up("T", NEW)).await;
    assert_eq!((answer.code, consistency(&answer)), (0, Some("local")));
}

async fn answered_within(peer: &mut Peer, time: Duration) -> Option<RemotingCommand> {
    timeout(time, peer.hear()).await.ok().flatten()
}

#[tokio::test]
async fn a_write_waits_for_a_leader() {
    let door = Door::open().await;
    lose_the_leader(&door);
    let mut peer = door.dial().await;
    peer.send(put()).await;
    assert_eq!(answered_within(&mut peer, Duration::from_millis(100)).await, None);
    door.log.begin_term(2, 1);
    assert_eq!(peer.hear().await.expect("an answer").code, 0);
    assert_eq!(door.log.proposed().len(), 1);
}

#[tokio::test]
async fn a_write_that_nobody_can_do_is_an_error_in_time() {
    let patience = Duration::from_millis(100);
    let door = Door::open_with(|config| config.remoting.write_patience = patience).await;
    lose_the_leader(&door);
    let begun = Instant::now();
    let refused = door.ask(put()).await;
    assert_eq!(refused.code, 1);
    assert!(refused.remark.expect("a remark").contains("no leader"));
    // A leader elsewhere who cannot be reached is as good as none.
    door.log.begin_term(2, 2);
    door.log.set_calls(Calls::Refuse);
    assert_eq!(door.ask(put()).await.code, 1);
    assert!(begun.elapsed() < DEADLINE / 2);
    assert_eq!(door.log.proposed(), []);
}

#[tokio::test]
async fn a_write_whose_outcome_is_unknown_is_not_done_again() {
    let door = Door::open().await;
    door.log.set_proposals(Proposals::ApplyAndForget);
    let answer = door.ask(put()).await;
    assert_eq!(answer.code, 1);
    assert!(answer.remark.expect("a remark").contains("unknown"));
    assert_eq!(door.log.proposed().len(), 1);
}

#[tokio::test]
async fn too_many_writes_are_told_to_come_later() {
    let door = Door::open().await;
    door.log.set_proposals(Proposals::Overload);
    let answer = door.ask(put()).await;
    assert_eq!(answer.code, 2, "SYSTEM_BUSY");
    assert!(answer.remark.expect("a remark").starts_with("[OVERLOAD]"));
}
