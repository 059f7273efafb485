//! Crashes at every write and every sync of a load, with every kind of loss.

use std::io;

use openraft::storage::{RaftLogReader, RaftLogStorage};

use super::script::{Script, check, reopen};
use super::toy;
use crate::disk::simulated::{Loss, SimulatedDisk};

const OPERATIONS: usize = 50;

#[tokio::test(start_paused = true)]
async fn no_crash_loses_what_was_acknowledged() {
    let (mut points, mut refused) = (0, 0);
    for seed in [1, 2] {
        let mut script =
            Script::new(SimulatedDisk::recording(seed), seed).await.expect("an empty disk opens");
        for _ in 0..OPERATIONS {
            script.step().await.expect("the disk is healthy");
        }
        for steps in 0..=script.disk.steps() {
            for (number, loss) in Loss::ALL.into_iter().enumerate() {
                let chance = seed * 1_000_000 + (steps * 10 + number) as u64;
                let context = format!("seed {seed}, crash after step {steps}, {loss:?}, {chance}");
                let image = script.disk.image_at(steps, loss, chance);
                let (before, after) = script.around(steps);
                points += 1;
                match reopen(image.clone()).await {
                    Ok((_, found)) => check(&found, before, after, &context),
                    Err(error) => {
                        let detectable = matches!(loss, Loss::Torn | Loss::Reordered);
                        assert!(detectable, "{context}: {error}");
                        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{context}: {error}");
                        refused += 1;
                    }
                }
            }
        }
    }
    println!("{points} crash points, {refused} of them refused as damaged");
    assert!(points >= 1000, "only {points} crash points");
    assert!(refused > 0, "no torn or reordered write was ever noticed");
}

/// Opening finishes what the crash has cut short; a crash right after must not undo that.
#[tokio::test(start_paused = true)]
async fn a_store_that_was_opened_after_a_crash_can_go_on_and_crash_again() {
    let seed = 4;
    let mut script =
        Script::new(SimulatedDisk::recording(seed), seed).await.expect("an empty disk opens");
    for _ in 0..OPERATIONS {
        script.step().await.expect("the disk is healthy");
    }
    for steps in (1..=script.disk.steps()).step_by(2) {
        for loss in [Loss::Lost, Loss::Kept, Loss::Prefix] {
            let context = format!("seed {seed}, crash after step {steps}, {loss:?}");
            let image = script.disk.image_at(steps, loss, steps as u64);
            let (store, first) = reopen(image.clone()).await.expect(&context);
            let mut log = store.log.clone();
            let last = log.get_log_state().await.expect(&context).last_log_id;
            let entry = toy::entry(1000, last.map_or(0, |last| last.index + 1), 50_000);
            toy::append(&mut log, vec![entry.clone()]).await.expect(&context);
            log.save_vote(&toy::vote(1000, 1)).await.expect(&context);

            let (again, second) = reopen(image.crash(Loss::Lost)).await.expect(&context);
            let mut log = again.log.clone();
            assert_eq!(log.read_vote().await.expect(&context), Some(toy::vote(1000, 1)));
            let entries = toy::read_all(&log).await.expect(&context);
            assert_eq!(entries.last(), Some(&entry), "{context}");
            assert_eq!(entries.len(), first.entries_held() + 1, "{context}");
            assert_eq!(second.entries_held(), entries.len(), "{context}");
        }
    }
}
