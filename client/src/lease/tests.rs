//! The lease's rules, one a test, with a clock that only the test moves.

use super::*;

const TTL: Duration = Duration::from_secs(120);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn content(topics: &[&str]) -> Registration {
    let topics = topics.iter().map(|topic| ((*topic).to_owned(), TopicConfig::default()));
    Registration { address: "h:1".into(), topics: topics.collect(), ..Registration::default() }
}

fn change(topic: &str, config: Option<TopicConfig>) -> TopicChange {
    TopicChange { topics: BTreeMap::from([(topic.to_owned(), config)]), data_version: None }
}

fn lease() -> Lease {
    Lease::new(content(&["a"]), 7, false, Some(1))
}

fn registered(epoch: u64) -> Reply {
    Reply::Registered(Registered {
        epoch,
        index: epoch,
        lease_ttl_ms: 120_000,
        ..Default::default()
    })
}

fn renewed(epoch: u64) -> Reply {
    Reply::Renewed(Renewed { epoch, lease_ttl_ms: 120_000 })
}

/// The next request, and when it goes out.
fn next_sent(lease: &mut Lease, mut now: Duration) -> (Duration, Outgoing) {
    for _ in 0..3 {
        match lease.step(now) {
            Step::Send(outgoing) => return (now, outgoing),
            Step::WaitUntil(at) => {
                assert!(at > now && at != Duration::MAX, "{lease:?}");
                now = at;
            }
            Step::Stopped(cause) => panic!("stopped: {cause:?}"),
        }
    }
    panic!("only waits: {lease:?}");
}

fn registration(outgoing: Outgoing) -> (u64, Registration) {
    match outgoing {
        Outgoing::Register { registration, .. } => {
            (registration.seq.expect("a claim"), registration)
        }
        other => panic!("expected a registration, got {other:?}"),
    }
}

fn patch(outgoing: Outgoing) -> Patch {
    match outgoing {
        Outgoing::Patch(patch) => patch,
        other => panic!("expected a patch, got {other:?}"),
    }
}

/// Registered at time 0 under epoch 17 with seq 1.
fn live() -> Lease {
    let mut lease = lease();
    let (at, outgoing) = next_sent(&mut lease, Duration::ZERO);
    assert_eq!((at, registration(outgoing).0), (Duration::ZERO, 1));
    lease.replied(ms(5), registered(17));
    assert_eq!(lease.epoch(), Some(17));
    lease
}

#[test]
fn renews_between_a_quarter_and_a_third_of_the_ttl_after_the_last_renewal_was_sent() {
    let mut lease = live();
    let mut sent = Duration::ZERO;
    for _ in 0..100 {
        let (at, outgoing) = next_sent(&mut lease, sent + ms(1));
        assert_eq!(outgoing, Outgoing::Heartbeat(Heartbeat { incarnation: Some(7), epoch: 17 }));
        assert!(at >= sent + TTL / 4 && at <= sent + TTL / 3, "{at:?} after {sent:?}");
        sent = at;
        // However late the answer: the lease counts from the sending.
        lease.replied(sent + ms(900), renewed(17));
        assert_eq!(lease.held_until(), Some(sent + TTL));
    }
}

#[test]
fn a_heartbeat_that_fails_is_repeated_soon_and_for_ever() {
    for refusal in [Refusal::NotDone(None), Refusal::Unknown] {
        let mut lease = live();
        let mut last = Duration::ZERO;
        for round in 0..1000 {
            let (at, outgoing) = next_sent(&mut lease, last);
            assert!(matches!(outgoing, Outgoing::Heartbeat(_)), "{outgoing:?}");
            assert!(round == 0 || at - last <= MAX_PAUSE, "round {round}: {:?}", at - last);
            lease.replied(at, Reply::Refused(refusal.clone()));
            last = at;
        }
        assert_eq!(lease.held_until(), Some(TTL), "not held longer by what failed");
        let (at, _) = next_sent(&mut lease, last);
        lease.replied(at, renewed(17));
        assert_eq!(lease.held_until(), Some(at + TTL));
    }
}

#[test]
fn overloaded_is_obeyed_but_not_until_the_lease_is_lost() {
    let mut lease = live();
    let (at, _) = next_sent(&mut lease, ms(1));
    lease.replied(at, Reply::Refused(Refusal::NotDone(Some(ms(2000)))));
    let (again, _) = next_sent(&mut lease, at);
    assert!(again >= at + ms(2000) && again <= at + ms(2000) + MAX_PAUSE);
    lease.replied(again, Reply::Refused(Refusal::NotDone(Some(Duration::from_secs(3600)))));
    let (again, _) = next_sent(&mut lease, again);
    assert!(again < TTL, "{again:?}");
}

#[test]
fn after_410_it_registers_again_with_a_higher_seq_and_all_topics() {
    for refusal in [Refusal::Gone, Refusal::OtherHistory] {
        let mut lease = live();
        lease.change(change("b", Some(TopicConfig::default())));
        let (at, sent) = next_sent(&mut lease, ms(10));
        assert_eq!(patch(sent).seq, 2);
        lease.replied(at, Reply::Patched(Patched { epoch: 17, index: 20 }));
        let (at, _) = next_sent(&mut lease, at);
        lease.replied(at, Reply::Refused(refusal));
        assert_eq!((lease.epoch(), lease.held_until()), (None, None));
        let (again, sent) = next_sent(&mut lease, at);
        assert!(again <= at + MAX_SPREAD);
        let (seq, sent) = registration(sent);
        assert_eq!(seq, 3);
        assert_eq!(sent.topics.keys().collect::<Vec<_>>(), ["a", "b"]);
        lease.replied(again, registered(30));
        assert_eq!(lease.epoch(), Some(30));
    }
}

#[test]
fn an_unknown_registration_is_repeated_under_its_seq_until_its_content_changes() {
    let mut lease = lease();
    let mut now = Duration::ZERO;
    for _ in 0..5 {
        let (at, sent) = next_sent(&mut lease, now);
        assert_eq!(registration(sent).0, 1);
        lease.replied(at, Reply::Refused(Refusal::Unknown));
        now = at;
    }
    lease.change(change("b", Some(TopicConfig::default())));
    let (at, sent) = next_sent(&mut lease, now);
    let (seq, sent) = registration(sent);
    assert_eq!((seq, sent.topics.len()), (2, 2));
    lease.replied(at, registered(40));
    assert!(lease.is_settled(), "the registration carried the change: no patch is left");
}

#[test]
fn a_change_during_a_registration_goes_out_as_a_patch_after_it() {
    let mut lease = lease();
    let (at, _) = next_sent(&mut lease, Duration::ZERO);
    lease.change(change("b", Some(TopicConfig::default())));
    lease.change(change("a", None));
    lease.replied(at, registered(17));
    assert!(!lease.is_settled());
    let (again, sent) = next_sent(&mut lease, at);
    let sent = patch(sent);
    assert_eq!((again, sent.seq, sent.epoch), (at, 2, 17));
    assert_eq!(sent.topics["a"], None);
    assert!(sent.topics["b"].is_some());
}

#[test]
fn an_unknown_patch_is_followed_by_a_whole_registration_with_a_higher_seq() {
    let mut lease = live();
    lease.change(change("b", None));
    lease.change(change("c", Some(TopicConfig::default())));
    let (at, sent) = next_sent(&mut lease, ms(10));
    assert_eq!(patch(sent).seq, 2);
    lease.replied(at, Reply::Refused(Refusal::Unknown));
    let (_, sent) = next_sent(&mut lease, at);
    let (seq, sent) = registration(sent);
    assert_eq!((seq, sent.topics.len()), (3, 2));
}

#[test]
fn a_patch_that_surely_failed_goes_out_again_with_what_came_since() {
    let mut lease = live();
    lease.change(change("b", Some(TopicConfig::default())));
    lease.change(change("c", Some(TopicConfig::default())));
    let (at, _) = next_sent(&mut lease, ms(10));
    lease.change(change("b", None));
    lease.replied(at, Reply::Refused(Refusal::NotDone(None)));
    let (_, sent) = next_sent(&mut lease, at);
    let sent = patch(sent);
    assert_eq!((sent.seq, sent.topics.len()), (3, 2));
    assert_eq!(sent.topics["b"], None, "the later change wins");
}

#[test]
fn a_write_that_is_always_refused_does_not_stop_the_renewals() {
    let mut lease = live();
    lease.change(change("not acceptable", Some(TopicConfig::default())));
    let (mut now, mut beats) = (ms(10), 0);
    while now < TTL * 3 {
        let (at, sent) = next_sent(&mut lease, now);
        now = at;
        match sent {
            Outgoing::Heartbeat(_) => {
                beats += 1;
                lease.replied(at, renewed(17));
            }
            _ => lease.replied(at, Reply::Refused(Refusal::NotDone(None))),
        }
        assert!(lease.held_until().is_some_and(|until| until > now), "held at {now:?}");
    }
    assert!(beats >= 9, "{beats}");
}

#[test]
fn stale_continues_above_the_highest_seq_known() {
    let mut lease = lease();
    let (at, _) = next_sent(&mut lease, Duration::ZERO);
    let highest = Some(Claim { incarnation: 7, seq: 41 });
    lease.replied(at, Reply::Refused(Refusal::Stale(highest)));
    let (at, sent) = next_sent(&mut lease, at);
    assert_eq!(registration(sent).0, 42);
    lease.replied(at, Reply::Refused(Refusal::Stale(None)));
    assert_eq!(registration(next_sent(&mut lease, at).1).0, 43, "at least another seq");
}

#[test]
fn superseded_stops_whatever_was_sent() {
    let stopped = Step::Stopped(StopCause::Superseded);
    let mut lease = self::lease();
    let (at, _) = next_sent(&mut lease, Duration::ZERO);
    lease.replied(at, Reply::Refused(Refusal::Superseded));
    assert_eq!(lease.step(at), stopped);
    let mut lease = live();
    let (at, _) = next_sent(&mut lease, ms(10));
    lease.replied(at, Reply::Refused(Refusal::Superseded));
    assert_eq!(lease.step(at), stopped);
    lease.leave();
    assert_eq!(lease.step(at + TTL), stopped, "nothing of the successor's is unregistered");
}

#[test]
fn leaving_unregisters_under_a_higher_seq_until_it_is_acknowledged() {
    let mut lease = live();
    let (at, _) = next_sent(&mut lease, ms(10));
    lease.leave();
    let expected =
        |seq, epoch| Outgoing::Unregister { claim: Claim { incarnation: 7, seq }, epoch };
    let (at, sent) = next_sent(&mut lease, at);
    assert_eq!(sent, expected(2, Some(17)));
    lease.replied(at, Reply::Refused(Refusal::Unknown));
    let (at, sent) = next_sent(&mut lease, at);
    assert_eq!(sent, expected(3, Some(17)));
    lease.replied(at, Reply::Refused(Refusal::Gone));
    let (at, sent) = next_sent(&mut lease, at);
    assert_eq!(sent, expected(4, None), "whichever epoch is ours");
    lease.replied(at, Reply::Unregistered);
    assert_eq!(lease.step(at), Step::Stopped(StopCause::Asked { unregistered: true }));
}

#[test]
fn leaving_before_any_registration_sends_nothing_and_abandoning_admits_it() {
    let mut lease = lease();
    lease.leave();
    let unregistered = |unregistered| Step::Stopped(StopCause::Asked { unregistered });
    assert_eq!(lease.step(Duration::ZERO), unregistered(true));
    let mut lease = live();
    lease.leave();
    next_sent(&mut lease, ms(10));
    lease.abandon();
    assert_eq!(lease.step(ms(20)), unregistered(false));
}

#[test]
fn errors_are_read_as_what_they_mean_for_a_lease() {
    let problem = |status, reason: Option<&str>| {
        let problem = crate::types::Problem {
            status,
            reason: reason.map(str::to_owned),
            highest_incarnation: Some(7),
            highest_seq: Some(9),
            ..Default::default()
        };
        let problem = Box::new(problem);
        Cause::Refused { problem, retry_after: None, replica: "r".into() }
    };
    let failed = |status, reason| Refusal::from(&CallError::Failed(problem(status, reason)));
    let unknown = |status, reason| Refusal::from(&CallError::Unknown(problem(status, reason)));
    assert_eq!(failed(410, None), Refusal::Gone);
    assert_eq!(failed(409, Some("moved")), Refusal::Gone);
    assert_eq!(failed(409, Some("superseded")), Refusal::Superseded);
    assert_eq!(unknown(409, Some("superseded")), Refusal::Superseded);
    let highest = Some(Claim { incarnation: 7, seq: 9 });
    assert_eq!(failed(409, Some("stale")), Refusal::Stale(highest));
    assert_eq!(failed(409, Some("other-history")), Refusal::OtherHistory);
    assert_eq!(failed(409, Some("live-elsewhere")), Refusal::NotDone(None));
    for status in [400, 403, 413, 429, 503] {
        assert_eq!(failed(status, None), Refusal::NotDone(None), "{status}");
    }
    assert_eq!(unknown(504, None), Refusal::Unknown);
}
