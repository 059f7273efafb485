//! What reading a body may take.

use std::cell::Cell;

use serde::de::Error as _;

/// Times the bytes received that reading a body may take.
const FACTOR: usize = 4;
/// And beside them: small bodies may be as dense as they like.
const FREE_BYTES: usize = 48 * 1024;

/// The bytes of memory that may still be taken while a body is read: four times what was received,
/// and a little. Everything pays before it is allocated; what would not fit is refused instead.
pub(in crate::body) struct Allowance(Cell<usize>);

impl Allowance {
    /// For so many bytes, as they came or as they were inflated.
    pub(in crate::body) fn of(received_bytes: usize) -> Self {
        Self(Cell::new(received_bytes.saturating_mul(FACTOR).saturating_add(FREE_BYTES)))
    }

    /// Pays for them.
    ///
    /// # Errors
    /// There are not so many left: a list of `{}` is three bytes an entry, and a hundred and more
    /// once each is a struct.
    pub(in crate::body) fn take(&self, bytes: usize) -> Result<(), serde_json::Error> {
        let left = self.0.get().checked_sub(bytes);
        let left = left.ok_or_else(|| serde_json::Error::custom(TOO_DENSE))?;
        self.0.set(left);
        Ok(())
    }

    /// Pays for so many entries of a size.
    pub(in crate::body) fn take_all(&self, count: usize, bytes: usize) -> serde_json::Result<()> {
        self.take(count.saturating_mul(bytes))
    }

    /// They are free again.
    pub(in crate::body) fn give_back(&self, bytes: usize) {
        self.0.set(self.0.get().saturating_add(bytes));
    }
}

/// What the sender is told.
const TOO_DENSE: &str = "too many entries for so few bytes";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_gone_until_it_is_given_back() {
        let allowance = Allowance::of(100);
        assert!(allowance.take_all(2, 200).is_ok());
        assert!(allowance.take(FREE_BYTES + 1).is_err());
        assert!(allowance.take(FREE_BYTES).is_ok());
        assert_eq!(allowance.take(1).unwrap_err().to_string(), TOO_DENSE);
        allowance.give_back(1);
        assert!(allowance.take(1).is_ok());
        assert!(allowance.take_all(usize::MAX, 2).is_err());
    }
}
