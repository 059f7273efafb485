//! The names that a run uses. They begin with a prefix of the run's own, so that a run against a
//! cluster in use touches nothing of anybody else's.
//!
//! Topics and keys come in chapters of a few seconds: the search for a linearization judges each
//! topic and key by itself, and takes short histories only.

use std::time::Duration;

/// Topics and keys of one chapter: few, so that the clients conflict.
pub const TOPICS: usize = 5;
const KEYS: usize = 3;
/// How long the clients use the same ones.
const CHAPTER: Duration = Duration::from_secs(3);

/// The names of a run.
#[derive(Debug, Clone)]
pub struct Names {
    prefix: String,
}

impl Names {
    /// Names that begin so.
    #[must_use]
    pub fn new(prefix: impl Into<String>) -> Names {
        Names { prefix: prefix.into() }
    }

    /// What they begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The RocketMQ cluster of the clients' brokers.
    #[must_use]
    pub fn cluster(&self) -> String {
        format!("{}-cluster", self.prefix)
    }

    /// A client's broker.
    #[must_use]
    pub fn broker(&self, client: u64) -> String {
        format!("{}-{client}", self.prefix)
    }

    /// The namespace of all keys.
    #[must_use]
    pub fn namespace(&self) -> String {
        format!("{}-kv", self.prefix)
    }

    /// The chapter at a moment of the run.
    #[must_use]
    pub fn chapter(moment: Duration) -> u64 {
        moment.as_secs() / CHAPTER.as_secs()
    }

    /// The topics of a chapter.
    #[must_use]
    pub fn topics(&self, chapter: u64) -> Vec<String> {
        (0..TOPICS).map(|topic| format!("{}-topic-{chapter}-{topic}", self.prefix)).collect()
    }

    /// The keys of a chapter.
    #[must_use]
    pub fn keys(&self, chapter: u64) -> Vec<String> {
        (0..KEYS).map(|key| format!("key-{chapter}-{key}")).collect()
    }

    /// Where the producers send.
    #[must_use]
    pub fn sent_topic(&self) -> String {
        format!("{}-messages", self.prefix)
    }
}
