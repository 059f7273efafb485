//! The scanner: looks for leases that ran out, first 5 s after start, then every 10 s (RocketMQ's
//! `RouteInfoManager.scanNotActiveBroker`), and never makes up for scans that it missed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use signpost_raft::machine::Index;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Lessor;
use super::expiry::Fate;
use crate::alarms::MASS_EXPIRY;
use crate::brake::{Missing, Verdict};
use crate::log::Role;
use crate::routes::command::{BrokerKey, ExpiryCause};

impl Lessor {
    /// Scans until stopped.
    pub(crate) async fn run_scanner(self: Arc<Self>, stop: CancellationToken, tasks: TaskTracker) {
        let first = Instant::now() + self.timings.first_scan;
        let mut ticks = interval_at(first, self.timings.scan_interval);
        // A burst of scans after a pause would be one scan's worth of evidence taken twice.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let doomed = self.scan().await;
            if !doomed.is_empty() {
                let proposals = Arc::clone(&self).propose_expiries(doomed, ExpiryCause::Silent);
                let stop = stop.clone();
                tasks.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = proposals => {}
                    }
                });
            }
        }
    }

    /// One scan: begins a round, and only when that is confirmed looks at the leases. Answers the
    /// registrations whose end is to be proposed, marked as expiring.
    pub(super) async fn scan(&self) -> Vec<(BrokerKey, Index)> {
        if self.log.status().role != Role::Leader {
            self.skip_scan();
            return Vec::new();
        }
        let deadline =
            Instant::now() + self.timings.scan_interval.max(self.timings.election_timeout_max);
        let round = match self.rounds.confirm_first(deadline).await {
            Ok(round) if round.leader == self.node_id => round,
            _ => {
                self.skip_scan();
                return Vec::new();
            }
        };
        let mut owner = self.lock();
        let owner = &mut *owner;
        let now = Instant::now();
        self.confirm_locked(owner, &round, now);
        if owner.leases.term() != round.term {
            return Vec::new();
        }
        self.counters.scans.fetch_add(1, Ordering::Relaxed);
        owner.reconcile(&self.published.load().tables, now);
        let mut doomed = owner.leases.overdue(now);
        let verdict = owner.brake.judge(&owner.leases, now);
        self.tell(verdict);
        if !verdict.allows_removal() {
            return Vec::new();
        }
        doomed.retain(|(key, epoch)| owner.leases.mark_expiring(key, *epoch));
        for doomed in &doomed {
            owner.pending.insert(doomed.clone(), watch::Sender::new(Fate::Open));
        }
        doomed
    }

    /// The succession of scans is broken: what was a suspect has to be found overdue twice again.
    fn skip_scan(&self) {
        self.lock().leases.forget_suspects();
    }

    /// An operator confirms that the missing brokers are gone, or has seen that they went.
    /// False: there was nothing to release.
    pub(crate) fn release_brake(&self) -> bool {
        let released = self.lock().brake.release();
        let cleared = self.alarms.clear(MASS_EXPIRY);
        if released {
            tracing::warn!("the mass-expiry brake was released by an operator");
        }
        released || cleared
    }

    pub(super) fn tell(&self, verdict: Verdict) {
        let share = |Missing { missing, alive }: Missing| {
            format!("{missing} of the {alive} brokers that were alive a ttl ago are missing")
        };
        match verdict {
            Verdict::Free => {}
            Verdict::Began(count) => {
                let detail = format!(
                    "{}; nothing is removed until they are back, or the brake is released, or for \
                     its longest time",
                    share(count)
                );
                tracing::warn!(
                    missing = count.missing,
                    alive = count.alive,
                    "mass-expiry brake holds"
                );
                self.alarms.raise(MASS_EXPIRY, detail);
            }
            Verdict::Holds(count) => {
                let detail = format!("{}; the brake holds, nothing is removed", share(count));
                self.alarms.raise(MASS_EXPIRY, detail);
            }
            Verdict::TimedOut(count) => {
                let detail = format!(
                    "{}; the brake has held for its longest time and let go, they are removed; \
                     release this alarm when you have seen it",
                    share(count)
                );
                tracing::warn!(
                    missing = count.missing,
                    alive = count.alive,
                    "mass-expiry brake timed out"
                );
                self.alarms.raise(MASS_EXPIRY, detail);
            }
            Verdict::Recovered { standing } => {
                tracing::info!(
                    "few enough brokers are missing again: the mass-expiry brake is off"
                );
                if !standing {
                    self.alarms.clear(MASS_EXPIRY);
                }
            }
        }
    }
}
