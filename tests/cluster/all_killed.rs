//! All replicas killed at once and started again serve the same route bytes and
//! `Signpost-Modified` before any broker has said a word (promise 4).

use std::collections::BTreeMap;

use crate::support::brokers::{claimed, identity};
use crate::support::cluster::{Cluster, Settings};
use crate::support::http;
use crate::support::wait::until;

#[tokio::test]
async fn routes_outlive_kill_9_of_all_replicas() {
    // A snapshot before the first kill, and a log behind it.
    let settings = Settings::default().option("--snapshot-every", 8).option("--log-keep", 2);
    let mut cluster = Cluster::start(settings).await;
    let client = cluster.client();
    let topics: Vec<String> = (0..20).map(|n| format!("topic-{n}")).collect();
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    for n in 0..5 {
        let name = format!("broker-{n}");
        for (seq, topics) in names.chunks(5).enumerate() {
            let registration = claimed(&name, topics, 1, seq as u64);
            client.register(&identity(&name), &registration, false).await.expect("registered");
        }
    }
    client.put_kv("ns", "key", "value", None).await.expect("written");
    let gone = "/v1/routes/topic-0?consistency=local";

    for _ in 0..2 {
        cluster.note_committed().await;
        let mut before = BTreeMap::new();
        for path in names.iter().map(|topic| format!("/v1/routes/{topic}?consistency=local")) {
            let answered = cluster.same_everywhere(&path, |_| true).await;
            before.insert(path, answered.content());
        }
        assert_eq!(before[gone].0, 404, "later registrations replaced it");
        assert_eq!(before.values().filter(|(status, _, _)| *status == 200).count(), 5);

        cluster.kill_all();
        cluster.ids().into_iter().for_each(|id| cluster.launch(id));
        for id in cluster.ids() {
            for (path, expected) in &before {
                until(&format!("replica {id} answers {path}"), || async {
                    let answered = http::get(cluster.http(id), path).await?;
                    match answered.status {
                        // It says that it cannot answer yet; anything else must be the truth.
                        503 => Err(answered.text()),
                        404 => {
                            assert_eq!(expected.0, 404, "{path} at {id}: {answered:?}");
                            Ok(())
                        }
                        _ => {
                            assert_eq!(answered.content(), *expected, "{path} at {id}");
                            Ok(())
                        }
                    }
                })
                .await;
            }
        }
        for (path, expected) in &before {
            let path = path.trim_end_matches("?consistency=local");
            let seen = cluster.same_everywhere(path, |seen| seen.status != 503).await;
            if expected.0 == 200 {
                assert_eq!(seen.content(), *expected, "{path}");
            }
        }
        let listed = client.brokers(signpost_client::ReadMode::Linearizable).await.expect("a list");
        assert_eq!(listed.value.brokers.len(), 5);
    }
}
