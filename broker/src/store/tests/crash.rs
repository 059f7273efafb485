//! Power cuts at every write, sync and change of names, on a disk that tears what was not synced:
//! of the log, the queues, the index, the checkpoint, a deletion, old segments' removal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use signpost_remoting::message::StoredMessage;
use tokio::runtime::Builder;

use super::super::disk::Disk as _;
use super::super::open::read_all_on;
use super::super::{Store, StoreOptions};
use super::sim::SimDisk;
use super::{OPTIONS, is_whole, message};

/// Small, so that a short run has all of it; and nothing in the background, so that a seed always
/// gives the same run.
const SMALL: StoreOptions = StoreOptions {
    write_out_at: usize::MAX,
    unwritten_max: 9,
    queue_file_entries: 4,
    index_entries: 8,
    ..OPTIONS
};

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
    /// Where in the log they lie.
    places: BTreeMap<u32, u64>,
    /// Messages that may be gone because their segments were to go.
    dropped: BTreeSet<u32>,
    /// Next offsets that were once promised to consumers.
    ends: BTreeMap<(String, i32), i64>,
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
                Ok(placed) => {
                    let message = message(number);
                    let end = placed[0].queue_offset + 1;
                    told.ends.insert((message.topic, message.queue_id), end);
                    told.places.insert(number, placed[0].physical_offset.unsigned_abs());
                    told.stored.insert(number)
                }
                Err(error) => error.is_definite() && told.refused.insert(number),
            };
        }
    }
}

fn numbers(messages: &[StoredMessage]) -> Vec<u32> {
    messages.iter().map(|message| message.flag.cast_unsigned()).collect()
}

/// What is wrong with a disk after a power cut, if anything: with the log, and with what is built
/// from it, which must be what a rebuild gives.
fn judge(disk: &SimDisk, options: StoreOptions, told: &Told) -> Result<Store, String> {
    let has_checkpoint = disk.read("checkpoint").unwrap().is_some_and(|bytes| !bytes.is_empty());
    let opened = Store::open_on(Arc::new(disk.clone()), options, Vec::new());
    let (store, recovery) = opened.map_err(|error| format!("it does not open: {error}"))?;
    if has_checkpoint && recovery.rebuilt {
        return Err("queues and index are not what the checkpoint says".to_owned());
    }
    let all = read_all_on(disk, options.log_id).map_err(|error| error.to_string())?;
    if recovery.messages as usize != all.len() {
        return Err(format!("{} messages in queues, {} in the log", recovery.messages, all.len()));
    }
    let numbers = numbers(&all);
    let distinct: BTreeSet<u32> = numbers.iter().copied().collect();
    if distinct.len() != numbers.len() {
        return Err("a message came back twice".to_owned());
    }
    let lost: Vec<_> =
        told.stored.difference(&distinct).filter(|one| !told.dropped.contains(one)).collect();
    if !lost.is_empty() {
        return Err(format!("acknowledged and lost: {lost:?}"));
    }
    let risen: Vec<_> = told.refused.intersection(&distinct).collect();
    if !risen.is_empty() {
        return Err(format!("refused and stored: {risen:?}"));
    }
    if let Some(torn) = all.iter().find(|message| !is_whole(message)) {
        return Err(format!("torn: {torn:?}"));
    }
    let reader = store.reader();
    for ((topic, queue_id), end) in &told.ends {
        let next = reader.bounds(topic, *queue_id).max_offset;
        if next < *end {
            return Err(format!("queue {queue_id} of {topic} went to {end}, now to {next}"));
        }
    }
    // What the log alone gives.
    let bare = disk.copy();
    ["consumequeue", "index", "checkpoint"].iter().for_each(|name| bare.wipe(name));
    let log_start = reader.stats().log_start;
    for (_, start) in bare.files("commitlog") {
        // Its removal was under way.
        if start < log_start {
            bare.wipe_file("commitlog", start);
        }
    }
    let (rebuilt, how) = Store::open_on(Arc::new(bare), options, Vec::new())
        .map_err(|error| format!("no rebuild: {error}"))?;
    assert!(how.rebuilt);
    let expected = rebuilt.reader().contents().map_err(|error| error.to_string())?;
    let found = reader.contents().map_err(|error| error.to_string())?;
    rebuilt.close();
    if found != expected {
        return Err(format!("not what a rebuild gives:\n{found:?}\n{expected:?}"));
    }
    Ok(store)
}

/// Sends, deletes, drops old segments, cuts the power after some disk operations, recovers, and
/// judges what is there; three times over. What is wrong, if anything.
fn cut_and_recover(
    disk: &SimDisk,
    options: StoreOptions,
    operations: u64,
    seed: u64,
    together: u32,
) -> Result<(), String> {
    let mut told = Told::default();
    let mut attempted = 0;
    for round in 0..3_u64 {
        let store =
            judge(disk, options, &told).map_err(|wrong| format!("round {round}: {wrong}"))?;
        disk.fail_after(operations);
        send(&store, attempted, 30, together, &mut told);
        attempted += 30;
        if seed.is_multiple_of(3) {
            // All of one topic goes, whatever the answer.
            let topic = format!("Topic{}", round % 2);
            told.dropped.extend((0..attempted).filter(|number| message(*number).topic == topic));
            told.ends.retain(|(name, _), _| *name != topic);
            let runtime = Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(store.delete_topic(&topic));
            send(&store, attempted, 5, together, &mut told);
            attempted += 5;
        }
        if !seed.is_multiple_of(2) {
            // Everything but the last segment is old.
            let (_, last) = disk.files("commitlog").pop().unwrap();
            let old = told.places.iter().filter(|(_, place)| **place < last);
            told.dropped.extend(old.map(|(number, _)| *number));
            let _ = store.clean(i64::MAX);
            send(&store, attempted, 9, together, &mut told);
            attempted += 9;
        }
        let _ = store.checkpoint();
        send(&store, attempted, 4, together, &mut told);
        attempted += 4;
        store.close();
        disk.power_cut(coin(seed.wrapping_add(round)));
    }
    judge(disk, options, &told)?.close();
    Ok(())
}

/// How many operations a round has that is not cut.
fn operations_of_a_round(seed: u64, together: u32) -> u64 {
    let disk = SimDisk::default();
    cut_and_recover(&disk, SMALL, u64::MAX, seed, together).unwrap();
    disk.operations() / 3
}

#[test]
fn every_crash_point_of_a_short_run() {
    let mut points = 0;
    for (seed, together) in [(1, 1), (2, 4), (3, 9), (6, 2)] {
        for operations in 0..operations_of_a_round(seed, together) {
            let seed = seed + 6 * (operations + 1);
            let outcome = cut_and_recover(&SimDisk::default(), SMALL, operations, seed, together);
            outcome.unwrap_or_else(|wrong| {
                panic!("seed {seed}, {together} together, cut after {operations}: {wrong}")
            });
            points += 3;
        }
    }
    assert!(points >= 1000, "only {points} crash points");
}

/// Whether one of many crash points shows what a disk does that ignores some syncs.
fn is_noticed(ignored: &'static str) -> bool {
    (0..200).any(|operations| {
        let disk = SimDisk::default();
        disk.ignore_syncs(ignored);
        // One that opens all of it again after the first cut.
        cut_and_recover(&disk, SMALL, operations, 2 + 6 * operations, 4).is_err()
    })
}

#[test]
fn without_a_sync_of_the_log_the_cuts_are_noticed() {
    assert!(is_noticed("commitlog"));
}

#[test]
fn without_a_sync_of_the_queues_the_cuts_are_noticed() {
    assert!(is_noticed("consumequeue"));
}

#[test]
fn without_a_sync_of_the_index_the_cuts_are_noticed() {
    assert!(is_noticed("index"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_crash_points(operations in 0_u64..250, seed: u64, together in 1_u32..12) {
        let outcome = cut_and_recover(&SimDisk::default(), SMALL, operations, seed >> 8, together);
        prop_assert!(outcome.is_ok(), "{outcome:?}");
    }
}
