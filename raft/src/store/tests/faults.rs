//! Disks that fail at a write or at a sync, and disks that fill up.

use std::io;

use super::script::{Script, check, reopen};
use super::toy;
use crate::disk::simulated::{Loss, SimulatedDisk};
use openraft::storage::RaftLogStorage;

/// Runs a load until the disk fails, and shows that the failure is clean: it is told, nothing is
/// acknowledged after it, and all that was acknowledged before it is there after a restart.
/// Answers whether it failed at all.
async fn fails_cleanly(fault: impl FnOnce(&SimulatedDisk), loss: Loss, context: &str) -> bool {
    let disk = SimulatedDisk::recording(5);
    let mut script = Script::new(disk.clone(), 5).await.expect("an empty disk opens");
    fault(&disk);
    let mut failed = false;
    for _ in 0..30 {
        if let Err(error) = script.step().await {
            failed = true;
            assert_ne!(error.kind(), io::ErrorKind::InvalidData, "{context}: {error}");
            break;
        }
    }
    if !failed {
        return false;
    }
    let acknowledged = script.acknowledgements.len();
    let failure = script.store.failure();
    assert!(failure.is_some(), "{context}: the failure is not remembered");
    // The fault is over; but what a disk has failed to write, it has failed to write.
    disk.set_capacity_bytes(None);
    let mut log = script.store.log.clone();
    let vote = toy::vote(1_000_000, 1);
    assert!(log.save_vote(&vote).await.is_err(), "{context}: a vote after the failure");
    let next = log.get_log_state().await.expect(context).last_log_id.map_or(0, |l| l.index + 1);
    let appended = toy::append(&mut log, vec![toy::entry(1_000_000, next, 10)]).await;
    assert!(appended.is_err(), "{context}: an append after the failure");
    assert_eq!(script.acknowledgements.len(), acknowledged);

    let (before, after) = script.around(usize::MAX);
    let (_, found) = reopen(disk.crash(loss)).await.expect(context);
    check(&found, before, after, context);
    true
}

#[tokio::test(start_paused = true)]
async fn a_failing_write_stops_the_store_cleanly() {
    let mut failures = 0;
    for nth in 1.. {
        let context = format!("write {nth} fails");
        let loss = [Loss::Lost, Loss::Kept, Loss::Prefix][nth as usize % 3];
        if !fails_cleanly(|disk| disk.fail_write(nth), loss, &context).await {
            break;
        }
        failures += 1;
    }
    assert!(failures > 100, "only {failures} writes could fail");
}

#[tokio::test(start_paused = true)]
async fn a_failing_sync_stops_the_store_cleanly() {
    let mut failures = 0;
    for nth in 1.. {
        let context = format!("sync {nth} fails");
        if !fails_cleanly(|disk| disk.fail_sync(nth), Loss::Lost, &context).await {
            break;
        }
        failures += 1;
    }
    assert!(failures > 15, "only {failures} syncs could fail");
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_stops_the_store_cleanly() {
    let mut failures = 0;
    for capacity_bytes in (2_000..200_000).step_by(5_000) {
        let context = format!("{capacity_bytes} bytes of room");
        let fault = |disk: &SimulatedDisk| disk.set_capacity_bytes(Some(capacity_bytes));
        failures += usize::from(fails_cleanly(fault, Loss::Prefix, &context).await);
    }
    assert!(failures > 10, "only {failures} disks filled up");
}
