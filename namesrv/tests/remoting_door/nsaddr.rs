//! The address server.

use crate::door::Door;

#[tokio::test]
async fn members_are_told_to_who_asks_for_name_servers() {
    let door = Door::open_with(|config| {
        config.remoting.advertise = Some("door-1.example:9876".into());
    })
    .await;
    let expected = "door-1.example:9876;http-2:9876;http-3:9876";
    for uri in ["/rocketmq/nsaddr", "/rocketmq/nsaddr-unit1?nofix=1"] {
        let (status, body) = door.http(uri).await;
        assert_eq!((status, &body[..]), (200, expected.as_bytes()), "{uri}");
    }
    for uri in ["/rocketmq", "/rocketmq/", "/rocketmq/other", "/rocketmq/nsaddrs"] {
        assert_eq!(door.http(uri).await.0, 404, "{uri}");
    }
    door.log.set_status(|status| status.members.retain(|member| member.id != 2));
    let (_, body) = door.http("/rocketmq/nsaddr").await;
    assert_eq!(&body[..], b"door-1.example:9876;http-3:9876", "who is gone is not named");
    door.log.set_status(|status| status.removed = true);
    assert_eq!(door.http("/rocketmq/nsaddr").await.0, 421);
}

#[tokio::test]
async fn a_replica_without_a_door_does_not_guess() {
    let door = Door::open().await;
    assert_eq!(door.http("/rocketmq/nsaddr").await.0, 503);
}
