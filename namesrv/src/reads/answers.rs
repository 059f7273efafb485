//! Encoded route answers, made at most once for each change of a route, and bounded in bytes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use signpost_raft::machine::Index;

use crate::routes::command::Topic;

/// What an entry costs beside its bytes: key, links and counters, roughly.
const ENTRY_OVERHEAD_BYTES: usize = 128;

/// Topic → (the route's `modified`, its bytes). Oldest entries go first when it is full.
#[derive(Debug)]
pub(crate) struct Answers {
    inner: RwLock<Inner>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Inner {
    by_topic: BTreeMap<Topic, (Index, Bytes)>,
    /// Topics in the order of their first entry.
    order: VecDeque<Topic>,
    bytes: usize,
}

impl Answers {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { inner: RwLock::default(), bytes_max }
    }

    /// The answer for this topic as of `modified`.
    pub(crate) fn get(&self, topic: &str, modified: Index) -> Option<Bytes> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let (at, bytes) = inner.by_topic.get(topic)?;
        (*at == modified).then(|| bytes.clone())
    }

    /// Keeps an answer, unless a newer one is kept already.
    pub(crate) fn put(&self, topic: &str, modified: Index, bytes: Bytes) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *inner;
        match inner.by_topic.get_mut(topic) {
            Some((at, _)) if *at > modified => return,
            Some(kept) => {
                inner.bytes = inner.bytes + bytes.len() - kept.1.len();
                *kept = (modified, bytes);
            }
            None => {
                inner.bytes += bytes.len() + topic.len() + ENTRY_OVERHEAD_BYTES;
                inner.by_topic.insert(topic.to_owned(), (modified, bytes));
                inner.order.push_back(topic.to_owned());
            }
        }
        while inner.bytes > self.bytes_max
            && let Some(oldest) = inner.order.pop_front()
        {
            if let Some((_, bytes)) = inner.by_topic.remove(&oldest) {
                inner.bytes -= bytes.len() + oldest.len() + ENTRY_OVERHEAD_BYTES;
            }
        }
    }

    /// Forgets everything: the tables were replaced as a whole.
    pub(crate) fn clear(&self) {
        *self.inner.write().unwrap_or_else(PoisonError::into_inner) = Inner::default();
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_asked_for_change_is_answered() {
        let answers = Answers::new(10_000);
        answers.put("t", 5, Bytes::from_static(b"five"));
        assert_eq!(answers.get("t", 5).as_deref(), Some(&b"five"[..]));
        assert_eq!(answers.get("t", 6), None);
        answers.put("t", 4, Bytes::from_static(b"late"));
        assert_eq!(answers.get("t", 5).as_deref(), Some(&b"five"[..]));
    }

    #[test]
    fn it_stays_within_its_bytes() {
        let answers = Answers::new(1_000);
        for number in 0..500_u64 {
            answers.put(&format!("topic-{}", number % 50), number, Bytes::from(vec![0; 90]));
            assert!(answers.bytes() <= 1_000, "{} bytes", answers.bytes());
        }
        assert!(answers.get("topic-49", 499).is_some());
        answers.clear();
        assert_eq!(answers.bytes(), 0);
    }
}
