//! Latencies, counted in bounded memory: percentiles within 1.6 %, however many are recorded.

use std::time::Duration;

/// Buckets between one power of two and the next.
const STEPS: usize = 64;
/// log2 of it.
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Microseconds of 64 bits need no more.
const BUCKETS: usize = (64 - STEP_BITS as usize + 1) * STEPS;

/// A histogram of latencies.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    counts: Vec<u64>,
    recorded: u64,
    longest: Duration,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], recorded: 0, longest: Duration::ZERO }
    }
}

impl Latencies {
    /// Counts one.
    pub(crate) fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(micros)] += 1;
        self.recorded += 1;
        self.longest = self.longest.max(latency);
    }

    /// The latency that this share (0 to 1) of all did not exceed; None when there is none.
    pub(crate) fn percentile(&self, share: f64) -> Option<Duration> {
        if self.recorded == 0 {
            return None;
        }
        // At least one; the product is far below 2^53 in practice, and only rounds beyond.
        let rank = ((self.recorded as f64 * share).ceil() as u64).clamp(1, self.recorded);
        let mut seen = 0;
        let reached = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        let upper = Duration::from_micros(upper_micros(reached?));
        Some(upper.min(self.longest))
    }

    /// The longest.
    pub(crate) fn longest(&self) -> Option<Duration> {
        (self.recorded > 0).then_some(self.longest)
    }
}

/// Below [`STEPS`] each value has its own bucket, above it each 64th part of a power of two.
fn bucket(micros: u64) -> usize {
    if micros < STEPS as u64 {
        return micros as usize;
    }
    let exponent = 63 - micros.leading_zeros();
    let step = (micros >> (exponent - STEP_BITS)) as usize - STEPS;
    (exponent - STEP_BITS + 1) as usize * STEPS + step
}

/// The highest value of a bucket.
fn upper_micros(bucket: usize) -> u64 {
    if bucket < STEPS {
        return bucket as u64;
    }
    let shift = (bucket / STEPS - 1) as u32;
    let lower = ((STEPS + bucket % STEPS) as u64) << shift;
    lower + ((1_u64 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_bucket_that_is_close_above_it() {
        let values = (0..64).flat_map(|bit| [1_u64 << bit, (1 << bit) + (1 << bit) / 3]);
        for value in values.chain([0, 63, 65, 12_345, u64::MAX]) {
            let upper = upper_micros(bucket(value));
            assert!(upper >= value, "{value}");
            assert!((upper - value) as f64 <= value as f64 / 64.0 + 1.0, "{value} → {upper}");
        }
    }

    #[test]
    fn percentiles_are_those_of_the_values() {
        let mut latencies = Latencies::default();
        assert_eq!((latencies.percentile(0.5), latencies.longest()), (None, None));
        for micros in 1..=10_000 {
            latencies.record(Duration::from_micros(micros));
        }
        for (share, exact) in [(0.0, 1), (0.5, 5_000), (0.99, 9_900), (1.0, 10_000)] {
            let found = latencies.percentile(share).expect("some").as_micros() as f64;
            assert!(
                (found - f64::from(exact)).abs() <= f64::from(exact) * 0.017,
                "{share}: {found}"
            );
        }
        assert_eq!(latencies.longest(), Some(Duration::from_millis(10)));
    }

    #[test]
    fn no_percentile_is_above_the_longest() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::from_micros(1_000_001));
        assert_eq!(latencies.percentile(0.99), Some(Duration::from_micros(1_000_001)));
    }
}
