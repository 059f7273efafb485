//! Retention: old segments go, with what the queues and the index have of them; a full disk.

use std::sync::Arc;

use super::super::read::{Limits, Status};
use super::super::{Store, StoreError, StoreOptions};
use super::sim::SimDisk;
use super::{OPTIONS, message};

const SMALL: StoreOptions = StoreOptions { queue_file_entries: 4, index_entries: 16, ..OPTIONS };
const ALL: Limits = Limits { messages: 1000, bytes: 1 << 20 };

fn open(disk: &SimDisk) -> Store {
    Store::open_on(Arc::new(disk.clone()), SMALL, Vec::new()).unwrap().0
}

async fn send(store: &Store, numbers: std::ops::Range<u32>) {
    for number in numbers {
        store.append(vec![message(number)]).unwrap().await.unwrap();
    }
}

/// Cleans in a place where that may block.
async fn clean(store: Store, now_ms: i64) -> (Store, super::super::retention::Cleaned) {
    let cleaned = tokio::task::spawn_blocking(move || {
        let cleaned = store.clean(now_ms).unwrap();
        (store, cleaned)
    });
    cleaned.await.unwrap()
}

fn now_ms(store: &Store) -> i64 {
    store.reader().earliest_store_time().unwrap().unwrap()
}

const HOUR_MS: i64 = 3_600_000;

#[tokio::test]
async fn old_segments_go_with_their_queue_and_index_files() {
    let disk = SimDisk::default();
    let store = open(&disk);
    send(&store, 0..200).await;
    store.checkpoint().unwrap();
    let now = now_ms(&store);
    let (store, cleaned) = clean(store, now + HOUR_MS / 2).await;
    assert_eq!((cleaned.expired, cleaned.forced), (0, 0), "none is an hour old");
    let before = ["commitlog", "consumequeue", "index"].map(|name| disk.files(name).len());
    let (store, cleaned) = clean(store, now + 2 * HOUR_MS).await;
    assert_eq!(cleaned.expired, before[0] - 1, "all but the one that is written");
    let after = ["commitlog", "consumequeue", "index"].map(|name| disk.files(name).len());
    assert_eq!(after[0], 1);
    assert!(after[1] < before[1] / 2 && after[2] < before[2] / 2, "{before:?} {after:?}");

    let check = |store: &Store| {
        let reader = store.reader();
        let start = reader.stats().log_start;
        let mut left = 0;
        for topic in ["Topic0", "Topic1"] {
            for queue_id in 0..3 {
                let bounds = reader.bounds(topic, queue_id);
                assert!(bounds.max_offset >= 33, "{bounds:?}");
                assert!(bounds.min_offset > 20, "{bounds:?}");
                let below = reader.read(topic, queue_id, bounds.min_offset - 1, ALL, &|_| true);
                let below = below.unwrap();
                assert_eq!(
                    (below.status, below.next_offset),
                    (Status::TooSmall, bounds.min_offset)
                );
                let batch =
                    reader.read(topic, queue_id, bounds.min_offset, ALL, &|_| true).unwrap();
                assert_eq!(batch.next_offset, bounds.max_offset);
                left += batch.records.len();
            }
        }
        assert_eq!(reader.stats().messages, left as u64);
        assert!(reader.by_key("Topic0", "0", 8, 0, i64::MAX).unwrap().is_empty());
        assert_eq!(reader.message_at(0).unwrap(), None);
        assert!(start > 0);
    };
    check(&store);
    store.close();
    let store = open(&disk);
    check(&store);
    // And the rebuild knows the same from the log alone.
    let expected = store.reader().contents().unwrap();
    store.close();
    ["consumequeue", "index", "checkpoint"].iter().for_each(|name| disk.wipe(name));
    let store = open(&disk);
    assert_eq!(store.reader().contents().unwrap(), expected);
}

#[tokio::test]
async fn a_queue_whose_messages_have_all_gone_goes_on_where_it_was() {
    let disk = SimDisk::default();
    let store = open(&disk);
    for _ in 0..5 {
        store.append(vec![message(0)]).unwrap().await.unwrap();
    }
    // Only the other topic from here on.
    for number in 0..100 {
        store.append(vec![message(2 * number + 1)]).unwrap().await.unwrap();
    }
    let now = now_ms(&store);
    let (store, _) = clean(store, now + 2 * HOUR_MS).await;
    let check = |store: &Store| {
        let bounds = store.reader().bounds("Topic0", 0);
        assert_eq!((bounds.min_offset, bounds.max_offset), (5, 5));
        let none = store.reader().read("Topic0", 0, 5, ALL, &|_| true).unwrap();
        assert_eq!(none.status, Status::NoneYet);
    };
    check(&store);
    // Twice, so that the record of its end would have gone itself.
    for number in 0..100 {
        store.append(vec![message(2 * number + 1)]).unwrap().await.unwrap();
    }
    let (store, _) = clean(store, now + 2 * HOUR_MS).await;
    check(&store);
    store.close();
    let from_log = disk.copy();
    ["consumequeue", "index", "checkpoint"].iter().for_each(|name| from_log.wipe(name));
    for disk in [disk, from_log] {
        let store = open(&disk);
        check(&store);
        let placed = store.append(vec![message(0)]).unwrap().await.unwrap();
        assert_eq!(placed[0].queue_offset, 5);
    }
}

#[tokio::test]
async fn a_segment_that_a_crash_left_behind_goes_with_the_next() {
    let disk = SimDisk::default();
    let store = open(&disk);
    send(&store, 0..60).await;
    let now = now_ms(&store);
    let before = disk.copy();
    let (store, _) = clean(store, now + 2 * HOUR_MS).await;
    store.close();
    let left = before.files("commitlog")[0].1;
    disk.take_file("commitlog", left, &before);
    let store = open(&disk);
    assert_eq!(disk.files("commitlog")[0].1, left, "it is there again");
    let (store, cleaned) = clean(store, now).await;
    assert_eq!(cleaned.expired, 1);
    assert!(disk.files("commitlog")[0].1 > left);
    drop(store);
}

#[tokio::test]
async fn a_filling_disk_takes_the_oldest_segments_and_then_refuses() {
    let disk = SimDisk::default();
    let store = open(&disk);
    send(&store, 0..200).await;
    let segments = disk.files("commitlog").len();
    assert!(segments > 11);
    disk.set_used_ratio(0.86);
    let now = now_ms(&store);
    let (store, cleaned) = clean(store, now).await;
    assert_eq!((cleaned.expired, cleaned.forced, cleaned.refusing), (0, 10, false));
    send(&store, 200..201).await;

    disk.set_used_ratio(0.95);
    let (store, cleaned) = clean(store, now).await;
    assert!(cleaned.refusing);
    let error = store.append(vec![message(1)]).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::DiskUsed { .. }) && error.is_definite(), "{error}");
    assert!(error.to_string().contains("95% of the broker's disk"), "{error}");

    disk.set_used_ratio(0.5);
    let (store, cleaned) = clean(store, now).await;
    assert_eq!((cleaned.forced, cleaned.refusing), (0, false));
    send(&store, 201..202).await;
}

#[tokio::test]
async fn a_reader_meets_old_messages_going() {
    let disk = SimDisk::default();
    let store = open(&disk);
    send(&store, 0..200).await;
    let reader = store.reader();
    let now = now_ms(&store);
    let reading = tokio::task::spawn_blocking(move || {
        let mut seen = [0; 2];
        loop {
            let batch = reader.read("Topic0", 0, 1, ALL, &|_| true).unwrap();
            match batch.status {
                Status::Found => seen[0] += 1,
                Status::TooSmall => return seen,
                other => panic!("{other:?}"),
            }
        }
    });
    let (store, _) = clean(store, now + 2 * HOUR_MS).await;
    reading.await.unwrap();
    drop(store);
}
