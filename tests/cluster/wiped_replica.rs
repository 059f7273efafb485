//! Identity of replicas: a wiped one cannot vote, is refused with the way to replace it, and
//! replacing it works. A removed one answers 421.

use std::fs;
use std::time::Duration;

use crate::support::brokers::{claimed, identity};
use crate::support::cluster::{Cluster, Settings};
use crate::support::http;
use crate::support::wait::{throughout, until};

/// Many elections' worth of time.
const MANY_ELECTIONS: Duration = Duration::from_secs(3);
/// The exit code that says: do not just start it again.
const CANNOT_GO_ON: i32 = 3;

#[tokio::test]
async fn a_wiped_replica_cannot_vote_away_what_was_acknowledged() {
    let mut cluster = Cluster::start(Settings::default()).await;
    let (leader, _) = cluster.leader().await;
    let followers = cluster.others(leader);
    let (wiped, behind) = (followers[0], followers[1]);
    // Acknowledged by the leader and the one that will be wiped; the third has not got it.
    cluster.pause(behind).await;
    let registration = claimed("broker-a", &["topic"], 1, 1);
    let client = cluster.client();
    client.register(&identity("broker-a"), &registration, false).await.expect("registered");
    cluster.kill(leader);
    cluster.kill(wiped);
    fs::remove_dir_all(cluster.data_dir(wiped)).expect("wiped");
    // Nobody can answer it who it is until the third goes on.
    cluster.resume(behind);
    cluster.launch(wiped);
    let mut refused = cluster.take(wiped);
    assert_eq!(refused.ended().await.code(), Some(CANNOT_GO_ON), "{}", refused.log());
    let log = cluster.log(wiped);
    let last = log.lines().last().unwrap_or_default();
    for word in [&format!("signpost cluster remove {wiped}"), "--join", "cluster add", "promote"] {
        assert!(last.contains(word), "{word}: {last}");
    }
    // Its vote and the third's would have been a majority without the registration.
    throughout(MANY_ELECTIONS, async || {
        let status = cluster.status(behind).await.expect("it is up");
        assert_ne!(status.role, "leader", "{status:?}");
    })
    .await;
    assert_eq!(cluster.get(behind, "/v1/routes/topic").await.status, 503);

    cluster.start_replica(leader).await;
    let route = cluster.same_everywhere("/v1/routes/topic", |seen| seen.status != 503).await.ok();
    assert!(route.text().contains("broker-a.test"), "{}", route.text());
}

#[tokio::test]
async fn a_lost_replica_is_replaced_and_a_removed_one_says_so() {
    let mut cluster = Cluster::start(
        Settings::default()
            .allow("this replica was removed from the cluster")
            .allow("a peer refuses this replica")
            .allow("refused a replica's connection"),
    )
    .await;
    let registration = claimed("broker-a", &["topic"], 1, 1);
    let client = cluster.client();
    client.register(&identity("broker-a"), &registration, false).await.expect("registered");
    let (leader, _) = cluster.leader().await;
    let lost = cluster.others(leader)[0];
    cluster.kill(lost);

    command(&cluster, leader, &["remove", &lost.to_string()]).await;
    cluster.launch_joining(4);
    until("the new replica serves", || cluster.status(4)).await;
    let refused = http::get(cluster.http(4), "/v1/routes/topic?consistency=local").await;
    assert_eq!(refused.expect("an answer").status, 503, "it was never fed");
    command(&cluster, leader, &["add", "4", &cluster.peer(4).to_string()]).await;
    command(&cluster, leader, &["promote", "4"]).await;
    cluster.ready(4).await;
    let route = cluster.same_everywhere("/v1/routes/topic", |_| true).await.ok();
    let members = cluster.status(4).await.expect("a status").members;
    let voters: Vec<u64> = members.iter().filter(|m| m.role == "voter").map(|m| m.id).collect();
    let expected: Vec<u64> = cluster.ids().into_iter().filter(|id| *id != lost).collect();
    assert_eq!(voters, expected);
    let told = cluster.log(leader);
    let told: Vec<&str> =
        told.lines().filter(|line| line.contains("members of the cluster have changed")).collect();
    assert!(told.len() >= 3, "removed, added, promoted: {told:?}");

    // Its vote counts: without the old leader the two others go on.
    cluster.kill(leader);
    let (successor, _) = cluster.leader().await;
    let again = cluster.same_everywhere("/v1/routes/topic", |seen| seen.status != 503).await;
    assert_eq!(again.content(), route.content());
    cluster.start_replica(leader).await;

    // A member that runs learns that it is removed, and never answers an ageing route again.
    let removed = leader;
    command(&cluster, successor, &["remove", &removed.to_string()]).await;
    for restarted in [false, true] {
        if restarted {
            cluster.kill(removed);
            cluster.launch(removed);
        }
        for path in ["/v1/routes/topic?consistency=local", "/v1/routes/topic"] {
            let said = until("the removed replica says so", || async {
                let answered = http::get(cluster.http(removed), path).await?;
                if answered.status == 421 { Ok(answered.text()) } else { Err(answered.text()) }
            })
            .await;
            assert!(said.contains(&cluster.http(successor).to_string()), "the others: {said}");
        }
    }
    client.put_kv("ns", "key", "value", None).await.expect("the two others go on");
}

async fn command(cluster: &Cluster, at: u64, words: &[&str]) {
    let output = cluster.command(at, words).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "signpost cluster {}: {said}", words.join(" "));
}
