//! Which brokers to leave alone for a while, because they were slow or failed. Pure: the time is an
//! argument.
//!
//! Off unless asked for, as RocketMQ's `sendLatencyFaultEnable`. The rules and the two arrays are
//! those of 5.1.4 and later: a latency is looked up in `latency_max`, and the broker is left out
//! for the duration at the same place; a failure counts as a latency of ten seconds. A later
//! verdict may lengthen that time and never shortens it (4.x: overwrites it, with longer arrays).
//! Source: RocketMQ `MQFaultStrategy`, `LatencyFaultToleranceImpl`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// How slow and failing brokers are avoided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultAvoidance {
    /// Latencies in ascending order (RocketMQ `latencyMax`).
    pub latency_max: Vec<Duration>,
    /// For how long a broker is left out whose latency has reached the one at the same place
    /// (RocketMQ `notAvailableDuration`).
    pub not_available: Vec<Duration>,
    /// The latency that a failed attempt stands for.
    pub failure_latency: Duration,
    /// Probes brokers that failed, so that one found reachable is preferred to one that is not when
    /// all are left out; None: they are not probed, and failures say nothing of reachability.
    pub detector: Option<Detector>,
}

/// How brokers that failed are probed (RocketMQ `startDetectorEnable`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detector {
    /// Between two probes of a broker.
    pub interval: Duration,
    /// How long a probe may take.
    pub timeout: Duration,
}

impl Default for Detector {
    fn default() -> Self {
        Self { interval: Duration::from_secs(2), timeout: Duration::from_millis(200) }
    }
}

impl Default for FaultAvoidance {
    fn default() -> Self {
        let millis = |list: [u64; 7]| list.map(Duration::from_millis).to_vec();
        Self {
            latency_max: millis([50, 100, 550, 1_800, 3_000, 5_000, 15_000]),
            not_available: millis([0, 0, 2_000, 5_000, 6_000, 10_000, 30_000]),
            failure_latency: Duration::from_secs(10),
            detector: None,
        }
    }
}

impl FaultAvoidance {
    /// What is wrong with it.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        if self.latency_max.len() != self.not_available.len() {
            return Some("expected as many latencies as durations");
        }
        if !self.latency_max.is_sorted() {
            return Some("expected latencies in ascending order");
        }
        let zero = |detector: Detector| detector.interval.is_zero() || detector.timeout.is_zero();
        self.detector.is_some_and(zero).then_some("expected an interval and a timeout above zero")
    }

    /// For how long a broker with this latency is left out.
    fn duration(&self, latency: Duration) -> Duration {
        let reached = self.latency_max.iter().rposition(|max| latency >= *max);
        reached.and_then(|at| self.not_available.get(at)).copied().unwrap_or_default()
    }
}

/// How an attempt ended, as far as the broker is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It answered.
    Answered,
    /// It answered with an error, or not at all.
    Failed {
        /// Whether it must be taken to be out of reach until it is found to be otherwise.
        unreachable: bool,
    },
}

/// What is held against brokers. Those with nothing against them are not in it.
#[derive(Debug)]
pub(crate) struct FaultTable {
    rules: FaultAvoidance,
    brokers: BTreeMap<Arc<str>, Fault>,
}

#[derive(Debug)]
struct Fault {
    /// From then on it may be chosen again.
    available_at: Instant,
    reachable: bool,
    probe_at: Instant,
}

impl FaultTable {
    pub(crate) fn new(rules: FaultAvoidance) -> Self {
        Self { rules, brokers: BTreeMap::new() }
    }

    pub(crate) fn detector(&self) -> Option<Detector> {
        self.rules.detector
    }

    /// Takes in how an attempt at a broker ended.
    pub(crate) fn record(
        &mut self,
        broker: &Arc<str>,
        latency: Duration,
        verdict: Verdict,
        now: Instant,
    ) {
        let (latency, reachable) = match verdict {
            Verdict::Answered => (latency, true),
            Verdict::Failed { unreachable } => (self.rules.failure_latency, !unreachable),
        };
        let available_at = now + self.rules.duration(latency);
        let fault = self.brokers.entry(Arc::clone(broker));
        let fault = fault.or_insert(Fault { available_at, reachable, probe_at: now });
        fault.available_at = fault.available_at.max(available_at);
        fault.reachable = reachable;
        if fault.reachable && fault.available_at <= now {
            self.brokers.remove(broker);
        }
    }

    /// May it be chosen?
    pub(crate) fn is_available(&self, broker: &str, now: Instant) -> bool {
        self.brokers.get(broker).is_none_or(|fault| fault.available_at <= now)
    }

    /// Is it in reach, as far as is known?
    pub(crate) fn is_reachable(&self, broker: &str) -> bool {
        self.brokers.get(broker).is_none_or(|fault| fault.reachable)
    }

    /// The brokers to be probed now; each is due again an interval later.
    pub(crate) fn due_probes(&mut self, now: Instant) -> Vec<Arc<str>> {
        let Some(detector) = self.rules.detector else { return Vec::new() };
        let due = self.brokers.iter_mut().filter(|(_, fault)| fault.probe_at <= now);
        due.map(|(broker, fault)| {
            fault.probe_at = now + detector.interval;
            Arc::clone(broker)
        })
        .collect()
    }

    /// A probe found it in reach.
    pub(crate) fn reached(&mut self, broker: &str) {
        if let Some(fault) = self.brokers.get_mut(broker) {
            fault.reachable = true;
        }
    }

    /// It is in no route any more.
    pub(crate) fn forget(&mut self, broker: &str) {
        self.brokers.remove(broker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    const UNREACHABLE: Verdict = Verdict::Failed { unreachable: true };

    fn table(rules: FaultAvoidance) -> (FaultTable, Arc<str>, Instant) {
        (FaultTable::new(rules), "broker-a".into(), Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_second_and_still_unreachable_keeps_a_broker_out_for_three_seconds() {
        let rules = FaultAvoidance {
            latency_max: vec![ms(50), ms(500)],
            not_available: vec![ms(0), ms(3_000)],
            failure_latency: ms(500),
            detector: None,
        };
        let (mut faults, broker, now) = table(rules);
        assert!(faults.is_available(&broker, now), "nothing is known against it");
        faults.record(&broker, ms(500), UNREACHABLE, now);
        assert!(!faults.is_available(&broker, now));
        assert!(!faults.is_available(&broker, now + ms(2_999)));
        assert!(faults.is_available(&broker, now + ms(3_000)), "and is used again after");
        assert!(faults.is_available("broker-b", now), "another one is not affected");
    }

    #[tokio::test(start_paused = true)]
    async fn the_arrays_are_those_of_rocketmq_5() {
        for (latency, out) in [
            (0, 0),
            (99, 0),
            (549, 0),
            (550, 2_000),
            (1_799, 2_000),
            (1_800, 5_000),
            (3_000, 6_000),
            (5_000, 10_000),
            (14_999, 10_000),
            (15_000, 30_000),
            (99_999, 30_000),
        ] {
            assert_eq!(FaultAvoidance::default().duration(ms(latency)), ms(out), "{latency}");
        }
        let (mut faults, broker, now) = table(FaultAvoidance::default());
        faults.record(&broker, ms(1), UNREACHABLE, now);
        assert!(!faults.is_available(&broker, now + ms(9_999)), "a failure counts as ten seconds");
        assert!(faults.is_available(&broker, now + ms(10_000)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_verdict_lengthens_the_time_and_never_shortens_it() {
        let (mut faults, broker, now) = table(FaultAvoidance::default());
        faults.record(&broker, ms(1_800), Verdict::Answered, now);
        faults.record(&broker, ms(1), Verdict::Answered, now + ms(100));
        assert!(!faults.is_available(&broker, now + ms(4_999)));
        faults.record(&broker, ms(550), Verdict::Answered, now + ms(4_000));
        assert!(!faults.is_available(&broker, now + ms(5_999)));
        assert!(faults.is_available(&broker, now + ms(6_000)));
        faults.record(&broker, ms(1), Verdict::Answered, now + ms(6_000));
        assert!(faults.brokers.is_empty(), "nothing is held against it any more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_broker_is_unreachable_until_it_answers_or_is_probed() {
        let rules = FaultAvoidance { detector: Some(Detector::default()), ..Default::default() };
        let (mut faults, broker, now) = table(rules);
        assert!(faults.due_probes(now).is_empty());
        faults.record(&broker, ms(1), UNREACHABLE, now);
        assert!(!faults.is_reachable(&broker));
        assert_eq!(faults.due_probes(now), [Arc::clone(&broker)]);
        assert!(faults.due_probes(now + ms(1_999)).is_empty());
        assert_eq!(faults.due_probes(now + ms(2_000)).len(), 1);
        faults.reached(&broker);
        assert!(faults.is_reachable(&broker) && !faults.is_available(&broker, now));
        faults.record(&broker, ms(1), UNREACHABLE, now);
        faults.record(&broker, ms(1), Verdict::Answered, now);
        assert!(faults.is_reachable(&broker));
        faults.forget(&broker);
        assert!(faults.is_available(&broker, now));
        faults.record(&broker, ms(1), Verdict::Failed { unreachable: false }, now);
        assert!(faults.is_reachable(&broker) && !faults.is_available(&broker, now));
    }

    #[test]
    fn arrays_that_cannot_work_are_refused() {
        let sound = FaultAvoidance::default;
        assert_eq!(sound().problem(), None);
        let mut short = sound();
        short.not_available.pop();
        assert!(short.problem().is_some());
        let mut unsorted = sound();
        unsorted.latency_max.reverse();
        assert!(unsorted.problem().is_some());
        let never = Detector { interval: Duration::ZERO, ..Detector::default() };
        assert!(FaultAvoidance { detector: Some(never), ..sound() }.problem().is_some());
    }
}
