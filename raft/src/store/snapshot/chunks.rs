//! The rows of one snapshot, and how long they stay.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::disk::{Disk, Table};
use crate::store::damaged;
use crate::store::latch::Latch;
use crate::store::record::{seal, unseal};
use crate::store::sweeper::Sweeper;

/// A snapshot's rows. They are removed when this is dropped, unless they belong to the current
/// snapshot.
pub(super) struct Chunks {
    disk: Arc<Latch>,
    sweeper: Sweeper,
    number: u64,
    obsolete: AtomicBool,
}

fn key(number: u64, chunk: u32) -> Vec<u8> {
    [&number.to_be_bytes()[..], &chunk.to_be_bytes()].concat()
}

/// A key before all rows of snapshot `number`, and behind those of the one before.
pub(super) fn first_key(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// The last key that a row of snapshot `number` can have.
pub(super) fn last_key(number: u64) -> Vec<u8> {
    key(number, u32::MAX)
}

impl Chunks {
    pub(super) fn begun(disk: &Arc<Latch>, sweeper: &Sweeper, number: u64) -> Arc<Chunks> {
        Chunks::new(disk, sweeper, number, true)
    }

    pub(super) fn current(disk: &Arc<Latch>, sweeper: &Sweeper, number: u64) -> Arc<Chunks> {
        Chunks::new(disk, sweeper, number, false)
    }

    fn new(disk: &Arc<Latch>, sweeper: &Sweeper, number: u64, obsolete: bool) -> Arc<Chunks> {
        Arc::new(Chunks {
            disk: Arc::clone(disk),
            sweeper: sweeper.clone(),
            number,
            obsolete: AtomicBool::new(obsolete),
        })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn is_on(&self, disk: &Arc<Latch>) -> bool {
        Arc::ptr_eq(&self.disk, disk)
    }

    pub(super) fn set_obsolete(&self, obsolete: bool) {
        self.obsolete.store(obsolete, Ordering::Relaxed);
    }

    pub(super) fn put(&self, chunk: u32, body: &[u8]) -> io::Result<()> {
        let key = key(self.number, chunk);
        self.disk.put(Table::Chunk, &key, &seal(Table::Chunk, &key, &[body]))
    }

    pub(super) fn get(&self, chunk: u32) -> io::Result<Vec<u8>> {
        let key = key(self.number, chunk);
        match self.disk.get(Table::Chunk, &key)? {
            None => Err(damaged(Table::Chunk, &key, "it is missing")),
            Some(value) => Ok(unseal(Table::Chunk, &key, &value)?.to_vec()),
        }
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        if self.obsolete.load(Ordering::Relaxed) {
            self.sweeper.remove(Table::Chunk, first_key(self.number), last_key(self.number));
        }
    }
}
