//! Whether a write may be made, judged by the tables alone.
//!
//! One function for each kind of write, used by apply and by the leader's pre-check, so that the
//! two can't disagree (docs/GUARANTEES.md, claim 5 and "Registrations").

use std::collections::BTreeMap;
use std::sync::Arc;

use signpost_raft::machine::Index;
use signpost_raft::planted::{Bug, planted};

use super::command::{
    Base, BrokerKey, Claim, DataVersion, Door, Patch, QueueMapping, Refusal, Register, Topic,
    Unregister,
};
use super::content::Difference;
use super::row::Registration;
use super::tables::RouteTables;

/// What a registration or a patch amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission<'a> {
    /// A retry, a repeat by hand or on 9876 that says nothing new, or on 9876 an older data version
    /// of this epoch: nothing to log, the lease is renewed.
    Unchanged {
        /// The live epoch.
        epoch: Index,
    },
    /// The live registration changes and keeps its epoch.
    Change(Change<'a>),
    /// A new registration, whose epoch is the index at which it is applied.
    NewEpoch {
        /// The process and its write, worked out when the command names none.
        claim: Claim,
    },
    /// It may not.
    Refused(Refusal),
}

/// A change of a live registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<'a> {
    /// What it was compared with.
    pub base: Base,
    /// The process and its write, worked out when the command names none.
    pub claim: Claim,
    /// What differs.
    pub difference: Difference<'a>,
    /// Mappings of static topics that come with it; a patch has none.
    pub mappings: Option<&'a BTreeMap<Topic, QueueMapping>>,
}

impl Change<'_> {
    /// The same registration with only what differs, and with the base it was compared with: what
    /// the leader proposes instead of the whole.
    #[must_use]
    pub fn narrow(&self, whole: &Register) -> Register {
        let topics = self.difference.topics.iter();
        Register {
            key: whole.key.clone(),
            address: whole.address.clone(),
            ha_address: whole.ha_address.clone(),
            filter_servers: whole.filter_servers.clone(),
            zone: whole.zone.clone(),
            base: Some(self.base),
            topics: topics
                .map(|(topic, queues, _)| ((*topic).clone(), (*queues).clone()))
                .collect(),
            gone: self.difference.gone.iter().map(|topic| topic.to_string()).collect(),
            door: whole.door,
            claim: whole.claim,
            data_version: whole.data_version,
            lease_ttl_ms: whole.lease_ttl_ms,
            enable_acting_master: whole.enable_acting_master,
            takeover: whole.takeover,
            mappings: self.mappings(whole),
        }
    }
}

impl Change<'_> {
    fn mappings(&self, whole: &Register) -> BTreeMap<Topic, QueueMapping> {
        if whole.mappings.is_empty() {
            return BTreeMap::new();
        }
        let changed = self.difference.topics.iter().map(|(topic, ..)| *topic);
        let mapped = changed.filter_map(|topic| whole.mappings.get_key_value(topic));
        mapped.map(|(topic, mapping)| (topic.clone(), mapping.clone())).collect()
    }
}

/// What a removal amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Departure {
    /// The live registration goes.
    Removes,
    /// There is none; its fence may rise.
    AlreadyGone,
    /// It may not.
    Refused(Refusal),
}

/// What a heartbeat finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeartbeatVerdict {
    /// The registration lives, and its lease may be renewed for this long.
    Renewable {
        /// The ttl that it registered with.
        ttl_ms: u64,
        /// Its epoch.
        epoch: Index,
    },
    /// There is no such registration: register again.
    NotRegistered,
    /// A newer process holds, or has held, this identity: stop.
    Superseded {
        /// The highest claim known.
        highest: Claim,
    },
    /// It lives under another epoch.
    Moved {
        /// That epoch.
        epoch: Index,
    },
}

impl Registration {
    /// What a difference from this registration is computed against.
    #[must_use]
    pub fn base(&self) -> Base {
        Base { epoch: self.epoch, content_digest: self.content_digest }
    }
}

impl DataVersion {
    /// Surely an earlier version by the same broker. A broker that lost its disk starts to count
    /// anew, and one whose clock was set back has an earlier time: neither is older by that alone.
    #[must_use]
    pub fn is_older_than(&self, other: &Self) -> bool {
        if self.state_version != other.state_version {
            return self.state_version < other.state_version;
        }
        self != other && self.timestamp <= other.timestamp && self.counter <= other.counter
    }
}

impl RouteTables {
    /// Judges a registration: whole (no base) as a door hands it over, or narrowed to what differs.
    #[must_use]
    pub fn admit<'a>(&self, register: &'a Register) -> Admission<'a> {
        let live = self.registration(&register.key);
        let highest = self.highest_claim(&register.key);
        let claim = register.claim.unwrap_or_else(|| implied_claim(register, live, highest));
        if let Some(highest) = highest.filter(|highest| claim.incarnation < highest.incarnation)
            && !planted(Bug::LatePutWins)
        {
            return Admission::Refused(Refusal::Superseded { highest });
        }
        match (live, highest) {
            (Some(live), _) if live.claim.incarnation == claim.incarnation => {
                self.admit_change(live, claim, register)
            }
            (None, Some(highest)) if claim < highest => {
                Admission::Refused(Refusal::Stale { highest })
            }
            (None, Some(highest)) if claim == highest => Admission::Refused(Refusal::NotRegistered),
            _ => match self.refuse_new_epoch(live, register) {
                Some(refusal) => Admission::Refused(refusal),
                None => Admission::NewEpoch { claim },
            },
        }
    }

    fn admit_change<'a>(
        &self,
        live: &Registration,
        claim: Claim,
        register: &'a Register,
    ) -> Admission<'a> {
        let unchanged = Admission::Unchanged { epoch: live.epoch };
        if claim.seq < live.claim.seq {
            return Admission::Refused(Refusal::Stale { highest: live.claim });
        }
        let current = self.filter_servers(&register.key);
        let filter_servers = register.filter_servers.as_deref().unwrap_or(current);
        let has_its_queues = |topic: &str| {
            let row = self.topic(topic).and_then(|row| row.queue(&register.key.name));
            row.is_some_and(|row| row.registered)
        };
        let difference = Difference::of_register(live, register, filter_servers, has_its_queues);
        if claim.seq == live.claim.seq {
            return if difference.is_empty() {
                unchanged
            } else {
                Admission::Refused(Refusal::Stale { highest: live.claim })
            };
        }
        let has_moved = register.base.is_some_and(|base| base != live.base());
        if has_moved && !planted(Bug::MovedBaseIgnored) {
            return Admission::Refused(Refusal::Moved { epoch: live.epoch });
        }
        let is_late = register.door == Door::Remoting
            && register.data_version.is_older_than(&live.data_version);
        if is_late || (register.claim.is_none() && difference.is_empty()) {
            return unchanged;
        }
        let mappings = Some(&register.mappings);
        Admission::Change(Change { base: live.base(), claim, difference, mappings })
    }

    fn refuse_new_epoch(
        &self,
        live: Option<&Arc<Registration>>,
        register: &Register,
    ) -> Option<Refusal> {
        if register.base.is_some() {
            return Some(
                live.map_or(Refusal::NotRegistered, |live| Refusal::Moved { epoch: live.epoch }),
            );
        }
        if let Some(live) = live {
            let keeps_place = match register.door {
                Door::Http => !register.takeover,
                // RocketMQ 5.x, registerBroker: a newcomer takes the address over, unless the
                // one that holds it was made master later.
                Door::Remoting => {
                    live.data_version.state_version > register.data_version.state_version
                }
            };
            let is_elsewhere = *live.address != *register.address;
            return (is_elsewhere && keeps_place)
                .then(|| Refusal::LiveElsewhere { address: live.address.to_string() });
        }
        match register.door {
            Door::Http => {
                let other = self
                    .registrations_of(&register.key.name)
                    .find(|other| other.key.cluster != register.key.cluster)?;
                Some(Refusal::NameInOtherCluster { cluster: other.key.cluster.clone() })
            }
            Door::Remoting => {
                // RocketMQ 5.x, registerBroker: a first registration of one topic alone is an
                // incremental one that came too early; taking it would hide the others.
                let row = self.broker(&register.key.name);
                let is_first = row.is_none_or(|row| !row.addresses.contains_key(&register.key.id));
                (is_first && register.topics.len() == 1).then_some(Refusal::NotRegistered)
            }
        }
    }

    /// Judges a patch.
    #[must_use]
    pub fn admit_patch<'a>(&self, patch: &'a Patch) -> Admission<'a> {
        if let Some(highest) = self.superseding(&patch.key, Some(patch.claim.incarnation)) {
            return Admission::Refused(Refusal::Superseded { highest });
        }
        let Some(live) = self.registration(&patch.key) else {
            return Admission::Refused(Refusal::NotRegistered);
        };
        if patch.claim.incarnation > live.claim.incarnation {
            return Admission::Refused(Refusal::NotRegistered);
        }
        if patch.epoch != live.epoch {
            return Admission::Refused(Refusal::Moved { epoch: live.epoch });
        }
        let difference = Difference::of_patch(live, patch, self.filter_servers(&patch.key));
        if patch.claim.seq > live.claim.seq {
            return Admission::Change(Change {
                base: live.base(),
                claim: patch.claim,
                difference,
                mappings: None,
            });
        }
        if patch.claim.seq == live.claim.seq && difference.is_empty() {
            return Admission::Unchanged { epoch: live.epoch };
        }
        Admission::Refused(Refusal::Stale { highest: live.claim })
    }

    /// Judges an unregistration.
    #[must_use]
    pub fn admit_unregister(&self, unregister: &Unregister) -> Departure {
        let Some(live) = self.registration(&unregister.key) else { return Departure::AlreadyGone };
        if planted(Bug::LateUnregisterRemoves) {
            return Departure::Removes;
        }
        let incarnation = unregister.claim.map(|claim| claim.incarnation);
        if let Some(highest) = self.superseding(&unregister.key, incarnation) {
            return Departure::Refused(Refusal::Superseded { highest });
        }
        if unregister.epoch.is_some_and(|epoch| epoch != live.epoch) {
            return Departure::Refused(Refusal::Moved { epoch: live.epoch });
        }
        if unregister.claim.is_some_and(|claim| claim <= live.claim) {
            return Departure::Refused(Refusal::Stale { highest: live.claim });
        }
        Departure::Removes
    }

    /// Judges a heartbeat. `incarnation` and `epoch` are what the broker believes.
    #[must_use]
    pub fn judge_heartbeat(
        &self,
        key: &BrokerKey,
        incarnation: Option<u64>,
        epoch: Index,
    ) -> HeartbeatVerdict {
        if let Some(highest) = self.superseding(key, incarnation) {
            return HeartbeatVerdict::Superseded { highest };
        }
        match self.registration(key) {
            Some(live) if incarnation.is_some_and(|i| i > live.claim.incarnation) => {
                HeartbeatVerdict::NotRegistered
            }
            Some(live) if live.epoch == epoch => {
                HeartbeatVerdict::Renewable { ttl_ms: live.lease_ttl_ms, epoch }
            }
            Some(live) => HeartbeatVerdict::Moved { epoch: live.epoch },
            None => HeartbeatVerdict::NotRegistered,
        }
    }

    /// The claim of a newer process than this one, if one is known.
    fn superseding(&self, key: &BrokerKey, incarnation: Option<u64>) -> Option<Claim> {
        let highest = self.highest_claim(key)?;
        incarnation.is_some_and(|incarnation| incarnation < highest.incarnation).then_some(highest)
    }
}

/// The claim of a registration that names none: the live one's next write when the address is the
/// same, else the first write of an incarnation one above the highest known.
fn implied_claim(
    register: &Register,
    live: Option<&Arc<Registration>>,
    highest: Option<Claim>,
) -> Claim {
    match live {
        Some(live) if *live.address == *register.address => {
            Claim { incarnation: live.claim.incarnation, seq: live.claim.seq.saturating_add(1) }
        }
        _ => {
            let incarnation = highest.map_or(0, |highest| highest.incarnation).saturating_add(1);
            Claim { incarnation, seq: 1 }
        }
    }
}
