//! A door that is closed before the first feeding and after the removal.

use std::sync::Arc;

use signpost_namesrv::config::NodeConfig;
use signpost_namesrv::fake_log::FakeLog;
use signpost_namesrv::gateway::door::{self, ClosedDoor};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::door::{DEADLINE, Door, NEW, look_up, request};

#[tokio::test]
async fn nobody_is_let_in_before_the_replica_has_been_fed() {
    let (log, service) = FakeLog::lead(NodeConfig::new(1, "tests"));
    log.set_status(|status| status.fed = false);
    let closed = ClosedDoor::at(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = closed.local_addr().expect("bound");
    let stop = CancellationToken::new();
    let serving = tokio::spawn(door::serve(Arc::clone(&service), closed, stop.clone()));
    for _ in 0..20 {
        TcpStream::connect(address).await.expect_err("the door is closed");
        tokio::task::yield_now().await;
    }
    log.set_status(|status| status.fed = true);
    let dialling = async { while TcpStream::connect(address).await.is_err() {} };
    timeout(DEADLINE, dialling).await.expect("the door opens");
    stop.cancel();
    let ended = timeout(DEADLINE, serving).await.expect("it ends");
    ended.expect("without a panic").expect("without an error");
}

#[tokio::test]
async fn a_stop_before_the_first_feeding_is_a_stop() {
    let (log, service) = FakeLog::lead(NodeConfig::new(1, "tests"));
    log.set_status(|status| status.fed = false);
    let closed = ClosedDoor::at(([127, 0, 0, 1], 0).into()).expect("a free port");
    let stop = CancellationToken::new();
    let serving = tokio::spawn(door::serve(service, closed, stop.clone()));
    stop.cancel();
    let ended = timeout(DEADLINE, serving).await.expect("it ends");
    ended.expect("without a panic").expect("without an error");
}

#[tokio::test]
async fn an_address_in_use_is_refused_at_once() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = holder.local_addr().expect("bound");
    ClosedDoor::at(address).expect_err("somebody listens there");
}

#[tokio::test]
async fn a_replica_that_is_removed_answers_nothing_and_closes_its_door() {
    let door = Door::open().await;
    door.master("a", &["T"]);
    let mut peer = door.dial().await;
    assert_eq!(peer.ask(look_up("T", NEW)).await.code, 0);
    door.log.set_status(|status| status.removed = true);
    // The connection ends; what is still read before that is refused, with the others' addresses.
    peer.send(look_up("T", NEW)).await;
    if let Some(refused) = peer.hear().await {
        assert_eq!(refused.code, 1);
        assert!(refused.remark.expect("a remark").contains("http-2:8876"));
        assert_eq!(peer.hear().await, None, "closed");
    }
    timeout(DEADLINE, door.task).await.expect("it ends").expect("without a panic");
    TcpStream::connect(door.address).await.expect_err("the door is closed");
}

#[tokio::test]
async fn a_replica_that_must_not_answer_from_its_tables_does_not_even_without_a_leader() {
    let door = Door::open().await;
    door.master("a", &["T"]);
    door.log.set_status(|status| {
        status.leader = None;
        status.fed = false;
    });
    for code in [105, 106, 206, 101] {
        let refused = door.ask(request(code, &[("topic", "Never")])).await;
        assert_eq!(refused.code, 1, "neither 17 nor an empty list: {refused:?}");
    }
}
