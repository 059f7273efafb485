//! Bounds on concurrent work: beyond one the answer is "overloaded", never a growing queue.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::errors::ServiceError;

/// Lets at most so many in at once.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    places: Arc<Semaphore>,
    limit: usize,
    what: &'static str,
}

impl Gate {
    /// A gate for `limit` of `what`.
    pub(crate) fn new(limit: usize, what: &'static str) -> Self {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(limit)), limit, what }
    }

    /// One place, for as long as the permit lives.
    pub(crate) fn enter(&self) -> Result<OwnedSemaphorePermit, ServiceError> {
        self.enter_many(1)
    }

    /// Several places at once, or none.
    pub(crate) fn enter_many(&self, places: usize) -> Result<OwnedSemaphorePermit, ServiceError> {
        u32::try_from(places)
            .ok()
            .and_then(|places| Arc::clone(&self.places).try_acquire_many_owned(places).ok())
            .ok_or_else(|| ServiceError::overloaded(self.what))
    }

    /// How many places are taken.
    pub(crate) fn taken(&self) -> usize {
        self.limit - self.places.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_leaving_makes_room() {
        let gate = Gate::new(3, "things");
        let two = gate.enter_many(2).expect("there is room for two");
        assert_eq!(gate.taken(), 2);
        assert_eq!(
            gate.enter_many(2).expect_err("only one is left"),
            ServiceError::overloaded("things")
        );
        drop(two);
        let three = gate.enter_many(3).expect("there is room again");
        drop(three);
    }
}
