//! The server: order of answers, bounds, time limits, shutdown.

mod net;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use net::{Raw, after_code_ms, echo, handler, request, start};
use signpost_remoting::connection::{CloseReason, ConnectionLimits};
use signpost_remoting::{HeaderKind, RemotingCommand, Reply, ServerLimits, response, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);

fn limits(change: impl FnOnce(&mut ConnectionLimits)) -> ServerLimits {
    let mut limits = ServerLimits::default();
    change(&mut limits.connection);
    limits
}

#[tokio::test(start_paused = true)]
async fn answers_overtake_each_other_and_mirror_their_requests() {
    let (handler, _) = handler(after_code_ms);
    let server = start(handler, ServerLimits::default());
    let mut raw = Raw::new(server.net.connect().unwrap());
    raw.send(&RemotingCommand { header: HeaderKind::Binary, ..request(300, -7) }).await;
    raw.send(&request(100, 8)).await;
    let (first, second) = (raw.receive().await.unwrap(), raw.receive().await.unwrap());
    assert_eq!((first.opaque, first.header), (8, HeaderKind::Json));
    assert_eq!((second.opaque, second.header), (-7, HeaderKind::Binary));
    assert!(first.is_response() && second.is_response());
}

#[tokio::test(start_paused = true)]
async fn one_way_requests_get_no_answer_and_others_always_do() {
    let (handler, _) = handler(echo);
    let server = start(handler, ServerLimits::default());
    let mut raw = Raw::new(server.net.connect().unwrap());
    let mut oneway = request(15, 1);
    oneway.mark_oneway();
    raw.send(&oneway).await;
    raw.send(&request(15, 2)).await;
    assert_eq!(raw.receive().await.unwrap().opaque, 2);
    raw.receives_nothing_for(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_are_begun_than_may_be_in_flight() {
    let begun = Arc::new(AtomicUsize::new(0));
    let count = begun.clone();
    let (handler, _) = handler(move |connection, request| {
        count.fetch_add(1, Ordering::SeqCst);
        after_code_ms(connection, request)
    });
    let server = start(handler, limits(|limits| limits.max_in_flight = 2));
    let mut raw = Raw::new(server.net.connect().unwrap());
    for opaque in 0..5 {
        raw.send(&request(1000, opaque)).await;
    }
    sleep(Duration::from_millis(500)).await;
    assert_eq!(begun.load(Ordering::SeqCst), 2);
    for _ in 0..5 {
        raw.receive().await.unwrap();
    }
    assert_eq!(begun.load(Ordering::SeqCst), 5);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_when_nothing_moves_for_the_idle_time() {
    let (handler, ended) = handler(echo);
    let server = start(handler, ServerLimits::default());
    let mut raw = Raw::new(server.net.connect().unwrap());
    sleep(100 * SECOND).await;
    raw.send(&request(34, 1)).await;
    raw.receive().await.unwrap();
    let moved = Instant::now();
    assert_eq!(raw.receive().await, None);
    let idle = moved.elapsed();
    assert!(idle >= 120 * SECOND && idle <= 136 * SECOND, "{idle:?}");
    assert_eq!(*ended.lock().unwrap(), [CloseReason::Idle(120 * SECOND)]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_not_read_from_and_then_cut_off() {
    let begun = Arc::new(AtomicUsize::new(0));
    let count = begun.clone();
    let (handler, ended) = handler(move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
        Reply::Now(RemotingCommand::response(0).with_body(vec![7; 10_000]))
    });
    let stall = 15 * SECOND;
    let server = start(handler, limits(|limits| limits.max_unsent_bytes = 25_000));
    let mut raw = Raw::new(server.net.connect().unwrap());
    let began = Instant::now();
    let flood = async {
        for opaque in 0.. {
            let mut bytes = bytes::BytesMut::new();
            let codec = signpost_remoting::FrameCodec::default();
            codec.encode_into(&request(11, opaque), &mut bytes).unwrap();
            if raw.stream.write_all(&bytes).await.is_err() {
                break;
            }
        }
    };
    timeout(60 * SECOND, flood).await.expect("the connection was cut");
    assert_eq!(*ended.lock().unwrap(), [CloseReason::SlowReader(stall)]);
    let took = began.elapsed();
    assert!(took >= stall && took < stall + SECOND, "{took:?}");
    assert_eq!(begun.load(Ordering::SeqCst), 3, "answers of 25,000 bytes may wait, one beyond");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_end_its_frame_is_cut_off() {
    let (handler, ended) = handler(|_, _| Reply::Now(RemotingCommand::response(0)));
    let server = start(handler, ServerLimits::default());
    let mut raw = Raw::new(server.net.connect().unwrap());
    let mut bytes = bytes::BytesMut::new();
    let codec = signpost_remoting::FrameCodec::default();
    codec.encode_into(&request(11, 1), &mut bytes).unwrap();
    // Whole ones, each with the beginning of the next, are never too late.
    for _ in 0..3 {
        raw.stream.write_all(&bytes[..5]).await.unwrap();
        sleep(40 * SECOND).await;
        raw.stream.write_all(&bytes[5..]).await.unwrap();
    }
    assert!(ended.lock().unwrap().is_empty());
    let began = Instant::now();
    for byte in &bytes[..bytes.len() - 1] {
        if raw.stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        sleep(2 * SECOND).await;
    }
    assert_eq!(*ended.lock().unwrap(), [CloseReason::SlowWriter(60 * SECOND)]);
    assert!(began.elapsed() < 65 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_slowly_but_steadily_gets_everything() {
    let (handler, _) =
        handler(|_, _| Reply::Now(RemotingCommand::response(0).with_body(vec![7; 10_000])));
    let server = start(handler, ServerLimits::default());
    let mut raw = Raw::new(server.net.connect().unwrap());
    raw.send(&request(11, 1)).await;
    let mut read = Vec::new();
    while read.len() < 10_000 {
        sleep(10 * SECOND).await;
        let mut some = [0; 500];
        let bytes = raw.stream.read(&mut some).await.unwrap();
        assert_ne!(bytes, 0, "cut off after {} bytes", read.len());
        read.extend_from_slice(&some[..bytes]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_answers_what_was_begun_and_begins_nothing() {
    let (handler, ended) = handler(after_code_ms);
    let server = start(handler, ServerLimits::default());
    let mut raw = Raw::new(server.net.connect().unwrap());
    let mut resting = Raw::new(server.net.connect().unwrap());
    raw.send(&request(2000, 1)).await;
    sleep(SECOND).await;
    server.stop.cancel();
    sleep(Duration::from_millis(100)).await;
    raw.send(&request(1, 2)).await;
    assert_eq!(resting.receive().await, None, "a connection at rest closes at once");
    assert_eq!(raw.receive().await.unwrap().opaque, 1);
    assert_eq!(raw.receive().await, None);
    server.done.await.unwrap();
    assert_eq!(*ended.lock().unwrap(), [CloseReason::Drained, CloseReason::Drained]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_even_when_an_answer_does_not_come() {
    let (handler, ended) = handler(|_, _| Reply::Later(Box::pin(std::future::pending())));
    let server = start(handler, ServerLimits { drain: 3 * SECOND, ..ServerLimits::default() });
    let mut raw = Raw::new(server.net.connect().unwrap());
    raw.send(&request(11, 1)).await;
    sleep(SECOND).await;
    let began = Instant::now();
    server.stop.cancel();
    server.done.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 3);
    assert_eq!(*ended.lock().unwrap(), [CloseReason::Requested]);
}

#[tokio::test(start_paused = true)]
async fn connections_beyond_the_bound_wait_for_a_place() {
    let (handler, _) = handler(echo);
    let server = start(handler, ServerLimits { max_connections: 1, ..ServerLimits::default() });
    let mut first = Raw::new(server.net.connect().unwrap());
    first.send(&request(105, 1)).await;
    first.receive().await.unwrap();
    let mut second = Raw::new(server.net.connect().unwrap());
    second.send(&request(105, 2)).await;
    second.receives_nothing_for(SECOND).await;
    drop(first);
    assert_eq!(second.receive().await.unwrap().opaque, 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_frame_closes_the_connection_after_earlier_answers() {
    let (handler, ended) = handler(echo);
    let server = start(handler, ServerLimits::default());
    for (bytes, expected) in [
        (&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01][..], "TLS"),
        (b"GET / HTTP/1.1\r\n\r\n", "over the limit"),
        (&[0, 0, 0, 6, 0, 0, 0, 2, b'{', b'!'], "cannot be read"),
    ] {
        let mut raw = Raw::new(server.net.connect().unwrap());
        raw.send(&request(105, 1)).await;
        raw.stream.write_all(bytes).await.unwrap();
        assert_eq!(raw.receive().await.unwrap().opaque, 1);
        assert_eq!(raw.receive().await, None);
        let reason = ended.lock().unwrap().pop().unwrap().to_string();
        assert!(reason.contains(expected), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_over_the_limit_becomes_an_error() {
    let (handler, _) =
        handler(|_, _| Reply::Now(RemotingCommand::response(0).with_body(vec![0; 2000])));
    let server = start(handler, limits(|limits| limits.frame.max_frame_bytes = 1000));
    let mut raw = Raw::new(server.net.connect().unwrap());
    raw.send(&request(11, 9)).await;
    let answer = raw.receive().await.unwrap();
    assert_eq!((answer.code, answer.opaque), (response::SYSTEM_ERROR, 9));
    assert!(answer.remark.unwrap().contains("over the limit"));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_costs_its_connection_only() {
    let (handler, ended) = handler(|connection, request| match request.code {
        666 => panic!("on purpose"),
        _ => echo(connection, request),
    });
    let server = start(handler, ServerLimits { max_connections: 2, ..ServerLimits::default() });
    let mut good = Raw::new(server.net.connect().unwrap());
    for _ in 0..3 {
        let mut bad = Raw::new(server.net.connect().unwrap());
        bad.send(&request(666, 1)).await;
        assert_eq!(bad.receive().await, None);
    }
    good.send(&request(105, 2)).await;
    assert_eq!(good.receive().await.unwrap().opaque, 2);
    assert_eq!(*ended.lock().unwrap(), vec![CloseReason::Panicked; 3]);
}

#[tokio::test]
async fn over_tcp_many_requests_in_one_write_are_all_answered() {
    let (handler, _) = handler(echo);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let done =
        tokio::spawn(serve(listener, Arc::new(handler), ServerLimits::default(), stop.clone()));
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut bytes = bytes::BytesMut::new();
    for opaque in 0..5000 {
        let request = request(105, opaque).with_body(vec![opaque as u8; 300]);
        signpost_remoting::FrameCodec::default().encode_into(&request, &mut bytes).unwrap();
    }
    let (mut reader, mut writer) = stream.split();
    let read = async {
        let mut frames = tokio_util::codec::FramedRead::new(
            &mut reader,
            signpost_remoting::FrameCodec::default(),
        );
        for opaque in 0..5000 {
            let answer = futures_util::StreamExt::next(&mut frames).await.unwrap().unwrap();
            assert_eq!((answer.opaque, answer.body.len()), (opaque, 300));
        }
    };
    let (wrote, ()) = tokio::join!(writer.write_all(&bytes), read);
    wrote.unwrap();
    stop.cancel();
    timeout(10 * SECOND, done).await.unwrap().unwrap();
    let error = tokio::net::TcpStream::connect(address).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}
