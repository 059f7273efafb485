//! A broker's new process that registers while the end of its former one is being decided is never
//! taken away with it (promise 3): the expiry names the registration that it judged, and is refused.

use std::time::Duration;

use signpost_client::Client;
use signpost_client::types::Registration;
use signpost_namesrv::routes::command::{Refusal, RouteCommand, RouteOutcome};
use signpost_raft::codec;
use signpost_raft::store::journal::read_journal;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::support::brokers::{claimed, identity, listed_until, millis};
use crate::support::cluster::{Cluster, Settings};

const TTL: Duration = Duration::from_millis(300);
const SCAN: Duration = Duration::from_millis(20);
const RACERS: u64 = 24;
const PROCESSES: u64 = 12;

#[tokio::test]
async fn a_new_process_that_races_the_expiry_of_the_former_is_never_taken_away() {
    let settings = Settings { scan_interval: SCAN, ..Settings::ttl(TTL) };
    // All brokers fall silent at once here; that is no reason to hold on to them.
    let settings = settings.option("--brake-hold", "1ms").allow("mass-expiry brake");
    let cluster = Cluster::start(settings).await;
    let mut racers = JoinSet::new();
    for n in 0..RACERS {
        racers.spawn(race(cluster.client(), n));
    }
    while let Some(raced) = racers.join_next().await {
        raced.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    }
    let (mut won, mut lost) = (0, 0);
    for record in read_journal(&cluster.journal(1)).expect("a readable journal") {
        let command: RouteCommand = codec::decode(&record.command).expect("a command");
        let outcome: RouteOutcome = codec::decode(&record.outcome).expect("an outcome");
        if matches!(command, RouteCommand::Expire(_)) {
            won += u64::from(matches!(outcome, RouteOutcome::Refused(Refusal::Moved { .. })));
            lost += u64::from(outcome == RouteOutcome::Expired);
        }
    }
    eprintln!("{} races: {lost} expired before, {won} expiries came too late", RACERS * PROCESSES);
    assert!(won > 0, "no expiry ever met a newer process: no race");
}

/// One process after the other, each when the lease of the one before is about to end.
async fn race(client: Client, number: u64) {
    let name = format!("racer-{number}");
    for incarnation in 1..=PROCESSES {
        let registration = Registration {
            lease_ttl_ms: Some(millis(TTL)),
            ..claimed(&name, &[&name], incarnation, 1)
        };
        let invoked = Instant::now();
        let registered = client.register(&identity(&name), &registration, false).await;
        let epoch = registered.expect("registered").value.epoch;
        let registered = Instant::now();
        listed_until(&client, &name, epoch, invoked + TTL, "its registration").await;
        // Two scans must find it overdue: when that is, depends on when they are.
        let step = u32::try_from((number * PROCESSES + incarnation) % 8).expect("below 8");
        sleep_until(registered + TTL + SCAN / 2 + SCAN / 4 * step).await;
    }
}
