//! A registration acknowledged just before kill -9 of the leader is served by both survivors, with
//! equal bytes (claim 4), whichever replica took it.

use crate::support::brokers::{claimed, identity};
use crate::support::cluster::{Cluster, Settings};

#[tokio::test]
async fn both_survivors_serve_what_was_acknowledged_just_before_the_leader_died() {
    let mut cluster = Cluster::start(Settings::default()).await;
    for round in 1..=3 {
        let (leader, _) = cluster.leader().await;
        // In turn: through the leader itself, and through each follower.
        let door = cluster.ids()[(leader as usize + round) % 3];
        let name = format!("broker-{round}");
        let client = cluster.admin(door);
        let registration = claimed(&name, &["shared", &name], 1, 1);
        let registered = client.register(&identity(&name), &registration, false).await;
        cluster.kill(leader);
        let registered = registered.expect("acknowledged").value;

        let linearizable = format!("/v1/routes/{name}");
        let route = cluster.same_everywhere(&linearizable, |seen| seen.status != 503).await.ok();
        assert_eq!(route.modified, Some(registered.index));
        assert!(route.text().contains(&registration.address), "{}", route.text());
        let local = format!("/v1/routes/{name}?consistency=local&min_index={}", registered.index);
        let at_once = cluster.same_everywhere(&local, |_| true).await;
        assert_eq!(at_once.content(), route.content());

        cluster.start_replica(leader).await;
        let again = cluster.same_everywhere(&linearizable, |_| true).await;
        assert_eq!(again.content(), route.content(), "the former leader has it too");
    }
    let shared = cluster.same_everywhere("/v1/routes/shared", |_| true).await.ok();
    assert_eq!(shared.json()["brokerDatas"].as_array().map(Vec::len), Some(3));
}
