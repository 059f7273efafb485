//! Damage in the disk's files, near their ends above all: it is taken for a write that a crash has
//! cut short, and what was acknowledged is dropped. The mark notices.

use std::fs;
use std::time::Duration;

use openraft::storage::{RaftLogReader, RaftLogStorage};
use tempfile::TempDir;

use super::toy::{self, append, entry, vote};
use crate::disk::sled::{OpenError, SledDisk};
use crate::types::{Entry, Vote};

const CACHE_BYTES: u64 = 16 << 20;
/// How much a sector, or a drive's larger unit, takes with it.
const SCARS_BYTES: [usize; 3] = [1, 512, 4096];

/// sled's file, and the write-ahead log's that a new disk begins with.
const SLED: &str = "db";
const WAL: &str = "wal-0";
const MARK: &str = "synced";

/// What a closed store has acknowledged.
struct Acknowledged {
    dir: TempDir,
    /// The file that holds it, and its content.
    file: &'static str,
    data: Vec<u8>,
    vote: Vote,
    entries: Vec<Entry>,
}

/// A store that was written, stopped and left in good order, with all of it in one file.
async fn closed(file: &'static str, entries: u64, entry_bytes: usize) -> Acknowledged {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let disk = SledDisk::open(dir.path(), CACHE_BYTES).expect("opens");
    let mut store = toy::open(disk).await.expect("opens");
    let entries: Vec<_> =
        (0..entries).map(|index| entry(1 + index / 50, index, entry_bytes)).collect();
    for (number, run) in (1..).zip(entries.chunks(7)) {
        append(&mut store.log, run.to_vec()).await.expect("appended");
        if number % 5 == 0 {
            store.log.save_vote(&vote(100 + number, 1)).await.expect("saved");
        }
    }
    let last = vote(1000, 2);
    store.log.save_vote(&last).await.expect("saved");
    store.close().await.expect("closed");
    drop(store);
    let log = fs::read(dir.path().join(WAL)).expect("read");
    let reopened = tokio::time::timeout(Duration::from_secs(10), async {
        // The tasks of the store end by themselves.
        loop {
            match SledDisk::open(dir.path(), CACHE_BYTES) {
                Ok(disk) => break drop(disk),
                Err(OpenError::InUse { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(error) => panic!("{error}"),
            }
        }
    });
    // Opening has emptied the log into sled.
    reopened.await.expect("it is let go of");
    let data = match file {
        WAL => log,
        file => fs::read(dir.path().join(file)).expect("read"),
    };
    Acknowledged { dir, file, data, vote: last, entries }
}

/// How a damaged store was found.
#[derive(Debug, PartialEq)]
enum Found {
    Refused(String),
    Whole,
    Less,
}

/// Opens a copy of the directory with other contents of the file.
async fn found(acknowledged: &Acknowledged, data: &[u8], with_mark: bool) -> Found {
    let dir = tempfile::tempdir().expect("a temporary directory");
    if acknowledged.file == SLED {
        fs::copy(acknowledged.dir.path().join("conf"), dir.path().join("conf")).expect("copied");
    }
    if with_mark {
        fs::copy(acknowledged.dir.path().join(MARK), dir.path().join(MARK)).expect("copied");
    }
    fs::write(dir.path().join(acknowledged.file), data).expect("written");
    let disk = match SledDisk::open(dir.path(), CACHE_BYTES) {
        Ok(disk) => disk,
        Err(error) => return Found::Refused(error.to_string()),
    };
    let store = match toy::open(disk).await {
        Ok(store) => store,
        Err(error) => return Found::Refused(error.to_string()),
    };
    let vote = store.log.clone().read_vote().await.expect("in memory");
    let entries = toy::read_all(&store.log).await;
    let whole = vote == Some(acknowledged.vote)
        && entries.is_ok_and(|entries| entries == acknowledged.entries);
    if whole { Found::Whole } else { Found::Less }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_damage_to_the_file_makes_a_replica_forget() {
    // Where all lies in the file's last segment, any damage cuts off what comes behind it.
    let (refused, forgotten) = damage_all_over(&closed(SLED, 200, 300).await, 90).await;
    assert!(refused > 45, "only {refused} were noticed");
    assert!(forgotten > 5, "the mark would not be missed: {forgotten}");
    // Over several segments it may lie in what is obsolete, or where sled itself refuses it.
    let (refused, _) = damage_all_over(&closed(SLED, 400, 12_000).await, 45).await;
    assert!(refused > 0, "none was noticed");
    // All of the write-ahead log counts, until it is cleared.
    let (refused, forgotten) = damage_all_over(&closed(WAL, 200, 300).await, 90).await;
    assert!(refused == 90, "only {refused} were noticed");
    assert!(forgotten > 5, "the mark would not be missed: {forgotten}");
}

/// Damages one place after the other; answers how often that was noticed, and how often it would
/// have been forgotten without the mark.
async fn damage_all_over(acknowledged: &Acknowledged, scars: usize) -> (usize, usize) {
    assert_eq!(found(acknowledged, &acknowledged.data, true).await, Found::Whole);
    let used = 1 + acknowledged.data.iter().rposition(|byte| *byte != 0).expect("it was written");
    let (mut refused, mut whole, mut forgotten) = (0, 0, 0);
    for scar in 0..scars {
        let bytes = SCARS_BYTES[scar % SCARS_BYTES.len()];
        let at = used * scar / scars;
        let mut data = acknowledged.data.clone();
        let end = data.len().min(at + bytes);
        data[at..end].iter_mut().for_each(|byte| *byte ^= 0x5a);
        let context = format!("{bytes} bytes at {at} of {used}");
        match found(acknowledged, &data, true).await {
            Found::Refused(why) => {
                assert!(why.contains("new node id"), "{context}: {why}");
                refused += 1;
            }
            Found::Whole => whole += 1,
            Found::Less => panic!("{context}: it has forgotten something and starts"),
        }
        if scar % 4 == 0 {
            forgotten += usize::from(found(acknowledged, &data, false).await == Found::Less);
        }
    }
    println!("{refused} refused, {whole} of no consequence; without the mark {forgotten} forgot");
    (refused, forgotten)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_cut_is_refused() {
    for file in [SLED, WAL] {
        cut_all_over(file).await;
    }
}

async fn cut_all_over(file: &'static str) {
    let acknowledged = &closed(file, 100, 300).await;
    let used = 1 + acknowledged.data.iter().rposition(|byte| *byte != 0).expect("it was written");
    for step in 0..40 {
        let mut data = acknowledged.data.clone();
        let at = used * step / 40;
        // Cut short, or zeroes instead of what was there.
        if step % 2 == 0 {
            data.truncate(at)
        } else {
            data[at..].fill(0)
        }
        match found(acknowledged, &data, true).await {
            Found::Refused(why) => assert!(why.contains("new node id"), "{why}"),
            found => panic!("cut at {at} of {used}: {found:?}"),
        }
    }
}
