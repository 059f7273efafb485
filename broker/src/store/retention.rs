//! How long messages stay: whole segments go, the oldest first, once they are old or the disk is
//! full. Source: RocketMQ `DefaultMessageStore.CleanCommitLogService`; here there is no hour of the
//! day at which it is done.

use std::time::Duration;

/// Segments that go in one pass because the disk is full, at most. Source: RocketMQ
/// `deleteFilesBatchMax`.
pub(super) const FORCED_MAX: usize = 10;

/// When messages go, and when none is taken any more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retention {
    /// They stay for this long at least, unless the disk is full. RocketMQ: 72 h.
    pub age: Duration,
    /// With more than this share of the disk used, the oldest go whatever their age. RocketMQ
    /// `diskSpaceCleanForciblyRatio`: 0.85.
    pub clean_above: f64,
    /// With more than this share of the disk used, no message is taken. RocketMQ
    /// `diskSpaceWarningLevelRatio`: 0.90.
    pub refuse_above: f64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: Duration::from_secs(72 * 3600), clean_above: 0.85, refuse_above: 0.90 }
    }
}

/// What a pass has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Segments removed because all their messages were old.
    pub expired: usize,
    /// Segments removed because the disk was full.
    pub forced: usize,
    /// Whether messages are refused from now on, because the disk is full.
    pub refusing: bool,
}

/// A segment, as far as retention is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Aged {
    /// Log offset behind it.
    pub(super) end: u64,
    /// No message in it was stored later than then, in ms since 1970; none if nobody knows.
    pub(super) last_ms: Option<i64>,
}

/// How many of these segments, the first first, are wholly older than that time.
pub(super) fn expired(segments: &[Aged], before_ms: i64) -> usize {
    let is_old = |segment: &&Aged| segment.last_ms.is_some_and(|last_ms| last_ms < before_ms);
    segments.iter().take_while(is_old).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_segments_from_the_front_expire() {
        let aged = |last_ms: &[Option<i64>]| -> Vec<Aged> {
            last_ms.iter().map(|last_ms| Aged { end: 0, last_ms: *last_ms }).collect()
        };
        assert_eq!(expired(&aged(&[]), 100), 0);
        assert_eq!(expired(&aged(&[Some(10), Some(99), Some(100), Some(5)]), 100), 2);
        assert_eq!(expired(&aged(&[None, Some(10)]), 100), 0);
    }
}
