//! What a handler learns of a connection's end: who ended it, and what was owed then.

mod net;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use net::{Raw, request, start};
use signpost_remoting::connection::{CloseReason, Ended};
use signpost_remoting::{Connection, Handler, RemotingCommand, Reply, ServerLimits, serve};
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Answers code 0 at once, 1 with an error, 2 never, 3 by closing the connection.
#[derive(Clone, Default)]
struct Watching(Arc<Mutex<Vec<Ended>>>);

impl Handler for Watching {
    fn request(&self, connection: &Connection, request: RemotingCommand) -> Reply {
        match request.code {
            0 | 1 => Reply::Now(RemotingCommand::response(request.code)),
            2 => Reply::Later(Box::pin(std::future::pending())),
            _ => {
                connection.close();
                Reply::Nothing
            }
        }
    }

    fn ended(&self, _connection: &Connection, ended: &Ended) {
        self.0.lock().unwrap().push(ended.clone());
    }
}

impl Watching {
    async fn next(&self) -> Ended {
        for _ in 0..1_000 {
            if let Some(ended) = self.0.lock().unwrap().pop() {
                return ended;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("no connection ended");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_leaves_with_nothing_owed_says_farewell() {
    let watching = Watching::default();
    let server = start(watching.clone(), ServerLimits::default());
    drop(server.net.connect().unwrap());
    assert!(watching.next().await.is_farewell(), "it never asked for anything");
    let mut raw = Raw::new(server.net.connect().unwrap());
    raw.send(&request(0, 1)).await;
    raw.receive().await.unwrap();
    drop(raw);
    let ended = watching.next().await;
    assert_eq!((&ended.reason, ended.last_answer_code), (&CloseReason::ByPeer, Some(0)));
    assert!(ended.is_farewell());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_leaves_with_an_answer_owed_does_not() {
    let watching = Watching::default();
    let server = start(watching.clone(), ServerLimits::default());
    let mut raw = Raw::new(server.net.connect().unwrap());
    raw.send(&request(2, 1)).await;
    raw.send(&request(0, 2)).await;
    raw.receive().await.unwrap();
    drop(raw);
    let ended = watching.next().await;
    assert_eq!((ended.unanswered, ended.is_farewell()), (1, false));

    // A request that nobody waits for is not owed an answer.
    let mut raw = Raw::new(server.net.connect().unwrap());
    let mut oneway = request(2, 1);
    oneway.mark_oneway();
    raw.send(&oneway).await;
    raw.send(&request(0, 2)).await;
    raw.receive().await.unwrap();
    drop(raw);
    assert!(watching.next().await.is_farewell());
}

#[tokio::test(start_paused = true)]
async fn requests_that_were_not_begun_are_owed_too() {
    let watching = Watching::default();
    let mut limits = ServerLimits::default();
    limits.connection.max_in_flight = 1;
    let server = start(watching.clone(), limits);
    let mut raw = Raw::new(server.net.connect().unwrap());
    let mut oneway = request(2, 1);
    oneway.mark_oneway();
    // In one write: while the first is being answered, the second is held.
    let mut bytes = bytes::BytesMut::new();
    let codec = signpost_remoting::FrameCodec::default();
    codec.encode_into(&oneway, &mut bytes).unwrap();
    codec.encode_into(&request(0, 2), &mut bytes).unwrap();
    raw.stream.write_all(&bytes).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    drop(raw);
    server.stop.cancel();
    server.done.await.unwrap();
    let ended = watching.next().await;
    assert!(!ended.is_farewell(), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_leaves_after_an_error_does_not() {
    let watching = Watching::default();
    let server = start(watching.clone(), ServerLimits::default());
    let mut raw = Raw::new(server.net.connect().unwrap());
    raw.send(&request(1, 1)).await;
    raw.receive().await.unwrap();
    drop(raw);
    assert!(!watching.next().await.is_farewell());
    // Answered well after that, it does.
    let mut raw = Raw::new(server.net.connect().unwrap());
    for code in [1, 0] {
        raw.send(&request(code, 1)).await;
        raw.receive().await.unwrap();
    }
    drop(raw);
    assert!(watching.next().await.is_farewell());
}

#[tokio::test(start_paused = true)]
async fn what_we_end_is_no_farewell() {
    let watching = Watching::default();
    let server = start(watching.clone(), ServerLimits::default());
    let mut raw = Raw::new(server.net.connect().unwrap());
    raw.send(&request(3, 1)).await;
    assert_eq!(raw.receive().await, None);
    assert!(!watching.next().await.is_farewell());

    let mut waiting = Raw::new(server.net.connect().unwrap());
    waiting.send(&request(2, 1)).await;
    sleep(Duration::from_secs(1)).await;
    server.stop.cancel();
    sleep(Duration::from_secs(1)).await;
    drop(waiting);
    let ended = watching.next().await;
    assert!(!ended.is_farewell(), "{ended:?}");
}

#[tokio::test]
async fn over_tcp_a_fin_and_a_reset_are_told_apart_and_both_are_farewells() {
    let watching = Watching::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let handler = Arc::new(watching.clone());
    let done = tokio::spawn(serve(listener, handler, ServerLimits::default(), stop.clone()));
    for (resets, expected) in [(false, CloseReason::ByPeer), (true, CloseReason::ResetByPeer)] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let mut bytes = bytes::BytesMut::new();
        let codec = signpost_remoting::FrameCodec::default();
        codec.encode_into(&request(0, 7), &mut bytes).unwrap();
        stream.write_all(&bytes).await.unwrap();
        stream.readable().await.unwrap();
        if resets {
            // Closing with bytes unread resets the connection.
            drop(stream);
        } else {
            let mut frames = tokio_util::codec::FramedRead::new(
                &mut stream,
                signpost_remoting::FrameCodec::default(),
            );
            futures_util::StreamExt::next(&mut frames).await.unwrap().unwrap();
            drop(stream);
        }
        let ended = watching.next().await;
        assert_eq!(ended.reason, expected);
        assert!(ended.is_farewell());
    }
    stop.cancel();
    done.await.unwrap();
}
