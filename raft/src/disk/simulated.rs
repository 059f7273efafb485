//! A disk in memory that does what disks do: it loses what was not synchronised, fails, fills up
//! and is slow. Deterministic by its seed, without threads, on tokio's clock: it runs inside a
//! simulation.

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Disk, DiskFuture, Row, Table, check_mark, check_value};

/// What happens at a crash to the writes that were not synchronised. The first four keep the
/// contract of [`Disk`], or break it in the way checksums must notice; the last breaks its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// All are lost.
    Lost,
    /// All are kept.
    Kept,
    /// The first few are kept, as many as the seed says.
    Prefix,
    /// All are kept, but the last value is cut short.
    Torn,
    /// Some are kept, whichever the seed says, regardless of their order.
    Reordered,
}

impl Loss {
    /// Every kind of loss.
    pub const ALL: [Loss; 5] = [Loss::Lost, Loss::Kept, Loss::Prefix, Loss::Torn, Loss::Reordered];
}

type Rows = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

#[derive(Debug, Clone)]
enum Write {
    Put(Table, Vec<u8>, Vec<u8>),
    Remove(Table, Vec<u8>),
}

/// One step in the life of a recorded disk.
#[derive(Debug, Clone)]
enum Step {
    Write(Write),
    /// The first so many writes are durable.
    Synced(u64),
    Mark(Vec<u8>),
    MarkSynced,
}

/// The marks that a crash may leave: the one that was synchronised last, and those put since.
#[derive(Debug, Clone, Default)]
struct Marks {
    durable: Option<Vec<u8>>,
    put: Vec<Vec<u8>>,
}

impl Marks {
    fn now(&self) -> Option<&Vec<u8>> {
        self.put.last().or(self.durable.as_ref())
    }

    fn synced(&mut self) {
        self.durable = self.put.pop().or(self.durable.take());
        self.put.clear();
    }

    /// What a crash leaves: whatever makes life hardest beside such a loss of rows. Marks are not
    /// ordered with them.
    fn survivor(self, loss: Loss, chance: u64) -> Option<Vec<u8>> {
        let chosen = match loss {
            Loss::Lost => self.put.len(),
            Loss::Kept => 0,
            _ => (chance % (self.put.len() as u64 + 1)) as usize,
        };
        match chosen {
            0 => self.durable,
            chosen => self.put.into_iter().nth(chosen - 1),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    seed: u64,
    rows: Rows,
    durable: Rows,
    unsynced: Vec<Write>,
    /// Writes and marks that were tried, and of those the ones that worked; syncs that were asked for.
    tried: u64,
    writes: u64,
    syncs: u64,
    used_bytes: u64,
    capacity_bytes: Option<u64>,
    failing_write: Option<u64>,
    failing_sync: Option<u64>,
    /// Writes and syncs that failed because they were to.
    failures: u64,
    sync_latency: Option<RangeInclusive<Duration>>,
    history: Option<Vec<Step>>,
    marks: Marks,
    crashed: bool,
}

/// A simulated [`Disk`]. Clones are handles of the same disk.
#[derive(Debug, Clone)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

impl SimulatedDisk {
    /// An empty disk; whatever it leaves to chance comes from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> SimulatedDisk {
        SimulatedDisk::from_parts(seed, Rows::new(), None)
    }

    /// An empty disk that remembers its whole history, so that [`SimulatedDisk::image_at`] can tell
    /// how any crash would have left it. Its memory grows with every write.
    #[must_use]
    pub fn recording(seed: u64) -> SimulatedDisk {
        let disk = SimulatedDisk::new(seed);
        disk.state().history = Some(Vec::new());
        disk
    }

    fn from_parts(seed: u64, rows: Rows, mark: Option<Vec<u8>>) -> SimulatedDisk {
        let used_bytes = rows.iter().map(|((_, key), value)| row_bytes(key, value)).sum();
        let marks = Marks { durable: mark, put: Vec::new() };
        let durable = rows.clone();
        let state = State { seed, durable, rows, used_bytes, marks, ..State::default() };
        SimulatedDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// Crashes the disk, and answers it as it is found afterwards. This handle and its clones fail
    /// from now on.
    #[must_use]
    pub fn crash(&self, loss: Loss) -> SimulatedDisk {
        let mut state = self.state();
        state.crashed = true;
        let mut chance = state.next_chance();
        let rows = survivors(state.durable.clone(), &state.unsynced, loss, &mut chance);
        SimulatedDisk::from_parts(chance, rows, state.marks.clone().survivor(loss, chance))
    }

    /// The number of steps (writes, marks and completed syncs) recorded so far.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.state().history.as_ref().map_or(0, Vec::len)
    }

    /// The disk as a crash after the first `steps` steps would have left it; `seed` decides what
    /// is left to chance. Only of a disk that is [recording](SimulatedDisk::recording).
    #[must_use]
    pub fn image_at(&self, steps: usize, loss: Loss, seed: u64) -> SimulatedDisk {
        let state = self.state();
        let history = state.history.as_deref().unwrap_or_default();
        let history = &history[..steps.min(history.len())];
        let synced = history
            .iter()
            .filter_map(|step| if let Step::Synced(upto) = step { Some(*upto) } else { None })
            .max()
            .unwrap_or(0);
        let mut durable = Rows::new();
        let mut unsynced = Vec::new();
        let writes = history
            .iter()
            .filter_map(|step| if let Step::Write(write) = step { Some(write) } else { None });
        for (number, write) in (1..).zip(writes) {
            if number <= synced {
                perform(&mut durable, write);
            } else {
                unsynced.push(write.clone());
            }
        }
        let mut marks = Marks::default();
        for step in history {
            match step {
                Step::Mark(mark) => marks.put.push(mark.clone()),
                Step::MarkSynced => marks.synced(),
                Step::Write(_) | Step::Synced(_) => {}
            }
        }
        let mut chance = seed;
        let rows = survivors(durable, &unsynced, loss, &mut chance);
        SimulatedDisk::from_parts(chance, rows, marks.survivor(loss, chance))
    }

    /// A copy of the disk as the end of the process would leave it, all that it was told included.
    #[must_use]
    pub fn image(&self) -> SimulatedDisk {
        let state = self.state();
        SimulatedDisk::from_parts(state.seed, state.rows.clone(), state.marks.now().cloned())
    }

    /// Lets the `nth` write from now on fail (1 is the next).
    pub fn fail_write(&self, nth: u64) {
        let mut state = self.state();
        state.failing_write = Some(state.tried + nth);
    }

    /// Lets the `nth` sync from now on fail (1 is the next). What it should have made durable never
    /// will be, whatever a later sync says.
    pub fn fail_sync(&self, nth: u64) {
        let mut state = self.state();
        state.failing_sync = Some(state.syncs + nth);
    }

    /// Lets writes and syncs work again that were to fail. What a failed sync has lost stays lost.
    pub fn heal(&self) {
        let mut state = self.state();
        state.failing_write = None;
        state.failing_sync = None;
        state.capacity_bytes = None;
    }

    /// The number of writes and syncs that failed because they were to, or for want of room.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.state().failures
    }

    /// Bounds the bytes of all rows together; a write beyond it fails as on a full disk.
    pub fn set_capacity_bytes(&self, capacity_bytes: Option<u64>) {
        self.state().capacity_bytes = capacity_bytes;
    }

    /// Lets every sync take a time from this range.
    pub fn set_sync_latency(&self, latency: Option<RangeInclusive<Duration>>) {
        self.state().sync_latency = latency;
    }

    /// The number of writes (puts and removals) that worked so far.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.state().writes
    }

    /// The number of syncs that were asked for so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Every row there is, in order.
    #[must_use]
    pub fn rows(&self) -> Vec<(Table, Vec<u8>, Vec<u8>)> {
        let state = self.state();
        state
            .rows
            .iter()
            .map(|((table, key), value)| (*table, key.clone(), value.clone()))
            .collect()
    }

    /// What no crash can take of a row.
    #[must_use]
    pub fn durable(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        self.state().durable.get(&(table, key.to_vec())).cloned()
    }

    /// Changes the bytes of a row behind the replica's back, durably.
    pub fn damage(&self, table: Table, key: &[u8], change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let row = (table, key.to_vec());
        if let Some(value) = state.rows.get_mut(&row) {
            change(value);
            let value = value.clone();
            state.durable.insert(row, value);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_chance(&mut self) -> u64 {
        next(&mut self.seed)
    }

    fn next_sync_latency(&mut self) -> Option<Duration> {
        let chance = self.next_chance();
        let range = self.sync_latency.as_ref()?;
        let span = range.end().saturating_sub(*range.start());
        Some(*range.start() + span.mul_f64((chance % 1000) as f64 / 1000.0))
    }

    fn check(&self) -> io::Result<()> {
        if self.crashed {
            return Err(io::Error::other("this disk has crashed"));
        }
        Ok(())
    }

    fn attempt(&mut self) -> io::Result<()> {
        self.check()?;
        self.tried += 1;
        if self.failing_write == Some(self.tried) {
            self.failures += 1;
            return Err(io::Error::other("input/output error on a write (simulated)"));
        }
        Ok(())
    }

    fn write(&mut self, write: Write) -> io::Result<()> {
        self.attempt()?;
        let (key, added_bytes) = match &write {
            Write::Put(table, key, value) => ((*table, key.clone()), row_bytes(key, value)),
            Write::Remove(table, key) => ((*table, key.clone()), 0),
        };
        let freed_bytes = self.rows.get(&key).map_or(0, |value| row_bytes(&key.1, value));
        let used_bytes = self.used_bytes - freed_bytes + added_bytes;
        if added_bytes > 0 && self.capacity_bytes.is_some_and(|capacity| used_bytes > capacity) {
            self.failures += 1;
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "no space left on device (simulated)",
            ));
        }
        self.used_bytes = used_bytes;
        self.writes += 1;
        perform(&mut self.rows, &write);
        if let Some(history) = &mut self.history {
            history.push(Step::Write(write.clone()));
        }
        self.unsynced.push(write);
        Ok(())
    }

    /// Takes the writes out of the unsynchronised ones that are among the first `upto`.
    fn take_unsynced(&mut self, upto: u64) -> Vec<Write> {
        let later = usize::try_from(self.writes - upto).unwrap_or(usize::MAX);
        let done = self.unsynced.len().saturating_sub(later);
        self.unsynced.drain(..done).collect()
    }

    /// Makes the first `upto` writes durable.
    fn synced(&mut self, upto: u64) {
        for write in self.take_unsynced(upto) {
            perform(&mut self.durable, &write);
        }
        if let Some(history) = &mut self.history {
            history.push(Step::Synced(upto));
        }
    }
}

impl Disk for SimulatedDisk {
    fn get(&self, table: Table, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let state = self.state();
        state.check()?;
        Ok(state.rows.get(&(table, key.to_vec())).cloned())
    }

    fn range(
        &self,
        table: Table,
        keys: RangeInclusive<Vec<u8>>,
        limit: usize,
    ) -> io::Result<Vec<Row>> {
        let state = self.state();
        state.check()?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let (first, last) = keys.into_inner();
        let rows = state.rows.range((table, first)..=(table, last)).take(limit);
        Ok(rows.map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    fn last_until(&self, table: Table, key: &[u8]) -> io::Result<Option<Row>> {
        let state = self.state();
        state.check()?;
        let mut rows = state.rows.range((table, Vec::new())..=(table, key.to_vec()));
        Ok(rows.next_back().map(|((_, key), value)| (key.clone(), value.clone())))
    }

    fn put(&self, table: Table, key: &[u8], value: &[u8]) -> io::Result<()> {
        check_value(value)?;
        self.state().write(Write::Put(table, key.to_vec(), value.to_vec()))
    }

    fn remove(&self, table: Table, key: &[u8]) -> io::Result<()> {
        self.state().write(Write::Remove(table, key.to_vec()))
    }

    fn sync(&self) -> DiskFuture<()> {
        let disk = self.clone();
        let mut state = self.state();
        state.syncs += 1;
        let number = state.syncs;
        let upto = state.writes;
        let latency = state.next_sync_latency();
        drop(state);
        Box::pin(async move {
            if let Some(latency) = latency {
                tokio::time::sleep(latency).await;
            }
            let mut state = disk.state();
            state.check()?;
            // A disk that was healed meanwhile does what it should.
            if state.failing_sync == Some(number) {
                state.failures += 1;
                // As a failed writeback does: readable still, but no later sync will save it.
                drop(state.take_unsynced(upto));
                return Err(io::Error::other("input/output error on a sync (simulated)"));
            }
            state.synced(upto);
            Ok(())
        })
    }

    fn mark(&self) -> Option<Vec<u8>> {
        self.state().marks.now().cloned()
    }

    fn put_mark(&self, mark: &[u8]) -> io::Result<()> {
        check_mark(mark)?;
        let mut state = self.state();
        state.attempt()?;
        state.marks.put.push(mark.to_vec());
        if let Some(history) = &mut state.history {
            history.push(Step::Mark(mark.to_vec()));
        }
        Ok(())
    }

    fn sync_mark(&self) -> DiskFuture<()> {
        let disk = self.clone();
        let latency = self.state().next_sync_latency();
        Box::pin(async move {
            if let Some(latency) = latency {
                tokio::time::sleep(latency).await;
            }
            let mut state = disk.state();
            state.check()?;
            state.marks.synced();
            if let Some(history) = &mut state.history {
                history.push(Step::MarkSynced);
            }
            Ok(())
        })
    }

    fn size_bytes(&self) -> u64 {
        self.state().used_bytes
    }
}

fn row_bytes(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}

fn perform(rows: &mut Rows, write: &Write) {
    match write {
        Write::Put(table, key, value) => {
            rows.insert((*table, key.clone()), value.clone());
        }
        Write::Remove(table, key) => {
            rows.remove(&(*table, key.clone()));
        }
    }
}

/// The rows that a crash leaves of `durable` ones and `unsynced` writes.
fn survivors(mut durable: Rows, unsynced: &[Write], loss: Loss, chance: &mut u64) -> Rows {
    let kept = match loss {
        Loss::Lost => 0,
        Loss::Kept | Loss::Torn | Loss::Reordered => unsynced.len(),
        Loss::Prefix => (next(chance) % (unsynced.len() as u64 + 1)) as usize,
    };
    for (number, write) in unsynced[..kept].iter().enumerate() {
        match write {
            _ if loss == Loss::Reordered && next(chance).is_multiple_of(2) => {}
            Write::Put(table, key, value) if loss == Loss::Torn && number + 1 == kept => {
                let cut = (next(chance) % value.len().max(1) as u64) as usize;
                durable.insert((*table, key.clone()), value[..cut].to_vec());
            }
            write => perform(&mut durable, write),
        }
    }
    durable
}

/// The next number of the seed's sequence (SplitMix64).
fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
