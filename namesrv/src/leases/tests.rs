use super::*;

const TTL: Duration = Duration::from_secs(120);
const ELECTION_MAX: Duration = Duration::from_millis(300);

fn key(name: &str) -> BrokerKey {
    BrokerKey { cluster: "c".into(), name: name.into(), id: 0 }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A table of term 1 whose run of rounds began at the instant.
fn table() -> (Leases, Instant) {
    let start = Instant::now();
    let mut leases = Leases::new(ELECTION_MAX);
    assert_eq!(leases.confirm(1, start, start), Confirmation::NewTerm);
    (leases, start)
}

/// The table as two scans a second apart would find it.
fn overdue_twice(leases: &mut Leases, now: Instant) -> Vec<(BrokerKey, Index)> {
    leases.overdue(now);
    leases.overdue(now + seconds(1))
}

#[test]
fn a_lease_is_overdue_after_its_ttl_at_two_successive_scans() {
    let (mut leases, start) = table();
    leases.grant(&key("a"), 7, TTL, Some(start), start);
    assert_eq!(overdue_twice(&mut leases, start + TTL - seconds(1)), []);
    assert_eq!(leases.overdue(start + TTL + seconds(1)), [], "the first scan only suspects");
    assert_eq!(leases.overdue(start + TTL + seconds(2)), [(key("a"), 7)]);
}

#[test]
fn a_renewal_or_a_missed_scan_begins_the_succession_anew() {
    let (mut leases, start) = table();
    leases.grant(&key("a"), 7, seconds(1), Some(start), start);
    leases.overdue(start + seconds(2));
    assert_eq!(leases.renew(&key("a"), 7, seconds(1), start + seconds(2)), Renewal::Renewed);
    assert_eq!(leases.overdue(start + seconds(4)), []);
    leases.forget_suspects();
    assert_eq!(leases.overdue(start + seconds(5)), []);
    assert_eq!(leases.overdue(start + seconds(6)), [(key("a"), 7)]);
}

#[test]
fn the_run_is_measured_from_a_rounds_start_to_the_next_ones_end() {
    let (mut leases, start) = table();
    leases.grant(&key("a"), 7, TTL, Some(start), start);
    let quarter = TTL / 4;
    assert_eq!(leases.confirm(1, start + quarter, start + quarter), Confirmation::Continued);
    // It began in time and ended late: what lay between is unknown.
    let ended = start + 2 * quarter + Duration::from_millis(1);
    let broken = leases.confirm(1, start + quarter + seconds(1), ended);
    assert_eq!(broken, Confirmation::Broken { extended: 1 });
    assert_eq!(overdue_twice(&mut leases, ended + TTL - seconds(2)), []);
    assert_eq!(overdue_twice(&mut leases, ended + TTL + seconds(1)).len(), 1);
}

#[test]
fn each_lease_breaks_at_a_quarter_of_its_own_ttl_but_never_below_an_election() {
    let (mut leases, start) = table();
    leases.grant(&key("long"), 1, TTL, None, start);
    leases.grant(&key("short"), 2, seconds(4), None, start);
    leases.grant(&key("tiny"), 3, Duration::from_millis(100), None, start);
    let gap = ELECTION_MAX;
    assert_eq!(leases.confirm(1, start + gap, start + gap), Confirmation::Continued);
    let later = start + gap + seconds(2);
    assert_eq!(leases.confirm(1, later, later), Confirmation::Broken { extended: 2 });
    assert_eq!(
        overdue_twice(&mut leases, later + seconds(3)).len(),
        1,
        "tiny has had its ttl, short has not"
    );
}

#[test]
fn rounds_may_come_in_any_order_and_old_terms_say_nothing() {
    let (mut leases, start) = table();
    leases.grant(&key("a"), 7, TTL, None, start);
    let late = start + seconds(20);
    assert_eq!(leases.confirm(1, late, late), Confirmation::Continued);
    assert_eq!(leases.confirm(1, start + seconds(1), late), Confirmation::Continued);
    let end = late + seconds(29);
    assert_eq!(leases.confirm(1, end, end), Confirmation::Continued, "measured from the latest");
    assert_eq!(leases.confirm(2, end, end), Confirmation::NewTerm);
    assert_eq!(leases.confirm(1, end + TTL, end + TTL), Confirmation::Outdated);
    assert_eq!(leases.term(), 2);
}

#[test]
fn a_new_term_gives_full_ttls_and_forgets_what_was_expiring() {
    let (mut leases, start) = table();
    leases.grant(&key("a"), 7, TTL, None, start);
    leases.overdue(start + TTL + seconds(1));
    assert!(leases.mark_expiring(&key("a"), 7));
    let elected = start + TTL + seconds(2);
    leases.confirm(2, elected, elected);
    assert_eq!(overdue_twice(&mut leases, elected + TTL - seconds(1)), []);
    assert_eq!(leases.renew(&key("a"), 7, TTL, elected), Renewal::Renewed);
}

#[test]
fn an_expiring_lease_is_not_renewed_until_it_is_revived() {
    let (mut leases, start) = table();
    leases.grant(&key("a"), 7, TTL, None, start);
    assert!(!leases.mark_expiring(&key("a"), 6), "another epoch");
    assert!(leases.mark_expiring(&key("a"), 7));
    assert!(!leases.mark_expiring(&key("a"), 7), "twice");
    assert_eq!(leases.renew(&key("a"), 7, TTL, start), Renewal::Expiring);
    assert_eq!(overdue_twice(&mut leases, start + 2 * TTL), [], "it is under way already");
    leases.revive(&key("a"), 7);
    assert_eq!(leases.renew(&key("a"), 7, TTL, start), Renewal::Renewed);
}

#[test]
fn an_undecided_lease_is_settled_only_by_a_round_begun_later() {
    let (mut leases, start) = table();
    leases.grant(&key("a"), 7, TTL, None, start);
    leases.mark_expiring(&key("a"), 7);
    let hidden = start + seconds(2);
    leases.mark_undecided(&key("a"), 7, hidden);
    leases.confirm(1, start + seconds(1), start + seconds(3));
    assert_eq!(leases.renew(&key("a"), 7, TTL, hidden), Renewal::Expiring);
    leases.confirm(1, hidden, start + seconds(4));
    assert_eq!(leases.renew(&key("a"), 7, TTL, hidden), Renewal::Renewed);
}

#[test]
fn reconciling_grants_what_is_missing_and_ends_what_is_gone() {
    let (mut leases, start) = table();
    leases.grant(&key("gone"), 1, TTL, Some(start), start);
    leases.grant(&key("same"), 2, TTL, Some(start), start);
    leases.grant(&key("other-ttl"), 3, TTL, Some(start), start);
    leases.grant(&key("newer"), 9, TTL, Some(start), start);
    let now = start + TTL + seconds(1);
    let (same, other, newer, new) = (key("same"), key("other-ttl"), key("newer"), key("new"));
    let alive = [
        (&same, 2, TTL),
        (&other, 3, 2 * TTL),
        // These tables are older than the lease.
        (&newer, 8, TTL),
        (&new, 4, TTL),
    ];
    let ended = leases.reconcile(alive.into_iter(), now);
    assert_eq!(ended, [Ended { key: key("gone"), ttl: TTL, alive_since: Some(start) }]);
    let overdue = overdue_twice(&mut leases, now);
    assert_eq!(overdue, [(key("newer"), 9), (key("same"), 2)], "the others have a full ttl");
    assert_eq!(leases.len(), 4);
    assert_eq!(leases.ttl_min(), Some(TTL));
}

#[test]
fn a_later_epoch_replaces_a_lease_and_an_earlier_one_does_not() {
    let (mut leases, start) = table();
    leases.grant(&key("a"), 7, TTL, None, start);
    leases.mark_expiring(&key("a"), 7);
    leases.grant(&key("a"), 9, TTL, Some(start), start);
    assert_eq!(leases.renew(&key("a"), 9, TTL, start), Renewal::Renewed);
    leases.grant(&key("a"), 8, seconds(1), Some(start), start);
    assert_eq!(overdue_twice(&mut leases, start + seconds(10)), []);
    assert_eq!(leases.end(&key("a"), 7), None, "that epoch has no lease any more");
    let ended = leases.end(&key("a"), 9).expect("the live one");
    assert_eq!(ended.alive_since, None, "alive all the time");
    assert!(leases.is_empty());
}

#[test]
fn who_left_is_missing_at_once_until_it_is_heard_of() {
    let (mut leases, start) = table();
    leases.grant(&key("a"), 7, TTL, Some(start), start);
    leases.grant(&key("b"), 7, TTL, Some(start), start);
    assert_eq!(leases.silent(start), 0);
    assert!(leases.set_left(&key("a"), 7, true));
    assert!(!leases.set_left(&key("a"), 6, true), "another epoch");
    assert!(!leases.set_left(&key("c"), 7, true), "nobody");
    assert_eq!(leases.silent(start), 1);
    assert_eq!(leases.renew(&key("a"), 7, TTL, start), Renewal::Renewed);
    assert_eq!(leases.silent(start), 0);
    leases.set_left(&key("a"), 7, true);
    leases.confirm(2, start, start);
    assert_eq!(leases.silent(start), 0, "in a new term everything is told anew");
    leases.set_left(&key("a"), 7, true);
    leases.set_left(&key("a"), 7, false);
    assert_eq!(leases.silent(start), 0, "it has a connection after all");
}

#[test]
fn a_lease_renewed_after_the_question_was_asked_does_not_end() {
    let (mut leases, start) = table();
    leases.grant(&key("a"), 7, TTL, Some(start), start);
    leases.renew(&key("a"), 7, TTL, start + seconds(5));
    assert!(!leases.mark_expiring_if_quiet_since(&key("a"), 7, start + seconds(4)));
    assert_eq!(leases.renew(&key("a"), 7, TTL, start + seconds(5)), Renewal::Renewed);
    assert!(!leases.mark_expiring_if_quiet_since(&key("a"), 6, start + seconds(5)));
    assert!(leases.mark_expiring_if_quiet_since(&key("a"), 7, start + seconds(5)));
    assert_eq!(leases.renew(&key("a"), 7, TTL, start + seconds(6)), Renewal::Expiring);
}
