//! What the tables cost: printed, and bounded generously. Run with `--nocapture` (and `--release`
//! for figures that mean something).

use std::time::Instant;

use signpost_namesrv::routes::command::*;

use crate::build::*;

fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

fn large(name: &str, topics: usize) -> Register {
    let topics = (0..topics).map(|n| (format!("a-topic-with-a-usual-name-{n}"), queues(8)));
    Register { topics: topics.collect(), ..broker(name, 0, &[]) }
}

#[test]
fn ten_thousand_topics_on_four_brokers_take_less_than_100_mib() {
    let mut tables = signpost_namesrv::routes::RouteTables::new();
    let before = resident_bytes();
    for (index, name) in ["broker-a", "broker-b", "broker-c", "broker-d"].iter().enumerate() {
        tables.apply(index as u64 + 1, RouteCommand::Register(large(name, 10_000)));
    }
    tables.take_changes();
    assert_eq!(tables.topics().count(), 10_000);
    let (Some(before), Some(after)) = (before, resident_bytes()) else { return };
    let grown = after.saturating_sub(before);
    println!("10,000 topics x 4 brokers: {} KiB resident", grown / 1024);
    assert!(grown < 100 * 1024 * 1024, "{grown} bytes");
}

#[test]
fn the_time_of_registrations_is_printed() {
    let mut tables = signpost_namesrv::routes::RouteTables::new();
    let mut serving = tables.clone();
    let register = RouteCommand::Register(large("broker-0", 1_000));
    let started = Instant::now();
    tables.apply(1, register);
    println!("first registration of 1,000 topics: {:?}", started.elapsed());

    let started = Instant::now();
    for broker in 1..100_u64 {
        let register = large(&format!("broker-{broker}"), 1_000);
        let register = RouteCommand::Register(register);
        tables.apply(broker + 1, register);
        tables.take_changes();
        serving = tables.clone();
    }
    println!("99 more of the same topics, each published: {:?}", started.elapsed());

    let mut repeat = large("broker-0", 1_000);
    let started = Instant::now();
    let admission = tables.admit(&repeat);
    println!("recognising an unchanged one: {:?}", started.elapsed());
    assert!(matches!(admission, signpost_namesrv::routes::Admission::Unchanged { .. }));
    repeat.claim = Some(claim(1, 2));
    repeat.topics.insert("one more".into(), queues(8));
    let started = Instant::now();
    tables.apply(200, RouteCommand::Register(repeat));
    println!("a whole one with one topic more: {:?}", started.elapsed());
    assert!(serving.topic("one more").is_none() && tables.topic("one more").is_some());
}
