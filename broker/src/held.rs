//! Pulls that wait for messages: who waits at which queue, and how many may.
//!
//! A pull that waits is a future of its own connection, which drops it when it ends; so there is
//! nobody to be looked for. Source: RocketMQ `PullRequestHoldService`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::store::queues::{Dispatch, Dispatched};
use crate::store::tags::SCHEDULE_TOPIC;

#[derive(Debug, Default)]
struct State {
    queues: BTreeMap<String, BTreeMap<i32, Waiting>>,
    connections: BTreeMap<u64, usize>,
}

/// Those who wait at one queue.
#[derive(Debug, Default)]
struct Waiting {
    arrived: Arc<Notify>,
    count: usize,
}

/// All pulls that wait.
#[derive(Debug)]
pub(crate) struct Held {
    state: Mutex<State>,
    count: AtomicUsize,
    limit: usize,
    limit_per_connection: usize,
    /// Something has arrived that is to be delivered later.
    pub(crate) delayed: Notify,
    /// Ends all waiting: the broker is stopping.
    pub(crate) end: CancellationToken,
}

/// A place at a queue, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    held: Arc<Held>,
    connection: u64,
    topic: String,
    queue_id: i32,
    /// Notified when something has arrived at the queue.
    pub(crate) arrived: Arc<Notify>,
}

impl Held {
    pub(crate) fn new(limit: usize, limit_per_connection: usize) -> Self {
        Self {
            state: Mutex::default(),
            count: AtomicUsize::new(0),
            limit,
            limit_per_connection,
            delayed: Notify::new(),
            end: CancellationToken::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place to wait at, if there is one left for this connection.
    pub(crate) fn place(
        self: &Arc<Self>,
        connection: u64,
        topic: &str,
        queue_id: i32,
    ) -> Option<Place> {
        let mut state = self.state();
        let mine = state.connections.get(&connection).copied().unwrap_or_default();
        if self.count() >= self.limit || mine >= self.limit_per_connection {
            return None;
        }
        *state.connections.entry(connection).or_default() += 1;
        let queues = state.queues.entry(topic.to_owned()).or_default();
        let waiting = queues.entry(queue_id).or_default();
        waiting.count += 1;
        let arrived = waiting.arrived.clone();
        self.count.fetch_add(1, Ordering::Release);
        let (held, topic) = (self.clone(), topic.to_owned());
        Some(Place { held, connection, topic, queue_id, arrived })
    }

    /// How many wait.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Wakes those who wait at a queue; without a queue, at any of the topic.
    pub(crate) fn wake(&self, topic: &str, queue_id: Option<i32>) {
        if self.count() == 0 {
            return;
        }
        let state = self.state();
        let Some(queues) = state.queues.get(topic) else { return };
        match queue_id {
            Some(queue_id) => queues.get(&queue_id).into_iter().for_each(Waiting::wake),
            None => queues.values().for_each(Waiting::wake),
        }
    }
}

impl Waiting {
    fn wake(&self) {
        self.arrived.notify_waiters();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.held.state();
        if let Some(mine) = state.connections.get_mut(&self.connection) {
            *mine -= 1;
            if *mine == 0 {
                state.connections.remove(&self.connection);
            }
        }
        if let Some(queues) = state.queues.get_mut(&self.topic) {
            if let Some(waiting) = queues.get_mut(&self.queue_id) {
                waiting.count -= 1;
                if waiting.count == 0 {
                    queues.remove(&self.queue_id);
                }
            }
            if queues.is_empty() {
                state.queues.remove(&self.topic);
            }
        }
        self.held.count.fetch_sub(1, Ordering::Release);
    }
}

/// Tells of each message that can be read now.
pub(crate) struct Arrivals(pub(crate) Arc<Held>);

impl Dispatch for Arrivals {
    fn dispatch(&mut self, stored: &Dispatched<'_>) {
        let message = stored.message;
        if message.topic == SCHEDULE_TOPIC {
            self.0.delayed.notify_one();
        }
        self.0.wake(&message.topic, Some(message.queue_id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_those_at_the_queue_are_woken_and_places_are_given_back() {
        let held = Arc::new(Held::new(3, 2));
        let here = held.place(1, "T", 0).unwrap();
        let there = held.place(1, "T", 1).unwrap();
        assert!(held.place(1, "U", 0).is_none(), "two for each connection");
        let other = held.place(2, "T", 0).unwrap();
        assert!(held.place(3, "U", 0).is_none(), "three in all");
        let arrived = [&here, &there, &other].map(|place| place.arrived.clone());
        let mut arrived = arrived.iter().map(|one| Box::pin(one.notified())).collect::<Vec<_>>();
        arrived.iter_mut().for_each(|one| {
            one.as_mut().enable();
        });
        held.wake("U", None);
        held.wake("T", Some(0));
        let woken: Vec<bool> = arrived
            .iter_mut()
            .map(|one| futures_util::FutureExt::now_or_never(one).is_some())
            .collect();
        assert_eq!(woken, [true, false, true]);
        drop((here, there, other));
        assert_eq!(held.count(), 0);
        let state = held.state();
        assert!(state.queues.is_empty() && state.connections.is_empty());
    }
}
