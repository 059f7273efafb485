//! [`Pending`]: the outcome of a send that goes on by itself.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::JoinHandle;

use crate::outcome::{Cause, SendError, Sent};

/// An async send under way. Awaiting it tells its outcome; dropping it does not end the send.
#[must_use = "the outcome of the send is told here only"]
pub struct Pending<T = Sent>(pub(crate) JoinHandle<Result<T, SendError>>);

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("is_finished", &self.0.is_finished()).finish()
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|ended| {
            // Ended from outside: whether a request had left by then is not known.
            let lost = SendError::Unknown { cause: Cause::Ended, attempts: Vec::new() };
            ended.unwrap_or(Err(lost))
        })
    }
}
