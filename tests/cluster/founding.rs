//! Three empty replicas found one cluster, in every start order, with pauses between.

use std::time::Duration;

use crate::support::brokers::{claimed, identity};
use crate::support::cluster::{Cluster, Settings};
use crate::support::wait::{throughout, until};

/// Longer than an empty replica's interval of asking who is there, and than an election.
const PAUSE: Duration = Duration::from_millis(600);

#[tokio::test]
async fn any_start_order_founds_one_cluster() {
    for order in [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]] {
        let mut cluster = Cluster::prepare(Settings::default()).await;
        for (started, id) in order.into_iter().enumerate() {
            cluster.launch(id);
            until(&format!("replica {id} serves"), || cluster.status(id)).await;
            if started < 2 {
                // However long the last one takes, the others wait for it.
                throughout(PAUSE, async || {
                    for id in cluster.up() {
                        let status = cluster.status(id).await.expect("it serves");
                        assert_eq!((status.cluster, &*status.role), (None, "waiting"), "{order:?}");
                    }
                })
                .await;
            }
        }
        for id in order {
            cluster.ready(id).await;
        }
        let client = cluster.client();
        let registration = claimed("broker-a", &["topic"], 1, 1);
        client.register(&identity("broker-a"), &registration, false).await.expect("registered");
        cluster.same_everywhere("/v1/routes/topic", |_| true).await.ok();

        let mut uuids = Vec::new();
        for id in cluster.ids() {
            let status = cluster.status(id).await.expect("a status");
            let members: Vec<(u64, &str)> =
                status.members.iter().map(|member| (member.id, &*member.role)).collect();
            assert_eq!(members, [(1, "voter"), (2, "voter"), (3, "voter")], "{order:?}");
            let mut disks: Vec<&str> =
                status.members.iter().map(|member| &*member.disk_id).collect();
            disks.sort_unstable();
            disks.dedup();
            assert_eq!(disks.len(), 3, "{disks:?}");
            uuids.push(status.cluster.expect("founded"));
        }
        uuids.dedup();
        assert_eq!(uuids.len(), 1, "{order:?}: {uuids:?}");
        let founders = cluster.ids().into_iter().map(|id| cluster.log(id)).collect::<String>();
        assert_eq!(founders.matches("founded the cluster").count(), 1, "{order:?}");
    }
}
