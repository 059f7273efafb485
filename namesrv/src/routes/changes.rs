//! What applies have changed since somebody last asked: wakes waiters and feeds logs.
//!
//! Not replicated: a replica that installs a snapshot only says that everything may have changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use signpost_raft::machine::Index;

use super::command::{BrokerKey, ExpiryCause};
use super::kv::ORDER_TOPIC_CONFIG;
use super::row::Name;
use super::tables::RouteTables;

/// What changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// A snapshot replaced the tables: anything may have changed.
    pub everything: bool,
    /// Topics whose queues changed, appeared or went.
    pub topics: BTreeSet<Name>,
    /// Broker names whose addresses, filter servers or flags changed: the routes of all their
    /// topics did.
    pub brokers: BTreeSet<Name>,
    /// Namespaces and keys of KV configuration.
    pub kv: BTreeSet<(Name, Name)>,
    /// Registrations that began or ended, in the order in which they did.
    pub registrations: Vec<RegistrationChange>,
}

/// A registration began or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationChange {
    /// Whose.
    pub key: Arc<BrokerKey>,
    /// Its epoch.
    pub epoch: Index,
    /// Its address.
    pub address: Name,
    /// The log index at which this happened.
    pub index: Index,
    /// What happened.
    pub what: RegistrationEvent,
}

/// What happened to a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationEvent {
    /// It began.
    Began,
    /// A newer process took its place.
    Superseded,
    /// Its owner or an operator took it away.
    Unregistered,
    /// Its lease ended.
    Expired(ExpiryCause),
    /// Its address was registered under another id or cluster of the same broker name.
    AddressReused,
}

impl Changes {
    /// Did nothing change?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All topics whose route may have changed: a change of a broker is one of all its topics.
    /// `with_order_conf`: do routes carry the order configuration? Does not expand `everything`.
    #[must_use]
    pub fn routes(&self, tables: &RouteTables, with_order_conf: bool) -> BTreeSet<Name> {
        let mut topics = self.topics.clone();
        for broker in &self.brokers {
            topics.extend(tables.topics_of(broker).cloned());
        }
        if with_order_conf {
            let ordered =
                self.kv.iter().filter(|(namespace, _)| &**namespace == ORDER_TOPIC_CONFIG);
            topics.extend(ordered.map(|(_, topic)| topic.clone()));
        }
        topics
    }
}
