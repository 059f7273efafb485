//! An `expire` left in the log by a leader that died never removes a broker whose heartbeat its
//! successor acknowledged (claim 7).
//!
//! The leader is cut off from its followers, by stopping them, around the moment at which it
//! proposes the expiry, and killed; whether the entry has reached a follower, is committed, or is
//! lost with it, differs from round to round. The followers go on, and are sent heartbeats.

use std::time::Duration;

use signpost_client::types::{Heartbeat, Registration};
use signpost_client::{Client, Options, ReadMode};
use tokio::time::{Instant, sleep_until};

use crate::support::brokers::{claimed, identity, millis};
use crate::support::cluster::{Cluster, Settings};

const TTL: Duration = Duration::from_millis(800);
const SCAN: Duration = Duration::from_millis(20);
const ROUNDS: u64 = 16;

#[tokio::test]
async fn an_expiry_left_by_a_dead_leader_never_removes_who_was_renewed_since() {
    let settings = Settings { scan_interval: SCAN, ..Settings::ttl(TTL) };
    let mut cluster = Cluster::start(settings).await;
    let (mut renewed, mut refused) = (0, 0);
    for round in 1..=ROUNDS {
        let (leader, _) = cluster.leader().await;
        let name = format!("broker-{round}");
        let registration =
            Registration { lease_ttl_ms: Some(millis(TTL)), ..claimed(&name, &[&name], 1, 1) };
        let (door, broker) = (cluster.admin(leader), identity(&name));
        let registered = door.register(&broker, &registration, false).await.expect("registered");
        let epoch = registered.value.epoch;
        // Two scans find it overdue; then it is proposed. Closer and farther, turn by turn.
        let around = TTL + SCAN / 4 * u32::try_from(round).expect("a few rounds");
        sleep_until(Instant::now() + around).await;
        let followers = cluster.others(leader);
        for follower in &followers {
            cluster.pause(*follower).await;
        }
        // The leader may still propose and send now, to sockets that nobody reads.
        sleep_until(Instant::now() + 2 * SCAN).await;
        cluster.kill(leader);
        followers.iter().for_each(|follower| cluster.resume(*follower));

        let client = cluster.client_with(Options { call_timeout: TTL * 10, ..Options::default() });
        let invoked = Instant::now();
        match client.heartbeat(&identity(&name), Heartbeat { incarnation: Some(1), epoch }).await {
            Ok(_) => {
                renewed += 1;
                keeps_its_word(&client, &name, epoch, invoked).await;
            }
            Err(gone) if gone.status() == Some(410) => {
                refused += 1;
                let route = client.route(&name, ReadMode::Linearizable).await.expect("an answer");
                assert_eq!(route.value, None, "{name} was refused as expired");
            }
            Err(other) => panic!("{name}: {other}"),
        }
        cluster.start_replica(leader).await;
    }
    eprintln!("{ROUNDS} leaders died at it: {renewed} heartbeats acknowledged, {refused} refused");
    assert!(renewed > 0 && refused > 0, "{renewed} and {refused}: never at the edge");
}

/// Renews again and again, each time in time, for longer than two leases; every linearizable read
/// in that time shows the same registration.
async fn keeps_its_word(client: &Client, name: &str, epoch: u64, first: Instant) {
    let mut invoked = first;
    let mut held = first + TTL;
    while invoked < first + 2 * TTL {
        let listed = client.brokers(ReadMode::Linearizable).await.expect("a list").value;
        if Instant::now() < held {
            let mine = listed.brokers.iter().find(|entry| entry.name == name);
            let seen = mine.map(|entry| entry.epoch);
            assert_eq!(seen, Some(epoch), "{name}: lost after an acknowledged heartbeat");
        }
        let beat = Heartbeat { incarnation: Some(1), epoch };
        let now = Instant::now();
        let again = client.heartbeat(&identity(name), beat).await;
        if now < held {
            // The machine may have been too busy for this one to arrive in time.
            assert!(again.is_ok() || Instant::now() >= held, "{name}: {again:?}");
        }
        if again.is_err() {
            return;
        }
        (invoked, held) = (now, now + TTL);
        sleep_until(now + TTL / 8).await;
    }
}
