//! 100, 101, 102, 219.

use signpost_remoting::{HeaderKind, RemotingCommand};

use crate::door::{Door, request, text};

fn put(namespace: &str, key: &str, value: &str) -> RemotingCommand {
    request(100, &[("namespace", namespace), ("key", key), ("value", value)])
}

fn get(namespace: &str, key: &str) -> RemotingCommand {
    request(101, &[("namespace", namespace), ("key", key)])
}

fn delete(namespace: &str, key: &str) -> RemotingCommand {
    request(102, &[("namespace", namespace), ("key", key)])
}

#[tokio::test]
async fn a_values_life() {
    let door = Door::open().await;
    let missing = door.ask(get("N", "K")).await;
    assert_eq!(missing.code, 22);
    assert_eq!(missing.remark.as_deref(), Some("No config item, Namespace: N Key: K"));
    for _ in 0..2 {
        let done = door.ask(put("N", "K", "a:4;b:4 \"é\"")).await;
        assert_eq!((done.code, done.remark), (0, None));
    }
    assert_eq!(door.ask(get("N", "K")).await.ext.get("value"), Some("a:4;b:4 \"é\""));
    for _ in 0..2 {
        assert_eq!(door.ask(delete("N", "K")).await.code, 0, "also when it is gone");
    }
    assert_eq!(door.ask(get("N", "K")).await.code, 22);
}

#[tokio::test]
async fn a_namespace() {
    let door = Door::open().await;
    let list = || request(219, &[("namespace", "N")]);
    let missing = door.ask(list()).await;
    assert_eq!(missing.code, 22);
    assert_eq!(missing.remark.as_deref(), Some("No config item, Namespace: N"));
    door.ask(put("N", "b", "2")).await;
    door.ask(put("N", "a", "1")).await;
    assert_eq!(text(&door.ask(list()).await), r#"{"table":{"a":"1","b":"2"}}"#);
    door.ask(delete("N", "a")).await;
    door.ask(delete("N", "b")).await;
    let emptied = door.ask(list()).await;
    assert_eq!((emptied.code, text(&emptied)), (0, r#"{"table":{}}"#), "it has been there");
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_and_not_proposed() {
    let door = Door::open().await;
    let long = "x".repeat(256);
    let large = "x".repeat(64 * 1024 + 1);
    let nothing_in_binary = RemotingCommand { header: HeaderKind::Binary, ..put("N", "K", "") };
    for refused in [
        request(100, &[("key", "K"), ("value", "V")]),
        request(100, &[("namespace", "N"), ("value", "V")]),
        request(100, &[("namespace", "N"), ("key", "K")]),
        nothing_in_binary,
        put(&long, "K", "V"),
        put("N", &long, "V"),
        put("N", "K", &large),
        delete("N", &long),
    ] {
        assert_eq!(door.ask(refused).await.code, 1);
    }
    let nameless = door.ask(request(100, &[("key", "K"), ("value", "V")])).await;
    assert_eq!(nameless.remark.as_deref(), Some("namespace or key is null"));
    assert_eq!(door.ask(request(102, &[("namespace", "N")])).await.code, 0, "nothing to delete");
    assert_eq!(door.log.proposed(), []);
    assert_eq!(door.ask(request(101, &[])).await.code, 22);
    assert_eq!(door.ask(request(219, &[])).await.code, 22);
    assert_eq!(door.ask(put("N", "K", "")).await.code, 0, "an empty text is a value in JSON");
    assert_eq!(door.ask(get("N", "K")).await.ext.get("value"), Some(""));
}
