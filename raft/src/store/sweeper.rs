//! Removes what is obsolete, in small steps, away from the tasks that answer.
//!
//! What is to be removed is already out of sight when it is handed over (below the purge marker,
//! or no longer pointed to), and opening hands it over again: a crash leaves nothing but work.

use std::io;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::mpsc;

use super::latch::Latch;
use crate::disk::{Disk, Table};

/// Rows that are removed before others get their turn.
const STEP_ROWS: usize = 32;

struct Sweep {
    table: Table,
    first: Vec<u8>,
    last: Vec<u8>,
}

/// Takes what is to be removed. Clones share one task, which ends with the last of them.
#[derive(Clone)]
pub(super) struct Sweeper {
    // Unbounded, because each item stands for a whole purge or snapshot: there are few.
    sweeps: mpsc::UnboundedSender<Sweep>,
    removal: Arc<RwLock<()>>,
}

impl Sweeper {
    pub(super) fn start(disk: Arc<Latch>) -> Sweeper {
        let (sweeps, received) = mpsc::unbounded_channel();
        let removal = Arc::new(RwLock::new(()));
        tokio::spawn(sweep(disk, received, Arc::clone(&removal)));
        Sweeper { sweeps, removal }
    }

    /// Has the rows of `table` from `first` to `last` removed, in order.
    pub(super) fn remove(&self, table: Table, first: Vec<u8>, last: Vec<u8>) {
        // A sweeper that has stopped leaves the work to the next opening.
        let _ = self.sweeps.send(Sweep { table, first, last });
    }

    /// Holds off removals of log entries, so that an entry of several rows is read whole.
    pub(super) fn hold_off(&self) -> RwLockReadGuard<'_, ()> {
        self.removal.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for readers of log entries, and holds them off.
    pub(super) fn removing(&self) -> RwLockWriteGuard<'_, ()> {
        self.removal.write().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn sweep(
    disk: Arc<Latch>,
    mut received: mpsc::UnboundedReceiver<Sweep>,
    removal: Arc<RwLock<()>>,
) {
    while let Some(Sweep { table, first, last }) = received.recv().await {
        let mut next = Some(first);
        while let Some(first) = next {
            let removed = {
                let _removing = removal.write().unwrap_or_else(PoisonError::into_inner);
                remove_step(&disk, table, first, last.clone())
            };
            // The latch has an error, and the next opening does this again.
            let Ok(left) = removed else { return };
            next = left;
            tokio::task::yield_now().await;
        }
    }
}

/// Removes the first rows from `first` to `last`; answers where the others begin, if there are any. A
/// disk may keep removed rows for a while: steps that all began at the same row would pass over
/// those of all steps before.
fn remove_step(
    disk: &Latch,
    table: Table,
    first: Vec<u8>,
    last: Vec<u8>,
) -> io::Result<Option<Vec<u8>>> {
    let mut rows = disk.range(table, first..=last, STEP_ROWS)?;
    for (key, _) in &rows {
        disk.remove(table, key)?;
    }
    let full = rows.len() == STEP_ROWS;
    Ok(rows.pop().filter(|_| full).map(|(key, _)| [&key[..], &[0]].concat()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::disk::simulated::SimulatedDisk;

    fn key(row: usize) -> Vec<u8> {
        u64::try_from(row).expect("few").to_be_bytes().to_vec()
    }

    fn rows(disk: &Latch, table: Table) -> Vec<Vec<u8>> {
        let rows = disk.range(table, key(0)..=key(usize::MAX), usize::MAX);
        rows.expect("the disk is well").into_iter().map(|(key, _)| key).collect()
    }

    #[tokio::test]
    async fn all_that_was_handed_over_goes_and_nothing_else() {
        let disk = Arc::new(Latch::new(Arc::new(SimulatedDisk::new(1))));
        let all = 4 * STEP_ROWS;
        for row in 0..all {
            disk.put(Table::Log, &key(row), b"row").expect("there is room");
            disk.put(Table::Chunk, &key(row), b"row").expect("there is room");
        }
        let sweeper = Sweeper::start(Arc::clone(&disk));
        sweeper.remove(Table::Log, key(0), key(3 * STEP_ROWS));
        sweeper.remove(Table::Log, key(all - 2), key(all - 2));
        sweeper.remove(Table::Chunk, key(5), key(5 + STEP_ROWS));
        // It ends what it was given before.
        drop(sweeper);
        let log: Vec<_> = (3 * STEP_ROWS + 1..all).filter(|row| *row != all - 2).map(key).collect();
        let chunks: Vec<_> = (0..5).chain(6 + STEP_ROWS..all).map(key).collect();
        let done = async {
            while (rows(&disk, Table::Log), rows(&disk, Table::Chunk))
                != (log.clone(), chunks.clone())
            {
                tokio::task::yield_now().await;
            }
        };
        let swept = timeout(Duration::from_secs(10), done).await;
        swept.unwrap_or_else(|_| panic!("left: {:?}", rows(&disk, Table::Log)));
    }

    #[test]
    fn each_step_begins_behind_the_one_before() {
        let disk = Latch::new(Arc::new(SimulatedDisk::new(1)));
        for row in 0..3 * STEP_ROWS {
            disk.put(Table::Log, &key(row), b"row").expect("there is room");
        }
        let last_swept = 2 * STEP_ROWS + 4;
        let mut next = Some(key(0));
        for step in 0..3 {
            let left =
                remove_step(&disk, Table::Log, next.expect("rows are left"), key(last_swept));
            next = left.expect("the disk is well");
            let behind = key(((step + 1) * STEP_ROWS).min(last_swept + 1));
            let rows =
                disk.range(Table::Log, key(0)..=key(usize::MAX), 1).expect("the disk is well");
            assert_eq!(rows[0].0, behind);
            assert!(
                next.as_ref().is_none_or(|next| next[..] > key((step + 1) * STEP_ROWS - 1)[..])
            );
            assert_eq!(next.is_none(), step == 2);
        }
    }
}
