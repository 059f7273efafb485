//! Encoded route answers, made at most once for each change of a route and form, and bounded in
//! bytes.

use std::collections::{HashMap, VecDeque};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use crossbeam_utils::sync::ShardedLock;
use signpost_raft::machine::Index;

use super::forms::RouteForm;
use crate::routes::command::Topic;

/// What a topic costs beside its bytes: key, links and counters, roughly.
const ENTRY_OVERHEAD_BYTES: usize = 256;

/// Topic → (the route's `modified`, its bytes in each form). Oldest topics go first when it is
/// full.
#[derive(Debug)]
pub(crate) struct Answers {
    /// Sharded, for it is read by all threads at once and hardly ever written.
    inner: ShardedLock<Inner>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Inner {
    by_topic: HashMap<Topic, Encoded>,
    /// Topics in the order of their first entry.
    order: VecDeque<Topic>,
    bytes: usize,
}

/// One route in the forms that were asked for.
#[derive(Debug, Default)]
struct Encoded {
    modified: Index,
    /// The latest index at which `modified` was seen to hold; 0: it was never looked at.
    checked_at: AtomicU64,
    forms: [Option<Bytes>; RouteForm::COUNT],
}

impl Encoded {
    fn bytes(&self) -> usize {
        self.forms.iter().flatten().map(Bytes::len).sum()
    }
}

impl Answers {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { inner: ShardedLock::default(), bytes_max }
    }

    /// The answer for this topic, and its `modified`, if that is known to hold at `applied`: while
    /// nothing is applied, the tables need not be asked again.
    pub(crate) fn at(
        &self,
        topic: &str,
        form: RouteForm,
        applied: Index,
    ) -> Option<(Index, Bytes)> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let encoded = inner.by_topic.get(topic)?;
        if applied == 0 || encoded.checked_at.load(Ordering::Relaxed) != applied {
            return None;
        }
        Some((encoded.modified, encoded.forms[form.place()].clone()?))
    }

    /// The tables say that at `applied` the topic's last change was at `modified`.
    pub(crate) fn checked(&self, topic: &str, modified: Index, applied: Index) {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(encoded) = inner.by_topic.get(topic)
            && encoded.modified == modified
        {
            encoded.checked_at.fetch_max(applied, Ordering::Relaxed);
        }
    }

    /// The answer for this topic as of `modified`.
    pub(crate) fn get(&self, topic: &str, form: RouteForm, modified: Index) -> Option<Bytes> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let encoded = inner.by_topic.get(topic)?;
        if encoded.modified != modified {
            return None;
        }
        encoded.forms[form.place()].clone()
    }

    /// Keeps an answer, unless a newer one is kept already.
    pub(crate) fn put(&self, topic: &str, form: RouteForm, modified: Index, bytes: Bytes) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *inner;
        if !inner.by_topic.contains_key(topic) {
            inner.bytes += topic.len() + ENTRY_OVERHEAD_BYTES;
            inner.order.push_back(topic.to_owned());
        }
        let encoded = inner.by_topic.entry(topic.to_owned()).or_default();
        if encoded.modified > modified {
            return;
        }
        inner.bytes -= encoded.bytes();
        if encoded.modified < modified {
            *encoded = Encoded { modified, ..Encoded::default() };
        }
        encoded.forms[form.place()] = Some(bytes);
        inner.bytes += encoded.bytes();
        while inner.bytes > self.bytes_max
            && let Some(oldest) = inner.order.pop_front()
        {
            if let Some(encoded) = inner.by_topic.remove(&oldest) {
                inner.bytes -= encoded.bytes() + oldest.len() + ENTRY_OVERHEAD_BYTES;
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

    const STANDARD: RouteForm = RouteForm::PLAIN;
    const LEGACY: RouteForm = RouteForm { legacy: true, acting_master: false };

    #[test]
    fn only_the_asked_for_change_is_answered() {
        let answers = Answers::new(10_000);
        answers.put("t", STANDARD, 5, Bytes::from_static(b"five"));
        assert_eq!(answers.get("t", STANDARD, 5).as_deref(), Some(&b"five"[..]));
        assert_eq!(answers.get("t", STANDARD, 6), None);
        answers.put("t", STANDARD, 4, Bytes::from_static(b"late"));
        assert_eq!(answers.get("t", STANDARD, 5).as_deref(), Some(&b"five"[..]));
    }

    #[test]
    fn what_was_checked_at_an_index_is_answered_at_that_index_only() {
        let answers = Answers::new(10_000);
        answers.put("t", STANDARD, 5, Bytes::from_static(b"five"));
        assert_eq!(answers.at("t", STANDARD, 0), None, "nobody has checked");
        answers.checked("t", 5, 7);
        assert_eq!(answers.at("t", STANDARD, 7), Some((5, Bytes::from_static(b"five"))));
        assert_eq!(answers.at("t", LEGACY, 7), None);
        assert_eq!(answers.at("t", STANDARD, 8), None);
        answers.checked("t", 8, 9);
        assert_eq!(answers.at("t", STANDARD, 9), None, "what is kept is older");
        answers.put("t", STANDARD, 8, Bytes::from_static(b"eight"));
        assert_eq!(answers.at("t", STANDARD, 7), None, "what was checked was another answer");
    }

    #[test]
    fn forms_are_kept_apart_and_go_out_of_date_together() {
        let answers = Answers::new(10_000);
        answers.put("t", STANDARD, 5, Bytes::from_static(b"standard"));
        assert_eq!(answers.get("t", LEGACY, 5), None);
        answers.put("t", LEGACY, 5, Bytes::from_static(b"legacy"));
        assert_eq!(answers.get("t", STANDARD, 5).as_deref(), Some(&b"standard"[..]));
        assert_eq!(answers.get("t", LEGACY, 5).as_deref(), Some(&b"legacy"[..]));
        answers.put("t", LEGACY, 6, Bytes::from_static(b"newer"));
        assert_eq!(answers.get("t", STANDARD, 5), None);
        assert_eq!(answers.get("t", STANDARD, 6), None);
    }

    #[test]
    fn it_stays_within_its_bytes() {
        let answers = Answers::new(2_000);
        for number in 0..500_u64 {
            let form = if number % 3 == 0 { LEGACY } else { STANDARD };
            answers.put(&format!("topic-{}", number % 50), form, number, vec![0; 90].into());
            assert!(answers.bytes() <= 2_000, "{} bytes", answers.bytes());
        }
        assert!(answers.get("topic-49", STANDARD, 499).is_some());
        answers.clear();
        assert_eq!(answers.bytes(), 0);
    }
}
