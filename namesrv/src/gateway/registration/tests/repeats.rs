//! Registrations that say nothing new, and those that do.

use std::time::Duration;

use signpost_remoting::body::registration::crc32;
use signpost_remoting::body::{KvTable, TopicConfig, TopicQueueMappingInfo};
use signpost_remoting::response;
use tokio::time::sleep;

use super::scene::{Scene, Stock, key};
use crate::fake_log::{Proposals, Rounds};
use crate::routes::ORDER_TOPIC_CONFIG;
use crate::routes::command::RouteCommand;

#[tokio::test(start_paused = true)]
async fn what_three_replicas_are_told_is_logged_once_and_repeats_are_not_read() {
    let scene = Scene::new();
    let stock = Stock::new("a", &["T", "U"]);
    let mut wires = scene.broker(&stock).await;
    assert_eq!(scene.leader().log.proposed().len(), 1);
    let index = scene.leader().log.last_index();
    for _ in 0..10 {
        sleep(Duration::from_secs(30)).await;
        for wire in wires.values_mut() {
            wire.register_ok(&stock).await;
        }
    }
    assert_eq!(scene.leader().log.last_index(), index, "no log entry");
    assert!(scene.is_alive("a"), "and yet the lease was renewed");
    // The one that was written is read once more, to learn what it made of the content.
    let counts = |id| scene.replica(id).registrations.counts();
    assert_eq!([counts(1), counts(2), counts(3)], [(9, 2), (10, 1), (10, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_three_replicas_are_told_at_once_is_one_small_entry() {
    let scene = Scene::new();
    let topics: Vec<String> = (0..1_000).map(|number| format!("Topic-{number}")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let stock = Stock::new("a", &topics);
    let mut wires = scene.broker(&stock).await;
    let index = scene.leader().log.last_index();
    let changed = stock.and("new");
    for wire in wires.values_mut() {
        wire.send(changed.registration()).await;
    }
    for wire in wires.values_mut() {
        let answer = wire.receive().await.expect("an answer");
        assert_eq!(answer.code, response::SUCCESS);
    }
    assert_eq!(scene.leader().log.last_index(), index + 1);
    let proposed = scene.leader().log.proposed();
    let bytes = signpost_raft::codec::encode(proposed.last().expect("it was proposed"));
    assert!(bytes.expect("small").len() < 1024);
}

#[tokio::test(start_paused = true)]
async fn unchanged_is_answered_only_after_the_leader_and_with_a_quorum() {
    let scene = Scene::new();
    let stock = Stock::new("a", &["T", "U"]);
    let mut wires = scene.broker(&stock).await;
    for wire in wires.values_mut() {
        wire.register_ok(&stock).await;
    }
    scene.leader().log.set_rounds(Rounds::Hold);
    for wire in wires.values_mut() {
        wire.send(stock.registration()).await;
    }
    let wire = wires.get_mut(&2).expect("connected");
    assert!(!wire.closes_within(Duration::from_secs(3)).await, "no answer meanwhile");
    for wire in wires.values_mut() {
        let answer = wire.receive().await.expect("an error at last");
        assert_eq!(answer.code, response::SYSTEM_ERROR, "{answer:?}");
    }
    scene.leader().log.set_rounds(Rounds::Confirm);
    for wire in wires.values_mut() {
        wire.register_ok(&stock).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_registration_survives_an_election() {
    let scene = Scene::new();
    let stock = Stock::new("a", &["T", "U"]);
    let mut wires = scene.broker(&stock).await;
    scene.replica(2).log.set_status(|status| status.leader = None);
    let wire = wires.get_mut(&2).expect("connected");
    wire.send(stock.registration()).await;
    assert!(!wire.closes_within(Duration::from_secs(2)).await);
    scene.replica(2).log.set_status(|status| status.leader = Some(1));
    assert_eq!(wire.receive().await.expect("an answer").code, response::SUCCESS);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_is_asked_for_again() {
    let scene = Scene::new();
    let stock = Stock::new("a", &["T", "U"]);
    scene.leader().log.set_proposals(Proposals::ApplyAndForget);
    let mut wire = scene.leader().connect();
    wire.register_ok(&stock).await;
    assert_eq!(scene.leader().log.proposed().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_changed_does_not_come_back_with_the_next_repeat() {
    let scene = Scene::new();
    let stock = Stock::new("a", &["T", "U"]);
    let mut wires = scene.broker(&stock).await;
    let service = &scene.leader().service;
    let deadline = || service.deadline(None);
    service.delete_topic("U".into(), None, deadline()).await.expect("deleted");
    service.set_write_permission(None, "a".into(), false, deadline()).await.expect("wiped");
    let is_kept = || {
        let view = service.reads().peek();
        let row = view.tables.topic("T").expect("it stays");
        assert_eq!(row.queue("a").expect("its broker's").queues.perm, 4);
        assert!(view.tables.topic("U").is_none());
    };
    for _ in 0..3 {
        for wire in wires.values_mut() {
            wire.register_ok(&stock).await;
            is_kept();
        }
    }
    // Under another data version the permission stays wiped; a topic that the broker still has, it
    // may have made again.
    let changed = stock.and("V");
    for wire in wires.values_mut() {
        wire.register_ok(&changed).await;
        let view = service.reads().peek();
        let row = view.tables.topic("T").expect("it stays");
        assert_eq!(row.queue("a").expect("its broker's").queues.perm, 4);
        assert!(view.tables.topic("U").is_some() && view.tables.topic("V").is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn parts_of_a_split_registration_are_each_known_again() {
    let scene = Scene::new();
    let (one, two) = (Stock::new("a", &["T", "U"]), Stock::new("a", &["V", "W"]));
    let mut wire = scene.replica(2).connect();
    for _ in 0..3 {
        for part in [&one, &two] {
            wire.register_ok(part).await;
        }
    }
    let (known, read) = scene.replica(2).registrations.counts();
    assert_eq!(scene.leader().log.proposed().len(), 2);
    assert!(known >= 2 && read <= 4, "{known} {read}");
    assert!(scene.leader().service.reads().peek().tables.topic("W").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_first_registration_of_one_topic_alone_is_refused_in_rocketmqs_words() {
    let scene = Scene::new();
    let mut wire = scene.replica(3).connect();
    let answer = wire.register(&Stock::new("a", &["T"])).await;
    assert_eq!(answer.code, response::SYSTEM_ERROR);
    assert_eq!(answer.remark.as_deref(), Some("register broker failed"));
    wire.register_ok(&Stock::new("a", &["T", "U"])).await;
    wire.register_ok(&Stock::new("a", &["V"])).await;
    let view = scene.leader().service.reads().peek();
    assert!(["T", "U"].iter().all(|topic| view.tables.topic(topic).is_some()), "it merges");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_checksum_and_a_body_that_is_none_are_refused() {
    let scene = Scene::new();
    let mut wire = scene.leader().connect();
    let mut stock = Stock::new("a", &["T", "U"]);
    stock.header.body_crc32 = crc32(&stock.registration().body) ^ 1;
    let answer = wire.register(&stock).await;
    assert_eq!(answer.code, response::SYSTEM_ERROR);
    assert_eq!(answer.remark.as_deref(), Some("crc32 not match"));
    stock.header.body_crc32 ^= 1;
    wire.register_ok(&stock).await;
    stock.header.body_crc32 = 0;
    let rubbish = stock.registration().with_body("rubbish");
    assert_eq!(wire.ask(rubbish).await.code, response::SYSTEM_ERROR);
    let mut nameless = stock.registration();
    nameless.ext.remove("brokerName");
    assert_eq!(wire.ask(nameless).await.code, response::SYSTEM_ERROR);
    assert_eq!(scene.leader().log.proposed().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_registration_over_the_bound_is_refused_before_it_is_read() {
    let scene = Scene::with(|config| config.limits.registration_bytes = 2_000);
    let mut wire = scene.leader().connect();
    let large = Stock::new("a", &["T", "U"]).registration().with_body(vec![b'{'; 2_001]);
    let answer = wire.ask(large).await;
    assert_eq!(answer.code, response::SYSTEM_ERROR);
    assert!(answer.remark.is_some_and(|remark| remark.contains("limit of 2000")));
    wire.register_ok(&Stock::new("a", &["T", "U"])).await;
}

#[tokio::test(start_paused = true)]
async fn a_later_master_keeps_its_place_and_the_other_is_answered_success() {
    let scene = Scene::new();
    let mut holder = Stock::new("a", &["T", "U"]);
    holder.version = 479;
    holder.body.data_version.state_version = 3;
    scene.broker(&holder).await;
    let mut claimant = holder.clone();
    claimant.header.broker_addr = "elsewhere:10911".into();
    claimant.body.data_version.state_version = 2;
    let mut wire = scene.replica(2).connect();
    let answer = wire.register_ok(&claimant).await;
    assert!(answer.ext.is_empty());
    let view = scene.leader().service.reads().peek();
    let live = view.tables.registration(&key("a", 0)).expect("alive");
    assert_eq!(&*live.address, "a:10911");
}

#[tokio::test(start_paused = true)]
async fn a_slave_is_told_its_master_and_everybody_the_order_configuration() {
    let scene = Scene::new();
    let mut slave = Stock::new("a", &["T", "U"]);
    (slave.header.broker_id, slave.header.broker_addr) = (1, "slave:10911".into());
    let mut wire = scene.replica(2).connect();
    let lonely = wire.register_ok(&slave).await;
    assert!(lonely.ext.is_empty() && lonely.body.is_empty());
    let master = Stock::new("a", &["T", "U"]);
    let own = scene.leader().connect().register_ok(&master).await;
    assert!(own.ext.is_empty(), "a master has none");
    for _ in 0..3 {
        let answer = wire.register_ok(&slave).await;
        assert_eq!(answer.ext.get("masterAddr"), Some("a:10911"));
        assert_eq!(answer.ext.get("haServerAddr"), Some("a:10912"));
    }
    let (namespace, order) = (ORDER_TOPIC_CONFIG.to_owned(), "a:4".to_owned());
    for replica in scene.replicas.values() {
        let (namespace, key, value) = (namespace.clone(), "T".into(), order.clone());
        replica.log.apply(RouteCommand::PutKv { namespace, key, value, if_index: None });
    }
    let answer = wire.register_ok(&slave).await;
    let table = KvTable::from_json(&answer.body).expect("a table").table;
    assert_eq!(table.get("T").map(|order| &**order), Some(&*order));
}

#[tokio::test(start_paused = true)]
async fn a_one_way_registration_is_carried_out_though_the_broker_hangs_up() {
    let scene = Scene::new();
    let mut wire = scene.replica(2).connect();
    let mut registration = Stock::new("a", &["T", "U"]).registration();
    registration.mark_oneway();
    scene.leader().log.set_rounds(Rounds::Delay(Duration::from_millis(100)));
    wire.send(registration).await;
    drop(wire);
    scene.until(Duration::from_secs(5), |scene| scene.is_alive("a")).await;
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_renews_and_one_of_nobody_is_answered_too() {
    let scene = Scene::new();
    let stock = Stock::new("a", &["T", "U"]);
    let mut wires = scene.broker(&stock).await;
    let wire = wires.get_mut(&1).expect("connected");
    for _ in 0..5 {
        sleep(Duration::from_secs(100)).await;
        assert_eq!(wire.ask(stock.heartbeat()).await.code, response::SUCCESS);
    }
    assert!(scene.is_alive("a"));
    assert_eq!(wire.ask(Stock::new("b", &[]).heartbeat()).await.code, response::SUCCESS);
    assert_eq!(scene.leader().log.proposed().len(), 1);
    scene.until(Duration::from_secs(200), |scene| !scene.is_alive("a")).await;
}

#[tokio::test(start_paused = true)]
async fn static_topics_are_stored_and_told() {
    let scene = Scene::new();
    let mut stock = Stock::new("a", &["S", "U"]);
    stock.version = 479;
    let info = TopicQueueMappingInfo {
        bname: "a".into(),
        curr_id_map: [(0, 0), (1, 1)].into(),
        epoch: 5,
        topic: "S".into(),
        total_queues: 4,
        ..TopicQueueMappingInfo::default()
    };
    stock.body.mapping_infos.insert("S".into(), info);
    let mut wires = scene.broker(&stock).await;
    assert_eq!(scene.leader().log.proposed().len(), 1);
    let expected = r#""topicQueueMappingByBroker":{"a":{"bname":"a","currIdMap":{"0":0,"1":1},"dirty":false,"epoch":5,"scope":"__global__","topic":"S","totalQueues":4}}"#;
    let json = || {
        let view = scene.leader().service.reads().peek();
        serde_json::to_string(&view.tables.route("S", false)).expect("JSON")
    };
    assert!(json().contains(expected), "{}", json());
    // It moves: another data version, as brokers do.
    stock = stock.and("V");
    stock.body.mapping_infos.get_mut("S").expect("there").epoch = 6;
    for wire in wires.values_mut() {
        wire.register_ok(&stock).await;
    }
    assert!(json().contains(r#""epoch":6"#));
    let other = scene.leader().service.reads().peek().tables.route("U", false).expect("it exists");
    assert!(other.topic_queue_mapping_by_broker.is_empty());
    // One that is none any more.
    stock = stock.and("W");
    stock.body.mapping_infos.clear();
    stock.body.topics.insert("S".into(), TopicConfig::default());
    wires.get_mut(&3).expect("connected").register_ok(&stock).await;
    assert!(!json().contains("topicQueueMappingByBroker"));
}
