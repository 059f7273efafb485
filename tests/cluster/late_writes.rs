//! Claim 5: a late unregister with an old epoch removes nothing; a late PUT of the former process,
//! or from before its DELETE, changes nothing. Not after a failover, nor a restart of all, either.

use signpost_client::types::{Conflict, Registered, Written};
use signpost_client::{CallError, Claim, Client};

use crate::support::brokers::{claimed, identity};
use crate::support::cluster::{Cluster, Settings};

#[tokio::test]
async fn late_writes_change_nothing() {
    // What guards against late writes has to be in the snapshots too.
    let settings = Settings::default().option("--snapshot-every", 5).option("--log-keep", 0);
    let mut cluster = Cluster::start(settings).await;
    let client = cluster.client();
    let old = register(&client, 1, 1, "old").await.expect("registered").epoch;
    let same = register(&client, 1, 2, "topic").await.expect("other topics").epoch;
    assert_eq!(same, old, "a change of topics keeps the epoch");
    let present = register(&client, 2, 1, "topic").await.expect("the next process").epoch;
    assert!(present > old);
    let route = cluster.same_everywhere("/v1/routes/topic", |_| true).await.ok();

    for trouble in [Trouble::None, Trouble::Failover, Trouble::RestartOfAll] {
        trouble.make(&mut cluster).await;
        // Of the former process: a PUT under way, a new one, its goodbye.
        for (seq, topic) in [(1, "old"), (2, "topic"), (9, "old")] {
            let refused = register(&client, 1, seq, topic).await.expect_err("superseded");
            assert_eq!(refused.conflict(), Some(Conflict::Superseded), "{refused}");
        }
        is_refused(unregister(&client, 1, 10, old).await);
        // Even in the name of the present process: another registration is meant.
        is_refused(unregister(&client, 2, 2, old).await);
        // A retry of what is registered is no change either.
        let retried = register(&client, 2, 1, "topic").await.expect("a retry");
        assert_eq!(retried.epoch, present);
        let after = cluster.same_everywhere("/v1/routes/topic", |seen| seen.status != 503).await;
        assert_eq!(after.content(), route.content(), "after {trouble:?}");
        assert_eq!(cluster.get(1, "/v1/routes/old").await.status, 404);
    }

    unregister(&client, 2, 3, present).await.expect("its own goodbye");
    for trouble in [Trouble::None, Trouble::Failover, Trouble::RestartOfAll] {
        trouble.make(&mut cluster).await;
        // From before the DELETE, and the DELETE's own number.
        for seq in [1, 3] {
            let late = register(&client, 2, seq, "topic").await.expect_err("removed since");
            assert!(matches!(late.status(), Some(409 | 410)), "{late}");
        }
        let late = register(&client, 1, 2, "topic").await.expect_err("superseded");
        assert_eq!(late.conflict(), Some(Conflict::Superseded), "{late}");
        unregister(&client, 2, 3, present).await.expect("already gone under that epoch");
        for id in cluster.ids() {
            let gone = cluster.get(id, "/v1/routes/topic").await;
            assert_eq!(gone.status, 404, "after {trouble:?}: {}", gone.text());
        }
    }
    // Its next write is welcome.
    let anew = register(&client, 2, 4, "topic").await.expect("a later write").epoch;
    assert!(anew > present);
    cluster.same_everywhere("/v1/routes/topic", |_| true).await.ok();
}

#[derive(Debug, Clone, Copy)]
enum Trouble {
    None,
    Failover,
    RestartOfAll,
}

impl Trouble {
    async fn make(self, cluster: &mut Cluster) {
        match self {
            Trouble::None => {}
            Trouble::Failover => {
                let (leader, _) = cluster.leader().await;
                cluster.kill(leader);
                cluster.leader().await;
                cluster.start_replica(leader).await;
            }
            Trouble::RestartOfAll => {
                cluster.kill_all();
                cluster.start_all().await;
                cluster.leader().await;
            }
        }
    }
}

async fn register(
    client: &Client,
    incarnation: u64,
    seq: u64,
    topic: &str,
) -> Result<Registered, CallError> {
    let registration = claimed("broker-a", &[topic], incarnation, seq);
    let answer = client.register(&identity("broker-a"), &registration, false).await?;
    Ok(answer.value)
}

async fn unregister(
    client: &Client,
    incarnation: u64,
    seq: u64,
    epoch: u64,
) -> Result<Written, CallError> {
    let claim = Some(Claim { incarnation, seq });
    let answer = client.unregister(&identity("broker-a"), claim, Some(epoch)).await?;
    Ok(answer.value)
}

/// 409: what was meant is not there any more, and nothing was removed.
fn is_refused(outcome: Result<Written, CallError>) {
    let refused = outcome.expect_err("another registration is meant");
    let conflict = refused.conflict();
    assert!(matches!(conflict, Some(Conflict::Moved | Conflict::Superseded)), "{refused}");
}
