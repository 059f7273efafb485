//! How a call of ours can fail.

use std::sync::Arc;

/// Why a call has no response, told apart by what the caller may do next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InvokeError {
    /// The request surely never left this process: sending it again, or elsewhere, is safe.
    #[error("not sent: {0}")]
    NotSent(Cause),
    /// The request may have arrived and may have been carried out, once.
    #[error("outcome unknown: {0}")]
    Unknown(Cause),
}

/// What went wrong.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Cause {
    /// No connection could be made.
    #[error("cannot connect: {0}")]
    Connect(Arc<std::io::Error>),
    /// The time was up.
    #[error("timed out")]
    TimedOut,
    /// The connection has ended.
    #[error("the connection closed")]
    Closed,
    /// The command cannot be written as a frame.
    #[error("{0}")]
    Frame(String),
}

impl InvokeError {
    /// Whether the request surely was not carried out.
    pub fn is_definite(&self) -> bool {
        matches!(self, Self::NotSent(_))
    }

    /// What went wrong.
    pub fn cause(&self) -> &Cause {
        match self {
            Self::NotSent(cause) | Self::Unknown(cause) => cause,
        }
    }
}
