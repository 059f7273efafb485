//! The log beyond what openraft's suite looks at.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use openraft::storage::{IOFlushed, LeaderBoundedStreamError, RaftLogReader, RaftLogStorage};
use openraft::type_config::TypeConfigExt;

use super::toy::{self, append, entry, vote};
use crate::disk::simulated::{Loss, SimulatedDisk};
use crate::disk::{Disk, Table, VALUE_BYTES_MAX};
use crate::types::{TypeConfig, Vote, log_id};

fn entries(indices: std::ops::Range<u64>, bytes: usize) -> Vec<crate::types::Entry> {
    indices.map(|index| entry(1, index, bytes)).collect()
}

#[tokio::test(start_paused = true)]
async fn entries_of_any_size_come_back_from_tail_and_disk() {
    let disk = SimulatedDisk::new(1);
    let mut store = toy::open(disk.clone()).await.expect("opens");
    let sizes = [0, 1, 16_000, 16_330, 16_384, 32_768, 1_000_000, 3];
    let written: Vec<_> =
        sizes.iter().zip(0..).map(|(bytes, index)| entry(1, index, *bytes)).collect();
    append(&mut store.log, written.clone()).await.expect("appended");
    assert_eq!(toy::read_all(&store.log).await.expect("read"), written);
    assert!(
        disk.rows().iter().all(|(_, _, value)| value.len() <= VALUE_BYTES_MAX),
        "rows are small"
    );

    let mut again = toy::open(disk.crash(Loss::Lost)).await.expect("opens");
    assert_eq!(toy::read_all(&again.log).await.expect("read"), written);
    // A removed entry leaves none of its rows behind.
    again.log.truncate_after(Some(log_id(1, 0))).await.expect("truncated");
    assert_eq!(toy::read_all(&again.log).await.expect("read"), written[..1]);
}

#[tokio::test(start_paused = true)]
async fn reads_that_span_disk_and_tail_have_no_hole_and_bounded_steps() {
    let mut store = toy::open(SimulatedDisk::new(1)).await.expect("opens");
    // More than the tail holds, by count.
    let count = 10_000;
    append(&mut store.log, entries(0..count, 300)).await.expect("appended");
    let read = store.log.try_get_log_entries(1_000..9_500).await.expect("read");
    assert!((1_000..9_500).eq(read.iter().map(|entry| entry.log_id.index)));
    for start in [0, 1_500, 1_800, 5_000] {
        let read = store.log.limited_get_log_entries(start, count).await.expect("read");
        assert!(!read.is_empty() && read.len() <= 512, "{} entries at once", read.len());
        assert!((start..).zip(&read).all(|(wanted, entry)| entry.log_id.index == wanted));
    }
    let streamed = store.log.entries_stream(700..9_000).await;
    let streamed: Vec<_> = streamed.map(|entry| entry.expect("read").log_id.index).collect().await;
    assert!((700..9_000).eq(streamed));

    let mut big = toy::open(SimulatedDisk::new(1)).await.expect("opens");
    append(&mut big.log, entries(0..10, 700_000)).await.expect("appended");
    let read = big.log.limited_get_log_entries(0, 10).await.expect("read");
    assert_eq!(read.len(), 2, "a step ends once it has a mebibyte");
}

#[tokio::test(start_paused = true)]
async fn a_leaders_stream_ends_when_the_vote_moves_on() {
    let mut store = toy::open(SimulatedDisk::new(1)).await.expect("opens");
    append(&mut store.log, entries(0..2_000, 10)).await.expect("appended");
    let leading = Vote::new_committed(1, 1);
    let mut reader = store.log.get_log_reader().await;

    let mut stream = reader.leader_bounded_stream(leading.leader_id, 0..2_000).await;
    assert!(
        matches!(stream.next().await, Some(Err(LeaderBoundedStreamError::LeaderChanged(_)))),
        "it does not lead yet"
    );
    drop(stream);

    store.log.save_vote(&leading).await.expect("saved");
    let mut stream = reader.leader_bounded_stream(leading.leader_id, 0..2_000).await;
    let mut given = 0;
    while let Some(item) = stream.next().await {
        match item {
            Ok(entry) => assert_eq!(entry.log_id.index, given),
            Err(error) => {
                assert!(matches!(error, LeaderBoundedStreamError::LeaderChanged(_)), "{error}");
                break;
            }
        }
        given += 1;
        if given == 100 {
            store.log.save_vote(&vote(2, 2)).await.expect("saved");
        }
    }
    assert!((100..2_000).contains(&given), "it gave {given} entries after the vote had moved on");
    drop(stream);

    store.log.save_vote(&Vote::new_committed(3, 1)).await.expect("saved");
    let stream = reader.leader_bounded_stream(Vote::new(3, 1).leader_id, 5..2_000).await;
    assert_eq!(stream.filter(|item| std::future::ready(item.is_ok())).count().await, 1_995);
}

#[tokio::test(start_paused = true)]
async fn what_would_break_the_log_is_refused() {
    let mut store = toy::open(SimulatedDisk::new(1)).await.expect("opens");
    append(&mut store.log, vec![entry(2, 0, 1), entry(2, 1, 1)]).await.expect("appended");
    for (wrong, why) in [
        (entry(2, 3, 1), "a hole"),
        (entry(2, 1, 1), "written twice"),
        (entry(1, 2, 1), "an older term"),
    ] {
        assert!(append(&mut store.log, vec![wrong]).await.is_err(), "{why}");
    }
    store.log.save_vote(&vote(5, 1)).await.expect("saved");
    for (wrong, why) in [(vote(4, 1), "an older term"), (vote(5, 2), "two votes in one term")] {
        assert!(store.log.save_vote(&wrong).await.is_err(), "{why}");
        assert_eq!(store.log.read_vote().await.expect("read"), Some(vote(5, 1)));
    }
    // To follow the leader that the others have elected in that term is no second vote.
    store.log.save_vote(&Vote::new_committed(5, 2)).await.expect("saved");

    store.log.save_committed(Some(log_id(2, 1))).await.expect("saved");
    assert!(store.log.truncate_after(Some(log_id(2, 0))).await.is_err(), "it is committed");
    append(&mut store.log, vec![entry(2, 2, 1)]).await.expect("nothing of it has harmed the log");
}

#[tokio::test(start_paused = true)]
async fn one_sync_serves_all_that_wait() {
    let disk = SimulatedDisk::new(1);
    disk.set_sync_latency(Some(Duration::from_millis(1)..=Duration::from_millis(1)));
    let mut store = toy::open(disk.clone()).await.expect("opens");
    let before = store.log.counters();
    let mut waiting = Vec::new();
    for index in 0..64 {
        let (flushed, wait) = TypeConfig::oneshot();
        let written = store.log.append([entry(1, index, 10)], IOFlushed::signal(flushed)).await;
        written.expect("written");
        waiting.push(wait);
        let readable = store.log.try_get_log_entries(index..=index).await.expect("read");
        assert_eq!(readable.len(), 1, "readable before it is durable");
    }
    for wait in waiting {
        wait.await.expect("answered").expect("durable");
    }
    let after = store.log.counters();
    assert_eq!(after.appended_entries - before.appended_entries, 64);
    assert!(after.appended_bytes > 64 * 10);
    assert_eq!((after.last_index, after.purged_index), (63, 0));
    assert!(after.syncs - before.syncs <= 2, "{} syncs", after.syncs - before.syncs);
    let found = toy::open(disk.crash(Loss::Lost)).await.expect("opens");
    assert_eq!(toy::read_all(&found.log).await.expect("read").len(), 64);
}

#[tokio::test(start_paused = true)]
async fn the_committed_index_becomes_durable_soon_without_anybody_waiting() {
    let disk = SimulatedDisk::new(1);
    let mut store = toy::open(disk.clone()).await.expect("opens");
    append(&mut store.log, entries(0..5, 10)).await.expect("appended");
    let syncs = disk.syncs();
    for index in 0..5 {
        store.log.save_committed(Some(log_id(1, index))).await.expect("saved");
    }
    assert_eq!(disk.syncs(), syncs, "it does not wait for a sync");
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(disk.syncs(), syncs + 1, "one sync for all of them");
    // This loss leaves the oldest mark that it may.
    let mut found = toy::open(disk.crash(Loss::Kept)).await.expect("opens");
    assert_eq!(found.log.read_committed().await.expect("read"), Some(log_id(1, 4)));
}

#[tokio::test(start_paused = true)]
async fn purging_hides_at_once_and_frees_room_later() {
    let disk = SimulatedDisk::new(1);
    let mut store = toy::open(disk.clone()).await.expect("opens");
    append(&mut store.log, entries(0..1_000, 1_000)).await.expect("appended");
    let full_bytes = disk.size_bytes();
    store.log.purge(log_id(1, 899)).await.expect("purged");
    let left = store.log.try_get_log_entries(..).await.expect("read");
    assert!((900..1_000).eq(left.iter().map(|entry| entry.log_id.index)));
    tokio::time::timeout(Duration::from_secs(10), async {
        while disk.size_bytes() > full_bytes / 8 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("the rows are removed");
    assert_eq!(store.log.counters().purged_index, 899);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_purged_beyond_its_snapshot_is_refused() {
    let disk = SimulatedDisk::new(1);
    let mut store = toy::open(disk.clone()).await.expect("opens");
    append(&mut store.log, entries(0..10, 10)).await.expect("appended");
    store.log.purge(log_id(1, 4)).await.expect("purged");
    let error = toy::open(disk.crash(Loss::Lost)).await.err().expect("entries are missing");
    assert!(error.to_string().contains("the snapshot reaches the beginning only"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_record_of_a_later_version_asks_for_the_later_program() {
    let disk = SimulatedDisk::new(1);
    let store = toy::open(disk.clone()).await.expect("opens");
    let key = b"identity";
    let value = disk.get(Table::Meta, key).expect("read").expect("it is there");
    let version = value[0] + 1;
    let mut later = vec![version];
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[version, Table::Meta as u8]);
    hasher.update(key);
    hasher.update(&value[5..]);
    later.extend(hasher.finalize().to_le_bytes());
    later.extend(&value[5..]);
    disk.damage(Table::Meta, key, |value| *value = later);
    drop(store);
    let error = toy::open(disk).await.err().expect("it is of a later version");
    assert!(error.to_string().contains("newer program"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_identity_is_minted_once_and_never_moves() {
    use crate::store::identity::Home;
    let disk = SimulatedDisk::new(1);
    let store = toy::open(disk.clone()).await.expect("opens");
    let minted = store.identity.get();
    let home = Home { cluster: uuid::Uuid::from_u128(1), cluster_name: "c".into(), node_id: 3 };
    store.identity.set_home(home.clone()).await.expect("settled");
    store.identity.note_held(5).await.expect("fed");
    store.identity.note_held(3).await.expect("nothing to write");
    store.identity.set_removed().await.expect("removed");
    let elsewhere = Home { node_id: 4, ..home.clone() };
    let error = store.identity.set_home(elsewhere).await.expect_err("it lives elsewhere");
    assert!(error.to_string().contains("belongs to node 3"), "{error}");

    let disk: Arc<dyn Disk> = Arc::new(disk.crash(Loss::Lost));
    let again = crate::store::Store::open(disk, uuid::Uuid::from_u128(99)).await.expect("opens");
    let found = again.identity.get();
    assert_eq!(found.disk_id, minted.disk_id, "the fresh id is not used");
    assert_eq!((found.home, found.held_at, found.removed), (Some(home), Some(5), true));
}

#[tokio::test(start_paused = true)]
async fn what_one_sync_makes_durable_is_one_row_and_can_be_cut_in_its_midst() {
    let disk = SimulatedDisk::new(1);
    let mut store = toy::open(disk.clone()).await.expect("opens");
    let rows = || disk.rows().iter().filter(|(table, ..)| *table == Table::Log).count();
    let written = entries(0..20, 100);
    for entry in &written[..19] {
        let (flushed, _) = TypeConfig::oneshot();
        store.log.append([entry.clone()], IOFlushed::signal(flushed)).await.expect("noted");
    }
    append(&mut store.log, vec![written[19].clone()]).await.expect("appended");
    assert!(rows() <= 2, "{} rows for 20 entries", rows());

    for kept in [15, 14, 3] {
        store.log.truncate_after(Some(log_id(1, kept))).await.expect("truncated");
        let found = toy::open(disk.image()).await.expect("opens");
        assert_eq!(toy::read_all(&found.log).await.expect("read"), written[..=kept as usize]);
    }
    append(&mut store.log, written[4..].to_vec()).await.expect("appended again");
    let found = toy::open(disk.image()).await.expect("opens");
    assert_eq!(toy::read_all(&found.log).await.expect("read"), written);

    // A purge in the midst of a row keeps the row, until what is left in it is purged as well.
    store.log.purge(log_id(1, 9)).await.expect("purged");
    assert_eq!(toy::read_all(&store.log).await.expect("read"), written[10..]);
    store.log.purge(log_id(1, 19)).await.expect("purged");
    tokio::time::timeout(Duration::from_secs(10), async {
        while rows() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("the rows are removed");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_holds_less_than_was_acknowledged_is_refused() {
    let disk = SimulatedDisk::new(1);
    let mut store = toy::open(disk.clone()).await.expect("opens");
    append(&mut store.log, entries(0..3, 10)).await.expect("appended");
    store.log.save_vote(&vote(2, 1)).await.expect("saved");
    let row = disk.rows().into_iter().find(|row| row.1 == b"vote").expect("it is there");
    append(&mut store.log, vec![entry(2, 3, 10)]).await.expect("appended");
    store.log.save_vote(&vote(3, 1)).await.expect("saved");
    store.close().await.expect("closed");

    let image = disk.image();
    image.damage(Table::Meta, b"vote", |value| *value = row.2);
    let error = toy::open(image).await.err().expect("its vote went back").to_string();
    assert!(error.contains("this replica has voted") && error.contains("new node id"), "{error}");
    let image = disk.image();
    let (table, key, _) = image.rows().into_iter().rfind(|row| row.0 == Table::Log).expect("rows");
    image.remove(table, &key).expect("removed");
    let error = toy::open(image).await.err().expect("its log went back").to_string();
    assert!(error.contains("has acknowledged") && error.contains("new node id"), "{error}");

    toy::open(disk.image()).await.expect("undamaged, it opens");
}
