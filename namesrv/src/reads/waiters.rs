//! Waiting reads: who waits for which topic. A change wakes the waiters of its topic, and nobody
//! else.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::errors::ServiceError;
use crate::gate::Gate;
use crate::routes::command::Topic;

type Ears = BTreeMap<u64, Arc<Notify>>;

/// Waiters by topic.
#[derive(Debug)]
pub(crate) struct Waiters {
    by_topic: Mutex<BTreeMap<Topic, Ears>>,
    next_id: AtomicU64,
    places: Gate,
}

/// One waiting read; dropping it ends the wait.
pub(crate) struct Waiter<'a> {
    waiters: &'a Waiters,
    id: u64,
    topics: &'a [Topic],
    ear: Arc<Notify>,
    _places: OwnedSemaphorePermit,
}

impl Waiters {
    /// At most `places` topics are waited for at once; one that is waited for twice counts twice.
    pub(crate) fn new(places: usize) -> Self {
        Self {
            by_topic: Mutex::default(),
            next_id: AtomicU64::new(0),
            places: Gate::new(places, "waiting reads"),
        }
    }

    /// Begins to listen. Look at the tables only afterwards, or a change may slip through.
    pub(crate) fn listen<'a>(&'a self, topics: &'a [Topic]) -> Result<Waiter<'a>, ServiceError> {
        let places = self.places.enter_many(topics.len())?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let ear = Arc::new(Notify::new());
        let mut by_topic = self.by_topic.lock().unwrap_or_else(PoisonError::into_inner);
        for topic in topics {
            by_topic.entry(topic.clone()).or_default().insert(id, Arc::clone(&ear));
        }
        drop(by_topic);
        Ok(Waiter { waiters: self, id, topics, ear, _places: places })
    }

    /// Is anybody waiting at all?
    pub(crate) fn is_empty(&self) -> bool {
        self.places.taken() == 0
    }

    /// How many topics are waited for.
    pub(crate) fn count(&self) -> usize {
        self.places.taken()
    }

    /// Wakes those who wait for this topic.
    pub(crate) fn wake(&self, topic: &str) {
        let by_topic = self.by_topic.lock().unwrap_or_else(PoisonError::into_inner);
        for ear in by_topic.get(topic).into_iter().flat_map(Ears::values) {
            // A permit is stored when it does not listen at this very moment.
            ear.notify_one();
        }
    }

    /// Wakes everybody: the tables were replaced as a whole.
    pub(crate) fn wake_all(&self) {
        let by_topic = self.by_topic.lock().unwrap_or_else(PoisonError::into_inner);
        for ear in by_topic.values().flat_map(Ears::values) {
            ear.notify_one();
        }
    }
}

impl Waiter<'_> {
    /// Until one of its topics may have changed since it began to listen, or since the last call.
    pub(crate) async fn heard(&self) {
        self.ear.notified().await;
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut by_topic = self.waiters.by_topic.lock().unwrap_or_else(PoisonError::into_inner);
        for topic in self.topics {
            if let Some(ears) = by_topic.get_mut(topic) {
                ears.remove(&self.id);
                if ears.is_empty() {
                    by_topic.remove(topic);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn hears(waiter: &Waiter<'_>) -> bool {
        timeout(Duration::from_millis(1), waiter.heard()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn one_topic_wakes_its_own_waiters_only() {
        let waiters = Waiters::new(10);
        let (t, u) = (["T".to_owned()], ["U".to_owned()]);
        let (of_t, of_u) = (waiters.listen(&t).expect("room"), waiters.listen(&u).expect("room"));
        waiters.wake("T");
        assert!(hears(&of_t).await && !hears(&of_u).await);
        waiters.wake("V");
        assert!(!hears(&of_t).await && !hears(&of_u).await);
        waiters.wake_all();
        assert!(hears(&of_t).await && hears(&of_u).await);
        drop((of_t, of_u));
        assert!(waiters.is_empty() && waiters.by_topic.lock().expect("not poisoned").is_empty());
    }
}
