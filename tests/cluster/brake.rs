//! The mass-expiry brake: of 20 brokers 12 are cut off; none is lost while the brake holds, and
//! they go when it is released.

use std::time::Duration;

use hyper::Method;
use signpost_client::ReadMode;
use tokio::time::Instant;

use crate::support::brokers::{keep, renewed};
use crate::support::cluster::{Cluster, Settings};
use crate::support::http::{self, request};
use crate::support::wait::{throughout, until};

const TTL: Duration = Duration::from_secs(2);
const ALL: usize = 20;
const CUT_OFF: usize = 12;

#[tokio::test]
async fn of_20_brokers_12_cut_off_lose_none_until_the_brake_is_released() {
    let settings = Settings::ttl(TTL)
        .allow("mass-expiry brake holds")
        .allow("the mass-expiry brake was released by an operator");
    let cluster = Cluster::start(settings).await;
    let mut keepers = Vec::new();
    for n in 0..ALL {
        keepers.push(keep(cluster.client(), &format!("broker-{n:02}"), &["topic"]).await);
    }
    // Alive for longer than a ttl, or they would not count as alive a ttl ago.
    for keeper in &keepers {
        renewed(keeper, 5).await;
    }
    keepers.truncate(ALL - CUT_OFF);
    let cut_off_at = Instant::now();
    until("the alarm is raised", || async {
        let alarms = cluster.get(1, "/v1/alarms").await.text();
        if alarms.contains("mass-expiry") { Ok(()) } else { Err(alarms) }
    })
    .await;
    throughout(2 * TTL, async || assert_eq!(listed(&cluster).await, ALL)).await;
    assert!(cut_off_at.elapsed() > 2 * TTL);
    for id in cluster.ids() {
        let alarms = cluster.get(id, "/v1/alarms").await.ok().json();
        assert_eq!(alarms["alarms"][0]["kind"], "mass-expiry", "at replica {id}: {alarms}");
    }

    // Not for everybody: only with the token of the replica that is asked.
    let (path, token) = ("/v1/alarms/mass-expiry/release", cluster.token(2));
    for wrong in [None, Some("0123456789abcdef0123456789abcdef")] {
        let refused = request(cluster.http(2), Method::POST, path, None, wrong).await;
        let refused = refused.expect("an answer");
        assert!(matches!(refused.status, 401 | 403), "{refused:?}");
    }
    assert_eq!(listed(&cluster).await, ALL);
    until("the twelve are gone", || async {
        // A new leader has not heard of the release; it is told again while the brake holds.
        let _ = request(cluster.http(2), Method::POST, path, None, Some(&token)).await?;
        match listed(&cluster).await {
            8 => Ok(()),
            more => Err(format!("{more} are listed")),
        }
    })
    .await;
    let route = cluster.same_everywhere("/v1/routes/topic", |_| true).await.ok();
    assert_eq!(route.json()["brokerDatas"].as_array().map(Vec::len), Some(ALL - CUT_OFF));
    for keeper in &keepers {
        assert_eq!(keeper.status().borrow().registrations, 1);
    }
    let alarms = http::get(cluster.http(1), "/v1/alarms").await.expect("an answer").json();
    assert_eq!(alarms["alarms"].as_array().map(Vec::len), Some(0), "{alarms}");
}

async fn listed(cluster: &Cluster) -> usize {
    let listed = cluster.client().brokers(ReadMode::Linearizable).await.expect("a list");
    listed.value.brokers.len()
}
