//! What keeps a run from being made. What a run finds is no error: see [`crate::checks`].

/// Why a run could not be made, or not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Error {
    /// In words: what went wrong, and what to do.
    #[must_use]
    pub fn new(what: impl std::fmt::Display) -> Error {
        Error(what.to_string())
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        Error::new(error)
    }
}
