//! What became of the sends: counted by outcome, with latencies and the errors' words. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use signpost_producer::{SendError, SendStatus, Sent};

use crate::failure::{FAILED, OK, UNKNOWN};
use crate::latency::Latencies;
use crate::units::readable_duration;

/// Different errors that are kept in words.
const ERRORS_MAX: usize = 5;

/// Counts of sends.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// Acknowledged.
    pub(crate) sent: u64,
    /// Surely not stored.
    pub(crate) failed: u64,
    /// May have been stored.
    pub(crate) unknown: u64,
    /// Acknowledged, but not at the first attempt.
    pub(crate) retried: u64,
    /// Acknowledged, but not synced or not on the slave in time.
    pub(crate) less_safe: u64,
    /// No answers were asked for: sent means handed over.
    pub(crate) unacknowledged: bool,
    /// Of the acknowledged.
    pub(crate) latencies: Latencies,
    /// How often, by words.
    errors: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts one send.
    pub(crate) fn count(&mut self, outcome: &Result<Sent, SendError>, latency: Duration) {
        match outcome {
            Ok(sent) => self.sent(std::slice::from_ref(sent), latency),
            Err(error) => self.failed(error, 1),
        }
    }

    /// Counts messages that were sent together, or one.
    pub(crate) fn sent(&mut self, all: &[Sent], latency: Duration) {
        for sent in all {
            self.sent += 1;
            self.retried += u64::from(sent.attempts > 1);
            self.less_safe += u64::from(sent.status != SendStatus::Ok);
            self.latencies.record(latency);
        }
    }

    /// Counts a message that nobody answers for.
    pub(crate) fn handed_over(&mut self) {
        self.sent += 1;
        self.unacknowledged = true;
    }

    /// Counts a send of so many messages that had no success.
    pub(crate) fn failed(&mut self, error: &SendError, messages: u64) {
        let count = if error.is_definite() { &mut self.failed } else { &mut self.unknown };
        *count += messages;
        let words = error.to_string();
        if self.errors.len() < ERRORS_MAX || self.errors.contains_key(&words) {
            *self.errors.entry(words).or_default() += messages;
        }
    }

    /// The end's words. `asked`: how many were to be sent, if that is known.
    pub(crate) fn report(&self, topic: &str, asked: Option<u64>, elapsed: Duration) -> Report {
        let millis = |latency: Option<Duration>| latency.map(|l| l.as_secs_f64() * 1e3);
        let tried = self.sent + self.failed + self.unknown;
        let seconds = elapsed.as_secs_f64();
        Report {
            topic: topic.to_owned(),
            sent: self.sent,
            failed: self.failed,
            unknown: self.unknown,
            not_tried: asked.map_or(0, |asked| asked.saturating_sub(tried)),
            retried: self.retried,
            less_safe: self.less_safe,
            acknowledged: !self.unacknowledged,
            elapsed_ms: seconds * 1e3,
            sent_per_second: if seconds > 0.0 { self.sent as f64 / seconds } else { 0.0 },
            latency_ms: LatencyMs {
                p50: millis(self.latencies.percentile(0.5)),
                p99: millis(self.latencies.percentile(0.99)),
                max: millis(self.latencies.longest()),
            },
            errors: self.errors.clone(),
        }
    }
}

/// The end's words.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    topic: String,
    sent: u64,
    failed: u64,
    unknown: u64,
    not_tried: u64,
    retried: u64,
    less_safe: u64,
    /// false: sent means handed over to a connection, no more.
    acknowledged: bool,
    elapsed_ms: f64,
    sent_per_second: f64,
    latency_ms: LatencyMs,
    /// How often, by words.
    errors: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Serialize)]
struct LatencyMs {
    p50: Option<f64>,
    p99: Option<f64>,
    max: Option<f64>,
}

impl Report {
    /// An unknown outcome weighs most: the others may simply be sent again.
    pub(crate) fn exit_code(&self) -> u8 {
        match (self.unknown, self.failed + self.not_tried) {
            (0, 0) => OK,
            (0, _) => FAILED,
            _ => UNKNOWN,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elapsed = readable_duration(Duration::from_secs_f64(self.elapsed_ms / 1e3));
        let sent = if self.acknowledged { "sent" } else { "handed over unacknowledged" };
        write!(f, "{}: {} {sent}, {} failed", self.topic, self.sent, self.failed)?;
        write!(f, ", {} of unknown outcome", self.unknown)?;
        if self.not_tried > 0 {
            write!(f, ", {} not tried", self.not_tried)?;
        }
        writeln!(
            f,
            " in {elapsed} ({:.0} sent/s, {} retried)",
            self.sent_per_second, self.retried
        )?;
        if self.less_safe > 0 {
            writeln!(f, "{} of them were not flushed or replicated in time", self.less_safe)?;
        }
        let LatencyMs { p50, p99, max } = self.latency_ms;
        if let (Some(p50), Some(p99), Some(max)) = (p50, p99, max) {
            writeln!(f, "latency: p50 {p50:.2} ms, p99 {p99:.2} ms, longest {max:.2} ms")?;
        }
        for (words, times) in &self.errors {
            writeln!(f, "{times} x {words}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use signpost_producer::{Cause, MessageQueue, SendStatus};

    use super::*;

    fn sent(attempts: u32) -> Result<Sent, SendError> {
        let queue = MessageQueue { topic: "t".into(), broker_name: "broker-a".into(), queue_id: 0 };
        Ok(Sent {
            message_id: "id".into(),
            offset_message_id: "offset".into(),
            queue,
            queue_offset: 0,
            status: SendStatus::Ok,
            attempts,
        })
    }

    fn failed() -> Result<Sent, SendError> {
        Err(SendError::Failed { cause: Cause::Closed, attempts: Vec::new() })
    }

    fn unknown() -> Result<Sent, SendError> {
        Err(SendError::Unknown { cause: Cause::Deadline, attempts: Vec::new() })
    }

    fn report(asked: u64, outcomes: &[Result<Sent, SendError>]) -> Report {
        let mut tally = Tally::default();
        outcomes.iter().for_each(|outcome| tally.count(outcome, Duration::from_millis(2)));
        tally.report("t", Some(asked), Duration::from_secs(2))
    }

    #[test]
    fn exit_codes_are_honest() {
        for (asked, outcomes, code) in [
            (2, vec![sent(1), sent(2)], OK),
            (2, vec![sent(1), failed()], FAILED),
            (3, vec![sent(1), sent(1)], FAILED),
            (2, vec![sent(1), unknown()], UNKNOWN),
            (2, vec![failed(), unknown()], UNKNOWN),
            (1, vec![], FAILED),
            (0, vec![], OK),
        ] {
            assert_eq!(report(asked, &outcomes).exit_code(), code, "{asked}: {outcomes:?}");
        }
    }

    #[test]
    fn the_report_counts_every_send_once() {
        let report = report(9, &[sent(1), sent(3), failed(), failed(), unknown()]);
        let shown = report.to_string();
        assert!(
            shown.starts_with("t: 2 sent, 2 failed, 1 of unknown outcome, 4 not tried in 2"),
            "{shown}"
        );
        assert!(shown.contains("(1 sent/s, 1 retried)"), "{shown}");
        assert!(shown.contains("p50 2.0"), "{shown}");
        assert!(shown.contains("2 x not sent"), "{shown}");
        let json = serde_json::to_value(&report).expect("JSON");
        assert_eq!((&json["notTried"], &json["sent"]), (&4.into(), &2.into()));
    }

    #[test]
    fn batches_count_each_message_and_one_way_sends_are_not_called_sent() {
        let mut tally = Tally::default();
        let batch = [1, 2].map(|attempts| sent(attempts).expect("sent"));
        tally.sent(&batch, Duration::from_millis(1));
        tally.failed(&unknown().expect_err("unknown"), 3);
        assert_eq!((tally.sent, tally.retried, tally.unknown), (2, 1, 3));
        let mut tally = Tally::default();
        tally.handed_over();
        let shown = tally.report("t", None, Duration::from_secs(1)).to_string();
        assert!(shown.starts_with("t: 1 handed over unacknowledged, 0 failed"), "{shown}");
    }

    #[test]
    fn nothing_sent_has_no_latency() {
        let report = report(1, &[failed()]);
        assert!(!report.to_string().contains("latency"));
        assert!(serde_json::to_value(&report).expect("JSON")["latencyMs"]["p50"].is_null());
    }
}
