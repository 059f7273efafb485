//! What the book says of brokers, connection by connection.

use super::*;

fn key(name: &str) -> BrokerKey {
    BrokerKey { cluster: "c".into(), name: name.into(), id: 0 }
}

/// A book whose connections are closed by naming them.
struct Scene(Ledger<u64>);

impl Scene {
    fn new() -> Self {
        let mut ledger = Ledger::new();
        ledger.set_since(10);
        Self(ledger)
    }

    fn arrive(&mut self, id: u64) -> Turn {
        self.0.arrive(id, &id, &key("a"), "a:1").expect("few brokers")
    }

    /// A registration that arrives and is acknowledged.
    fn register(&mut self, id: u64, epoch: Index) {
        drop(self.arrive(id));
        self.0.registered(id, &key("a"), "a:1", epoch, Some((7, 77)));
    }

    fn former(&mut self, id: u64) -> Option<Index> {
        self.0.former(id, &key("a"))
    }

    fn first(&mut self, id: u64) -> Option<Index> {
        self.0.first(id, &key("a"), "a:1")
    }

    fn standing(&self) -> Standing {
        self.0.standing(&key("a"))
    }

    fn untold(&mut self) -> Vec<Index> {
        self.0.take_untold(9).into_iter().map(|(_, epoch)| epoch).collect()
    }
}

#[test]
fn a_broker_that_was_never_here_is_unseen_since_the_book_began() {
    let mut scene = Scene(Ledger::new());
    assert_eq!(scene.standing(), Standing::Unseen { since: None });
    scene.0.set_since(10);
    scene.0.set_since(99);
    assert_eq!(scene.standing(), Standing::Unseen { since: Some(10) });
}

#[test]
fn a_connection_is_open_before_anything_was_acknowledged_and_leaves_nothing_then() {
    let mut scene = Scene::new();
    drop(scene.arrive(1));
    assert_eq!(scene.standing(), Standing::Open);
    scene.0.end(1, true);
    assert_eq!(scene.standing(), Standing::Unseen { since: Some(10) });
    assert!(scene.untold().is_empty());
}

#[test]
fn leaving_is_told_once_and_to_each_new_leader() {
    let mut scene = Scene::new();
    scene.register(1, 50);
    scene.0.end(1, true);
    assert_eq!(scene.standing(), Standing::Left { epoch: 50 });
    assert_eq!(scene.untold(), [50]);
    assert!(scene.untold().is_empty());
    scene.0.return_untold(vec![(key("a"), 50)]);
    assert_eq!(scene.untold(), [50]);
    scene.0.tell_all();
    assert_eq!(scene.untold(), [50]);
    scene.0.forget(&key("a"), 50);
    scene.0.tell_all();
    assert!(scene.untold().is_empty());
    assert_eq!(scene.standing(), Standing::Unseen { since: Some(10) });
}

#[test]
fn who_comes_back_before_the_leader_was_told_has_not_left() {
    let mut scene = Scene::new();
    scene.register(1, 50);
    scene.0.end(1, true);
    drop(scene.arrive(2));
    assert!(scene.untold().is_empty());
    assert_eq!(scene.standing(), Standing::Open);
    // It goes again without having been heard: what the former connection left stands.
    scene.0.end(2, true);
    assert_eq!(scene.standing(), Standing::Left { epoch: 50 });
    assert_eq!(scene.untold(), [50]);
}

#[test]
fn an_end_that_says_nothing_is_never_told() {
    let mut scene = Scene::new();
    scene.register(1, 50);
    scene.0.end(1, false);
    assert_eq!(scene.standing(), Standing::Lost { epoch: 50 });
    scene.0.tell_all();
    assert!(scene.untold().is_empty());
}

#[test]
fn all_connections_that_renewed_an_epoch_must_have_left_in_any_order() {
    for first_leaves in [true, false] {
        let mut scene = Scene::new();
        scene.register(1, 50);
        scene.register(2, 50);
        scene.0.end(1, first_leaves);
        assert_eq!(scene.standing(), Standing::Open);
        scene.0.end(2, !first_leaves);
        assert_eq!(scene.standing(), Standing::Lost { epoch: 50 });
    }
    // One of an earlier epoch has no say in a later one.
    let mut scene = Scene::new();
    scene.register(1, 50);
    scene.0.end(1, false);
    scene.register(2, 60);
    scene.0.end(2, true);
    assert_eq!(scene.standing(), Standing::Left { epoch: 60 });
}

#[test]
fn a_new_connection_knows_what_former_ones_renewed_until_it_is_acknowledged() {
    let mut scene = Scene::new();
    scene.register(1, 50);
    assert_eq!((scene.former(1), scene.first(1)), (None, Some(50)));
    scene.0.end(1, true);
    // Two in vain, the third is answered.
    for id in [2, 3] {
        drop(scene.arrive(id));
        assert_eq!((scene.former(id), scene.first(id)), (Some(50), None));
        scene.0.end(id, false);
    }
    scene.register(4, 60);
    scene.register(4, 70);
    assert_eq!((scene.former(4), scene.first(4)), (None, Some(60)));
    assert_eq!(scene.0.latest(4, &key("a")), Some(70));
    assert_eq!(scene.0.first(4, &key("a"), "elsewhere:1"), None, "another address's");
}

#[test]
fn a_sign_of_life_is_no_registration() {
    let mut scene = Scene::new();
    scene.register(1, 50);
    scene.0.end(1, true);
    drop(scene.arrive(2));
    scene.0.renewed(2, &key("a"), 50);
    assert_eq!((scene.former(2), scene.first(2)), (Some(50), None));
    assert_eq!(scene.0.latest(2, &key("a")), Some(50));
}

#[test]
fn what_is_acknowledged_after_its_connection_ended_says_nothing_of_the_broker() {
    let mut scene = Scene::new();
    drop(scene.arrive(1));
    scene.0.end(1, false);
    scene.0.registered(1, &key("a"), "a:1", 50, None);
    assert_eq!(scene.standing(), Standing::Lost { epoch: 50 });
    drop(scene.arrive(2));
    assert_eq!(scene.former(2), Some(50));
}

#[test]
fn repeats_are_known_by_their_bytes_epoch_and_digest() {
    let mut scene = Scene::new();
    let repeat = |scene: &mut Scene, raw| scene.0.repeat(1, &key("a"), raw);
    scene.register(1, 50);
    assert_eq!(repeat(&mut scene, 7), Some((50, 77)));
    assert_eq!(repeat(&mut scene, 8), None);
    // The other part of a split registration, of the same content.
    scene.0.registered(1, &key("a"), "a:1", 50, Some((8, 77)));
    assert_eq!((repeat(&mut scene, 7), repeat(&mut scene, 8)), (Some((50, 77)), Some((50, 77))));
    // The content has moved on.
    scene.0.registered(1, &key("a"), "a:1", 50, Some((8, 78)));
    assert_eq!((repeat(&mut scene, 7), repeat(&mut scene, 8)), (None, Some((50, 78))));
    // Something was written: what it made of the content is not known yet.
    scene.0.registered(1, &key("a"), "a:1", 50, None);
    assert_eq!(repeat(&mut scene, 8), None);
    // Another connection starts from nothing.
    drop(scene.arrive(2));
    assert_eq!(scene.0.repeat(2, &key("a"), 8), None);
}

#[test]
fn unregistering_leaves_nothing_to_tell() {
    let mut scene = Scene::new();
    scene.register(1, 50);
    scene.0.leave(1, &key("a"));
    scene.0.end(1, true);
    assert!(scene.untold().is_empty());
    assert_eq!(scene.standing(), Standing::Unseen { since: Some(10) });
}

#[test]
fn the_connections_of_an_ended_epoch_are_found() {
    let mut scene = Scene::new();
    scene.register(1, 50);
    scene.register(2, 60);
    assert_eq!(scene.0.connections_of(&key("a"), 50), [1]);
    assert_eq!(scene.0.connections_of(&key("a"), 60), [2]);
    let ended = scene.0.sweep(|_, epoch| epoch == 60);
    assert_eq!(ended, [(key("a"), 50)]);
}

#[test]
fn connections_that_outlive_their_epoch_leave_nothing() {
    for farewell in [true, false] {
        let mut scene = Scene::new();
        scene.register(1, 50);
        scene.0.forget(&key("a"), 50);
        assert_eq!(scene.standing(), Standing::Open);
        scene.0.end(1, farewell);
        assert_eq!(scene.standing(), Standing::Unseen { since: Some(10) });
        assert!(scene.untold().is_empty());
    }
    // Unless it began another one meanwhile.
    let mut scene = Scene::new();
    scene.register(1, 50);
    scene.0.forget(&key("a"), 50);
    scene.register(1, 60);
    scene.0.end(1, true);
    assert_eq!(scene.untold(), [60]);
}

#[test]
fn a_sweep_forgets_the_past_of_epochs_that_have_ended() {
    let mut scene = Scene::new();
    scene.register(1, 50);
    scene.0.end(1, true);
    scene.0.sweep(|_, epoch| epoch == 50);
    assert_eq!(scene.standing(), Standing::Left { epoch: 50 });
    scene.0.sweep(|_, _| false);
    assert_eq!(scene.standing(), Standing::Unseen { since: Some(10) });
}

#[test]
fn one_connection_speaks_for_so_many_brokers_only() {
    let mut ledger = Ledger::new();
    for number in 0..BROKERS_PER_CONNECTION_MAX {
        drop(ledger.arrive(1, &1, &key(&number.to_string()), "a:1").expect("few brokers"));
    }
    let refused = ledger.arrive(1, &1, &key("more"), "a:1").expect_err("too many");
    assert_eq!(refused.wire().status, 429);
    assert_eq!(ledger.standing(&key("more")), Standing::Unseen { since: None });
    drop(ledger.arrive(2, &2, &key("more"), "a:1").expect("another connection"));
}

#[tokio::test]
async fn requests_of_one_broker_on_one_connection_take_turns() {
    let mut scene = Scene::new();
    let mut first = scene.arrive(1);
    let mut second = scene.0.arrive_again(1, &key("a")).expect("known");
    first.come().await;
    let waiting = tokio::spawn(async move {
        second.come().await;
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(first);
    waiting.await.expect("no panic");
    assert!(scene.0.arrive_again(2, &key("a")).is_none(), "another connection knows nothing of it");
}

#[test]
fn a_connection_whose_process_became_another_broker_says_nothing_of_the_former_one() {
    let mut scene = Scene::new();
    scene.register(1, 20);
    scene.register(2, 20);
    drop(scene.0.arrive(1, &1, &key("b"), "a:1").expect("few brokers"));
    scene.0.registered(1, &key("b"), "a:1", 21, None);
    scene.0.pass_on(&key("a"), 20);
    assert_eq!(scene.standing(), Standing::Unseen { since: Some(10) });
    assert_eq!(scene.0.standing(&key("b")), Standing::Open);
    // Another process takes the place that became free, and leaves it.
    scene.register(3, 30);
    scene.0.pass_on(&key("a"), 20);
    assert_eq!(scene.standing(), Standing::Open);
    scene.0.end(3, true);
    assert_eq!(scene.untold(), [30]);
}
