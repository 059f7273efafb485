//! A random but repeatable load on a store that keeps book of what was acknowledged, and the check
//! of what a crash may have left of it.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound::{Excluded, Unbounded};

use openraft::storage::{RaftLogReader, RaftLogStorage, RaftSnapshotBuilder, RaftStateMachine};

use super::toy::{self, Cells};
use crate::disk::simulated::SimulatedDisk;
use crate::machine::{Index, Machine};
use crate::store::Store;
use crate::store::machine::MachineStore;
use crate::types::{Entry, LogId, Vote};

/// What a store holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Held {
    vote: Option<Vote>,
    entries: BTreeMap<Index, Entry>,
    purged: Option<LogId>,
    /// The current snapshot, and the digest of its tables.
    snapshot: Option<(LogId, u128)>,
}

impl Held {
    pub(super) fn entries_held(&self) -> usize {
        self.entries.len()
    }

    fn last(&self) -> Index {
        let last = self.entries.last_key_value().map(|(index, _)| *index);
        last.max(self.purged.map(|purged| purged.index)).unwrap_or(0)
    }
}

/// A load on one store.
pub(super) struct Script {
    pub(super) disk: SimulatedDisk,
    pub(super) store: Store,
    machine: MachineStore<Cells>,
    chance: u64,
    term: u64,
    /// What is acknowledged, and what it becomes when the running operation is.
    acknowledged: Held,
    attempted: Held,
    /// After how many steps of the disk which state was acknowledged.
    pub(super) acknowledgements: Vec<(usize, Held)>,
}

impl Script {
    pub(super) async fn new(disk: SimulatedDisk, seed: u64) -> io::Result<Script> {
        let store = toy::open(disk.clone()).await?;
        let (machine, _) = toy::machine(&store);
        let mut script = Script {
            disk,
            store,
            machine,
            chance: seed,
            term: 0,
            acknowledged: Held::default(),
            attempted: Held::default(),
            acknowledgements: vec![(0, Held::default())],
        };
        script.vote().await?;
        script.append(vec![toy::membership_entry(script.term, 0)]).await?;
        Ok(script)
    }

    /// A number below `bound`.
    pub(super) fn random(&mut self, bound: u64) -> u64 {
        // The constants of Knuth's MMIX generator; the low bits of such generators repeat early.
        self.chance = self
            .chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 33) % bound
    }

    /// Performs one operation, whichever the seed says.
    pub(super) async fn step(&mut self) -> io::Result<()> {
        match self.random(20) {
            0..=9 => {
                let count = 1 + self.random(5);
                let entries = self.new_entries(count);
                self.append(entries).await
            }
            10..=11 => self.vote().await,
            12..=13 => self.truncate().await,
            14..=15 => self.apply().await,
            16..=17 => self.snapshot().await,
            18 => self.purge().await,
            _ => self.install().await,
        }
    }

    fn acknowledge(&mut self) {
        self.acknowledged = self.attempted.clone();
        self.acknowledgements.push((self.disk.steps(), self.acknowledged.clone()));
    }

    fn new_entries(&mut self, count: u64) -> Vec<Entry> {
        let first = self.acknowledged.last() + 1;
        (first..first + count)
            .map(|index| {
                // Every tenth takes several rows.
                let bytes = if self.random(10) == 0 { 20_000 + self.random(90_000) } else { 20 };
                toy::entry(self.term, index, bytes as usize)
            })
            .collect()
    }

    async fn append(&mut self, entries: Vec<Entry>) -> io::Result<()> {
        let added = entries.iter().map(|entry| (entry.log_id.index, entry.clone()));
        self.attempted.entries.extend(added);
        toy::append(&mut self.store.log, entries).await?;
        self.acknowledge();
        Ok(())
    }

    async fn vote(&mut self) -> io::Result<()> {
        self.term += 1 + self.random(2);
        let vote = toy::vote(self.term, 1 + self.random(3));
        self.attempted.vote = Some(vote);
        self.store.log.save_vote(&vote).await?;
        self.acknowledge();
        Ok(())
    }

    async fn truncate(&mut self) -> io::Result<()> {
        let applied = self.applied().await;
        let span = self.acknowledged.last().saturating_sub(applied);
        let kept = applied + self.random(span + 1);
        let Some(kept) = self.acknowledged.entries.get(&kept).map(|entry| entry.log_id) else {
            return Ok(());
        };
        self.attempted.entries.retain(|index, _| *index <= kept.index);
        self.store.log.truncate_after(Some(kept)).await?;
        self.acknowledge();
        Ok(())
    }

    async fn apply(&mut self) -> io::Result<()> {
        let applied = self.applied().await;
        let behind = (Excluded(applied), Unbounded);
        let count = 1 + self.random(8) as usize;
        let first = applied == 0 && self.machine.applied_state().await?.0.is_none();
        let entries: Vec<_> = if first {
            self.acknowledged.entries.values().take(count).cloned().collect()
        } else {
            self.acknowledged.entries.range(behind).take(count).map(|(_, e)| e.clone()).collect()
        };
        let Some(last) = entries.last().map(|entry| entry.log_id) else { return Ok(()) };
        self.store.log.save_committed(Some(last)).await?;
        toy::apply(&mut self.machine, entries).await
    }

    async fn applied(&mut self) -> Index {
        let (applied, _) = self.machine.applied_state().await.expect("it is in memory");
        applied.map_or(0, |applied| applied.index)
    }

    async fn snapshot(&mut self) -> io::Result<()> {
        let (Some(applied), _) = self.machine.applied_state().await? else { return Ok(()) };
        self.attempted.snapshot = Some((applied, self.machine.machine().digest()));
        self.machine.get_snapshot_builder().await.build_snapshot().await?;
        self.acknowledge();
        Ok(())
    }

    async fn purge(&mut self) -> io::Result<()> {
        let Some((snapshot, _)) = self.acknowledged.snapshot else { return Ok(()) };
        let first = self.acknowledged.purged.map_or(0, |purged| purged.index + 1);
        if first > snapshot.index {
            return Ok(());
        }
        let upto = first + self.random(snapshot.index - first + 1);
        let Some(upto) = self.acknowledged.entries.get(&upto).map(|entry| entry.log_id) else {
            return Ok(());
        };
        self.purge_upto(upto).await
    }

    async fn purge_upto(&mut self, upto: LogId) -> io::Result<()> {
        self.attempted.purged = Some(upto);
        self.attempted.entries.retain(|index, _| *index > upto.index);
        self.store.log.purge(upto).await?;
        self.acknowledge();
        Ok(())
    }

    /// Takes over a snapshot that another replica has built, ahead of this log.
    async fn install(&mut self) -> io::Result<()> {
        let index = self.acknowledged.last() + 1 + self.random(5);
        let other = toy::open(SimulatedDisk::new(index)).await?;
        let (mut leader, _) = toy::machine(&other);
        let entries = (1..=index).map(|index| toy::entry(self.term, index, 700));
        toy::apply(&mut leader, entries).await?;
        let built = leader.get_snapshot_builder().await.build_snapshot().await?;
        let last = built.meta.last_log_id.expect("it has applied");
        self.attempted.snapshot = Some((last, leader.machine().digest()));
        self.machine.install_snapshot(&built.meta, built.snapshot).await?;
        self.acknowledge();
        self.purge_upto(last).await
    }

    /// What was acknowledged before the first `steps` steps were over, and what comes next.
    pub(super) fn around(&self, steps: usize) -> (&Held, &Held) {
        let after = self.acknowledgements.partition_point(|(at, _)| *at <= steps);
        let before = &self.acknowledgements[after - 1].1;
        let next = self.acknowledgements.get(after).map_or(&self.attempted, |(_, held)| held);
        (before, next)
    }
}

/// Opens what a crash has left and tells what is there, tables of the snapshot included.
pub(super) async fn reopen(disk: SimulatedDisk) -> io::Result<(Store, Held)> {
    let store = toy::open(disk).await?;
    let (mut machine, _) = toy::machine(&store);
    let mut held = Held::default();
    if let Some(snapshot) = machine.get_current_snapshot().await? {
        machine.install_snapshot(&snapshot.meta, snapshot.snapshot).await?;
        let last = snapshot.meta.last_log_id.expect("only applied tables are frozen");
        held.snapshot = Some((last, machine.machine().digest()));
    }
    let mut log = store.log.clone();
    held.vote = log.read_vote().await?;
    held.purged = log.get_log_state().await?.last_purged_log_id;
    held.entries = toy::read_all(&log).await?.into_iter().map(|e| (e.log_id.index, e)).collect();
    Ok((store, held))
}

/// Panics unless `found` is what a crash may leave between two acknowledgements: nothing of what
/// was acknowledged is lost, nothing is there that was never written, and nothing goes back.
pub(super) fn check(found: &Held, before: &Held, after: &Held, context: &str) {
    assert!(
        found.vote == before.vote || found.vote == after.vote,
        "{context}: vote {:?}, acknowledged {:?}, attempted {:?}",
        found.vote,
        before.vote,
        after.vote
    );
    assert!(
        found.snapshot == before.snapshot || found.snapshot == after.snapshot,
        "{context}: snapshot {:?}, acknowledged {:?}, attempted {:?}",
        found.snapshot,
        before.snapshot,
        after.snapshot
    );
    assert!(
        found.purged == before.purged || found.purged == after.purged,
        "{context}: purged {:?}, acknowledged {:?}, attempted {:?}",
        found.purged,
        before.purged,
        after.purged
    );
    let first = found.purged.map_or(0, |purged| purged.index + 1);
    for (wanted, index) in (first..).zip(found.entries.keys()) {
        assert_eq!(wanted, *index, "{context}: a hole in the log");
    }
    for (index, entry) in &found.entries {
        let written =
            before.entries.get(index) == Some(entry) || after.entries.get(index) == Some(entry);
        assert!(written, "{context}: entry {index} was never written like this");
    }
    for (index, entry) in before.entries.range(first..) {
        let stays = after.purged.is_some_and(|purged| purged.index >= *index)
            || after.entries.get(index) == Some(entry);
        if stays {
            let found = found.entries.get(index);
            assert_eq!(found, Some(entry), "{context}: the acknowledged entry {index} is lost");
        }
    }
}
