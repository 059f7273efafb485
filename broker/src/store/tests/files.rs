//! Queues and index in files: bounded memory and open files, a start from the checkpoint, a rebuild
//! where the files are not what it says.

use std::sync::Arc;

use super::super::disk::{Disk, Space};
use super::super::files::OpenFiles;
use super::super::read::{Contents, Limits};
use super::super::{Store, StoreError, StoreOptions};
use super::sim::SimDisk;
use super::{Collected, OPTIONS, message};

const SMALL: StoreOptions = StoreOptions {
    write_out_at: usize::MAX,
    unwritten_max: 20,
    queue_file_entries: 4,
    index_entries: 16,
    ..OPTIONS
};

fn open(disk: &SimDisk) -> (Store, super::super::Recovery) {
    Store::open_on(Arc::new(disk.clone()), SMALL, Vec::new()).unwrap()
}

async fn send(store: &Store, numbers: std::ops::Range<u32>) {
    for number in numbers {
        store.append(vec![message(number)]).unwrap().await.unwrap();
    }
}

fn rebuilt(disk: &SimDisk) -> Contents {
    let bare = disk.copy();
    ["consumequeue", "index", "checkpoint"].iter().for_each(|name| bare.wipe(name));
    let (store, how) = open(&bare);
    assert!(how.rebuilt);
    store.reader().contents().unwrap()
}

#[tokio::test]
async fn a_start_replays_from_the_checkpoint_only() {
    let disk = SimDisk::default();
    let (store, _) = open(&disk);
    send(&store, 0..100).await;
    store.checkpoint().unwrap();
    let at = store.reader().stats().log_end;
    send(&store, 100..107).await;
    let expected = store.reader().contents().unwrap();
    let disk = disk.copy(); // As a crash leaves it.

    let found = Collected::default();
    let (store, recovery) =
        Store::open_on(Arc::new(disk.clone()), SMALL, vec![Box::new(found.clone())]).unwrap();
    assert_eq!((recovery.rebuilt, recovery.replayed_from), (false, at));
    assert_eq!(found.numbers(), (100..107).collect::<Vec<_>>());
    assert_eq!(store.reader().contents().unwrap(), expected);
    assert_eq!(rebuilt(&disk), expected);
    assert_eq!(recovery.messages, 107);
}

#[tokio::test]
async fn what_is_in_memory_only_is_bounded() {
    let disk = SimDisk::default();
    let (store, _) = open(&disk);
    let batch: Vec<_> = (0..5).map(message).collect();
    for _ in 0..40 {
        store.append(batch.clone()).unwrap().await.unwrap();
        let unwritten = store.reader().unwritten();
        assert!(unwritten <= SMALL.unwritten_max, "{unwritten}");
    }
    // Those that are written together, too; each counts twice once its key does.
    let together: Vec<_> =
        (0..400).map(|number| store.append(vec![message(number)]).unwrap()).collect();
    for one in together {
        one.await.unwrap();
        let unwritten = store.reader().unwritten();
        assert!(unwritten <= 2 * SMALL.unwritten_max, "{unwritten}");
    }
    assert!(disk.files("consumequeue").len() > 6, "several files a queue");
    assert!(disk.files("index").len() > 3);
}

#[tokio::test]
async fn open_files_are_bounded() {
    let disk = SimDisk::default();
    for start in 0..1000 {
        disk.create("d", start, 1, Space::Sparse).unwrap();
    }
    let files = OpenFiles::new(Arc::new(disk));
    for start in 0..1000 {
        files.get("d", start).unwrap();
        files.get("d", 0).unwrap();
    }
    assert_eq!(files.open_count(), 256);
    files.remove("d", 0).unwrap();
    assert!(files.get("d", 0).is_err());
    assert_eq!(files.open_count(), 255);
    files.remove_all("d").unwrap();
    assert_eq!(files.open_count(), 0);
}

#[tokio::test]
async fn files_that_are_not_what_the_checkpoint_says_are_rebuilt() {
    let whole = SimDisk::default();
    let (store, _) = open(&whole);
    send(&store, 0..100).await;
    let expected = store.reader().contents().unwrap();
    store.close();
    let wrong = |what: &str, spoil: &dyn Fn(&SimDisk)| {
        let disk = whole.copy();
        spoil(&disk);
        let (store, recovery) = open(&disk);
        assert!(recovery.rebuilt, "{what}");
        assert_eq!(store.reader().contents().unwrap(), expected, "{what}");
        store.close();
        let (store, recovery) = open(&disk);
        assert!(!recovery.rebuilt, "{what}, once more");
        assert_eq!(store.reader().contents().unwrap(), expected, "{what}, once more");
    };
    wrong("no checkpoint", &|disk| disk.wipe("checkpoint"));
    wrong("a broken checkpoint", &|disk| disk.replace("checkpoint", b"something").unwrap());
    wrong("no index", &|disk| disk.wipe("index"));
    wrong("no queues", &|disk| disk.wipe("consumequeue"));
    wrong("one queue file is gone", &|disk| {
        let (directory, start) = disk.files("consumequeue").pop().unwrap();
        disk.wipe_file(&directory, start);
    });
    wrong("an index file is blank", &|disk| {
        let (_, start) = disk.files("index")[0];
        let file = disk.open("index", start).unwrap();
        file.write_all_at(&[0; 40], 0).unwrap();
    });
    wrong("an index entry of the last file is another", &|disk| {
        let (_, start) = disk.files("index").pop().unwrap();
        let file = disk.open("index", start).unwrap();
        file.write_all_at(&[9; 20], 40 + 8 * 4 + 20).unwrap();
    });
}

#[tokio::test]
async fn a_log_that_ends_before_the_checkpoint_is_damaged() {
    let disk = SimDisk::default();
    let (store, _) = open(&disk);
    send(&store, 0..60).await;
    store.close();
    let (_, last) = disk.files("commitlog").pop().unwrap();
    disk.wipe_file("commitlog", last);
    let error = Store::open_on(Arc::new(disk), SMALL, Vec::new()).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn a_damaged_entry_is_an_error_and_never_another_message() {
    let disk = SimDisk::default();
    let (store, _) = open(&disk);
    send(&store, 0..60).await;
    store.checkpoint().unwrap();
    // The second entry of the queue, as it is of the third.
    let file = disk.open("consumequeue/Topic0/0", 0).unwrap();
    let mut entry = [0; 20];
    file.read_at(&mut entry, 40).unwrap();
    file.write_all_at(&entry, 20).unwrap();
    let limits = Limits { messages: 10, bytes: 1 << 20 };
    let error = store.reader().read("Topic0", 0, 0, limits, &|_| true).unwrap_err();
    assert!(error.to_string().contains("remove its file `checkpoint`"), "{error}");
}

#[tokio::test]
async fn a_disk_without_room_for_queues_refuses_and_goes_on_when_there_is_some() {
    let disk = SimDisk::default();
    let (store, _) = open(&disk);
    send(&store, 0..3).await;
    let mut stored: Vec<u32> = (0..3).collect();
    // Room in the log, which has its room already, but none for files of queues.
    disk.set_full_for(Some("consumequeue"));
    let mut refused = 0;
    for number in 3..60 {
        match store.append(vec![message(number)]).unwrap().await {
            Ok(_) => stored.push(number),
            Err(error) => {
                assert!(matches!(error, StoreError::Full(_)), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 20, "{refused}");
    assert!(store.reader().unwritten() <= SMALL.unwritten_max);
    disk.set_full_for(None);
    send(&store, 60..80).await;
    stored.extend(60..80);
    let found = store.reader().contents().unwrap();
    assert_eq!(
        found.queues.values().map(|(_, bytes)| bytes.len() / 20).sum::<usize>(),
        stored.len()
    );
    assert_eq!(rebuilt(&disk), found);
}
