//! Repeats on their way to the leader: one call in flight carries all that wait, so that brokers
//! that repeat themselves all at once cost one read-index round, and not one each.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::answers::{Renewal, RenewalAnswer};
use crate::errors::{ServiceError, Unavailable};
use crate::service::NameService;

/// Most repeats in one call.
const BATCH_MAX: usize = 4_096;

/// A call that takes longer has failed; who waits behind it has time for another one.
const PATIENCE: Duration = Duration::from_secs(1);

type Answer = Result<RenewalAnswer, ServiceError>;

/// The repeats of one replica that wait.
pub(super) struct Renewals {
    service: Arc<NameService>,
    queue: Mutex<Queue>,
    waiting_max: usize,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<(Renewal, oneshot::Sender<Answer>)>,
    /// Is a task carrying them?
    carried: bool,
}

impl Renewals {
    pub(super) fn new(service: Arc<NameService>) -> Self {
        let waiting_max = service.config().limits.registrations_waiting;
        Self { service, queue: Mutex::default(), waiting_max }
    }

    /// Renews, if nothing has changed: what the leader says of it in a call that begins after this
    /// one.
    ///
    /// # Errors
    /// Too many wait, or the leader could not be asked.
    pub(super) async fn renew(self: &Arc<Self>, renewal: Renewal) -> Answer {
        let (sender, answer) = oneshot::channel();
        {
            let mut queue = self.lock();
            if queue.waiting.len() >= self.waiting_max {
                return Err(ServiceError::overloaded("registrations"));
            }
            queue.waiting.push((renewal, sender));
            if !queue.carried {
                queue.carried = true;
                tokio::spawn(Arc::clone(self).carry());
            }
        }
        answer.await.unwrap_or_else(|_| Err(Unavailable::Stopping.into()))
    }

    async fn carry(self: Arc<Self>) {
        loop {
            let batch = {
                let mut queue = self.lock();
                if queue.waiting.is_empty() {
                    queue.carried = false;
                    return;
                }
                let size = queue.waiting.len().min(BATCH_MAX);
                queue.waiting.drain(..size).collect::<Vec<_>>()
            };
            let (renewals, senders): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
            let answers = self.service.renew_unchanged(renewals, Instant::now() + PATIENCE).await;
            // Who no longer waits has hung up.
            match answers {
                Ok(answers) => {
                    for (sender, answer) in senders.into_iter().zip(answers) {
                        sender.send(Ok(answer)).ok();
                    }
                }
                Err(error) => {
                    for sender in senders {
                        sender.send(Err(error.clone())).ok();
                    }
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
