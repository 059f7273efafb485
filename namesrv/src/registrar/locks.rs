//! One at a time for each broker, all brokers at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, OwnedSemaphorePermit};
use tokio::time::{Instant, timeout_at};

use crate::errors::{ServiceError, Unavailable};
use crate::gate::Gate;
use crate::routes::command::BrokerKey;

/// A lock for each broker that has work under way; bounded.
#[derive(Debug)]
pub(super) struct KeyedLocks {
    by_key: Mutex<BTreeMap<BrokerKey, Slot>>,
    places: Gate,
}

#[derive(Debug, Default)]
struct Slot {
    lock: Arc<AsyncMutex<()>>,
    users: usize,
}

/// The broker's turn, until dropped.
pub(super) struct Turn<'a> {
    locks: &'a KeyedLocks,
    key: &'a BrokerKey,
    held: Option<OwnedMutexGuard<()>>,
    _place: OwnedSemaphorePermit,
}

impl KeyedLocks {
    /// At most `places` hold or wait for a lock.
    pub(super) fn new(places: usize) -> Self {
        Self { by_key: Mutex::default(), places: Gate::new(places, "registrations") }
    }

    /// Waits for this broker's turn.
    pub(super) async fn turn<'a>(
        &'a self,
        key: &'a BrokerKey,
        deadline: Instant,
    ) -> Result<Turn<'a>, ServiceError> {
        let place = self.places.enter()?;
        let lock = {
            let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
            let slot = by_key.entry(key.clone()).or_default();
            slot.users += 1;
            Arc::clone(&slot.lock)
        };
        // From here on its drop leaves the slot, also when the wait is cut short.
        let mut turn = Turn { locks: self, key, held: None, _place: place };
        match timeout_at(deadline, lock.lock_owned()).await {
            Ok(held) => {
                turn.held = Some(held);
                Ok(turn)
            }
            Err(_) => Err(Unavailable::Contended.into()),
        }
    }

    #[cfg(test)]
    fn slots(&self) -> usize {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.held = None;
        let mut by_key = self.locks.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = by_key.get_mut(self.key) {
            slot.users -= 1;
            if slot.users == 0 {
                by_key.remove(self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(name: &str) -> BrokerKey {
        BrokerKey { cluster: "c".into(), name: name.into(), id: 0 }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(100)
    }

    #[tokio::test(start_paused = true)]
    async fn one_broker_waits_for_itself_and_for_nobody_else() {
        let locks = KeyedLocks::new(3);
        let (a, b) = (key("a"), key("b"));
        let first = locks.turn(&a, soon()).await.expect("free");
        let other = locks.turn(&b, soon()).await.expect("another broker is free");
        let late = locks.turn(&a, soon()).await.err().expect("a is taken");
        assert_eq!(late, Unavailable::Contended.into());
        drop(first);
        let again = locks.turn(&a, soon()).await.expect("free again");
        drop((again, other));
        assert_eq!(locks.slots(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_places_are_bounded() {
        let locks = KeyedLocks::new(1);
        let (a, b) = (key("a"), key("b"));
        let _first = locks.turn(&a, soon()).await.expect("free");
        let refused = locks.turn(&b, soon()).await.err().expect("no place is left");
        assert_eq!(refused.wire().status, 429);
    }
}
