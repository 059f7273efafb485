//! What was stored is read: by queue, by offset, by key, by time; and not once it is deleted.

use std::path::Path;

use bytes::Bytes;
use signpost_remoting::message::StoredMessage;

use super::super::Store;
use super::super::read::{Boundary, Limits, Reader, Status};
use super::{OPTIONS, is_whole, message};

const ALL: Limits = Limits { messages: 1_000, bytes: 1 << 20 };

fn open(directory: &Path) -> Store {
    Store::open(directory, OPTIONS, Vec::new(), None).unwrap().0
}

async fn send(store: &Store, numbers: std::ops::Range<u32>) {
    for number in numbers {
        store.append(vec![message(number)]).unwrap().await.unwrap();
    }
}

fn decoded(records: &[Bytes]) -> Vec<StoredMessage> {
    records.iter().map(|record| StoredMessage::decode(&mut record.clone()).unwrap()).collect()
}

/// Every message that was sent is found in its queue, whole, and by its offset and key.
fn find_all(reader: &Reader, count: u32) {
    let mut found = 0;
    for topic in ["Topic0", "Topic1"] {
        for queue_id in 0..3 {
            let batch = reader.read(topic, queue_id, 0, ALL, &|_| true).unwrap();
            assert_eq!(batch.status, Status::Found);
            assert_eq!(batch.next_offset, reader.bounds(topic, queue_id).max_offset);
            for (offset, read) in decoded(&batch.records).into_iter().enumerate() {
                assert!(is_whole(&read), "{read:?}");
                let where_asked = (topic, queue_id, offset as i64);
                assert_eq!((&*read.topic, read.queue_id, read.queue_offset), where_asked);
                let at = reader.message_at(read.physical_offset).unwrap().expect("it is there");
                assert_eq!(decoded(&[at])[0], read);
                let inside = reader.message_at(read.physical_offset + 1).unwrap();
                assert_eq!(inside, None, "no message begins there");
                let key = read.flag.to_string();
                let by_key = reader.by_key(topic, &key, 8, 0, i64::MAX).unwrap();
                assert_eq!(decoded(&by_key), [read]);
                found += 1;
            }
        }
    }
    assert_eq!(found, count);
}

#[tokio::test]
async fn what_was_stored_is_read_across_segments_and_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let reader = store.reader();
    send(&store, 0..60).await;
    find_all(&reader, 60);
    send(&store, 60..90).await;
    find_all(&reader, 90);
    store.close();
    let store = open(directory.path());
    find_all(&store.reader(), 90);
    send(&store, 90..120).await;
    find_all(&store.reader(), 120);
}

#[tokio::test]
async fn a_read_keeps_to_its_limits_and_says_where_to_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let reader = store.reader();
    let nothing = reader.read("Topic0", 0, 0, ALL, &|_| true).unwrap();
    assert_eq!((nothing.status, nothing.next_offset), (Status::NoneYet, 0));
    let beyond = reader.read("Topic0", 0, 5, ALL, &|_| true).unwrap();
    assert_eq!((beyond.status, beyond.next_offset), (Status::Overflow, 0));
    send(&store, 0..60).await;
    let max = reader.bounds("Topic0", 0).max_offset;
    assert_eq!(max, 10);

    let read = |from, limits, wanted: bool| {
        let batch = reader.read("Topic0", 0, from, limits, &|_| wanted).unwrap();
        (batch.status, batch.records.len(), batch.next_offset)
    };
    assert_eq!(read(2, Limits { messages: 3, ..ALL }, true), (Status::Found, 3, 5));
    assert_eq!(read(2, Limits { bytes: 1, ..ALL }, true), (Status::Found, 1, 3), "never none");
    assert_eq!(read(2, ALL, false), (Status::NoMatch, 0, max));
    assert_eq!(read(max, ALL, true), (Status::NoneYet, 0, max));
    assert_eq!(read(max + 1, ALL, true), (Status::Overflow, 0, max));
    assert_eq!(read(-1, ALL, true), (Status::TooSmall, 0, 0));

    let first_ms = reader.store_time("Topic0", 0, 0).unwrap().unwrap();
    let last_ms = reader.store_time("Topic0", 0, max - 1).unwrap().unwrap();
    assert_eq!(reader.store_time("Topic0", 0, max).unwrap(), None);
    assert!(reader.earliest_store_time().unwrap().unwrap() <= first_ms);
    let at = |time_ms, boundary| reader.offset_at("Topic0", 0, time_ms, boundary).unwrap();
    assert_eq!(at(first_ms, Boundary::Lower), 0);
    assert_eq!(at(last_ms + 1, Boundary::Lower), max);
    assert_eq!(at(last_ms + 1, Boundary::Upper), max - 1);
    assert_eq!(at(first_ms - 1, Boundary::Upper), 0);
}

#[tokio::test]
async fn a_deleted_topic_stays_deleted_and_begins_anew() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    send(&store, 0..60).await;
    let reader = store.reader();
    let before = reader.read("Topic0", 0, 0, ALL, &|_| true).unwrap();
    let physical_offset = decoded(&before.records)[0].physical_offset;
    store.delete_topic("Topic0").await.unwrap();

    let gone = |reader: &Reader| {
        assert_eq!(reader.message_at(physical_offset).unwrap(), None);
        assert!(reader.by_key("Topic0", "6", 8, 0, i64::MAX).unwrap().is_empty());
        assert_eq!(reader.bounds("Topic1", 0).max_offset, 10, "the other topic stays");
    };
    gone(&reader);
    assert_eq!(reader.bounds("Topic0", 0).max_offset, 0);
    send(&store, 60..66).await;
    assert_eq!(reader.bounds("Topic0", 0).max_offset, 1);
    store.close();

    let store = open(directory.path());
    let reader = store.reader();
    assert_eq!(reader.bounds("Topic0", 0).max_offset, 1);
    let batch = reader.read("Topic0", 0, 0, ALL, &|_| true).unwrap();
    assert_eq!(decoded(&batch.records)[0].flag, 60);
    assert_eq!(reader.message_at(physical_offset).unwrap(), None);
}
