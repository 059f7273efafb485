//! A real listener: what it lets in, what it cuts, and how it ends.

use std::net::SocketAddr;
use std::time::Duration;

use signpost_namesrv::http::{ServeLimits, nodelay, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::door::Door;

const DEADLINE: Duration = Duration::from_secs(20);

struct Served {
    door: Door,
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

async fn serving(limits: ServeLimits) -> Served {
    let door = Door::open();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let stop = CancellationToken::new();
    let task = tokio::spawn(serve(nodelay(listener), door.router.clone(), limits, stop.clone()));
    Served { door, address, stop, task }
}

impl Served {
    async fn dial(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the listener is open")
    }

    async fn end(self) {
        self.stop.cancel();
        timeout(DEADLINE, self.task).await.expect("it ends").expect("without a panic");
    }
}

async fn send(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.expect("the connection is open");
}

const GET: &str = "GET /v1/topics HTTP/1.1\r\nhost: x\r\n\r\n";

/// Reads until the text that has come contains `word`, or the peer closes.
async fn hear(stream: &mut TcpStream, word: &str) -> String {
    let mut text = Vec::new();
    let reading = async {
        let mut chunk = [0; 4096];
        while !String::from_utf8_lossy(&text).contains(word) {
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(bytes) => text.extend_from_slice(&chunk[..bytes]),
            }
        }
    };
    timeout(DEADLINE, reading).await.expect("an answer or an end");
    String::from_utf8_lossy(&text).into_owned()
}

/// Reads to the end of the stream.
async fn hear_all(stream: &mut TcpStream) -> String {
    hear(stream, "\u{0}never\u{0}").await
}

#[tokio::test]
async fn connections_are_kept_alive_and_without_delay() {
    use axum::serve::Listener;
    let mut listener = nodelay(TcpListener::bind("127.0.0.1:0").await.expect("a free port"));
    let address = listener.local_addr().expect("bound");
    let (accepted, _client) = tokio::join!(listener.accept(), TcpStream::connect(address));
    assert!(accepted.0.nodelay().expect("an open socket"));

    let served = serving(ServeLimits::default()).await;
    let mut stream = served.dial().await;
    for _ in 0..3 {
        send(&mut stream, GET).await;
        assert!(hear(&mut stream, "[]}").await.starts_with("HTTP/1.1 200"));
    }
    drop(stream);
    served.end().await;
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_a_place() {
    let served = serving(ServeLimits { connections_max: 2, ..ServeLimits::default() }).await;
    let mut first = served.dial().await;
    let mut second = served.dial().await;
    for stream in [&mut first, &mut second] {
        send(stream, GET).await;
        assert!(hear(stream, "[]}").await.starts_with("HTTP/1.1 200"));
    }
    let mut third = served.dial().await;
    send(&mut third, GET).await;
    let mut byte = [0];
    let early = timeout(Duration::from_millis(300), third.read(&mut byte)).await;
    assert!(early.is_err(), "answered although two are served already");
    drop(first);
    assert!(hear(&mut third, "[]}").await.starts_with("HTTP/1.1 200"));
    drop((second, third));
    served.end().await;
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let limits = ServeLimits { header_read_ms: 200, ..ServeLimits::default() };
    let served = serving(limits).await;
    let mut slow = served.dial().await;
    send(&mut slow, "GET /v1/topics HTTP/1.1\r\nhost:").await;
    let begun = Instant::now();
    let heard = hear_all(&mut slow).await;
    assert!(!heard.contains("200 OK"), "{heard}");
    assert!(begun.elapsed() >= Duration::from_millis(150) && begun.elapsed() < DEADLINE / 2);
    let mut idle = served.dial().await;
    send(&mut idle, GET).await;
    assert!(hear_all(&mut idle).await.starts_with("HTTP/1.1 200"), "closed after it idled");
    served.end().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let served = serving(ServeLimits::default()).await;
    let mut slow = served.dial().await;
    let head = "PUT /v1/kv/N/K HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
        signpost-deadline-ms: 200\r\ncontent-length: 100\r\n\r\n{";
    send(&mut slow, head).await;
    let heard = hear(&mut slow, "slow-body").await;
    assert!(heard.starts_with("HTTP/1.1 408"), "{heard}");
    drop(slow);
    let mut cut = served.dial().await;
    send(&mut cut, &head.replace("200\r\n", "9000\r\n")).await;
    cut.shutdown().await.expect("half closed");
    let heard = hear_all(&mut cut).await;
    assert!(!heard.contains("200 OK"), "{heard}");
    assert_eq!(served.door.log.proposed().len(), 0);
    drop(cut);
    served.end().await;
}

#[tokio::test]
async fn a_large_body_is_refused_unread() {
    let served = serving(ServeLimits::default()).await;
    let mut stream = served.dial().await;
    let head = "PUT /v1/kv/N/K HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
        content-length: 99999999999\r\n\r\n";
    send(&mut stream, head).await;
    let heard = hear(&mut stream, "too-large").await;
    assert!(heard.starts_with("HTTP/1.1 413"), "{heard}");
    drop(stream);
    served.end().await;
}

#[tokio::test]
async fn garbage_ends_its_connection_and_nothing_else() {
    let limits = ServeLimits { head_bytes_max: 8 * 1024, ..ServeLimits::default() };
    let served = serving(limits).await;
    let long_head = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(500));
    for garbage in [
        "\0\0\0\0\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /\u{1} HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: nonsense\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &long_head,
        &many,
    ] {
        let mut stream = served.dial().await;
        // It may be cut before all has been sent.
        let _ = stream.write_all(garbage.as_bytes()).await;
        let heard = hear_all(&mut stream).await;
        assert!(!heard.contains("HTTP/1.1 2"), "{garbage:.40}: {heard}");
    }
    let mut stream = served.dial().await;
    send(&mut stream, GET).await;
    assert!(hear(&mut stream, "[]}").await.starts_with("HTTP/1.1 200"));
    drop(stream);
    served.end().await;
}

#[tokio::test]
async fn a_stop_ends_waits_and_closes_idle_connections() {
    let served = serving(ServeLimits::default()).await;
    let mut idle = served.dial().await;
    send(&mut idle, GET).await;
    hear(&mut idle, "[]}").await;
    let mut waiting = served.dial().await;
    let index = served.door.log.last_index();
    let wait = format!("GET /v1/routes/A?index={index}&wait=60s HTTP/1.1\r\nhost: x\r\n\r\n");
    send(&mut waiting, &wait).await;
    let begun = Instant::now();
    while served.door.service.counters().waiters == 0 {
        assert!(begun.elapsed() < DEADLINE, "the wait never began");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    served.stop.cancel();
    served.door.service.shutdown().await;
    let heard = hear_all(&mut waiting).await;
    assert!(heard.starts_with("HTTP/1.1 503") && heard.contains("stopping"), "{heard}");
    assert_eq!(hear_all(&mut idle).await, "");
    timeout(DEADLINE, served.task).await.expect("drained").expect("without a panic");
    TcpStream::connect(served.address).await.expect_err("the listener is closed");
    assert!(begun.elapsed() < DEADLINE / 2, "it did not sit the wait out");
}

#[tokio::test]
async fn what_does_not_end_is_cut_after_the_drain() {
    let limits = ServeLimits { drain_ms: 200, ..ServeLimits::default() };
    let served = serving(limits).await;
    served.door.log.set_proposals(signpost_namesrv::fake_log::Proposals::Hold);
    let mut hung = served.dial().await;
    let body = r#"{"value":"v"}"#;
    let request = format!(
        "PUT /v1/kv/N/K HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
        signpost-deadline-ms: 60000\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    send(&mut hung, &request).await;
    let begun = Instant::now();
    while served.door.log.held() == 0 {
        assert!(begun.elapsed() < DEADLINE, "it was never proposed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    served.stop.cancel();
    timeout(DEADLINE, served.task).await.expect("cut").expect("without a panic");
    assert_eq!(hear_all(&mut hung).await, "");
}
