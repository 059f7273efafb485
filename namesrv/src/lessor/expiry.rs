//! Proposing that registrations have expired, and telling who waits what became of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::StreamExt;
use futures_util::stream;
use signpost_raft::machine::Index;
use tokio::time::Instant;

use super::Lessor;
use crate::log::ProposeError;
use crate::routes::command::{BrokerKey, Expire, ExpiryCause, RouteCommand, RouteOutcome};

/// Expiries of one scan that are proposed at once: the rest waits its turn, already marked.
const PROPOSALS_AT_ONCE: usize = 256;

/// What became of a proposed expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nobody knows yet.
    Open,
    /// It is known: the tables say what it is.
    Known,
    /// A change of leadership has hidden it.
    Hidden,
}

impl Lessor {
    /// Proposes the end of these leases, which are marked as expiring already, and returns when
    /// the fate of each is known or hidden.
    pub(super) async fn propose_expiries(
        self: Arc<Self>,
        doomed: Vec<(BrokerKey, Index)>,
        cause: ExpiryCause,
    ) {
        stream::iter(doomed)
            .for_each_concurrent(PROPOSALS_AT_ONCE, |(key, epoch)| {
                self.propose_expiry(key, epoch, cause)
            })
            .await;
    }

    async fn propose_expiry(&self, key: BrokerKey, epoch: Index, cause: ExpiryCause) {
        self.counters.proposed_expiries.fetch_add(1, Ordering::Relaxed);
        let expire = Expire { key: key.clone(), epoch, cause };
        // No deadline: until the outcome is known the lease must stay marked.
        let outcome = self.log.propose_until_known(RouteCommand::Expire(expire)).await;
        let mut owner = self.lock();
        let owner = &mut *owner;
        let fate = match outcome {
            Ok(applied) => {
                if applied.outcome != RouteOutcome::Expired {
                    tracing::info!(
                        broker = %key.name, cluster = %key.cluster, id = key.id, epoch,
                        index = applied.index,
                        "an expiry was refused: the registration has moved on"
                    );
                }
                // Applied, it has ended the lease on its way (`observe`); refused, it is the
                // tables that say what goes on.
                owner.leases.revive(&key, epoch);
                Fate::Known
            }
            Err(ProposeError::Overloaded | ProposeError::Stopped | ProposeError::TooLarge(_)) => {
                owner.leases.revive(&key, epoch);
                Fate::Known
            }
            // Not leading any more, there is no telling from here whether it was appended before:
            // a later round settles it.
            Err(ProposeError::NotLeader { .. } | ProposeError::Unknown) => {
                owner.leases.mark_undecided(&key, epoch, Instant::now());
                Fate::Hidden
            }
        };
        if let Some(waiting) = owner.pending.remove(&(key, epoch)) {
            waiting.send_replace(fate);
        }
    }
}
