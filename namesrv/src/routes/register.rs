//! Applying a registration or a patch, after `admission.rs` has judged it.
//!
//! The order of steps is that of RocketMQ's `RouteInfoManager.registerBroker` (5.3.3), with what
//! docs/GUARANTEES.md, "Registrations", says about the two doors.

use std::collections::BTreeMap;
use std::sync::Arc;

use signpost_raft::machine::Index;

use super::admission::{Admission, Change};
use super::changes::RegistrationEvent;
use super::command::{
    BrokerKey, Claim, Door, Patch, QueueConfig, QueueMapping, Register, RouteOutcome,
};
use super::content::{Content, rest_hash_of, topic_hash};
use super::row::{BrokerRow, Name, QueueRow, Registration, Slot};
use super::tables::RouteTables;
use super::topics::WRITE;

/// Topics that a registration adds or changes, and those that it no longer lists.
struct Listing<'a> {
    topics: Vec<(Name, &'a QueueConfig, Option<&'a QueueMapping>)>,
    gone: Vec<Name>,
}

impl RouteTables {
    pub(super) fn register(&mut self, index: Index, register: &Register) -> RouteOutcome {
        match self.admit(register) {
            Admission::Refused(refusal) => RouteOutcome::Refused(refusal),
            Admission::Unchanged { epoch } => self.registered(&register.key, epoch, false, false),
            Admission::Change(change) => self.change(index, register, &change),
            Admission::NewEpoch { claim } => self.begin(index, register, claim),
        }
    }

    pub(super) fn patch(&mut self, index: Index, patch: &Patch) -> RouteOutcome {
        let change = match self.admit_patch(patch) {
            Admission::Change(change) => change,
            Admission::Unchanged { epoch } => {
                return self.registered(&patch.key, epoch, false, false);
            }
            Admission::Refused(refusal) => return RouteOutcome::Refused(refusal),
            Admission::NewEpoch { .. } => unreachable!("a patch never begins a registration"),
        };
        let live = self.live.get(&patch.key).expect("a patch is admitted to a live registration");
        let mut registration = Registration::clone(live);
        registration.claim = change.claim;
        registration.data_version = patch.data_version.unwrap_or(registration.data_version);
        let listing = self.update_content(&mut registration, &change);
        self.put_live(registration.clone());
        self.contribute(index, &registration, listing);
        self.registered(&patch.key, registration.epoch, false, true)
    }

    /// A change of a live registration.
    fn change(&mut self, index: Index, register: &Register, change: &Change<'_>) -> RouteOutcome {
        let live = self.live.get(&register.key).expect("a change is admitted to a live one");
        let before = live.clone();
        let mut registration = self.registration_of(register, change.claim, before.epoch);
        registration.content = before.content.clone();
        let listing = self.update_content(&mut registration, change);
        self.settle(index, register, registration, listing);
        self.registered(&register.key, before.epoch, false, true)
    }

    /// A new epoch: applies everything.
    fn begin(&mut self, index: Index, register: &Register, claim: Claim) -> RouteOutcome {
        let mut registration = self.registration_of(register, claim, index);
        let mut listing = Listing { topics: Vec::new(), gone: Vec::new() };
        for (topic, queues) in &register.topics {
            let name = self.topic_name(topic);
            let mapping = register.mappings.get(topic);
            registration.content.set(name.clone(), topic_hash(queues, mapping));
            listing.topics.push((name, queues, mapping));
        }
        if register.door == Door::Http {
            let unlisted = |topic: &&Name| !register.topics.contains_key(&***topic);
            listing.gone = self.topics_of(&register.key.name).filter(unlisted).cloned().collect();
        }
        let filter_servers = match &register.filter_servers {
            Some(filter_servers) => filter_servers,
            None => self.filter_servers(&register.key),
        };
        registration.rest_hash = rest_hash_of(register, filter_servers);
        registration.content_digest = registration.content.digest(registration.rest_hash);

        if let Some(before) = self.live.get(&register.key).cloned() {
            self.note(index, &before, RegistrationEvent::Superseded);
        }
        self.note(index, &registration, RegistrationEvent::Began);
        self.remove_fence(&register.key);
        self.settle(index, register, registration, listing);
        self.registered(&register.key, index, true, true)
    }

    /// A registration as this command describes it, still without content.
    fn registration_of(&self, register: &Register, claim: Claim, epoch: Index) -> Registration {
        let known = self.live.get_key_value(&register.key).map(|(key, _)| key.clone());
        Registration {
            key: known.unwrap_or_else(|| Arc::new(register.key.clone())),
            claim,
            epoch,
            address: register.address.as_str().into(),
            ha_address: register.ha_address.as_str().into(),
            data_version: register.data_version,
            lease_ttl_ms: register.lease_ttl_ms,
            door: register.door,
            enable_acting_master: register.enable_acting_master,
            zone: register.zone.as_deref().map(Name::from),
            rest_hash: 0,
            content_digest: 0,
            content: Content::default(),
        }
    }

    /// Brings the content that is remembered up to date.
    fn update_content<'a>(
        &self,
        registration: &mut Registration,
        change: &Change<'a>,
    ) -> Listing<'a> {
        let difference = &change.difference;
        let mut topics = Vec::with_capacity(difference.topics.len());
        for (topic, queues, hash) in &difference.topics {
            let name = self.topic_name(topic);
            registration.content.set(name.clone(), *hash);
            topics.push((name, *queues, change.mappings.and_then(|of| of.get(*topic))));
        }
        for topic in &difference.gone {
            registration.content.remove(topic);
        }
        registration.rest_hash = difference.rest_hash;
        registration.content_digest = registration.content.digest(difference.rest_hash);
        Listing { topics, gone: difference.gone.clone() }
    }

    /// Gives a registration its place in all tables.
    fn settle(
        &mut self,
        index: Index,
        register: &Register,
        registration: Registration,
        listing: Listing<'_>,
    ) {
        let filters_changed = match &register.filter_servers {
            Some(servers) => self.put_filter_servers(&registration.key, servers),
            None => false,
        };
        self.take_address(index, &registration, filters_changed);
        self.put_live(registration.clone());
        self.drop_others_at_address(index, &registration);
        self.contribute(index, &registration, listing);
    }

    /// Puts its address under its name and id.
    fn take_address(&mut self, index: Index, registration: &Registration, filters_changed: bool) {
        let name = self.name(&registration.key.name);
        let cluster = self.cluster_name(&registration.key.cluster);
        let mut row = match self.brokers.get(&name) {
            Some(row) => BrokerRow::clone(row),
            None => BrokerRow {
                cluster: cluster.clone(),
                addresses: BTreeMap::new(),
                enable_acting_master: false,
                zone: None,
                modified: index,
            },
        };
        row.enable_acting_master = registration.enable_acting_master.unwrap_or(false);
        row.zone = registration.zone.clone();
        let slot = Slot { address: registration.address.clone(), cluster };
        row.addresses.insert(registration.key.id, slot);
        self.put_broker(index, &name, row, filters_changed);
    }

    fn cluster_name(&self, cluster: &str) -> Name {
        self.clusters
            .get_key_value(cluster)
            .map_or_else(|| cluster.into(), |(name, _)| name.clone())
    }

    /// An address is one process: whatever this name had there under another id or cluster is gone.
    /// (Of another *name* at this address nothing is said: it goes when its own lease ends.)
    fn drop_others_at_address(&mut self, index: Index, registration: &Registration) {
        let others: Vec<Arc<BrokerKey>> = self
            .registrations_of(&registration.key.name)
            .filter(|other| other.key != registration.key && other.address == registration.address)
            .map(|other| other.key.clone())
            .collect();
        for key in others {
            self.remove(index, &key, None, RegistrationEvent::AddressReused);
        }
    }

    /// Brings the broker's queues into its topics, if it is one that contributes.
    fn contribute(&mut self, index: Index, registration: &Registration, listing: Listing<'_>) {
        let Some(perm_mask) = self.contribution(registration) else { return };
        let broker = self.name(&registration.key.name);
        for topic in &listing.gone {
            let row = self.topics.get(topic).and_then(|row| row.queue(&broker));
            if row.is_some_and(|row| row.registered) {
                self.remove_queue(index, topic, &broker);
            }
        }
        for (topic, queues, mapping) in listing.topics {
            let mut queues = queues.clone();
            queues.perm &= perm_mask;
            let mapping = mapping.cloned().map(Arc::new);
            self.put_queue(index, &topic, &broker, QueueRow { queues, registered: true, mapping });
        }
    }

    /// The permissions that this registration may give its queues; None when it gives none.
    ///
    /// A master does; on 9876 so does a slave of RocketMQ 5 that has the smallest id of its name
    /// ("prime slave"), without the write bit when it may act as master.
    fn contribution(&self, registration: &Registration) -> Option<u32> {
        if registration.key.id == 0 {
            return Some(u32::MAX);
        }
        let acting = registration.enable_acting_master?;
        let smallest = self.broker(&registration.key.name)?.addresses.keys().next();
        let is_prime = smallest == Some(&registration.key.id);
        let perm_mask = if acting { !WRITE } else { u32::MAX };
        (registration.door == Door::Remoting && is_prime).then_some(perm_mask)
    }

    /// The answer to a registration; a slave learns its master.
    fn registered(
        &self,
        key: &BrokerKey,
        epoch: Index,
        new_epoch: bool,
        changed: bool,
    ) -> RouteOutcome {
        let master = if key.id == 0 { None } else { self.master(&key.name) };
        RouteOutcome::Registered { epoch, new_epoch, changed, master }
    }

    /// Address and HA address of the live master of this name.
    #[must_use]
    pub fn master(&self, name: &str) -> Option<(String, String)> {
        let slot = self.broker(name)?.addresses.get(&0)?;
        let key = BrokerKey { cluster: slot.cluster.to_string(), name: name.into(), id: 0 };
        let master = self.registration(&key)?;
        Some((master.address.to_string(), master.ha_address.to_string()))
    }
}
