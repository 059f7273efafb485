//! Writes of stock programs: carried to their end, and patient with an election.

use std::future::Future;
use std::sync::Arc;

use signpost_remoting::{RemotingCommand, Reply};
use tokio::time::Instant;

use super::patience::patiently;
use super::{Shared, failed};
use crate::errors::ServiceError;

impl Shared {
    /// Begins a write, on a task of its own: a sender that hangs up, as a tool does that said
    /// "one-way", does not take it back.
    pub(super) fn write<F>(self: &Arc<Self>, begin: impl FnOnce(Arc<Self>, Instant) -> F) -> Reply
    where
        F: Future<Output = Result<RemotingCommand, ServiceError>> + Send + 'static,
    {
        let deadline = Instant::now() + self.config.write_patience;
        let task = tokio::spawn(begin(Arc::clone(self), deadline));
        Reply::later(async move {
            let done = task.await;
            let done = done.unwrap_or_else(|_| Err(ServiceError::unknown("the write was cut")));
            done.unwrap_or_else(|error| failed(&error))
        })
    }
}

/// Tries until somebody leads: stock tools do not try again by themselves. Only what surely was
/// not done is done again.
pub(super) async fn until_led<T, F>(
    deadline: Instant,
    attempt: impl Fn() -> F,
) -> Result<T, ServiceError>
where
    F: Future<Output = Result<T, ServiceError>>,
{
    patiently(deadline, ServiceError::lacks_leader, attempt).await
}
