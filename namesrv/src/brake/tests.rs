use super::*;

const TTL: Duration = Duration::from_secs(120);

struct Scene {
    leases: Leases,
    brake: Brake,
    now: Instant,
}

impl Scene {
    /// So many brokers, alive for longer than a ttl and just heard of.
    fn of(brokers: usize) -> Self {
        let now = Instant::now();
        let mut leases = Leases::new(Duration::from_millis(300));
        for number in 0..brokers {
            leases.grant(&key(number), 1, TTL, None, now);
        }
        Self { leases, brake: Brake::new(BrakeConfig::default()), now }
    }

    fn hear(&mut self, brokers: std::ops::Range<usize>) {
        for number in brokers {
            self.leases.renew(&key(number), 1, TTL, self.now);
        }
    }

    fn remove(&mut self, number: usize, own_request: bool) {
        let ended = self.leases.end(&key(number), 1).expect("it has a lease");
        self.brake.removed(ended, own_request, self.now);
    }

    fn judge(&mut self) -> Verdict {
        self.brake.judge(&self.leases, self.now)
    }
}

fn key(number: usize) -> BrokerKey {
    BrokerKey { cluster: "c".into(), name: format!("b{number:03}"), id: 0 }
}

#[test]
fn it_holds_before_the_first_removal_when_more_than_half_are_silent() {
    let mut scene = Scene::of(20);
    scene.now += TTL / 2 + Duration::from_secs(1);
    scene.hear(12..20);
    let missing = Missing { missing: 12, alive: 20 };
    assert_eq!(scene.judge(), Verdict::Began(missing));
    assert!(!scene.judge().allows_removal());
    assert_eq!(scene.judge(), Verdict::Holds(missing));
}

#[test]
fn half_is_not_more_than_half() {
    let mut scene = Scene::of(20);
    scene.now += TTL / 2 + Duration::from_secs(1);
    scene.hear(10..20);
    assert_eq!(scene.judge(), Verdict::Free);
}

#[test]
fn fewer_than_five_missing_never_hold_it() {
    let mut scene = Scene::of(4);
    scene.now += TTL;
    assert_eq!(scene.judge(), Verdict::Free);
}

#[test]
fn removals_count_for_a_ttl_and_those_on_request_do_not() {
    let mut scene = Scene::of(20);
    for number in 0..6 {
        scene.remove(number, true);
    }
    for number in 6..16 {
        scene.remove(number, false);
    }
    assert_eq!(scene.brake.count(&scene.leases, scene.now), Missing { missing: 10, alive: 20 });
    assert_eq!(scene.judge(), Verdict::Free);
    scene.remove(16, false);
    assert_eq!(scene.judge(), Verdict::Began(Missing { missing: 11, alive: 20 }));
    scene.now += TTL;
    scene.hear(17..20);
    assert_eq!(scene.judge(), Verdict::Recovered { standing: false });
    assert_eq!(scene.brake.count(&scene.leases, scene.now), Missing { missing: 0, alive: 3 });
}

#[test]
fn a_broker_that_came_back_is_not_missing_and_was_alive_all_the_time() {
    let mut scene = Scene::of(6);
    for number in 0..5 {
        scene.remove(number, false);
    }
    for number in 0..5 {
        let alive_since = scene.brake.returned(&key(number), scene.now);
        scene.leases.grant(&key(number), 2, TTL, alive_since, scene.now);
    }
    assert_eq!(scene.brake.count(&scene.leases, scene.now), Missing { missing: 0, alive: 6 });
}

#[test]
fn who_came_lately_was_not_alive_a_ttl_ago() {
    let mut scene = Scene::of(5);
    let alive_since = scene.brake.returned(&key(9), scene.now);
    scene.leases.grant(&key(9), 1, TTL, alive_since, scene.now);
    assert_eq!(scene.brake.count(&scene.leases, scene.now).alive, 5);
    assert_eq!(scene.brake.count(&scene.leases, scene.now + TTL).alive, 6);
}

#[test]
fn it_lets_go_after_its_longest_time_once_and_holds_again_only_after_recovery() {
    let mut scene = Scene::of(20);
    scene.now += TTL;
    assert!(matches!(scene.judge(), Verdict::Began(_)));
    scene.now += Duration::from_secs(599);
    assert!(matches!(scene.judge(), Verdict::Holds(_)));
    scene.now += Duration::from_secs(1);
    assert!(matches!(scene.judge(), Verdict::TimedOut(_)));
    assert_eq!(scene.judge(), Verdict::Free);
    scene.hear(0..20);
    assert_eq!(scene.judge(), Verdict::Recovered { standing: true });
    scene.now += TTL;
    assert!(matches!(scene.judge(), Verdict::Began(_)));
}

#[test]
fn an_operator_may_release_it() {
    let mut scene = Scene::of(20);
    assert!(!scene.brake.release(), "it does not hold");
    scene.now += TTL;
    scene.judge();
    assert!(scene.brake.release());
    assert!(scene.judge().allows_removal());
    assert!(!scene.brake.holds());
}

#[test]
fn those_who_closed_all_their_connections_count_before_they_are_gone() {
    let mut scene = Scene::of(20);
    for number in 0..10 {
        assert!(scene.leases.set_left(&key(number), 1, true));
    }
    assert_eq!(scene.judge(), Verdict::Free);
    scene.leases.set_left(&key(10), 1, true);
    assert_eq!(scene.judge(), Verdict::Began(Missing { missing: 11, alive: 20 }));
}
