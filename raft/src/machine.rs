//! What a log drives: the contract of a deterministic state machine.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// An index in the replicated log (Raft paper, figure 2). The first entry has index 1; 0 means
/// "before everything".
pub type Index = u64;

/// A leader's term (Raft paper, section 5.1).
pub type Term = u64;

/// The number of a replica, unique for ever in its cluster: a number is never given again.
pub type NodeId = u64;

/// One section of a snapshot: an opaque, bounded piece of the machine's tables.
pub type Section = Vec<u8>;

/// A deterministic state machine, driven by the log alone.
///
/// Two machines that applied the same entries hold the same tables and answer the same outcomes,
/// so nothing in here may look at a clock, at randomness, or at the order of a hash map.
pub trait Machine: Send + Sync + 'static {
    /// What is proposed to the log. Variants are only ever appended: old logs must stay readable.
    type Command: Serialize + DeserializeOwned + Debug + Clone + Send + Sync + 'static;

    /// What applying a command answers.
    type Outcome: Serialize + DeserializeOwned + Debug + Clone + Send + Sync + 'static;

    /// Applies one committed command, whose log index is `index`.
    fn apply(&mut self, index: Index, command: Self::Command) -> Self::Outcome;

    /// Makes everything up to `applied` visible to readers. Called after each batch of applies and
    /// before any of its outcomes is answered, and after a restore. `applied` also counts entries
    /// that carry no command (membership, a term's first entry).
    fn publish(&mut self, applied: Index);

    /// A digest of the tables: equal for equal tables, on every replica.
    fn digest(&self) -> u128;

    /// Freezes the tables as they are now and answers their sections, lazily. Must be quick (it
    /// runs between applies); iterating happens elsewhere and may take its time. Sections should
    /// stay below 64 KiB each where the data allows it, and must below 8 MiB.
    fn freeze(&self) -> Box<dyn Iterator<Item = Section> + Send>;

    /// Replaces the tables by those that `sections` describe, as of log index `index`.
    ///
    /// # Errors
    /// A sentence that says what is wrong; the replica then stops, for its tables are not to be
    /// trusted.
    fn restore(
        &mut self,
        index: Index,
        sections: &mut dyn Iterator<Item = Section>,
    ) -> Result<(), String>;
}
