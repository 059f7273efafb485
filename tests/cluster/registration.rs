//! Registration through every replica; the same route from every replica.

use hyper::Method;
use serde_json::json;

use crate::support::brokers;
use crate::support::cluster::{Cluster, Settings};
use crate::support::http::request;

#[tokio::test]
async fn any_replica_takes_a_registration_and_all_answer_alike() {
    let cluster = Cluster::start(Settings::default()).await;
    let mut last = 0;
    for id in cluster.ids() {
        let name = format!("broker-{id}");
        let body = json!({
            "incarnation": 7, "seq": 1, "address": format!("10.0.0.{id}:10911"),
            "topics": {"shared": {"readQueueNums": 4, "writeQueueNums": 4}, (format!("of-{id}")): {}},
        });
        let path = brokers::path(&name);
        let put = || request(cluster.http(id), Method::PUT, &path, Some(body.clone()), None);
        let registered = put().await.expect("an answer").ok().json();
        let (epoch, index) = (registered["epoch"].as_u64(), registered["index"].as_u64());
        assert!(epoch.is_some() && epoch == index, "{registered}");
        assert!(index > Some(last), "{registered}");
        last = index.expect("an index");

        // At once, on every replica: as the writer saw it, byte by byte.
        let seen = cluster.same_everywhere("/v1/routes/shared", |_| true).await.ok();
        assert_eq!(seen.modified, Some(last));
        let names: Vec<String> = seen.json()["brokerDatas"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|data| data["brokerName"].as_str().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(names, (1..=id).map(|id| format!("broker-{id}")).collect::<Vec<_>>());
        let local = format!("/v1/routes/of-{id}?consistency=local&min_index={last}");
        let own = cluster.same_everywhere(&local, |_| true).await.ok();
        assert_eq!(own.modified, Some(last));

        // Once more: nothing changes, and the epoch stays.
        let again = put().await.expect("an answer").ok().json();
        assert_eq!(again["epoch"].as_u64(), epoch);
        let after = cluster.same_everywhere("/v1/routes/shared", |_| true).await;
        assert_eq!(after.content(), seen.content());
    }
}
