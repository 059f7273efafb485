//! Taking a registration away: from the live and filter-server tables, then the address table, then
//! the cluster table, then every topic (RocketMQ's `RouteInfoManager.unRegisterBroker`, 5.3.3).
//!
//! Whatever the reason, its highest claim stays behind as a fence (docs/GUARANTEES.md, claim 5).

use signpost_raft::machine::Index;
use signpost_raft::planted::{Bug, planted};

use super::admission::Departure;
use super::changes::RegistrationEvent;
use super::command::{BrokerKey, Claim, Expire, Refusal, RouteOutcome, Unregister};
use super::row::{BrokerRow, Fence, Name, Registration, Slot};
use super::tables::RouteTables;

impl RouteTables {
    pub(super) fn unregister(&mut self, index: Index, unregister: &Unregister) -> RouteOutcome {
        let key = &unregister.key;
        match self.admit_unregister(unregister) {
            Departure::Refused(refusal) => RouteOutcome::Refused(refusal),
            Departure::Removes => {
                self.remove(index, key, unregister.claim, RegistrationEvent::Unregistered);
                RouteOutcome::Unregistered { removed: true }
            }
            Departure::AlreadyGone => {
                if let Some(claim) = unregister.claim {
                    self.raise_fence(index, key, claim);
                }
                RouteOutcome::Unregistered { removed: false }
            }
        }
    }

    /// So that a registration which was sent before this removal, and comes after it, is refused.
    fn raise_fence(&mut self, index: Index, key: &BrokerKey, claim: Claim) {
        if self.fence(key).is_none_or(|fence| fence.claim < claim) {
            self.put_fence(key.clone().into(), Fence { claim, removed: index });
        }
    }

    pub(super) fn expire(&mut self, index: Index, expire: &Expire) -> RouteOutcome {
        let Some(live) = self.registration(&expire.key) else {
            return RouteOutcome::Refused(Refusal::NotRegistered);
        };
        if live.epoch != expire.epoch && !planted(Bug::ExpiryIgnoresEpoch) {
            return RouteOutcome::Refused(Refusal::Moved { epoch: live.epoch });
        }
        self.remove(index, &expire.key, None, RegistrationEvent::Expired(expire.cause));
        RouteOutcome::Expired
    }

    /// Removes a live registration and all that follows from it.
    pub(super) fn remove(
        &mut self,
        index: Index,
        key: &BrokerKey,
        claim: Option<Claim>,
        why: RegistrationEvent,
    ) {
        let Some(registration) = self.remove_live(key) else { return };
        let claim = claim.map_or(registration.claim, |claim| claim.max(registration.claim));
        self.put_fence(registration.key.clone(), Fence { claim, removed: index });
        let filters_changed = self.put_filter_servers(&registration.key, &[]);
        self.note(index, &registration, why);
        self.release_address(index, &registration, filters_changed);
    }

    fn release_address(&mut self, index: Index, gone: &Registration, filters_changed: bool) {
        let (name, id) = (&gone.key.name, gone.key.id);
        let Some((name, row)) = self.brokers.get_key_value(name.as_str()) else { return };
        if row.addresses.get(&id).is_none_or(|slot| *slot.cluster != *gone.key.cluster) {
            return; // Another cluster's broker has taken this place.
        }
        let (name, mut row) = (name.clone(), BrokerRow::clone(row));
        // On 9876 another cluster may use the same name and id: its latest broker comes back.
        let displaced = self.registrations_of(&name).filter(|other| other.key.id == id);
        let successor = displaced.max_by_key(|other| other.epoch).map(|other| Slot {
            address: other.address.clone(),
            cluster: other.key.cluster.as_str().into(),
        });
        match successor {
            Some(slot) => row.addresses.insert(id, slot),
            None => row.addresses.remove(&id),
        };
        if row.addresses.is_empty() {
            self.remove_broker(&name);
            self.remove_from_all_topics(index, &name);
            return;
        }
        let is_led_by_slave = row.enable_acting_master && !row.addresses.contains_key(&0);
        self.put_broker(index, &name, row, filters_changed);
        if is_led_by_slave {
            self.set_write_bits(index, &name, false);
        }
    }

    fn remove_from_all_topics(&mut self, index: Index, broker: &Name) {
        let topics: Vec<Name> = self.topics_of(broker).cloned().collect();
        for topic in topics {
            self.remove_queue(index, &topic, broker);
        }
    }
}
