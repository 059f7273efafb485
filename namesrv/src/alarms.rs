//! What an operator should know, until it has passed or been confirmed.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use signpost_raft::machine::NodeId;
use tokio::time::Instant;

use crate::answers::Alarm;

/// So many brokers are missing that removing them has been stopped, or would have been.
pub const MASS_EXPIRY: &str = "mass-expiry";
/// A broker name was claimed from two RocketMQ clusters.
pub const NAME_IN_TWO_CLUSTERS: &str = "broker-name-in-two-clusters";

/// The alarms that stand on this replica: one of each kind.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    raised: Mutex<BTreeMap<&'static str, (Instant, String)>>,
}

impl Alarms {
    /// Raises an alarm, or tells a standing one anew. True: it did not stand before.
    pub(crate) fn raise(&self, kind: &'static str, detail: String) -> bool {
        let mut raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = raised.entry(kind);
        let new = matches!(entry, std::collections::btree_map::Entry::Vacant(_));
        entry.or_insert_with(|| (Instant::now(), String::new())).1 = detail;
        new
    }

    /// Ends an alarm. False: it did not stand.
    pub(crate) fn clear(&self, kind: &str) -> bool {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).remove(kind).is_some()
    }

    /// All that stand, sorted by kind.
    pub(crate) fn list(&self, node_id: NodeId) -> Vec<Alarm> {
        let raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        let alarm = |(kind, (since, detail)): (&&str, &(Instant, String))| Alarm {
            kind: (*kind).to_owned(),
            detail: detail.clone(),
            age_ms: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
            node_id,
        };
        raised.iter().map(alarm).collect()
    }
}
