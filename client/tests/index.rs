//! The index never goes back, whichever replica answers; another history starts anew.

mod fake;

use fake::{Fake, Mode};
use hyper::Method;
use signpost_client::{Options, ReadMode};

#[tokio::test(start_paused = true)]
async fn local_reads_never_go_back_across_replicas() {
    let fake = Fake::new(2);
    let old = fake.put_route("t", &[("a", "h:1")]);
    fake.put_route("t", &[("b", "h:2")]);
    fake.freeze(1, Some(old));
    let client = fake.client(Options::default());
    let name = |route: Option<signpost_client::types::Route>| {
        route.expect("exists").queue_datas[0].broker_name.clone()
    };
    let answer = client.route("t", ReadMode::Local).await.unwrap();
    assert_eq!((name(answer.value), answer.freshness.index), ("b".into(), 2));
    fake.set_mode(0, Mode::Dead);
    let error = client.route("t", ReadMode::Local).await.unwrap_err();
    assert!(error.is_definite(), "only a straggler is left: {error}");
    let straggler = client.route("t", ReadMode::AnyLocal).await.expect("marked as such");
    assert_eq!((name(straggler.value), straggler.freshness.index), ("a".into(), 1));
    assert_eq!(client.highest_index(), 2);
    fake.freeze(1, None);
    let caught_up = client.route("t", ReadMode::Local).await.expect("caught up");
    assert_eq!(name(caught_up.value), "b");
    let asked = fake.seen(&Method::GET, "/v1/routes");
    assert!(asked.iter().any(|seen| seen.query == "consistency=local&min_index=2"), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_linearizable_answer_below_the_highest_index_is_refused() {
    let fake = Fake::new(2);
    fake.put_route("t", &[("a", "h:1")]);
    fake.put_route("t", &[("b", "h:2")]);
    let client = fake.client(Options::default());
    client.route("t", ReadMode::Linearizable).await.unwrap();
    // A broken replica that answers without its round.
    fake.freeze(0, Some(1));
    let answer = client.route("t", ReadMode::Linearizable).await.unwrap();
    assert_eq!((answer.freshness.index, answer.freshness.replica.as_str()), (2, "r1:1"));
}

#[tokio::test(start_paused = true)]
async fn a_write_can_be_read_at_once_and_by_others_who_know_its_index() {
    let fake = Fake::new(2);
    let writer = fake.client(Options::default());
    fake.freeze(1, Some(0));
    let written = writer.put_kv("n", "k", "v", None).await.unwrap().value.index;
    assert_eq!(writer.highest_index(), written);
    let reader = fake.client_starting_at(1, Options::default());
    let answer = reader.route("t", ReadMode::AtLeast(written)).await.unwrap();
    assert!(answer.freshness.index >= written && answer.freshness.replica == "r0:1");
}

#[tokio::test(start_paused = true)]
async fn another_history_is_reported_and_starts_indices_anew() {
    let fake = Fake::new(2);
    for _ in 0..9 {
        fake.put_route("t", &[("a", "h:1")]);
    }
    let client = fake.client(Options::default());
    client.route("t", ReadMode::Local).await.unwrap();
    let mut history = client.history();
    assert_eq!(history.borrow_and_update().cluster.as_deref(), Some("first"));
    fake.begin_history("second");
    let index = fake.put_route("t", &[("c", "h:3")]);
    let answer = client.route("t", ReadMode::Local).await.expect("a plain read goes on");
    assert_eq!(answer.freshness.index, index);
    assert!(history.has_changed().unwrap());
    assert_eq!(history.borrow().generation, 1);
    assert_eq!(history.borrow().cluster.as_deref(), Some("second"));
    assert_eq!(client.highest_index(), index);
    // What names an index of the old history is refused, not misread.
    fake.begin_history("third");
    let error = client.put_kv("n", "k", "v", Some(index)).await.unwrap_err();
    assert_eq!(error.conflict(), Some(signpost_client::types::Conflict::OtherHistory));
    assert!(error.is_definite());
}
