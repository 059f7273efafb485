//! Planted bugs and faults, to show that the tests bite. Only with the feature `planted-bugs`,
//! which no release is built with; without it every question here is the constant `false`.
//!
//! `SIGNPOST_PLANTED` names them, separated by commas, each as in [`Bug::name`], and
//! `slow-apply=MS` delays every batch of applies.

use std::time::Duration;

/// A bug that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A follower reads its tables as soon as the leader has named the read index.
    ReadWithoutWaiting,
    /// A log entry counts as durable before the disk has synced it.
    AcknowledgeBeforeSync,
    /// A vote counts as durable before the disk has synced it.
    VoteNotSynced,
    /// A replica that leads, as far as it knows, confirms reads by itself.
    ReadIndexWithoutQuorum,
}

impl Bug {
    /// Its name in `SIGNPOST_PLANTED`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Bug::ReadWithoutWaiting => "read-without-waiting",
            Bug::AcknowledgeBeforeSync => "acknowledge-before-sync",
            Bug::VoteNotSynced => "vote-not-synced",
            Bug::ReadIndexWithoutQuorum => "read-index-without-quorum",
        }
    }
}

/// Whether this bug is planted.
#[cfg(feature = "planted-bugs")]
#[must_use]
pub fn planted(bug: Bug) -> bool {
    names().iter().any(|name| name == bug.name())
}

/// Whether this bug is planted: never, in this build.
#[cfg(not(feature = "planted-bugs"))]
#[must_use]
pub const fn planted(_bug: Bug) -> bool {
    false
}

/// How long each batch of applies is delayed.
#[cfg(feature = "planted-bugs")]
#[must_use]
pub fn apply_delay() -> Option<Duration> {
    let ms = names().iter().find_map(|name| name.strip_prefix("slow-apply="))?;
    ms.parse().ok().map(Duration::from_millis)
}

/// How long each batch of applies is delayed: not at all, in this build.
#[cfg(not(feature = "planted-bugs"))]
#[must_use]
pub const fn apply_delay() -> Option<Duration> {
    None
}

#[cfg(feature = "planted-bugs")]
fn names() -> &'static [String] {
    static NAMES: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
    NAMES.get_or_init(|| {
        let list = std::env::var("SIGNPOST_PLANTED").unwrap_or_default();
        list.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
    })
}
