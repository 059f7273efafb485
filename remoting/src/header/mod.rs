//! The two ways a header is written. Both read and write everything of a command but its body.

pub(crate) mod binary;
pub(crate) mod json;
mod plain;

#[cfg(test)]
mod tests;
