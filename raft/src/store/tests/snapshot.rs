//! Snapshots: built beside applies, transferred, installed as a whole or not at all.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use openraft::storage::{RaftLogStorage, RaftSnapshotBuilder, RaftStateMachine, StorageHelper};

use super::toy::{self, Cells, append, apply, entry};
use crate::codec;
use crate::disk::Table;
use crate::disk::simulated::{Loss, SimulatedDisk};
use crate::machine::Machine;
use crate::store::journal::{Journal, JournalRecord};
use crate::store::machine::MachineStore;
use crate::store::record::Meta;
use crate::store::snapshot::{CHUNK_BYTES_MAX, SnapshotHeader};
use crate::store::{Store, lock};
use crate::types::{SnapshotMeta, log_id};

fn chunk_rows(disk: &SimulatedDisk) -> usize {
    disk.rows().iter().filter(|(table, ..)| *table == Table::Chunk).count()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), waiting).await.is_ok(), "{what}");
}

/// A store whose tables hold 99 cells of these many bytes each.
async fn filled(disk: &SimulatedDisk, bytes: usize) -> (Store, MachineStore<Cells>) {
    let store = toy::open(disk.clone()).await.expect("opens");
    let (mut machine, _) = toy::machine(&store);
    let entries = (1..100).map(|index| entry(1, index, bytes));
    apply(&mut machine, entries).await.expect("applied");
    (store, machine)
}

#[tokio::test(start_paused = true)]
async fn a_restart_finds_the_tables_without_any_peer() {
    let disk = SimulatedDisk::new(1);
    let mut store = toy::open(disk.clone()).await.expect("opens");
    let (mut machine, published) = toy::machine(&store);
    let mut entries = vec![toy::membership_entry(1, 0)];
    entries.extend((1..300).map(|index| entry(1, index, 500)));
    append(&mut store.log, entries.clone()).await.expect("appended");
    store.log.save_committed(Some(log_id(1, 250))).await.expect("saved");
    apply(&mut machine, entries[..=200].to_vec()).await.expect("applied");
    let snapshot = machine.get_snapshot_builder().await.build_snapshot().await.expect("built");
    assert_eq!(snapshot.meta.last_log_id, Some(log_id(1, 200)));
    apply(&mut machine, entries[201..=250].to_vec()).await.expect("applied");
    store.log.purge(log_id(1, 150)).await.expect("purged");
    tokio::time::sleep(Duration::from_secs(1)).await;

    let store = toy::open(disk.crash(Loss::Lost)).await.expect("opens");
    let (mut machine, found) = toy::machine(&store);
    let mut log = store.log.clone();
    let state = StorageHelper::new(&mut log, &mut machine).with_id(1).get_initial_state().await;
    state.expect("openraft can start from it");
    assert_eq!(lock(&found).1, 250, "up to what was committed, and no further");
    assert_eq!(*lock(&found), *lock(&published));
    let (_, membership) = machine.applied_state().await.expect("in memory");
    assert_eq!(membership.log_id(), &Some(log_id(1, 0)));
    assert_eq!(membership.membership().nodes().count(), 3);
}

#[tokio::test(start_paused = true)]
async fn applies_go_on_while_a_snapshot_is_built_and_do_not_leak_into_it() {
    let disk = SimulatedDisk::new(1);
    let (_store, mut machine) = filled(&disk, 50_000).await;
    let frozen = machine.machine().digest();
    let mut builder = machine.get_snapshot_builder().await;
    let building = tokio::spawn(async move { builder.build_snapshot().await });
    let mut index = 100;
    while !building.is_finished() {
        apply(&mut machine, [entry(2, index, 10)]).await.expect("applied");
        index += 1;
        tokio::task::yield_now().await;
    }
    assert!(index > 120, "only {} applies while it was built", index - 100);
    let built = building.await.expect("no panic").expect("built");
    assert_eq!(built.meta.last_log_id, Some(log_id(1, 99)));
    assert_eq!(built.snapshot.header().tables_digest, frozen);
    assert!(built.snapshot.header().chunks > 100);

    let other = toy::open(SimulatedDisk::new(2)).await.expect("opens");
    let (mut follower, _) = toy::machine(&other);
    follower.install_snapshot(&built.meta, built.snapshot).await.expect("installed");
    assert_eq!(follower.machine().digest(), frozen);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_stops_while_a_snapshot_becomes_current_opens_again() {
    let disk = SimulatedDisk::new(1);
    let (store, mut machine) = filled(&disk, 5_000).await;
    let tables = machine.machine().digest();
    let latency = Duration::from_millis(10);
    disk.set_sync_latency(Some(latency..=latency));
    let mut builder = machine.get_snapshot_builder().await;
    let building = tokio::spawn(async move { builder.build_snapshot().await });
    let pointed = || disk.rows().iter().any(|(_, key, _)| key == Meta::Snapshot.key());
    until("the pointer is written", pointed).await;
    building.abort();
    assert!(building.await.is_err(), "given up before it was durable");
    tokio::time::sleep(Duration::from_secs(1)).await;
    store.close().await.expect("closed");

    let store = toy::open(disk.crash(Loss::Lost)).await.expect("opens");
    let (mut found, _) = toy::machine(&store);
    let (meta, data) = store.snapshots.current().expect("its pointer is durable");
    found.install_snapshot(&meta, data).await.expect("its chunks are there");
    assert_eq!(found.machine().digest(), tables);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_travels_as_header_and_chunks() {
    let (store, mut machine) = filled(&SimulatedDisk::new(1), 5_000).await;
    let built = machine.get_snapshot_builder().await.build_snapshot().await.expect("built");
    let (_, sent) = store.snapshots.current().expect("it is the current one");
    let header: SnapshotHeader =
        codec::decode(&codec::encode(&sent.header()).expect("small")).expect("the same");

    let disk = SimulatedDisk::new(2);
    let other = toy::open(disk.clone()).await.expect("opens");
    let mut writer = other.snapshots.begin();
    for number in 0..header.chunks {
        writer.put(&sent.chunk(number).expect("read")).expect("written");
    }
    let received = writer.finish_received(header).await.expect("it is what was announced");
    let (mut follower, published) = toy::machine(&other);
    follower.install_snapshot(&built.meta, received).await.expect("installed");
    assert_eq!(lock(&published).1, 99);
    assert_eq!(follower.machine().digest(), machine.machine().digest());

    // Less, other, or more than was announced.
    for wrong in 0..3 {
        let mut writer = other.snapshots.begin();
        for number in 0..header.chunks - u32::from(wrong == 0) {
            let mut chunk = sent.chunk(number).expect("read");
            if wrong == 1 && number == 3 {
                chunk[77] ^= 1;
            }
            writer.put(&chunk).expect("written");
        }
        if wrong == 2 {
            writer.put(&[0]).expect("written");
        }
        assert!(writer.finish_received(header).await.is_err(), "wrong in way {wrong}");
    }
    let mut writer = other.snapshots.begin();
    assert!(writer.put(&[]).is_err(), "an empty chunk");
    assert!(writer.put(&vec![0; CHUNK_BYTES_MAX + 1]).is_err(), "a large chunk");
    drop(writer);
    let rows = header.chunks as usize;
    until("what was not finished leaves nothing", || chunk_rows(&disk) == rows).await;
}

#[tokio::test(start_paused = true)]
async fn an_old_snapshot_stays_for_its_readers_and_goes_with_the_last() {
    let disk = SimulatedDisk::new(1);
    let (store, mut machine) = filled(&disk, 5_000).await;
    machine.get_snapshot_builder().await.build_snapshot().await.expect("built");
    let (_, read) = store.snapshots.current().expect("it is the current one");
    let chunks = read.header().chunks as usize;
    apply(&mut machine, [entry(1, 100, 10)]).await.expect("applied");
    machine.get_snapshot_builder().await.build_snapshot().await.expect("built");
    assert_eq!(store.snapshots.last_log_id(), Some(log_id(1, 100)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    for number in 0..read.header().chunks {
        read.chunk(number).expect("still there");
    }
    assert_eq!(chunk_rows(&disk), 2 * chunks);
    drop(read);
    until("the old one is removed", || chunk_rows(&disk) == chunks).await;
    drop((store, machine));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(chunk_rows(&disk), chunks, "closing removes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_snapshot_is_refused_and_nothing_of_it_is_seen() {
    let disk = SimulatedDisk::new(1);
    let (store, mut machine) = filled(&disk, 5_000).await;
    machine.get_snapshot_builder().await.build_snapshot().await.expect("built");
    drop((store, machine));
    let rows = disk.rows();
    let (table, key, _) = rows.iter().rfind(|(t, ..)| *t == Table::Chunk).expect("chunks");
    disk.damage(*table, key, |value| value[100] ^= 4);

    let store = toy::open(disk).await.expect("the log is sound");
    let (mut machine, published) = toy::machine(&store);
    let mut log = store.log.clone();
    let started = StorageHelper::new(&mut log, &mut machine).with_id(1).get_initial_state().await;
    let error = started.expect_err("it is damaged").to_string();
    assert!(error.contains("of snapshot 1 on this disk is damaged"), "{error}");
    assert_eq!(*lock(&published), Default::default(), "nothing was published");
}

#[tokio::test(start_paused = true)]
async fn sections_of_every_size_survive_the_cutting() {
    let mut sizes: Vec<usize> = (0..40).collect();
    for around in [CHUNK_BYTES_MAX, 2 * CHUNK_BYTES_MAX] {
        sizes.extend(around - 9..around + 9);
    }
    sizes.extend([0, 0, 1_000_000, 0]);
    let store = toy::open(SimulatedDisk::new(1)).await.expect("opens");
    let sections: Vec<Vec<u8>> =
        sizes.iter().map(|bytes| (0..*bytes).map(|at| (at * 7) as u8).collect()).collect();
    let data = store.snapshots.build(sections.clone().into_iter(), 0).await.expect("built");
    let mut read = data.sections();
    assert!(sections.into_iter().eq(read.by_ref()));
    read.verify().expect("all of it");
    let too_large = std::iter::once(vec![0; 9 << 20]);
    assert!(store.snapshots.build(too_large, 0).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_command_stops_the_machine() {
    let store = toy::open(SimulatedDisk::new(1)).await.expect("opens");
    let (mut machine, published) = toy::machine(&store);
    apply(&mut machine, [entry(1, 1, 10)]).await.expect("applied");
    let unknown = toy::command_entry(1, 2, Bytes::from_static(b"of a later version"));
    let error = apply(&mut machine, [unknown, entry(1, 3, 10)]).await.expect_err("unknown");
    assert!(error.to_string().contains("diverge"), "{error}");
    assert_eq!(lock(&published).1, 1);
}

#[tokio::test(start_paused = true)]
async fn tables_never_go_back() {
    let (store, mut machine) = filled(&SimulatedDisk::new(1), 10).await;
    assert!(apply(&mut machine, [entry(1, 99, 10)]).await.is_err(), "applied twice");
    let data = store.snapshots.build(std::iter::empty(), 0).await.expect("built");
    let old = SnapshotMeta { last_log_id: Some(log_id(1, 50)), ..SnapshotMeta::default() };
    assert!(machine.install_snapshot(&old, data).await.is_err(), "an older snapshot");
}

#[derive(Clone, Default)]
struct InMemory(Arc<Mutex<Vec<JournalRecord>>>);

impl Journal for InMemory {
    fn record(&mut self, record: &JournalRecord) -> std::io::Result<()> {
        lock(&self.0).push(record.clone());
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_journal_can_be_replayed() {
    let store = toy::open(SimulatedDisk::new(1)).await.expect("opens");
    let journal = InMemory::default();
    let mut machine = MachineStore::new(
        Cells::default(),
        store.snapshots.clone(),
        Some(Box::new(journal.clone())),
    );
    let entries = [toy::membership_entry(1, 0), entry(1, 1, 10), entry(1, 2, 20)];
    apply(&mut machine, entries).await.expect("applied");
    let records = lock(&journal.0).clone();
    assert_eq!(records.len(), 2, "commands only");
    let mut replay = Cells::default();
    for record in records {
        let command = codec::decode(&record.command).expect("a command");
        let outcome = replay.apply(record.index, command);
        assert_eq!(codec::decode::<u64>(&record.outcome).expect("an outcome"), outcome);
        assert_eq!(record.digest, replay.digest());
    }
}
