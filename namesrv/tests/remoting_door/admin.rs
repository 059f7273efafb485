//! 205, 216, 217, 318, 319, 327.

use signpost_namesrv::fake_log::{master, registration};
use signpost_namesrv::routes::command::{BrokerKey, Register};
use signpost_remoting::RemotingCommand;

use crate::door::{Door, NEW, json, look_up, request, text};

async fn perm(door: &Door, topic: &str) -> u64 {
    let route = json(&door.ask(look_up(topic, NEW)).await);
    route["queueDatas"][0]["perm"].as_u64().expect("a number")
}

fn put_topic(topic: &str, body: &str) -> RemotingCommand {
    request(217, &[("topic", topic)]).with_body(body.to_owned())
}

#[tokio::test]
async fn write_permission_is_wiped_and_restored_with_the_same_count_each_time() {
    let door = Door::open().await;
    door.master("a", &["T", "U"]);
    let of = |code: i32, name: &str| request(code, &[("brokerName", name)]);
    for _replica in 0..3 {
        let wiped = door.ask(of(205, "a")).await;
        assert_eq!((wiped.code, wiped.ext.get("wipeTopicCount")), (0, Some("2")));
        assert_eq!(perm(&door, "T").await, 4);
    }
    for _replica in 0..3 {
        let restored = door.ask(of(327, "a")).await;
        assert_eq!((restored.code, restored.ext.get("addTopicCount")), (0, Some("2")));
        assert_eq!(perm(&door, "U").await, 6);
    }
    let unknown = door.ask(of(205, "nobody")).await;
    assert_eq!((unknown.code, unknown.ext.get("wipeTopicCount")), (0, Some("0")));
    let unknown = door.ask(of(327, "nobody")).await;
    assert_eq!((unknown.code, unknown.ext.get("addTopicCount")), (0, Some("0")));
    let nameless = door.ask(request(205, &[])).await;
    assert_eq!((nameless.code, nameless.ext.get("wipeTopicCount")), (0, Some("0")));
}

#[tokio::test]
async fn a_topic_is_deleted_everywhere_or_from_one_cluster() {
    let door = Door::open().await;
    door.master("a", &["T", "U"]);
    let other = BrokerKey { cluster: "D".into(), ..master("b") };
    door.register(Register { key: other, ..registration("b", 1, &["T", "U"]) });
    let delete =
        |topic: &str, cluster: &str| request(216, &[("topic", topic), ("clusterName", cluster)]);
    for _replica in 0..2 {
        assert_eq!(door.ask(delete("T", "C")).await.code, 0);
    }
    let route = json(&door.ask(look_up("T", NEW)).await);
    assert_eq!(route["queueDatas"][0]["brokerName"], "b");
    assert_eq!(route["queueDatas"].as_array().map(Vec::len), Some(1));
    for _replica in 0..2 {
        assert_eq!(door.ask(delete("U", "")).await.code, 0);
    }
    assert_eq!(door.ask(look_up("U", NEW)).await.code, 17);
    assert_eq!(door.ask(request(216, &[("topic", "Never")])).await.code, 0);
    assert_eq!(door.ask(request(216, &[])).await.code, 0);
}

#[tokio::test]
async fn a_topic_is_made_on_known_brokers_or_quietly_not_at_all() {
    let door = Door::open().await;
    door.master("a", &["T"]);
    let on = |broker: &str, queues: i32| {
        format!(
            r#"{{"brokerName":"{broker}","perm":6,"readQueueNums":{queues},"topicSysFlag":0,"writeQueueNums":4}}"#
        )
    };
    let made = put_topic("New", &format!(r#"{{"queueDatas":[{}]}}"#, on("a", 8)));
    assert_eq!(door.ask(made).await.code, 0);
    let route = json(&door.ask(look_up("New", NEW)).await);
    assert_eq!(route["queueDatas"][0]["readQueueNums"], 8);
    let half = format!(r#"{{"queueDatas":[{},{}]}}"#, on("a", 4), on("nobody", 4));
    assert_eq!(door.ask(put_topic("Half", &half)).await.code, 0);
    assert_eq!(door.ask(look_up("Half", NEW)).await.code, 17, "all of it or nothing");
    for nothing in ["", "{}", r#"{"queueDatas":[]}"#] {
        assert_eq!(door.ask(put_topic("None", nothing)).await.code, 0, "{nothing}");
    }
    let proposed = door.log.proposed().len();
    let many = format!(r#"{{"queueDatas":[{}]}}"#, on("a", 65_536));
    let negative = format!(r#"{{"queueDatas":[{}]}}"#, on("a", -1));
    for wrong in ["[", "nonsense", &many, &negative] {
        assert_eq!(door.ask(put_topic("Wrong", wrong)).await.code, 1, "{wrong}");
    }
    assert_eq!(door.ask(put_topic(&"x".repeat(256), "{}")).await.code, 1);
    assert_eq!(door.log.proposed().len(), proposed);
}

#[tokio::test]
async fn settings_are_shown_and_never_changed() {
    let door = Door::open_with(|config| {
        config.order_message_enable = true;
        config.remoting.advertise = Some("name-1:9876".into());
    })
    .await;
    let shown = door.ask(request(319, &[])).await;
    assert_eq!(shown.code, 0);
    let lines: Vec<&str> = text(&shown).lines().collect();
    assert!(lines.is_sorted() && lines.iter().all(|line| line.contains('=')), "{lines:?}");
    assert!(lines.contains(&"orderMessageEnable=true") && lines.contains(&"listenPort=9876"));
    for secret in ["/", "token", "Home", "Path", "password"] {
        assert!(!text(&shown).contains(secret), "{lines:?}");
    }
    let change = request(318, &[]).with_body("orderMessageEnable=false\n");
    let refused = door.ask(change).await;
    assert_eq!(refused.code, 16);
    assert!(refused.remark.expect("a remark").contains("cannot be changed over the wire"));
    assert_eq!(door.ask(request(319, &[])).await.body, shown.body);
}
