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
        loop {
            let removed = {
                let _removing = removal.write().unwrap_or_else(PoisonError::into_inner);
                remove_step(&disk, table, first.clone(), last.clone())
            };
            match removed {
                Ok(STEP_ROWS) => tokio::task::yield_now().await,
                Ok(_) => break,
                // The latch has it, and the next opening does this again.
                Err(_) => return,
            }
        }
    }
}

fn remove_step(disk: &Latch, table: Table, first: Vec<u8>, last: Vec<u8>) -> io::Result<usize> {
    let rows = disk.range(table, first..=last, STEP_ROWS)?;
    for (key, _) in &rows {
        disk.remove(table, key)?;
    }
    Ok(rows.len())
}
