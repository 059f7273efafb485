//! A bound on work that is done at once, and on work that waits for its turn.

use std::sync::atomic::{AtomicUsize, Ordering};

use signpost_remoting::response;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::refused::Refused;

/// Lets so many in at once and so many wait; turns the rest away.
#[derive(Debug)]
pub(crate) struct Gate {
    turns: Semaphore,
    inside: AtomicUsize,
    limit: usize,
}

/// A place inside, or in the queue; given back when dropped.
pub(crate) struct Turn<'g> {
    gate: &'g Gate,
    _turn: Option<SemaphorePermit<'g>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.gate.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    /// `at_once` are let in; together with those that wait there may be `limit`.
    pub(crate) fn new(at_once: usize, limit: usize) -> Self {
        Self { turns: Semaphore::new(at_once), inside: AtomicUsize::new(0), limit }
    }

    /// Waits for a turn. Refused as a stock broker refuses what its thread pool has no room for;
    /// consumers come back after a second or three, producers try another broker.
    pub(crate) async fn enter(&self) -> Result<Turn<'_>, Refused> {
        let inside = self.inside.fetch_add(1, Ordering::Relaxed);
        let mut turn = Turn { gate: self, _turn: None };
        if inside >= self.limit {
            let text = format!("[OVERLOAD]system busy, {inside} requests are waiting");
            return Err(Refused::new(response::SYSTEM_BUSY, text));
        }
        turn._turn = Some(self.turns.acquire().await.expect("the semaphore is never closed"));
        Ok(turn)
    }

    /// How many are inside or wait.
    pub(crate) fn inside(&self) -> usize {
        self.inside.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn beyond_the_limit_it_is_busy_and_turns_are_given_back() {
        let gate = Gate::new(1, 2);
        let first = gate.enter().await.unwrap();
        let waiting = gate.enter();
        let mut waiting = std::pin::pin!(waiting);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        let refused = gate.enter().await.err().unwrap();
        assert_eq!((refused.code, gate.inside()), (response::SYSTEM_BUSY, 2));
        drop(first);
        drop(waiting.await.unwrap());
        assert_eq!(gate.inside(), 0);
    }
}
