//! Ids, header kinds, one-way requests, unknown codes, bounds.

use bytes::{BufMut, BytesMut};
use signpost_remoting::{HeaderKind, RemotingCommand};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::door::{DEADLINE, Door, NEW, look_up, request};

#[tokio::test]
async fn unknown_codes_are_3_in_both_header_kinds() {
    let door = Door::open().await;
    let mut peer = door.dial().await;
    // 310 and 34 are a broker's, 905 is ours to send, 300 was never given.
    for code in [310, 34, 905, 300, 0, -1, 32_767] {
        for header in [HeaderKind::Json, HeaderKind::Binary] {
            let answer = peer.ask(RemotingCommand { header, ..request(code, &[]) }).await;
            assert_eq!(answer.code, 3);
            let remark = format!(" request type {code} not supported");
            assert_eq!(answer.remark.as_deref(), Some(remark.as_str()));
        }
    }
}

#[tokio::test]
async fn one_way_requests_are_done_and_not_answered() {
    let door = Door::open().await;
    let mut peer = door.dial().await;
    let field = [("namespace", "N"), ("key", "K"), ("value", "V")];
    for mut oneway in [request(100, &field), request(300, &[]), look_up("Never", NEW)] {
        oneway.mark_oneway();
        peer.send(oneway).await;
    }
    let mut value = None;
    while value.is_none() {
        // Whatever is answered is an answer to this one: `ask` checks the id.
        let answer = peer.ask(request(101, &field[..2])).await;
        value = answer.ext.get("value").map(str::to_owned);
    }
    assert_eq!(value.as_deref(), Some("V"));
}

#[tokio::test]
async fn a_one_way_write_is_done_although_its_sender_hangs_up() {
    let door = Door::open().await;
    let mut peer = door.dial().await;
    let mut put = request(100, &[("namespace", "N"), ("key", "K"), ("value", "V")]);
    put.mark_oneway();
    peer.send(put).await;
    drop(peer);
    let asking = async {
        while door.ask(request(101, &[("namespace", "N"), ("key", "K")])).await.code != 0 {}
    };
    timeout(DEADLINE, asking).await.expect("it is done");
}

#[tokio::test]
async fn many_requests_at_once_each_get_their_own_answer() {
    let door = Door::open().await;
    let topics: Vec<String> = (0..100).map(|number| format!("T{number}")).collect();
    door.master("a", &topics.iter().map(String::as_str).collect::<Vec<_>>());
    let mut peer = door.dial().await;
    let mut asked = std::collections::BTreeMap::new();
    for turn in 0..500 {
        let topic = turn % 101;
        let opaque = peer.send(look_up(&format!("T{topic}"), NEW)).await;
        asked.insert(opaque, topic);
    }
    while !asked.is_empty() {
        let answer = peer.hear().await.expect("an answer");
        let topic = asked.remove(&answer.opaque).expect("it was asked, and once");
        assert_eq!(answer.code, if topic < 100 { 0 } else { 17 });
    }
}

#[tokio::test]
async fn large_bodies_are_for_registrations_only() {
    let door = Door::open_with(|config| {
        config.limits.body_bytes = 1_000;
        config.limits.registration_bytes = 10_000;
    })
    .await;
    let mut peer = door.dial().await;
    let body = |bytes: usize| vec![b' '; bytes];
    let refused = peer.ask(request(217, &[("topic", "T")]).with_body(body(1_001))).await;
    assert_eq!(refused.code, 1);
    assert!(refused.remark.expect("a remark").contains("limit of 1000"));
    // The connection lives on; a frame that is larger than any registration ends it, unread.
    assert_eq!(peer.ask(request(106, &[])).await.code, 0);
    let mut stream = TcpStream::connect(door.address).await.expect("the door is open");
    let mut head = BytesMut::new();
    head.put_u32(3_000_000);
    stream.write_all(&head).await.expect("sent");
    let mut rest = Vec::new();
    let read = timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("it is closed");
    assert!(read.is_err() || rest.is_empty(), "{rest:?}");
    assert_eq!(peer.ask(request(106, &[])).await.code, 0, "and nobody else's");
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_a_place() {
    let door = Door::open_with(|config| config.remoting.connections = 1).await;
    let mut first = door.dial().await;
    first.ask(request(106, &[])).await;
    let mut second = door.dial().await;
    second.send(request(106, &[])).await;
    let early = timeout(std::time::Duration::from_millis(200), second.hear()).await;
    assert!(early.is_err(), "answered although another one is served already");
    drop(first);
    assert_eq!(second.hear().await.expect("an answer").code, 0);
}

#[tokio::test]
async fn a_stop_lets_answers_under_way_be_given_and_begins_none() {
    let door = Door::open().await;
    door.log.set_proposals(signpost_namesrv::fake_log::Proposals::Hold);
    let mut idle = door.dial().await;
    idle.ask(request(106, &[])).await;
    let mut busy = door.dial().await;
    busy.send(request(100, &[("namespace", "N"), ("key", "K"), ("value", "V")])).await;
    let held = async {
        while door.log.held() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, held).await.expect("it is proposed");
    door.stop.cancel();
    assert_eq!(idle.hear().await, None, "closed at once");
    assert!(door.log.settle(signpost_namesrv::fake_log::Fate::Apply));
    assert_eq!(busy.hear().await.expect("its answer").code, 0);
    assert_eq!(busy.hear().await, None);
    timeout(DEADLINE, door.task).await.expect("it ends").expect("without a panic");
    TcpStream::connect(door.address).await.expect_err("the door is closed");
}
