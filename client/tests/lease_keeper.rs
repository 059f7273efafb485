//! The lease keeper against a name cluster that restarts, forgets, refuses and disappears; in
//! paused time, so that hours pass in milliseconds.

mod fake;

use std::collections::BTreeMap;
use std::time::Duration;

use fake::{Fake, Mode, Scripted};
use hyper::Method;
use signpost_client::types::{Registration, TopicConfig};
use signpost_client::{
    BrokerIdentity, LeaseKeeper, LeaseOptions, LeaseStatus, Options, StopCause, TopicChange,
};
use tokio::time::{sleep, timeout};

const TTL: Duration = Duration::from_secs(120);

fn keeper(fake: &Fake) -> LeaseKeeper {
    let broker = BrokerIdentity { cluster: "C".into(), name: "broker-a".into(), id: 0 };
    let registration = Registration { address: "h:1".into(), ..Registration::default() };
    let options = LeaseOptions { incarnation: 7, takeover: false, seed: Some(1) };
    LeaseKeeper::start(fake.client(Options::default()), broker, registration, options)
}

async fn until(keeper: &LeaseKeeper, what: impl FnMut(&LeaseStatus) -> bool) -> LeaseStatus {
    let mut status = keeper.status();
    let reached = timeout(TTL * 10, status.wait_for(what)).await;
    reached.expect("in time").expect("the keeper lives").clone()
}

fn change(topic: &str, config: Option<TopicConfig>) -> TopicChange {
    TopicChange { topics: BTreeMap::from([(topic.to_owned(), config)]), data_version: None }
}

#[tokio::test(start_paused = true)]
async fn registers_once_and_then_only_renews() {
    let fake = Fake::new(3);
    let keeper = keeper(&fake);
    until(&keeper, |status| status.epoch.is_some()).await;
    sleep(TTL * 30).await;
    assert_eq!(fake.count(&Method::PUT, "/v1/brokers"), 1);
    let beats = fake.count(&Method::POST, "/heartbeat");
    assert!((90..=120).contains(&beats), "a quarter to a third of the ttl: {beats}");
    let status = until(&keeper, |_| true).await;
    assert!(status.held_until.unwrap() > tokio::time::Instant::now() + TTL / 2);
    assert_eq!((status.registrations, status.settled), (1, true));
}

#[tokio::test(start_paused = true)]
async fn registers_again_after_its_lease_was_lost_and_keeps_its_topics() {
    let fake = Fake::new(3);
    let keeper = keeper(&fake);
    until(&keeper, |status| status.settled).await;
    keeper.change_topics(change("t", Some(TopicConfig::default())));
    until(&keeper, |status| status.settled).await;
    assert_eq!(fake.count(&Method::PATCH, "/topics"), 1);
    fake.world().tables.expire();
    until(&keeper, |status| status.registrations == 2).await;
    assert!(fake.world().tables.topics().contains_key("t"));
    // Another history knows nothing of the broker at all.
    fake.begin_history("second");
    until(&keeper, |status| status.registrations == 3).await;
    assert!(fake.world().tables.topics().contains_key("t"));
}

#[tokio::test(start_paused = true)]
async fn keeps_on_through_an_outage_and_starts_without_any_replica() {
    let fake = Fake::new(3);
    (0..3).for_each(|n| fake.set_mode(n, Mode::Dead));
    let keeper = keeper(&fake);
    let status = until(&keeper, |status| status.last_error.is_some()).await;
    assert!(status.last_error.unwrap().is_definite());
    sleep(TTL * 20).await;
    fake.set_mode(1, Mode::Up);
    until(&keeper, |status| status.epoch.is_some()).await;
    for mode in [Mode::Dead, Mode::Hung] {
        (0..3).for_each(|n| fake.set_mode(n, mode));
        sleep(TTL * 2).await;
        let renewals = until(&keeper, |_| true).await.renewals;
        fake.set_mode(2, Mode::Up);
        let status = until(&keeper, |status| status.renewals > renewals).await;
        assert_eq!(status.last_error, None);
    }
}

#[tokio::test(start_paused = true)]
async fn stops_on_superseded_only() {
    let fake = Fake::new(1);
    let keeper = keeper(&fake);
    until(&keeper, |status| status.epoch.is_some()).await;
    let refusals = [
        Scripted::problem(409, r#","reason":"live-elsewhere""#),
        Scripted::problem(409, r#","reason":"of-a-later-version""#),
        Scripted::problem(409, r#","reason":"moved","epoch":99"#),
        Scripted::problem(400, r#","field":"epoch""#),
        Scripted::problem(429, ""),
        Scripted::status(500),
        Scripted { body: "{}".into(), ..Scripted::status(200) },
        Scripted::status(204),
    ];
    for refusal in refusals {
        let before = until(&keeper, |_| true).await.renewals;
        fake.script(0, [refusal.clone()]);
        let status = until(&keeper, |status| status.renewals > before).await;
        assert_eq!(status.stopped, None, "{refusal:?}");
    }
    fake.world().tables.supersede();
    let status = until(&keeper, |status| status.stopped.is_some()).await;
    assert_eq!(status.stopped, Some(StopCause::Superseded));
    let sent = fake.world().log.len();
    sleep(TTL * 3).await;
    assert_eq!(fake.world().log.len(), sent, "it says nothing more");
}

#[tokio::test(start_paused = true)]
async fn a_patch_of_unknown_outcome_ends_in_the_right_topics() {
    for executed in [false, true] {
        let fake = Fake::new(1);
        let keeper = keeper(&fake);
        until(&keeper, |status| status.settled).await;
        fake.script(0, [Scripted { executed, ..Scripted::status(504) }]);
        keeper.change_topics(change("t", Some(TopicConfig::default())));
        let status = until(&keeper, |status| status.registrations == 2 && status.settled).await;
        assert_eq!(status.last_error, None);
        assert!(fake.world().tables.topics().contains_key("t"), "executed {executed}");
        assert_eq!(fake.world().tables.epochs.len(), 1, "the same epoch");
        keeper.change_topics(change("t", None));
        until(&keeper, |status| status.settled).await;
        assert!(!fake.world().tables.topics().contains_key("t"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_registration_of_unknown_outcome_is_repeated_without_a_second_epoch() {
    let fake = Fake::new(1);
    let lost = || Scripted { executed: true, ..Scripted::status(504) };
    fake.script(0, (0..40).map(|_| lost()));
    let keeper = keeper(&fake);
    until(&keeper, |status| status.epoch.is_some()).await;
    assert_eq!(fake.world().tables.epochs.len(), 1);
    let claims = fake.seen(&Method::PUT, "/v1/brokers");
    assert!(claims.len() > 40 && claims.iter().all(|seen| seen.body.contains(r#""seq":1,"#)));
}

#[tokio::test(start_paused = true)]
async fn a_change_waits_no_longer_than_for_the_request_in_flight() {
    let fake = Fake::new(1);
    let keeper = keeper(&fake);
    until(&keeper, |status| status.settled).await;
    let started = tokio::time::Instant::now();
    for n in 0..50 {
        keeper.change_topics(change(&format!("t{n}"), Some(TopicConfig::default())));
    }
    until(&keeper, |status| status.settled).await;
    assert!(started.elapsed() < Duration::from_millis(50), "{:?}", started.elapsed());
    assert_eq!(fake.world().tables.topics().len(), 50);
    assert!(fake.count(&Method::PATCH, "/topics") <= 50);
}

#[tokio::test(start_paused = true)]
async fn settled_means_every_change_asked_for_so_far() {
    let fake = Fake::new(1);
    let keeper = keeper(&fake);
    until(&keeper, |status| status.settled).await;
    fake.set_mode(0, Mode::Hung);
    keeper.change_topics(change("first", Some(TopicConfig::default())));
    sleep(Duration::from_millis(100)).await;
    assert_eq!(fake.count(&Method::PATCH, "/topics"), 1, "on its way");
    keeper.change_topics(change("second", Some(TopicConfig::default())));
    fake.set_mode(0, Mode::Up);
    until(&keeper, |status| status.settled).await;
    let topics = fake.world().tables.topics();
    assert_eq!(topics.keys().collect::<Vec<_>>(), ["first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn unregisters_when_it_is_stopped_and_gives_up_in_time() {
    let fake = Fake::new(1);
    let registered = keeper(&fake);
    until(&registered, |status| status.epoch.is_some()).await;
    fake.script(0, [Scripted::status(503), Scripted { executed: true, ..Scripted::status(504) }]);
    let cause = registered.stop(Duration::from_secs(5)).await;
    assert_eq!(cause, StopCause::Asked { unregistered: true });
    assert!(fake.world().tables.live.is_none());

    let fake = Fake::new(1);
    let cut_off = keeper(&fake);
    until(&cut_off, |status| status.epoch.is_some()).await;
    fake.set_mode(0, Mode::Hung);
    let started = tokio::time::Instant::now();
    let cause = cut_off.stop(Duration::from_secs(2)).await;
    assert_eq!(cause, StopCause::Asked { unregistered: false });
    assert!(started.elapsed() <= Duration::from_millis(2100));

    // Stopped while its registration hangs: nothing of it may be left behind.
    let fake = Fake::new(2);
    fake.set_mode(0, Mode::Mute);
    let hanging = keeper(&fake);
    tokio::task::yield_now().await;
    let cause = hanging.stop(Duration::from_secs(10)).await;
    assert_eq!(cause, StopCause::Asked { unregistered: true });
    assert!(fake.world().tables.live.is_none());
}
