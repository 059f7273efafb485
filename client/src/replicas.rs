//! Which replica to ask: pure, `now` is an argument.
//!
//! The last one that answered comes first. One that failed is set aside for a while, longer each
//! time, but is still asked when no other is left. One that says it was removed (421) comes last
//! of all.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::Endpoint;

/// How long a replica is set aside after its first failure; doubles up to [`MAX_ASIDE`].
const MIN_ASIDE: Duration = Duration::from_millis(200);
/// The longest a replica is set aside.
const MAX_ASIDE: Duration = Duration::from_secs(5);
/// Replicas that are kept at most, those learnt from a 421 included.
const MAX_REPLICAS: usize = 64;

/// The list. Positions stay valid: it only grows.
#[derive(Debug)]
pub(crate) struct Replicas {
    list: Vec<Replica>,
    preferred: usize,
}

#[derive(Debug)]
struct Replica {
    endpoint: Arc<Endpoint>,
    failures: u32,
    aside_until: Option<Instant>,
    removed: bool,
}

impl Replica {
    fn new(authority: String) -> Self {
        let endpoint = Arc::new(Endpoint::new(authority));
        Self { endpoint, failures: 0, aside_until: None, removed: false }
    }
}

impl Replicas {
    /// At least one; `start` chooses which is asked first.
    pub(crate) fn new(authorities: Vec<String>, start: u64) -> Self {
        debug_assert!(!authorities.is_empty());
        let count = authorities.len().max(1) as u64;
        let list = authorities.into_iter().map(Replica::new).collect();
        Self { list, preferred: usize::try_from(start % count).unwrap_or(0) }
    }

    /// All addresses, removed replicas included.
    pub(crate) fn authorities(&self) -> Vec<String> {
        self.list.iter().map(|replica| replica.endpoint.authority.clone()).collect()
    }

    /// The best one that is not in `tried`; None when all have been tried.
    pub(crate) fn next(&self, now: Instant, tried: &[usize]) -> Option<(usize, Arc<Endpoint>)> {
        let count = self.list.len();
        let all_removed = self.list.iter().all(|replica| replica.removed);
        (0..count)
            .map(|step| (step, (self.preferred + step) % count))
            .filter(|(_, at)| !tried.contains(at) && (all_removed || !self.list[*at].removed))
            .min_by_key(|(step, at)| {
                (self.list[*at].aside_until.filter(|until| *until > now), *step)
            })
            .map(|(_, at)| (at, Arc::clone(&self.list[at].endpoint)))
    }

    /// It answered: ask it first from now on.
    pub(crate) fn succeeded(&mut self, at: usize) {
        self.preferred = at;
        let replica = &mut self.list[at];
        (replica.failures, replica.aside_until, replica.removed) = (0, None, false);
    }

    /// It did not answer, or is of no use just now.
    pub(crate) fn failed(&mut self, at: usize, now: Instant) {
        let replica = &mut self.list[at];
        let aside = MIN_ASIDE.saturating_mul(1 << replica.failures.min(16)).min(MAX_ASIDE);
        replica.failures = replica.failures.saturating_add(1);
        replica.aside_until = Some(now + aside);
    }

    /// It is no longer a member; `others` are those it names instead.
    pub(crate) fn removed(&mut self, at: usize, others: Vec<String>) {
        self.list[at].removed = true;
        for authority in others {
            let known = self.list.iter().any(|replica| replica.endpoint.authority == authority);
            if !known && self.list.len() < MAX_REPLICAS {
                self.list.push(Replica::new(authority));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Replicas {
        Replicas::new(vec!["a:1".into(), "b:1".into(), "c:1".into()], 4)
    }

    fn order(replicas: &Replicas, now: Instant) -> Vec<usize> {
        let mut tried = Vec::new();
        while let Some((at, _)) = replicas.next(now, &tried) {
            tried.push(at);
        }
        tried
    }

    #[test]
    fn the_last_good_one_comes_first_and_the_failed_last() {
        let (mut replicas, now) = (three(), Instant::now());
        assert_eq!(order(&replicas, now), [1, 2, 0], "started at 4 % 3");
        replicas.succeeded(2);
        assert_eq!(order(&replicas, now), [2, 0, 1]);
        replicas.failed(2, now);
        assert_eq!(order(&replicas, now), [0, 1, 2], "set aside, still there");
        assert_eq!(order(&replicas, now + MIN_ASIDE), [2, 0, 1], "its time is over");
        replicas.failed(2, now);
        assert_eq!(order(&replicas, now + MIN_ASIDE), [0, 1, 2], "longer the second time");
        for _ in 0..100 {
            replicas.failed(2, now);
        }
        assert_eq!(order(&replicas, now + MAX_ASIDE), [2, 0, 1], "bounded");
    }

    #[test]
    fn removed_ones_are_left_out_until_no_other_is_left() {
        let (mut replicas, now) = (three(), Instant::now());
        replicas.removed(1, vec!["a:1".into(), "d:1".into()]);
        assert_eq!(order(&replicas, now), [2, 3, 0], "without 1, with the one it named");
        for at in [0, 2, 3] {
            replicas.removed(at, Vec::new());
        }
        assert_eq!(order(&replicas, now).len(), 4, "all removed: ask them all again");
        replicas.removed(0, (0..1000).map(|n| format!("x{n}:1")).collect());
        assert_eq!(replicas.list.len(), MAX_REPLICAS);
    }
}
