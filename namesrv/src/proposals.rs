//! Proposing to the log within a bound, and telling what went wrong in the service's words.

use std::sync::Arc;

use tokio::time::Instant;

use crate::errors::{ServiceError, Unavailable};
use crate::gate::Gate;
use crate::log::{Applied, Log, ProposeError};
use crate::routes::command::{RouteCommand, RouteOutcome};

/// The way to the log for all writes but the scanner's.
pub(crate) struct Proposals {
    log: Arc<dyn Log>,
    in_flight: Gate,
}

impl Proposals {
    pub(crate) fn new(log: Arc<dyn Log>, in_flight_max: usize) -> Self {
        Self { log, in_flight: Gate::new(in_flight_max, "writes in flight") }
    }

    /// Proposes; answers when it is applied and published here.
    ///
    /// # Errors
    /// Definite ones, and [`ServiceError::Unknown`] when the deadline passed or the leadership
    /// changed after it was proposed.
    pub(crate) async fn propose(
        &self,
        command: RouteCommand,
        deadline: Instant,
    ) -> Result<Applied<RouteOutcome>, ServiceError> {
        let _place = self.in_flight.enter()?;
        if deadline <= Instant::now() {
            // Better refused for sure than proposed and left unknown.
            return Err(Unavailable::NoQuorum.into());
        }
        self.log.propose(command, deadline).await.map_err(|error| match error {
            ProposeError::NotLeader { leader } => Unavailable::NotLeader { leader }.into(),
            ProposeError::Overloaded => ServiceError::overloaded("writes in flight"),
            ProposeError::TooLarge(detail) => {
                tracing::debug!(detail, "a command is larger than a log entry may be");
                ServiceError::TooLarge {
                    what: "bytes of this write's log entry".into(),
                    limit: signpost_raft::codec::RECORD_BYTES_MAX,
                }
            }
            ProposeError::Stopped => Unavailable::Stopping.into(),
            ProposeError::Unknown => {
                ServiceError::unknown("the write was proposed, and its outcome did not arrive")
            }
        })
    }

    /// How many are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.taken()
    }
}
