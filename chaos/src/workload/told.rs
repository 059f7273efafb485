//! The history as it grows, bounded: a run that is told more than it may keep says so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::history::Operation;

/// So many more are kept: what is under way when a run ends because its history is full. Without them a
/// write in the log would seem to have been asked for by nobody.
const UNDER_WAY: usize = 50_000;

/// What all clients of a run were told. Clones share it.
#[derive(Debug, Clone)]
pub struct Told {
    begun: Instant,
    kept: Arc<Mutex<Kept>>,
    operations_max: usize,
}

#[derive(Debug, Default)]
struct Kept {
    operations: Vec<Operation>,
    left_out: u64,
}

impl Told {
    /// Nothing yet; the run begins now. With so many operations it is full.
    #[must_use]
    pub fn new(operations_max: usize) -> Told {
        Told { begun: Instant::now(), kept: Arc::default(), operations_max }
    }

    /// Since the run began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what a client was told.
    pub fn add(&self, operation: Operation) {
        let mut kept = self.kept();
        if kept.operations.len() < self.operations_max.saturating_add(UNDER_WAY) {
            kept.operations.push(operation);
        } else {
            kept.left_out += 1;
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.kept().operations.len()
    }

    /// Whether the run must end, for want of room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.count() >= self.operations_max
    }

    /// All of it, and how many were left out.
    #[must_use]
    pub fn take(&self) -> (Vec<Operation>, u64) {
        let mut kept = self.kept();
        (std::mem::take(&mut kept.operations), kept.left_out)
    }
}
