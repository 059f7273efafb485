//! Asynchronous flush: acknowledged before it is synced, synced soon, and a power cut takes an end
//! of the log and nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::flush::Flush;
use super::super::open::read_all_on;
use super::super::{Store, StoreError, StoreOptions};
use super::sim::SimDisk;
use super::{OPTIONS, is_whole, message};

fn options(interval: Duration) -> StoreOptions {
    StoreOptions { flush: Flush::Async { interval }, segment_bytes: 1 << 16, ..OPTIONS }
}

fn open(disk: &SimDisk, options: StoreOptions) -> Store {
    Store::open_on(Arc::new(disk.clone()), options, Vec::new()).unwrap().0
}

async fn send(store: &Store, numbers: std::ops::Range<u32>) {
    for number in numbers {
        store.append(vec![message(number)]).unwrap().await.unwrap();
    }
}

#[tokio::test]
async fn appends_do_not_wait_for_a_sync_which_comes_soon() {
    let disk = SimDisk::default();
    let store = open(&disk, options(Duration::from_millis(20)));
    let before = disk.syncs();
    send(&store, 0..200).await;
    assert!(disk.syncs() - before < 100, "{} syncs for 200 appends", disk.syncs() - before);
    let deadline = Instant::now() + Duration::from_secs(10);
    while store.reader().stats().unsynced_bytes > 0 {
        assert!(Instant::now() < deadline, "not synced in ten seconds");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let cut = disk.copy();
    cut.power_cut(|| false);
    assert_eq!(read_all_on(&cut, OPTIONS.log_id).unwrap().len(), 200);
}

#[tokio::test]
async fn a_power_cut_takes_an_end_of_the_log_and_a_start_goes_on_from_there() {
    let never = options(Duration::from_secs(3600));
    for seed in 0..60_u64 {
        let disk = SimDisk::default();
        let store = open(&disk, never);
        send(&store, 0..20).await;
        // A checkpoint syncs the log before it says how far it reaches.
        store.checkpoint().unwrap();
        send(&store, 20..60).await;
        assert!(store.reader().stats().unsynced_bytes > 0);
        let mut state = seed * 2 + 1;
        let disk = disk.copy();
        disk.power_cut(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state & 64 != 0
        });
        // Later batches may be whole where an earlier one is torn: that is no damage here.
        let store = open(&disk, never);
        let kept = read_all_on(&disk, OPTIONS.log_id).unwrap();
        let numbers: Vec<_> = kept.iter().map(|message| message.flag).collect();
        assert_eq!(numbers, (0..numbers.len() as i32).collect::<Vec<_>>(), "seed {seed}");
        assert!(numbers.len() >= 20 && kept.iter().all(is_whole), "seed {seed}");
        send(&store, 100..110).await;
        store.close();
        let again = read_all_on(&disk, OPTIONS.log_id).unwrap();
        assert_eq!(again.len(), numbers.len() + 10, "seed {seed}");
    }
}

#[tokio::test]
async fn what_was_synced_and_is_broken_is_damage() {
    let disk = SimDisk::default();
    let store = open(&disk, options(Duration::from_secs(3600)));
    send(&store, 0..5).await;
    store.checkpoint().unwrap();
    let at = store.append(vec![message(5)]).unwrap().await.unwrap()[0].physical_offset;
    store.checkpoint().unwrap();
    send(&store, 6..9).await;
    let disk = disk.copy();
    disk.wipe("checkpoint");
    use super::super::disk::Disk as _;
    let file = disk.open("commitlog", 0).unwrap();
    file.write_all_at(&[1], at.unsigned_abs() + 20).unwrap();
    let opened = Store::open_on(Arc::new(disk), options(Duration::from_secs(1)), Vec::new());
    let error = opened.map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn a_failed_sync_ends_the_store() {
    let disk = SimDisk::default();
    let store = open(&disk, options(Duration::from_millis(5)));
    disk.fail_syncs();
    send(&store, 0..1).await;
    let mut failure = store.failure();
    let failed = failure.wait_for(Option::is_some);
    tokio::time::timeout(Duration::from_secs(10), failed).await.unwrap().unwrap();
    let error = store.append(vec![message(1)]).unwrap().await.unwrap_err();
    assert!(matches!(error, StoreError::Failed(_)), "{error}");
}
