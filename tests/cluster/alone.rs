//! A replica that is started again serves local reads with no peer up, marked as such, and refuses
//! linearizable ones.

use crate::support::brokers::{claimed, identity};
use crate::support::cluster::{Cluster, Settings};
use crate::support::http;
use crate::support::wait::until;

#[tokio::test]
async fn a_lone_replica_serves_local_reads() {
    let mut cluster = Cluster::start(Settings::default()).await;
    let client = cluster.client();
    let registration = claimed("broker-a", &["topic"], 1, 1);
    client.register(&identity("broker-a"), &registration, false).await.expect("registered");
    let local = "/v1/routes/topic?consistency=local";
    cluster.note_committed().await;
    let before = cluster.same_everywhere(local, |_| true).await.ok();
    for id in cluster.ids() {
        cluster.kill_all();
        cluster.launch(id);
        let alone = cluster.same_everywhere(local, |seen| seen.status != 503).await;
        assert_eq!(alone.content(), before.content(), "replica {id}, alone");
        let refused = cluster.get(id, "/v1/routes/topic").await;
        assert_eq!(refused.status, 503, "{}", refused.text());
        let past = before.index.expect("an index") + 1000;
        let ahead = cluster.get(id, &format!("{local}&min_index={past}")).await;
        assert_eq!(ahead.status, 503, "it has not got that far: {}", ahead.text());
    }
}

#[tokio::test]
async fn a_lone_replica_is_ready_after_a_while_without_a_leader() {
    let mut cluster = Cluster::start(Settings::default()).await;
    cluster.note_committed().await;
    // One that remembers another as its leader: the worse case.
    let (leader, _) = cluster.leader().await;
    let id = cluster.others(leader)[0];
    cluster.kill_all();
    cluster.launch(id);
    until("a lone replica is ready", || async {
        let answered = http::get(cluster.http(id), "/readyz").await?;
        if answered.status == 200 { Ok(()) } else { Err(answered.text()) }
    })
    .await;
    assert_eq!(cluster.get(id, "/readyz?quorum").await.status, 503);
}
