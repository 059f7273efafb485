//! How a command ends: exit codes, and the sentence that goes with each failure.

use std::fmt;
use std::io;

/// All went well.
pub(crate) const OK: u8 = 0;
/// It surely was not done, or not wholly.
pub(crate) const FAILED: u8 = 1;
/// It may have been done: the outcome is not known.
pub(crate) const UNKNOWN: u8 = 2;
/// This replica or broker must not just be started again: it was wiped, superseded, or its log
/// cannot be trusted. Its last words say what to do.
pub(crate) const CANNOT_GO_ON: u8 = 3;
/// The command line, the environment or the file was not understood (`EX_USAGE` of sysexits).
pub(crate) const USAGE: u8 = 64;
/// Stopped by a second signal, before the graceful stop had ended (128 + SIGINT).
pub(crate) const CUT_SHORT: u8 = 130;

/// A command that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The process' exit code.
    pub(crate) code: u8,
    /// What went wrong, and what to do.
    pub(crate) message: String,
}

impl Failure {
    /// With [`FAILED`].
    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self { code: FAILED, message: message.to_string() }
    }

    /// With [`USAGE`].
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { code: USAGE, message: message.to_string() }
    }

    /// With [`CANNOT_GO_ON`].
    pub(crate) fn cannot_go_on(message: impl fmt::Display) -> Self {
        Self { code: CANNOT_GO_ON, message: message.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::failed(error)
    }
}
