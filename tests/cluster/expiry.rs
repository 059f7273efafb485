//! Expiry happens at one index everywhere, and only to the silent.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::brokers::{claimed, identity, keep};
use crate::support::cluster::{Cluster, Settings};

const TTL: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_silent_broker_goes_at_one_index_on_all_replicas_and_not_before_its_time() {
    let cluster = Cluster::start(Settings::ttl(TTL)).await;
    let client = cluster.client();
    let keeper = keep(cluster.client(), "kept", &["shared"]).await;
    let registration = claimed("silent", &["shared", "own"], 1, 1);
    let invoked = Instant::now();
    let registered =
        client.register(&identity("silent"), &registration, false).await.expect("registered");
    let acknowledged = Instant::now();
    let both = cluster.same_everywhere("/v1/routes/shared", |_| true).await.ok();
    assert_eq!(both.json()["brokerDatas"].as_array().map(Vec::len), Some(2));

    let gone = cluster
        .same_everywhere("/v1/routes/own?consistency=local", |seen| seen.status == 404)
        .await;
    let since = (invoked.elapsed(), acknowledged.elapsed());
    assert!(since.0 >= TTL, "claim 7: gone {:?} after it was registered", since.0);
    eprintln!("ttl {TTL:?}: gone everywhere {:?} after its acknowledgement", since.1);

    let expired_at = gone.modified.expect("an index");
    assert!(expired_at > registered.value.index);
    let shared = cluster.same_everywhere("/v1/routes/shared", |_| true).await.ok();
    assert_eq!(shared.modified, Some(expired_at), "the same entry changed both topics");
    assert!(!shared.text().contains("silent"), "{}", shared.text());
    assert!(shared.text().contains("kept.test:10911"), "{}", shared.text());
    let status = keeper.status().borrow().clone();
    assert_eq!((status.registrations, status.last_error), (1, None));
}
