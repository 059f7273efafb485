//! A heartbeat that races its own expiry is never acknowledged and then lost (claim 7): it is
//! either refused, and the broker is gone, or acknowledged, and the broker stays for a whole ttl.

use std::time::Duration;

use signpost_client::types::{Heartbeat, Registration};
use signpost_client::{Client, ReadMode};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::support::brokers::{claimed, identity, listed_until, millis};
use crate::support::cluster::{Cluster, Settings};

const TTL: Duration = Duration::from_millis(400);
const SCAN: Duration = Duration::from_millis(20);
const RACERS: u64 = 20;
const ROUNDS: u64 = 10;
/// Of each outcome there must be this many, or there was no race.
const OF_EACH_MIN: u64 = 20;

#[tokio::test]
async fn a_heartbeat_that_races_its_own_expiry_is_never_acknowledged_and_then_lost() {
    let settings = Settings { scan_interval: SCAN, ..Settings::ttl(TTL) };
    // All brokers fall silent at once here; that is no reason to hold on to them.
    let settings = settings.option("--brake-hold", "1ms").allow("mass-expiry brake");
    let cluster = Cluster::start(settings).await;
    let mut racers = JoinSet::new();
    for n in 0..RACERS {
        racers.spawn(race(cluster.client(), format!("racer-{n}")));
    }
    let (mut renewed, mut refused) = (0, 0);
    while let Some(raced) = racers.join_next().await {
        let (won, lost) =
            raced.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        (renewed, refused) = (renewed + won, refused + lost);
    }
    eprintln!("{} races: {renewed} heartbeats acknowledged, {refused} refused", RACERS * ROUNDS);
    assert!(renewed >= OF_EACH_MIN && refused >= OF_EACH_MIN, "{renewed} and {refused}: no race");
}

/// Races with one broker, closing in on the moment of its expiry. Answers how often it was in time,
/// and how often not.
async fn race(client: Client, name: String) -> (u64, u64) {
    let broker = identity(&name);
    let (mut renewed, mut refused) = (0, 0);
    let (mut early, mut late) = (TTL, TTL + 6 * SCAN);
    for seq in 1.. {
        if renewed + refused == ROUNDS {
            break;
        }
        let registration =
            Registration { lease_ttl_ms: Some(millis(TTL)), ..claimed(&name, &[&name], 1, seq) };
        let epoch = match client.register(&broker, &registration, false).await {
            Ok(registered) => registered.value.epoch,
            // It came while the former lease was ending: again, as a later write.
            Err(error) if error.status() == Some(410) => continue,
            Err(error) => panic!("{name}: {error}"),
        };
        let aim = (early + late) / 2;
        sleep_until(Instant::now() + aim).await;
        let invoked = Instant::now();
        match client.heartbeat(&broker, Heartbeat { incarnation: Some(1), epoch }).await {
            Ok(_) => {
                renewed += 1;
                early = (aim + early) / 2 + SCAN / 2;
                late = late.max(early + SCAN);
                let until = invoked + TTL;
                listed_until(&client, &name, epoch, until, "an acknowledged heartbeat").await;
            }
            Err(gone) if gone.status() == Some(410) => {
                refused += 1;
                late = (aim + late) / 2 - SCAN / 2;
                early = early.min(late.saturating_sub(SCAN));
                let route = client.route(&name, ReadMode::Linearizable).await.expect("an answer");
                assert_eq!(route.value, None, "{name} was refused as expired, and is still there");
            }
            Err(other) => panic!("{name}: {other}"),
        }
    }
    (renewed, refused)
}
