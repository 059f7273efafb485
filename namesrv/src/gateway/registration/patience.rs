//! Trying until somebody leads.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::errors::{ServiceError, Unavailable};

/// Between two tries while nobody leads.
const TRY_INTERVAL: Duration = Duration::from_millis(20);

/// Tries until somebody leads: a stock broker tries again after 30 s only. Every call of this
/// door may be made twice: the leader finds out what the first one did.
pub(super) async fn until_led<T, E, F>(deadline: Instant, attempt: impl Fn() -> F) -> Result<T, E>
where
    E: MaybeService,
    F: Future<Output = Result<T, E>>,
{
    loop {
        match attempt().await {
            Err(error)
                if error.service().is_some_and(may_pass)
                    && Instant::now() + TRY_INTERVAL < deadline =>
            {
                sleep(TRY_INTERVAL).await;
            }
            done => return done,
        }
    }
}

/// An error that may be one of the name service's.
pub(super) trait MaybeService {
    fn service(&self) -> Option<&ServiceError>;
}

impl MaybeService for ServiceError {
    fn service(&self) -> Option<&ServiceError> {
        Some(self)
    }
}

/// Errors that the next try may not meet: of leadership, and of answers that were lost.
fn may_pass(error: &ServiceError) -> bool {
    match error {
        ServiceError::Unknown { .. } => true,
        ServiceError::Unavailable(why) => matches!(
            why,
            Unavailable::NoLeader
                | Unavailable::NotLeader { .. }
                | Unavailable::LeaderUnreachable(_)
                | Unavailable::NoQuorum
                | Unavailable::ExpiryUndecided
                | Unavailable::Contended
        ),
        _ => false,
    }
}
