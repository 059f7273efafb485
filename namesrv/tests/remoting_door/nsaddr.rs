//! The address server.

use crate::door::Door;

#[tokio::test]
async fn members_are_told_to_who_asks_for_name_servers() {
    let door = Door::open().await;
    let expected = "door-1:9876;door-2:9876;door-3:9876";
    for uri in ["/rocketmq/nsaddr", "/rocketmq/nsaddr-unit1?nofix=1"] {
        let (status, body) = door.http(uri).await;
        assert_eq!((status, &body[..]), (200, expected.as_bytes()), "{uri}");
    }
    for uri in ["/rocketmq", "/rocketmq/", "/rocketmq/other", "/rocketmq/nsaddrs"] {
        assert_eq!(door.http(uri).await.0, 404, "{uri}");
    }
    door.log.set_status(|status| status.members.retain(|member| member.id != 2));
    let (_, body) = door.http("/rocketmq/nsaddr").await;
    assert_eq!(&body[..], b"door-1:9876;door-3:9876", "who is gone is not named");
    door.log.set_status(|status| status.removed = true);
    assert_eq!(door.http("/rocketmq/nsaddr").await.0, 421);
}

#[tokio::test]
async fn before_any_member_is_known_nobody_is_guessed() {
    let door = Door::open().await;
    door.log.set_status(|status| status.members.clear());
    assert_eq!(door.http("/rocketmq/nsaddr").await.0, 503);
}
