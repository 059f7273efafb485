//! Bounds the log's bytes. openraft makes a snapshot after so many *entries*, and keeps some of
//! them behind it; entries may be large, so bytes have a bound of their own.

use std::time::Duration;

use openraft::async_runtime::WatchReceiver as _;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::machine::Machine;
use crate::replica::Replica;
use crate::shared::Core;

/// How often the log is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How long a snapshot may take before another attempt.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(120);

/// Runs until the replica stops: when half of the bound has been appended since the last snapshot
/// that was made here, makes one, and purges everything that it covers.
pub(crate) async fn run<M: Machine>(replica: Replica<M>) {
    let core: &Core<M> = replica.core();
    let mut stop = core.stop.subscribe();
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => {}
        () = watch(&replica) => {}
    }
}

async fn watch<M: Machine>(replica: &Replica<M>) {
    let bytes_max = replica.core().config.log_bytes_max;
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut compacted_at_bytes = 0;
    let mut snapshot_seen = None;
    loop {
        looks.tick().await;
        let appended = replica.log_counters().appended_bytes;
        let snapshot = replica.core().raft.metrics().borrow_watched().snapshot;
        if snapshot != snapshot_seen {
            // Made because of the entries' number, or sent by the leader.
            snapshot_seen = snapshot;
            compacted_at_bytes = appended;
        }
        if appended - compacted_at_bytes < bytes_max / 2 {
            continue;
        }
        match replica.snapshot(Instant::now() + SNAPSHOT_TIMEOUT).await {
            Ok(index) => {
                tracing::info!(index, "made a snapshot, for the log has grown to its bound");
                compacted_at_bytes = appended;
                if replica.core().raft.trigger().purge_log(index).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::warn!(%error, "the log has grown to its bound"),
        }
    }
}
