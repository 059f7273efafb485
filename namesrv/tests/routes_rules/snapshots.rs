//! Sections and back; damage is noticed.

use signpost_namesrv::routes::RouteTables;
use signpost_namesrv::routes::command::*;

use crate::build::*;

/// Something in every table.
fn full() -> Log {
    let mut log = Log::new();
    let topics: Vec<String> = (0..2_000).map(|n| format!("topic-{n}")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    for name in ["a", "b"] {
        let filter_servers = Some(vec!["fs:1".to_owned()]);
        log.begin(&Register { filter_servers, ..broker(name, 0, &topics) });
        log.begin(&broker(name, 1, &topics[..300]));
    }
    log.delete_topic("topic-7");
    log.wipe("b", false);
    log.unregister(&key("b", 1), None);
    let (namespace, key) = ("ORDER_TOPIC_CONFIG".to_owned(), "topic-9".to_owned());
    let value = "a:4".to_owned();
    log.apply(RouteCommand::PutKv { namespace, key, value, if_index: None });
    log.apply(RouteCommand::SetClusterVersion(2));
    log
}

fn restore(sections: Vec<Vec<u8>>) -> Result<RouteTables, String> {
    let mut tables = RouteTables::new();
    tables.restore(50, &mut sections.into_iter()).map(|()| tables)
}

#[test]
fn a_snapshot_comes_back_with_every_answer() {
    let log = full();
    let restored = restore(log.tables.sections().collect()).expect("a good snapshot");
    assert_eq!(restored.digest(), log.tables.digest());
    assert_eq!(restored.recompute_digest(), log.tables.digest());
    assert_eq!(restored.topics().count(), 1_999);
    for (topic, _) in log.tables.topics() {
        assert_eq!(restored.route(topic, true), log.tables.route(topic, true));
    }
    for live in log.tables.registrations() {
        assert_eq!(restored.registration(&live.key), Some(live));
    }
    let sections: Vec<_> = log.tables.sections().collect();
    assert_eq!(restored.sections().collect::<Vec<_>>(), sections, "the same bytes");
}

#[test]
fn sections_are_bounded() {
    let sizes: Vec<usize> = full().tables.sections().map(|section| section.len()).collect();
    assert!(sizes.len() > 5, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size <= 48 * 1024), "{sizes:?}");
}

#[test]
fn a_frozen_snapshot_does_not_see_later_commands() {
    let mut log = full();
    let (digest, sections) = (log.tables.digest(), log.tables.sections());
    log.unregister(&key("a", 0), None);
    log.unregister(&key("b", 0), None);
    assert_eq!(restore(sections.collect()).expect("a good snapshot").digest(), digest);
}

#[test]
fn restoring_sets_the_floor_and_reports_that_anything_may_have_changed() {
    let log = full();
    assert_eq!(log.tables.absent_modified("topic-7"), 5);
    let mut restored = restore(log.tables.sections().collect()).expect("a good snapshot");
    assert_eq!((restored.absent_modified("topic-7"), restored.deletions_floor()), (50, 50));
    assert!(restored.take_changes().everything);
}

#[test]
fn a_damaged_snapshot_is_refused_and_leaves_the_tables_alone() {
    let good: Vec<Vec<u8>> = full().tables.sections().collect();
    let mut damaged: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("nothing", vec![]),
        ("no head", good[1..].to_vec()),
        ("lost end", good[..good.len() - 1].to_vec()),
        ("twice", [good.clone(), good.clone()].concat()),
        ("too large", vec![vec![0; 9 * 1024 * 1024]]),
        ("cut length", vec![vec![1, 2]]),
        ("huge length", vec![vec![255, 255, 255, 255, 0]]),
    ];
    for lost in 1..good.len() {
        let mut sections = good.clone();
        sections.remove(lost);
        damaged.push(("lost section", sections));
    }
    for section in 0..good.len() {
        for place in (0..good[section].len()).step_by(6_007) {
            let mut sections = good.clone();
            sections[section][place] ^= 0x10;
            damaged.push(("flipped bit", sections));
        }
    }
    let mut tables = full().tables;
    let digest = tables.digest();
    for (what, sections) in damaged {
        let error = tables.restore(50, &mut sections.into_iter()).expect_err(what);
        assert!(!error.is_empty());
        assert_eq!(tables.digest(), digest, "{what}");
    }
    tables.check().expect("untouched tables");
}
