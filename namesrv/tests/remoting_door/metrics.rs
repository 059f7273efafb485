//! What operators see of this door.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock};

use signpost_remoting::request as codes;
use tokio::io::AsyncWriteExt;
use tracing_subscriber::fmt::MakeWriter;

use crate::door::{Door, NEW, look_up, request};

#[tokio::test]
async fn requests_are_counted_by_name_and_by_their_answers_codes() {
    let door = Door::open().await;
    door.master("a", &["T"]);
    for topic in ["T", "T", "nowhere"] {
        door.ask(look_up(topic, NEW)).await;
    }
    door.ask(request(codes::GET_NAMESRV_CONFIG, &[])).await;
    for code in [4711, 4712] {
        door.ask(request(code, &[])).await;
    }
    let (status, body) = door.http("/metrics").await;
    let text = String::from_utf8(body.to_vec()).expect("text");
    assert_eq!(status, 200, "{text}");
    for line in [
        r#"remoting_requests_total{request="GET_ROUTEINFO_BY_TOPIC",code="0"} 2"#,
        r#"remoting_requests_total{request="GET_ROUTEINFO_BY_TOPIC",code="17"} 1"#,
        r#"remoting_requests_total{request="GET_NAMESRV_CONFIG",code="0"} 1"#,
        r#"remoting_requests_total{request="other",code="3"} 2"#,
        r#"remoting_wait_seconds_count{request="GET_ROUTEINFO_BY_TOPIC"} 3"#,
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(
        !text.contains(r#"remoting_wait_seconds_count{request="GET_NAMESRV_CONFIG"}"#),
        "{text}"
    );
}

#[derive(Clone, Default)]
struct Pages(Arc<Mutex<Vec<u8>>>);

impl Write for Pages {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic under this lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Pages {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

/// What is logged on this thread, on which a test's runtime does everything, while the guard lives.
fn listen() -> (Pages, tracing::subscriber::DefaultGuard) {
    // While there is one subscriber only, tracing asks the thread that comes by first whether a line
    // is of interest to anybody, and another test's thread has none. So there are always two.
    static OTHER: OnceLock<tracing::Dispatch> = OnceLock::new();
    OTHER.get_or_init(|| tracing::Dispatch::new(tracing_subscriber::registry()));
    let pages = Pages::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(pages.clone());
    (pages, tracing::subscriber::set_default(subscriber.finish()))
}

impl Pages {
    /// The lines with this in them.
    fn lines(&self, part: &str) -> Vec<String> {
        let pages = self.0.lock().expect("no panic under this lock");
        let log = String::from_utf8(pages.clone()).expect("text");
        log.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn a_request_is_one_debug_line_with_its_code_and_peer() {
    let (pages, _guard) = listen();
    let door = Door::open().await;
    let mut peer = door.dial().await;
    let address = peer.frames.get_ref().local_addr().expect("connected");
    peer.ask(look_up("nowhere", NEW)).await;
    let told = pages.lines("code=105");
    let [line] = &told[..] else { panic!("one line for one request: {told:?}") };
    for part in ["DEBUG", "GET_ROUTEINFO_BY_TOPIC", &format!("peer={address}")] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[tokio::test]
async fn who_sends_what_is_no_frame_is_told_of_and_not_again_and_again() {
    let (pages, _guard) = listen();
    let door = Door::open_with(|config| config.limits.registration_bytes = 1024 * 1024).await;
    for _ in 0..5 {
        let mut peer = door.dial().await;
        // A frame of three megabytes, as its length says.
        peer.frames.get_mut().write_all(&[0, 0x30, 0, 0, 0, 0, 0, 0]).await.expect("connected");
        assert_eq!(peer.hear().await, None, "cut, and never answered");
    }
    let told = pages.lines("cut a connection");
    assert!((1..5).contains(&told.len()), "{told:?}");
    for part in ["INFO", "peer=127.0.0.1:", "over the limit", "--registration-bytes-max"] {
        assert!(told[0].contains(part), "{part}: {told:?}");
    }
}
