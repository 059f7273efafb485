//! What a request leaves in the log: one debug line, in which nobody can forge another.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::http::Method;
use tracing_subscriber::fmt::MakeWriter;

use crate::door::Door;

#[derive(Clone, Default)]
struct Pages(Arc<Mutex<Vec<u8>>>);

impl Write for Pages {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Pages {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_one_line_however_long_or_odd() {
    let pages = Pages::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(pages.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let door = Door::open();
    door.get("/v1/topics?consistency=local").await;
    let method = Method::from_bytes("M".repeat(5_000).as_bytes()).expect("a token");
    door.ask(method, &format!("/{}", "x".repeat(5_000))).send().await;
    let body = "{\"address\":\"a\\u000aINFO forged\"}";
    door.put("/v1/brokers/C/broker-a/0", body).await;
    let text = String::from_utf8(pages.0.lock().expect("not poisoned").clone()).expect("UTF-8");
    let lines: Vec<&str> =
        text.lines().filter(|line| line.contains("signpost_namesrv::http")).collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].contains("method=GET path=\"/v1/topics\""), "{}", lines[0]);
    assert!(lines[0].contains("status=200") && lines[0].contains("elapsed_us="), "{}", lines[0]);
    assert!(lines[1].len() < 1_000 && lines[1].contains("status=404"), "{}", lines[1]);
    assert!(!text.contains("\nINFO forged"), "{text}");
}
