//! Queues that ordered consumers have to themselves, each for a minute since it was last asked
//! for. Pure: time is an argument. Source: RocketMQ `RebalanceLockManager`.

use std::collections::BTreeMap;

use signpost_remoting::body::{LockBatch, QueueRef};

/// A lock that is not asked for again ends after this. RocketMQ: 60 s; clients ask every 20 s.
pub(crate) const LOCK_MS: i64 = 60_000;
/// Most locks; beyond it none is given.
const LOCKS_MAX: usize = 100_000;

#[derive(Debug)]
struct Lock {
    client: String,
    until_ms: i64,
}

/// Who has which queue, by group.
#[derive(Debug, Default)]
pub(crate) struct QueueLocks {
    locks: BTreeMap<(String, QueueRef), Lock>,
}

impl QueueLocks {
    /// Gives the client the queues that no other has; answers those that it now has.
    pub(crate) fn lock(&mut self, batch: LockBatch, now_ms: i64) -> Vec<QueueRef> {
        let LockBatch { client_id, consumer_group, mq_set } = batch;
        let mut locked = Vec::new();
        for queue in mq_set {
            let key = (consumer_group.clone(), queue.clone());
            let held = self.locks.get(&key);
            let others =
                held.is_some_and(|lock| lock.client != client_id && lock.until_ms > now_ms);
            if others || (held.is_none() && self.locks.len() >= LOCKS_MAX) {
                continue;
            }
            let lock = Lock { client: client_id.clone(), until_ms: now_ms + LOCK_MS };
            self.locks.insert(key, lock);
            locked.push(queue);
        }
        locked
    }

    /// Takes the client's locks on these queues back; those of others stay.
    pub(crate) fn unlock(&mut self, batch: LockBatch) {
        for queue in batch.mq_set {
            let key = (batch.consumer_group.clone(), queue);
            if self.locks.get(&key).is_some_and(|lock| lock.client == batch.client_id) {
                self.locks.remove(&key);
            }
        }
    }

    /// Forgets what has ended.
    pub(crate) fn expire(&mut self, now_ms: i64) {
        self.locks.retain(|_, lock| lock.until_ms > now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(queue_id: i32) -> QueueRef {
        QueueRef { broker_name: "b".to_owned(), queue_id, topic: "T".to_owned() }
    }

    fn batch(client: &str, group: &str, queues: &[i32]) -> LockBatch {
        LockBatch {
            client_id: client.to_owned(),
            consumer_group: group.to_owned(),
            mq_set: queues.iter().map(|id| queue(*id)).collect(),
        }
    }

    #[test]
    fn a_queue_is_one_client_s_until_it_lets_go_or_falls_silent() {
        let mut locks = QueueLocks::default();
        assert_eq!(locks.lock(batch("a", "g", &[0, 1]), 0), [queue(0), queue(1)]);
        assert_eq!(locks.lock(batch("b", "g", &[0, 2]), 1), [queue(2)]);
        assert_eq!(locks.lock(batch("b", "other", &[0]), 1), [queue(0)], "groups do not meet");
        locks.unlock(batch("b", "g", &[1]));
        assert_eq!(locks.lock(batch("b", "g", &[1]), 2), [], "not b's to give back");
        locks.unlock(batch("a", "g", &[1]));
        assert_eq!(locks.lock(batch("b", "g", &[1]), 3), [queue(1)]);
        // a asks again in time, and then no more.
        assert_eq!(locks.lock(batch("a", "g", &[0]), 50_000), [queue(0)]);
        assert_eq!(locks.lock(batch("b", "g", &[0]), 109_999), []);
        assert_eq!(locks.lock(batch("b", "g", &[0]), 110_000), [queue(0)]);
        locks.expire(170_000);
        assert!(locks.locks.is_empty());
    }
}
