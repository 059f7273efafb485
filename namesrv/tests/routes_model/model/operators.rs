//! Permissions, topics and KV configuration, as operators set them.

use std::collections::BTreeMap;

use signpost_namesrv::routes::command::*;

use super::Model;

impl Model {
    pub(super) fn set_writable(&mut self, name: &str, writable: bool) -> u32 {
        let mut changed = 0;
        for queues in self.topics.values_mut() {
            if let Some((config, _)) = queues.get_mut(name) {
                let perm = if writable { 6 } else { config.perm & !2 };
                changed += u32::from(perm != config.perm);
                config.perm = perm;
            }
        }
        changed
    }

    pub(super) fn put_topic(
        &mut self,
        topic: &str,
        on: &BTreeMap<String, QueueConfig>,
    ) -> RouteOutcome {
        if let Some(unknown) = on.keys().find(|name| !self.brokers.contains_key(*name)) {
            let broker_name = unknown.clone();
            return RouteOutcome::Refused(Refusal::UnknownBroker { broker_name });
        }
        let mut changed = 0;
        for (name, config) in on {
            let queues = self.topics.entry(topic.to_owned()).or_default();
            let before = queues.get(name).cloned();
            changed += u32::from(before.as_ref().map(|row| &row.0) != Some(config));
            queues.insert(name.clone(), (config.clone(), before.is_some_and(|row| row.1)));
        }
        RouteOutcome::Written { changed }
    }

    pub(super) fn delete_topic(&mut self, topic: &str, cluster: Option<&String>) -> RouteOutcome {
        let Some(queues) = self.topics.get_mut(topic) else {
            return RouteOutcome::Written { changed: 0 };
        };
        let before = queues.len();
        let live = &self.live;
        let is_in = |name: &String, cluster: &String| {
            live.keys().any(|key| key.name == *name && key.cluster == *cluster)
        };
        queues.retain(|name, _| cluster.is_some_and(|cluster| !is_in(name, cluster)));
        let changed = (before - queues.len()) as u32;
        self.topics.retain(|_, queues| !queues.is_empty());
        RouteOutcome::Written { changed }
    }

    pub(super) fn put_kv(
        &mut self,
        index: u64,
        (namespace, key): (&str, &str),
        value: &str,
        if_index: Option<u64>,
    ) -> RouteOutcome {
        let rows = self.kv.get(namespace);
        let before = rows.and_then(|rows| rows.get(key)).cloned();
        let modified = before.as_ref().map_or(0, |(_, modified)| *modified);
        if if_index.is_some_and(|expected| expected != modified) {
            return RouteOutcome::Refused(Refusal::IndexMismatch { modified });
        }
        if before.is_some_and(|(before, _)| before == value) {
            return RouteOutcome::Written { changed: 0 };
        }
        let rows = self.kv.entry(namespace.to_owned()).or_default();
        rows.insert(key.to_owned(), (value.to_owned(), index));
        RouteOutcome::Written { changed: 1 }
    }

    pub(super) fn delete_kv(
        &mut self,
        namespace: &str,
        key: &str,
        if_index: Option<u64>,
    ) -> RouteOutcome {
        let rows = self.kv.get_mut(namespace);
        let modified = rows.as_ref().and_then(|rows| rows.get(key)).map_or(0, |row| row.1);
        if if_index.is_some_and(|expected| expected != modified) {
            return RouteOutcome::Refused(Refusal::IndexMismatch { modified });
        }
        let gone = rows.and_then(|rows| rows.remove(key)).is_some();
        RouteOutcome::Written { changed: u32::from(gone) }
    }
}
