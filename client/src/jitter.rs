//! A small seeded generator (SplitMix64), so that a run can be repeated and a simulation decides.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Where retries, first replicas and renewals take their randomness from.
#[derive(Debug)]
pub(crate) struct Jitter(Mutex<u64>);

impl Jitter {
    /// The same seed gives the same numbers; None takes one from the operating system.
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self(Mutex::new(seed.unwrap_or_else(|| RandomState::new().build_hasher().finish())))
    }

    /// The next number.
    pub(crate) fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Evenly from `low..=high`.
    pub(crate) fn between(&self, low: Duration, high: Duration) -> Duration {
        let span = high.saturating_sub(low).as_nanos();
        let span = u64::try_from(span).unwrap_or(u64::MAX);
        if span == 0 {
            return low;
        }
        low + Duration::from_nanos(self.next() % span.saturating_add(1).max(1))
    }

    /// A pause that doubles with each failure from `base` up to `cap`, its upper half random.
    pub(crate) fn backoff(&self, failures: u32, base: Duration, cap: Duration) -> Duration {
        let full = base.saturating_mul(1 << failures.min(16)).min(cap);
        self.between(full / 2, full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_repeat_and_bounds_hold() {
        let (a, b) = (Jitter::new(Some(7)), Jitter::new(Some(7)));
        let (low, high) = (Duration::from_millis(25), Duration::from_millis(33));
        for failures in 0..100 {
            let pause = a.between(low, high);
            assert_eq!(pause, b.between(low, high));
            assert!(pause >= low && pause <= high);
            let backoff = a.backoff(failures, low, high * 10);
            assert_eq!(backoff, b.backoff(failures, low, high * 10));
            assert!(backoff >= low / 2 && backoff <= high * 10);
        }
        assert_eq!(a.between(high, low), high, "an empty range is its lower end");
    }
}
