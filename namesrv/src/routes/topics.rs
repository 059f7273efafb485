//! Operators' changes of topics and permissions (RocketMQ's codes 205, 216, 217 and 327).
//!
//! They change the tables, not what brokers have registered, so that an unchanged registration
//! doesn't undo them.

use std::collections::BTreeMap;

use signpost_raft::machine::Index;

use super::command::{BrokerName, QueueConfig, Refusal, RouteOutcome};
use super::row::{Name, QueueRow};
use super::tables::RouteTables;

/// The write bit of RocketMQ's `PermName`.
pub(super) const WRITE: u32 = 2;

/// What restoring the write permission sets: read and write. As in RocketMQ, an inherit bit is lost.
const READ_WRITE: u32 = 6;

impl RouteTables {
    pub(super) fn put_topic(
        &mut self,
        index: Index,
        topic: &str,
        brokers: BTreeMap<BrokerName, QueueConfig>,
    ) -> RouteOutcome {
        if let Some(unknown) = brokers.keys().find(|name| self.broker(name).is_none()) {
            let broker_name = unknown.clone();
            return RouteOutcome::Refused(Refusal::UnknownBroker { broker_name });
        }
        let topic = self.topic_name(topic);
        let mut changed = 0;
        for (broker, queues) in brokers {
            let broker = self.name(&broker);
            let before = self.topic(&topic).and_then(|row| row.queue(&broker));
            let registered = before.is_some_and(|row| row.registered);
            let mapping = before.and_then(|row| row.mapping.clone());
            let row = QueueRow { queues, registered, mapping };
            changed += u32::from(self.put_queue(index, &topic, &broker, row));
        }
        RouteOutcome::Written { changed }
    }

    pub(super) fn delete_topic(
        &mut self,
        index: Index,
        topic: &str,
        cluster: Option<&str>,
    ) -> RouteOutcome {
        let Some(row) = self.topic(topic) else { return RouteOutcome::Written { changed: 0 } };
        let brokers = row.queues.iter().map(|(broker, _)| broker);
        let is_meant = |broker: &&Name| cluster.is_none_or(|c| self.is_in_cluster(c, broker));
        let brokers: Vec<Name> = brokers.filter(is_meant).cloned().collect();
        let mut changed = 0;
        for broker in &brokers {
            changed += u32::from(self.remove_queue(index, topic, broker));
        }
        RouteOutcome::Written { changed }
    }

    pub(super) fn set_write_permission(
        &mut self,
        index: Index,
        cluster: Option<&str>,
        broker_name: BrokerName,
        writable: bool,
    ) -> RouteOutcome {
        if cluster.is_some_and(|cluster| !self.is_in_cluster(cluster, &broker_name)) {
            return RouteOutcome::Refused(Refusal::UnknownBroker { broker_name });
        }
        let broker = self.name(&broker_name);
        RouteOutcome::Written { changed: self.set_write_bits(index, &broker, writable) }
    }

    /// Wipes or restores the write permission of a broker name in all its topics; answers in how
    /// many it changed.
    pub(super) fn set_write_bits(&mut self, index: Index, broker: &Name, writable: bool) -> u32 {
        let topics: Vec<Name> = self.topics_of(broker).cloned().collect();
        let mut changed = 0;
        for topic in &topics {
            let Some(row) = self.topic(topic).and_then(|row| row.queue(broker)) else { continue };
            let mut row = row.clone();
            row.queues.perm = if writable { READ_WRITE } else { row.queues.perm & !WRITE };
            changed += u32::from(self.put_queue(index, topic, broker, row));
        }
        changed
    }
}
