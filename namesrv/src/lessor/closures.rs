//! Proposing the end of registrations whose brokers closed all their connections.

use std::sync::Arc;

use signpost_raft::machine::Index;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Lessor;
use super::expiry::Fate;
use super::presence::Judgement;
use crate::errors::ServiceError;
use crate::log::Round;
use crate::routes::command::{BrokerKey, ExpiryCause};

/// Departures that are judged at once: the rest waits its turn.
const JUDGED_AT_ONCE: usize = 4_096;

impl Lessor {
    /// A replica says that these brokers, which had renewed these epochs, have left its door.
    ///
    /// # Errors
    /// No quorum confirmed that this replica leads: it must be told again, or another one.
    pub(crate) async fn left(
        &self,
        departures: &[(BrokerKey, Index)],
        deadline: Instant,
    ) -> Result<(), ServiceError> {
        // So that these tables know of every epoch that has been renewed.
        let round = self.rounds.confirm(deadline).await?;
        {
            let mut owner = self.lock();
            let owner = &mut *owner;
            let now = Instant::now();
            self.confirm_locked(owner, &round, now);
            let serving = self.published.load();
            for (key, epoch) in departures {
                if serving.tables.registration(key).is_some_and(|live| live.epoch == *epoch) {
                    owner.presence.left(key, *epoch, now);
                }
            }
        }
        self.departed.notify_one();
        Ok(())
    }

    /// Waits until departures are to be judged.
    pub(crate) async fn departure_due(&self) {
        loop {
            let heard = self.departed.notified();
            let due = self.lock().presence.next_due();
            match due {
                Some(due) if due <= Instant::now() => return,
                Some(due) => tokio::select! {
                    () = heard => {}
                    () = sleep_until(due) => {}
                },
                None => heard.await,
            }
        }
    }

    /// Whom to ask the members about. Those whose grace has not passed are asked about as well:
    /// they are missing already, for the brake.
    pub(crate) fn departures(&self) -> Vec<(BrokerKey, Index)> {
        self.lock().presence.pending(JUDGED_AT_ONCE)
    }

    /// This replica does not lead: it is not the one to judge.
    pub(crate) fn forget_departures(&self) {
        self.lock().presence.clear();
    }

    /// Nobody can be judged at the moment: later.
    pub(crate) fn postpone_departures(&self, departures: &[(BrokerKey, Index)]) {
        let mut owner = self.lock();
        let now = Instant::now();
        for (key, epoch) in departures {
            owner.presence.postpone(key, *epoch, now);
        }
    }

    /// What the members said of brokers that have left, asked after `round` had begun. Marks those
    /// whose registrations are to end now as expiring, and proposes that.
    pub(crate) fn judge_departures(
        self: &Arc<Self>,
        round: &Round,
        judged: &[(BrokerKey, Index, Judgement)],
        stop: &CancellationToken,
        tasks: &TaskTracker,
    ) {
        let doomed = self.doom_departures(round, judged);
        if doomed.is_empty() {
            return;
        }
        let proposals = Arc::clone(self).propose_expiries(doomed, ExpiryCause::Closed);
        let stop = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = proposals => {}
            }
        });
    }

    fn doom_departures(
        &self,
        round: &Round,
        judged: &[(BrokerKey, Index, Judgement)],
    ) -> Vec<(BrokerKey, Index)> {
        let mut owner = self.lock();
        let owner = &mut *owner;
        let now = Instant::now();
        self.confirm_locked(owner, round, now);
        if round.leader != self.node_id || owner.leases.term() != round.term {
            return Vec::new();
        }
        let mut due = Vec::new();
        for (key, epoch, judgement) in judged {
            let has_left = *judgement == Judgement::Left;
            let has_lease = owner.leases.set_left(key, *epoch, has_left);
            if !has_lease || *judgement == Judgement::Open {
                owner.presence.settle(key, *epoch);
            } else if owner.presence.is_due(key, *epoch, now) {
                if has_left {
                    due.push((key.clone(), *epoch));
                } else {
                    owner.presence.postpone(key, *epoch, now);
                }
            }
        }
        if due.is_empty() {
            return due;
        }
        let verdict = owner.brake.judge(&owner.leases, now);
        self.tell(verdict);
        if !verdict.allows_removal() {
            for (key, epoch) in &due {
                owner.presence.postpone(key, *epoch, now);
            }
            return Vec::new();
        }
        due.retain(|(key, epoch)| {
            let is_quiet = owner.leases.mark_expiring_if_quiet_since(key, *epoch, round.started);
            if is_quiet {
                owner.presence.settle(key, *epoch);
                owner.pending.insert((key.clone(), *epoch), watch::Sender::new(Fate::Open));
            } else {
                owner.presence.postpone(key, *epoch, now);
            }
            is_quiet
        });
        due
    }
}
