//! Reads: as fresh as asked for, woken by their own topics only, bounded.

use std::sync::Arc;
use std::time::Duration;

use signpost_raft::machine::Index;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::{Consistency, Read, RouteAnswers, Wait};
use crate::config::NodeConfig;
use crate::errors::{ServiceError, Unavailable};
use crate::fake_log::{FakeLog, Rounds, registration};
use crate::routes::command::{RouteCommand, Unregister};
use crate::service::NameService;

struct Scene {
    log: Arc<FakeLog>,
    service: Arc<NameService>,
}

impl Scene {
    fn new() -> Self {
        Self::with(NodeConfig::new(1, "test"))
    }

    fn with(config: NodeConfig) -> Self {
        let (log, service) = FakeLog::lead(config);
        Self { log, service }
    }

    fn put(&self, broker: &str, seq: u64, topics: &[&str]) -> Index {
        self.log.apply(RouteCommand::Register(registration(broker, seq, topics))).index
    }

    fn read(&self, consistency: Consistency, min_index: Option<Index>) -> Read {
        Read { consistency, min_index, deadline: self.service.deadline(None) }
    }

    async fn route(&self, read: Read, topic: &str) -> Result<RouteAnswers, ServiceError> {
        self.service.reads().routes(&[topic.to_owned()], &read, None).await
    }

    /// A local read of these topics that waits up to 30 s for a change past `index`.
    fn wait(
        &self,
        topics: &[&str],
        index: Index,
    ) -> JoinHandle<Result<RouteAnswers, ServiceError>> {
        let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let read = self.read(Consistency::Local, None);
        let wait = Wait { index, until: Instant::now() + Duration::from_secs(30) };
        let service = Arc::clone(&self.service);
        tokio::spawn(async move { service.reads().routes(&topics, &read, Some(wait)).await })
    }
}

async fn settle() {
    sleep(Duration::from_millis(10)).await;
}

#[tokio::test(start_paused = true)]
async fn a_linearizable_read_makes_a_round_and_a_local_one_needs_no_quorum() {
    let scene = Scene::new();
    let index = scene.put("a", 1, &["T"]);
    let answer = scene.route(scene.read(Consistency::Linearizable, None), "T").await;
    let answer = answer.expect("confirmed");
    assert_eq!(answer.freshness.index, index);
    assert_eq!(answer.modified, index);
    let json = answer.routes[0].json.clone().expect("it exists");
    let route: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(route["brokerDatas"][0]["brokerAddrs"]["0"], "a:10911");
    assert_eq!(route["queueDatas"][0]["writeQueueNums"], 16);

    scene.log.set_rounds(Rounds::Hold);
    let refused = scene.route(scene.read(Consistency::Linearizable, None), "T").await;
    assert_eq!(refused, Err(Unavailable::NoQuorum.into()));
    let local = scene.route(scene.read(Consistency::Local, None), "T").await.expect("as it is");
    assert_eq!(local.routes, answer.routes);
    assert!(local.freshness.quorum_age.expect("there was one") >= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_linearizable_read_sees_what_was_written_before_its_round_ended() {
    let scene = Scene::new();
    scene.log.set_rounds(Rounds::Delay(Duration::from_millis(50)));
    let service = Arc::clone(&scene.service);
    let read = scene.read(Consistency::Linearizable, None);
    let reading = tokio::spawn(async move { service.reads().read(&read).await });
    settle().await;
    let index = scene.put("a", 1, &["T"]);
    let reading = reading.await.expect("no panic").expect("confirmed");
    assert_eq!(reading.view.applied, index);
}

#[tokio::test(start_paused = true)]
async fn a_background_round_keeps_the_age_honest_on_any_replica() {
    let scene = Scene::new();
    scene.log.begin_term(2, 2);
    sleep(Duration::from_secs(30)).await;
    let freshness = scene.service.freshness(0);
    assert!(freshness.quorum_age.expect("in the background") <= Duration::from_secs(1));
    assert_eq!((freshness.leader, freshness.term, freshness.node), (Some(2), 2, 1));
    scene.log.set_rounds(Rounds::Hold);
    sleep(Duration::from_secs(30)).await;
    let aged = scene.service.freshness(0).quorum_age.expect("still known");
    assert!(aged >= Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn min_index_is_waited_for_and_refused_when_it_does_not_come() {
    let scene = Scene::new();
    let index = scene.log.last_index();
    let waiting = {
        let service = Arc::clone(&scene.service);
        let read = scene.read(Consistency::Local, Some(index + 2));
        tokio::spawn(async move { service.reads().read(&read).await })
    };
    scene.put("a", 1, &["T"]);
    settle().await;
    assert!(!waiting.is_finished());
    scene.log.append_blank();
    let reading = waiting.await.expect("no panic").expect("reached");
    assert_eq!(reading.freshness.index, index + 2);

    let min_index = index + 100;
    let refused = scene.route(scene.read(Consistency::Local, Some(min_index)), "T").await;
    assert_eq!(refused, Err(Unavailable::Behind { applied: index + 2, min_index }.into()));
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_woken_by_its_own_topic_and_by_no_other() {
    let scene = Scene::new();
    scene.put("a", 1, &["T", "U"]);
    let index = scene.put("b", 1, &["U"]);
    let (t, u, both) =
        (scene.wait(&["T"], index), scene.wait(&["U"], index), scene.wait(&["T", "U"], index));
    settle().await;
    assert_eq!(scene.service.counters().waiters, 4);
    let changed = scene.put("b", 2, &["U", "V"]);
    settle().await;
    assert!(!u.is_finished(), "V is another topic");
    let changed_u = scene.put("b", 3, &["V"]);
    let answer = u.await.expect("no panic").expect("woken");
    assert_eq!((answer.modified, answer.freshness.index), (changed_u, changed_u));
    assert!(changed_u > changed);
    assert_eq!(both.await.expect("no panic").expect("woken").modified, changed_u);
    assert!(!t.is_finished());
    // A change of a broker is one of all its topics.
    let gone = Unregister { key: crate::fake_log::master("a"), claim: None, epoch: None };
    let removed = scene.log.apply(RouteCommand::Unregister(gone)).index;
    let answer = t.await.expect("no panic").expect("woken");
    assert_eq!(answer.routes[0].json, None);
    assert_eq!(answer.modified, removed, "index of the deletion");
    assert_eq!(scene.service.counters().waiters, 0);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_came_before_the_wait_answers_at_once() {
    let scene = Scene::new();
    let before = scene.log.last_index();
    let index = scene.put("a", 1, &["T"]);
    let begun = Instant::now();
    let answer = scene.wait(&["T"], before).await.expect("no panic").expect("at once");
    assert_eq!(answer.modified, index);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_wait_in_vain_answers_with_the_consistency_asked_for() {
    let scene = Scene::new();
    let index = scene.put("a", 1, &["T"]);
    let begun = Instant::now();
    let answer = scene.wait(&["T"], index).await.expect("no panic").expect("as it is");
    assert_eq!(answer.modified, index);
    assert_eq!(begun.elapsed(), Duration::from_secs(30));

    let topics = ["T".to_owned()];
    let wait = Wait { index, until: Instant::now() + Duration::from_secs(30) };
    let read = scene.read(Consistency::Linearizable, None);
    let reading = scene.service.reads().routes(&topics, &read, Some(wait));
    let (answer, ()) = tokio::join!(reading, async {
        sleep(Duration::from_secs(20)).await;
        scene.log.set_rounds(Rounds::Hold);
    });
    assert_eq!(answer, Err(Unavailable::NoQuorum.into()), "its last word needs a quorum, too");
}

#[tokio::test(start_paused = true)]
async fn a_wait_implies_min_index() {
    let scene = Scene::new();
    let ahead = scene.log.last_index() + 1;
    let waiting = scene.wait(&["T"], ahead);
    settle().await;
    let changed = scene.put("a", 1, &["T"]);
    assert_eq!(changed, ahead);
    settle().await;
    assert!(!waiting.is_finished(), "this change is the one that it has seen");
    let next = scene.put("a", 2, &["T", "U"]);
    settle().await;
    assert!(next > ahead && !waiting.is_finished(), "T has not changed");
    waiting.abort();
}

#[tokio::test(start_paused = true)]
async fn a_missing_topic_is_waited_for() {
    let scene = Scene::new();
    let waiting = scene.wait(&["T"], scene.log.last_index());
    settle().await;
    let index = scene.put("a", 1, &["T"]);
    let answer = waiting.await.expect("no panic").expect("woken");
    assert_eq!((answer.modified, answer.routes[0].json.is_some()), (index, true));
}

#[tokio::test(start_paused = true)]
async fn many_topics_are_read_at_one_index() {
    let scene = Scene::new();
    let first = scene.put("a", 1, &["T"]);
    let second = scene.put("b", 1, &["U"]);
    let topics = ["U".to_owned(), "none".to_owned(), "T".to_owned()];
    let read = scene.read(Consistency::Linearizable, None);
    let answer = scene.service.reads().routes(&topics, &read, None).await.expect("read");
    let modified: Vec<Index> = answer.routes.iter().map(|route| route.modified).collect();
    assert_eq!(modified, [second, 0, first]);
    assert!(answer.routes[1].json.is_none());
    assert_eq!((answer.modified, answer.freshness.index), (second, second));
}

#[tokio::test(start_paused = true)]
async fn waits_and_topics_are_bounded() {
    let mut config = NodeConfig::new(1, "test");
    config.limits.waiters = 2;
    config.limits.topics_per_read = 3;
    let scene = Scene::with(config);
    let index = scene.log.last_index();
    let waiting = scene.wait(&["T", "U"], index);
    settle().await;
    let refused = scene.wait(&["V"], index).await.expect("no panic");
    assert_eq!(refused.expect_err("no place").wire().status, 429);
    waiting.abort();
    settle().await;
    assert_eq!(scene.service.counters().waiters, 0, "an aborted call leaves its place");
    let refused = scene.wait(&["a", "b", "c", "d"], index).await.expect("no panic");
    assert_eq!(refused.expect_err("too many").wire().field, Some("topics"));
}

#[tokio::test(start_paused = true)]
async fn shutdown_cuts_waits() {
    let scene = Scene::new();
    let index = scene.log.last_index();
    let waiting = scene.wait(&["T"], index);
    let behind = scene.wait(&["T"], index + 9);
    settle().await;
    scene.service.shutdown().await;
    let stopping = Err(Unavailable::Stopping.into());
    assert_eq!(waiting.await.expect("no panic"), stopping);
    assert_eq!(behind.await.expect("no panic"), stopping);
}

#[tokio::test(start_paused = true)]
async fn a_replica_never_fed_or_removed_says_nothing_about_topics() {
    let scene = Scene::new();
    scene.log.set_status(|status| status.fed = false);
    let refused = scene.route(scene.read(Consistency::Local, None), "T").await;
    assert_eq!(refused, Err(Unavailable::NotFed.into()));
    scene.log.set_status(|status| status.removed = true);
    let refused = scene.route(scene.read(Consistency::Local, None), "T").await;
    assert_eq!(refused.expect_err("removed").wire().status, 421);
}

#[tokio::test(start_paused = true)]
async fn answers_are_made_once_for_each_change() {
    let scene = Scene::new();
    scene.put("a", 1, &["T"]);
    let read = || scene.read(Consistency::Local, None);
    let first = scene.route(read(), "T").await.expect("read").routes[0].json.clone();
    let second = scene.route(read(), "T").await.expect("read").routes[0].json.clone();
    let (first, second) = (first.expect("exists"), second.expect("exists"));
    assert_eq!(first.as_ptr(), second.as_ptr(), "the very same bytes");
    scene.put("b", 1, &["T"]);
    let third = scene.route(read(), "T").await.expect("read").routes[0].json.clone();
    assert_ne!(third.expect("exists"), first);
}

#[tokio::test(start_paused = true)]
async fn reads_that_wait_for_a_quorum_are_bounded_and_crowd_out_no_round_of_the_leader() {
    let mut config = NodeConfig::new(1, "test");
    config.limits.reads_waiting = 1;
    let scene = Scene::with(config);
    scene.log.set_rounds(Rounds::Hold);
    let read = scene.read(Consistency::Linearizable, None);
    let service = Arc::clone(&scene.service);
    let waiting = tokio::spawn(async move { service.reads().read(&read).await });
    settle().await;
    let refused = scene.route(read, "T").await;
    assert_eq!(refused.expect_err("one waits").wire().status, 429);
    let soon = Instant::now() + Duration::from_millis(1);
    let own = scene.service.reads().rounds().confirm_first(soon).await;
    assert_eq!(own, Err(Unavailable::NoQuorum.into()), "begun, at least");
    scene.log.set_rounds(Rounds::Confirm);
    waiting.await.expect("no panic").expect("confirmed");
}
