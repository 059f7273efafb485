//! Power cuts at every write and sync, on a disk that tears what was not synced.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use tokio::runtime::Builder;

use super::super::Store;
use super::sim::SimDisk;
use super::{Collected, OPTIONS, is_whole, message};

/// A coin that falls the same way for the same seed (xorshift).
fn coin(mut state: u64) -> impl FnMut() -> bool {
    state |= 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state & 64 != 0
    }
}

/// What became of the messages sent, as far as the sender was told.
#[derive(Default)]
struct Told {
    stored: BTreeSet<u32>,
    refused: BTreeSet<u32>,
}

/// Sends `count` messages from `first` on, `together` at a time.
fn send(store: &Store, first: u32, count: u32, together: u32, told: &mut Told) {
    let runtime = Builder::new_current_thread().build().unwrap();
    for start in (first..first + count).step_by(together as usize) {
        let numbers = start..(start + together).min(first + count);
        let waiting: Vec<_> =
            numbers.map(|number| (number, store.append(vec![message(number)]).unwrap())).collect();
        for (number, placed) in waiting {
            match runtime.block_on(placed) {
                Ok(_) => told.stored.insert(number),
                Err(error) => error.is_definite() && told.refused.insert(number),
            };
        }
    }
}

/// Sends, cuts the power after some disk operations, recovers, and judges what is there.
fn cut_and_recover(disk: &SimDisk, operations: u64, seed: u64, together: u32) {
    let mut told = Told::default();
    let mut attempted = 0;
    for round in 0..3_u64 {
        let found = Collected::default();
        let opened = Store::open_on(Arc::new(disk.clone()), OPTIONS, vec![Box::new(found.clone())]);
        let (store, recovery) = opened.unwrap_or_else(|error| panic!("round {round}: {error}"));
        let numbers = found.numbers();
        assert_eq!(recovery.messages as usize, numbers.len());
        let distinct: BTreeSet<u32> = numbers.iter().copied().collect();
        assert_eq!(distinct.len(), numbers.len(), "a message came back twice");
        let lost: Vec<_> = told.stored.difference(&distinct).collect();
        assert!(lost.is_empty(), "round {round}: acknowledged and lost: {lost:?}");
        let risen: Vec<_> = told.refused.intersection(&distinct).collect();
        assert!(risen.is_empty(), "round {round}: refused and stored: {risen:?}");
        let torn: Vec<_> =
            found.0.lock().unwrap().iter().filter(|message| !is_whole(message)).cloned().collect();
        assert!(torn.is_empty(), "torn: {torn:?}");
        judge_queue_offsets(&found);

        disk.fail_after(operations);
        send(&store, attempted, 30, together, &mut told);
        attempted += 30;
        store.close();
        disk.power_cut(coin(seed.wrapping_add(round)));
    }
}

/// Each queue's offsets are 0, 1, 2 … in the order of the log.
fn judge_queue_offsets(found: &Collected) {
    let mut next = std::collections::BTreeMap::new();
    for message in found.0.lock().unwrap().iter() {
        let expected = next.entry((message.topic.clone(), message.queue_id)).or_insert(0);
        assert_eq!(message.queue_offset, *expected, "{message:?}");
        *expected += 1;
    }
}

#[test]
fn every_crash_point_of_a_short_run() {
    for operations in 0..70 {
        for (seed, together) in [(1, 1), (2, 4), (3, 9)] {
            cut_and_recover(&SimDisk::default(), operations, seed * 1000 + operations, together);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_crash_points(operations in 0_u64..90, seed: u64, together in 1_u32..12) {
        cut_and_recover(&SimDisk::default(), operations, seed, together);
    }
}
