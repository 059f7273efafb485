//! KV configuration (RocketMQ's codes 100 to 102 and 219), order topic configuration among it.

use std::sync::Arc;

use signpost_raft::machine::Index;

use super::command::{Refusal, RouteOutcome};
use super::row::{KvRow, Name};
use super::tables::RouteTables;

/// The namespace of order topic configuration: topic → `broker:queues;broker:queues`.
pub const ORDER_TOPIC_CONFIG: &str = "ORDER_TOPIC_CONFIG";

impl RouteTables {
    /// A KV configuration.
    #[must_use]
    pub fn kv(&self, namespace: &str, key: &str) -> Option<&Arc<KvRow>> {
        self.kv.get(namespace)?.get(key)
    }

    /// All keys of a namespace, sorted; None when there never was one. One that was emptied stays.
    #[must_use]
    pub fn kv_namespace_rows(
        &self,
        namespace: &str,
    ) -> Option<impl Iterator<Item = (&Name, &Arc<KvRow>)>> {
        Some(self.kv.get(namespace)?.iter())
    }

    pub(super) fn put_kv(
        &mut self,
        index: Index,
        namespace: &str,
        key: &str,
        value: &str,
        if_index: Option<Index>,
    ) -> RouteOutcome {
        let before = self.kv(namespace, key);
        let modified = before.map_or(0, |row| row.modified);
        if if_index.is_some_and(|expected| expected != modified) {
            return RouteOutcome::Refused(Refusal::IndexMismatch { modified });
        }
        if before.is_some_and(|row| *row.value == *value) {
            return RouteOutcome::Written { changed: 0 };
        }
        self.put_kv_row(namespace, key, KvRow { value: value.into(), modified: index });
        self.touch_order_conf(index, namespace, key);
        RouteOutcome::Written { changed: 1 }
    }

    pub(super) fn delete_kv(
        &mut self,
        index: Index,
        namespace: &str,
        key: &str,
        if_index: Option<Index>,
    ) -> RouteOutcome {
        let modified = self.kv(namespace, key).map_or(0, |row| row.modified);
        if if_index.is_some_and(|expected| expected != modified) {
            return RouteOutcome::Refused(Refusal::IndexMismatch { modified });
        }
        if !self.remove_kv_row(namespace, key) {
            return RouteOutcome::Written { changed: 0 };
        }
        self.touch_order_conf(index, namespace, key);
        RouteOutcome::Written { changed: 1 }
    }

    /// A route's `modified` must also grow when its order configuration goes away, and then no row
    /// is left that could carry the index: so the topic carries it.
    fn touch_order_conf(&mut self, index: Index, namespace: &str, key: &str) {
        if namespace == ORDER_TOPIC_CONFIG {
            self.stamp_order_conf(index, key);
        }
    }
}
