//! What operators see of this door.

use signpost_remoting::request as codes;

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
