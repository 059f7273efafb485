//! What a request leaves in the log: one debug line, in which nobody can forge another.
//!
//! In a test binary of its own: a log is a process-wide thing.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::Request;
use signpost_namesrv::config::NodeConfig;
use signpost_namesrv::fake_log::FakeLog;
use signpost_namesrv::http::{AdminToken, router};
use tower::ServiceExt;
use tracing_subscriber::fmt::MakeWriter;

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
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(pages.clone())
        .init();
    let (_log, service) = FakeLog::lead(NodeConfig::new(1, "tests"));
    let router = router(service, AdminToken::new("an-admin-token-for-tests").expect("long"));
    let long_method = "M".repeat(5_000);
    let long_path = format!("/{}", "x".repeat(5_000));
    for (method, path, body) in [
        ("GET", "/v1/topics?consistency=local", ""),
        (long_method.as_str(), long_path.as_str(), ""),
        ("PUT", "/v1/brokers/C/broker-a/0", r#"{"address":"a\u000aINFO forged"}"#),
    ] {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/json").body(body.into());
        let request: Request<Body> = request.expect("a well-formed request");
        let Ok(_answer) = router.clone().oneshot(request).await;
    }
    let text = String::from_utf8(pages.0.lock().expect("not poisoned").clone()).expect("UTF-8");
    let from_http = |line: &&str| line.contains("signpost_namesrv::http");
    let lines: Vec<&str> = text.lines().filter(from_http).collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].contains("method=GET path=\"/v1/topics\""), "{}", lines[0]);
    assert!(lines[0].contains("status=200") && lines[0].contains("elapsed_us="), "{}", lines[0]);
    assert!(lines[1].len() < 1_000 && lines[1].contains("status=404"), "{}", lines[1]);
    assert!(lines[2].contains("status=400"), "{}", lines[2]);
    assert!(!text.contains("\nINFO forged"), "{text}");
}
