//! The log on the real file system, and what it does when the disk does not go along.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::super::mark::MARK_BYTES;
use super::super::open::read_all_on;
use super::super::{Placed, Recovery, Store, StoreError, StoreOptions, read_all};
use super::sim::SimDisk;
use super::{Collected, OPTIONS, is_whole, message};

async fn send(store: &Store, numbers: std::ops::Range<u32>) -> Vec<Placed> {
    let mut placed = Vec::new();
    for number in numbers {
        placed.extend(store.append(vec![message(number)]).unwrap().await.unwrap());
    }
    placed
}

fn open(directory: &Path, options: StoreOptions) -> (Store, Recovery, Collected) {
    let found = Collected::default();
    let (store, recovery) =
        Store::open(directory, options, vec![Box::new(found.clone())], None).unwrap();
    (store, recovery, found)
}

/// The log alone, without what is built from it.
fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    fs::create_dir(to.path().join("commitlog")).unwrap();
    for entry in fs::read_dir(from.join("commitlog")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.path().join("commitlog").join(entry.file_name())).unwrap();
    }
    to
}

#[tokio::test]
async fn messages_lie_where_the_answer_says_across_segments_and_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let (store, recovery, _) = open(directory.path(), OPTIONS);
    assert_eq!(recovery, Recovery { rebuilt: true, ..Recovery::default() });
    let mut placed = send(&store, 0..40).await;
    store.close();
    let (store, recovery, found) = open(directory.path(), OPTIONS);
    assert_eq!((recovery.messages, recovery.cut_messages, recovery.rebuilt), (40, 0, false));
    assert!(found.numbers().is_empty(), "it was closed with a checkpoint");
    placed.extend(send(&store, 40..80).await);
    store.close();

    assert!(
        fs::read_dir(directory.path().join("commitlog")).unwrap().count() >= 3,
        "several segments"
    );
    let all = read_all(directory.path(), OPTIONS.log_id).unwrap();
    assert_eq!(all.len(), 80);
    for (read, placed) in all.iter().zip(&placed) {
        assert!(is_whole(read), "{read:?}");
        assert_eq!(
            (read.queue_offset, read.physical_offset),
            (placed.queue_offset, placed.physical_offset)
        );
        // The record is to be found at its physical offset, as a pull answer or view needs it.
        let segment = read.physical_offset as u64 / OPTIONS.segment_bytes * OPTIONS.segment_bytes;
        let file =
            fs::File::open(directory.path().join("commitlog").join(format!("{segment:020}")))
                .unwrap();
        let mut record = vec![0; read.encoded_bytes()];
        file.read_exact_at(&mut record, read.physical_offset as u64 - segment).unwrap();
        let mut record = bytes::Bytes::from(record);
        let direct = signpost_remoting::message::StoredMessage::decode(&mut record).unwrap();
        assert_eq!(direct, *read);
    }
}

#[tokio::test]
async fn a_batch_torn_at_any_byte_is_cut_and_nothing_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let options = StoreOptions { segment_bytes: 16 * 1024, ..OPTIONS };
    let (store, ..) = open(directory.path(), options);
    send(&store, 0..5).await;
    let placed = store.append(vec![message(5), message(6)]).unwrap().await.unwrap();
    let whole = copy(directory.path());
    store.close();

    let name = format!("{:020}", 0);
    let written = fs::read(whole.path().join("commitlog").join(&name)).unwrap();
    let start = placed[0].physical_offset as usize;
    let bytes = message(5).encoded_bytes() + message(6).encoded_bytes() + MARK_BYTES;
    // What had arrived before the cut, with zeros or old bytes for the rest; and the reverse:
    // the end had arrived, the beginning had not.
    let there = copy(whole.path());
    for cut in 0..=bytes {
        for (fill, from_front) in [(0, true), (0xDA, true), (0, false)] {
            if fill != 0 && cut % 5 != 0 {
                continue;
            }
            let mut torn = written.clone();
            let lost = if from_front { start + cut..start + bytes } else { start..start + cut };
            torn[lost].fill(fill);
            let missing = torn != written;
            // This is another log than the one that was opened here before.
            let _ = fs::remove_file(there.path().join("checkpoint"));
            fs::write(there.path().join("commitlog").join(&name), &torn).unwrap();
            let expected: Vec<u32> = if missing { (0..5).collect() } else { (0..7).collect() };
            let kept = read_all(there.path(), options.log_id).unwrap();
            let numbers: Vec<u32> = kept.iter().map(|message| message.flag as u32).collect();
            assert_eq!(numbers, expected, "cut at {cut}, fill {fill}, front {from_front}");
            if cut % 100 != 0 {
                continue;
            }
            // What is written next is not disturbed by what was cut, nor is the start after it.
            let (store, recovery, found) = open(there.path(), options);
            assert_eq!(found.numbers(), expected);
            assert_eq!(recovery.messages as usize, expected.len());
            send(&store, 7..8).await;
            store.close();
            let again = read_all(there.path(), options.log_id).unwrap();
            assert_eq!(again.len(), expected.len() + 1);
        }
    }
}

#[tokio::test]
async fn damage_before_acknowledged_messages_is_an_error_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (store, ..) = open(directory.path(), OPTIONS);
    let placed = send(&store, 0..40).await;
    store.close();
    // Each of: first segment, a middle one, the last; in the size, the body, the properties, a mark.
    for number in [1, 20, 38, 39] {
        let at = placed[number].physical_offset as u64;
        let record = message(number as u32).encoded_bytes() as u64;
        for offset in [at, at + 4, at + 90, at + record - 1, at + record + 30, at + record + 100] {
            let there = copy(directory.path());
            let start = offset / OPTIONS.segment_bytes * OPTIONS.segment_bytes;
            let path = there.path().join("commitlog").join(format!("{start:020}"));
            let mut bytes = fs::read(&path).unwrap();
            bytes[(offset - start) as usize] ^= 0x10;
            fs::write(&path, &bytes).unwrap();
            let error = Store::open(there.path(), OPTIONS, Vec::new(), None).map(drop).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{number} at {offset}: {error}");
            assert!(error.to_string().contains("restore the file from a copy"), "{error}");
            assert_eq!(fs::read(&path).unwrap(), bytes, "the damaged file was changed");
        }
    }
}

#[tokio::test]
async fn a_missing_or_short_segment_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let (store, ..) = open(directory.path(), OPTIONS);
    send(&store, 0..40).await;
    store.close();
    let second = format!("{:020}", OPTIONS.segment_bytes);
    let missing = copy(directory.path());
    fs::remove_file(missing.path().join("commitlog").join(&second)).unwrap();
    let short = copy(directory.path());
    fs::File::options()
        .write(true)
        .open(short.path().join("commitlog").join(&second))
        .unwrap()
        .set_len(100)
        .unwrap();
    for there in [missing, short] {
        let error = Store::open(there.path(), OPTIONS, Vec::new(), None).map(drop).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
}

#[tokio::test]
async fn bytes_in_a_body_that_look_like_a_mark_are_not_one() {
    let directory = tempfile::tempdir().unwrap();
    let (store, ..) = open(directory.path(), OPTIONS);
    let placed = send(&store, 0..1).await;
    // What another log's mark would look like, at the very place where it would count.
    let mut forged = message(1);
    let offset =
        placed[0].physical_offset as u64 + (message(0).encoded_bytes() + MARK_BYTES) as u64;
    let mut bytes = bytes::BytesMut::new();
    super::super::mark::Mark { batch_start: offset + 1, crc: 0, synced: offset + 1 }.put(
        &mut bytes,
        offset + 88,
        7,
        0,
    );
    forged.body = bytes.freeze();
    store.append(vec![forged]).unwrap().await.unwrap();
    drop(store);
    let there = copy(directory.path());
    let path = there.path().join("commitlog").join(format!("{:020}", 0));
    let mut bytes = fs::read(&path).unwrap();
    bytes[offset as usize + 4] = 0; // Its record is torn.
    let torn = offset as usize + 400;
    bytes[torn..].fill(0);
    fs::write(&path, &bytes).unwrap();
    let (_store, recovery, _) = open(there.path(), OPTIONS);
    assert_eq!(recovery.messages, 1);
}

#[tokio::test]
async fn a_full_disk_refuses_and_loses_nothing_and_goes_on_when_there_is_room() {
    let disk = SimDisk::default();
    let (store, _) = Store::open_on(Arc::new(disk.clone()), OPTIONS, Vec::new()).unwrap();
    send(&store, 0..3).await;
    for room in [0, 1, 100, 150, 300] {
        disk.set_room(Some(room));
        let error = store.append(vec![message(9), message(9)]).unwrap().await.unwrap_err();
        assert!(matches!(error, StoreError::Full(_)) && error.is_definite(), "{room}: {error}");
    }
    disk.set_room(None);
    send(&store, 3..6).await;
    store.close();
    let found = read_all_on(&disk, OPTIONS.log_id).unwrap();
    let numbers: Vec<_> = found.iter().map(|message| message.flag).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
    let offsets: Vec<_> = found.iter().map(|message| message.queue_offset).collect();
    assert_eq!(offsets, [0; 6], "six queues; refused messages leave no gaps");
}

#[tokio::test]
async fn a_failed_sync_ends_the_store_and_its_message_is_unknown() {
    let disk = SimDisk::default();
    let (store, _) = Store::open_on(Arc::new(disk.clone()), OPTIONS, Vec::new()).unwrap();
    send(&store, 0..1).await;
    disk.fail_syncs();
    for number in 1..3 {
        let error = store.append(vec![message(number)]).unwrap().await.unwrap_err();
        assert!(matches!(error, StoreError::Failed(_)) && !error.is_definite(), "{error}");
    }
    assert!(store.failure().borrow().is_some());
}

#[tokio::test]
async fn many_waiters_share_a_sync() {
    let disk = SimDisk::default();
    let options = StoreOptions { segment_bytes: 1 << 20, ..OPTIONS };
    let (store, _) = Store::open_on(Arc::new(disk.clone()), options, Vec::new()).unwrap();
    let before = disk.syncs();
    let messages = (0..500).map(message).collect();
    let one = store.append(messages).unwrap();
    let rest: Vec<_> = (0..200).map(|n| store.append(vec![message(n)]).unwrap()).collect();
    assert_eq!(one.await.unwrap().len(), 500);
    for placed in rest {
        placed.await.unwrap();
    }
    let syncs = disk.syncs() - before;
    assert!(syncs <= 100, "{syncs} syncs for 201 appends");
}

#[tokio::test]
async fn what_cannot_fit_or_wait_is_refused_at_once() {
    let disk = SimDisk::default();
    let options = StoreOptions { max_pending_bytes: 1000, ..OPTIONS };
    let (store, _) = Store::open_on(Arc::new(disk), options, Vec::new()).unwrap();
    let mut large = message(0);
    large.body = vec![0; 4096].into();
    assert!(matches!(store.append(vec![large]).map(drop), Err(StoreError::TooLarge { .. })));
    let mut long = message(0);
    long.topic = "t".repeat(200);
    let error = store.append(vec![message(1), long]).unwrap().await.unwrap_err();
    assert!(matches!(error, StoreError::Illegal(_)), "{error}");
    let mut body = message(0);
    body.body = vec![0; 1000].into();
    assert!(matches!(store.append(vec![body]).map(drop), Err(StoreError::Busy { .. })));
    let placed = store.append(vec![message(3)]).unwrap().await.unwrap();
    assert_eq!(placed[0].queue_offset, 0, "refused messages take no offset");

    let half = || {
        let mut half = message(3);
        half.body = vec![0; 500].into();
        store.append(vec![half])
    };
    let first = half().unwrap();
    store.append(vec![message(3)]).unwrap().await.unwrap();
    let error = half().map(drop);
    assert!(matches!(error, Err(StoreError::Busy { .. })), "stored, but its answer was not taken");
    first.await.unwrap();
    half().unwrap().await.unwrap();
}
