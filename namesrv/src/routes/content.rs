//! What a broker last registered, as hashes, and how a new registration differs from it.
//!
//! Registrations are compared with this and not with the route tables, or else a wiped permission
//! or a deleted topic would come back with the next repeat (docs/GUARANTEES.md,
//! "Registrations").

use imbl::OrdMap;
use serde::Serialize;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::command::{DataVersion, Door, Patch, QueueConfig, QueueMapping, Register, Topic};
use super::row::{Name, Registration};

/// A hash for each topic of a registration, and their running sum.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    hashes: OrdMap<Name, u64>,
    sum: u64,
}

impl Content {
    /// The hash of this topic as it was registered.
    #[must_use]
    pub fn get(&self, topic: &str) -> Option<u64> {
        self.hashes.get(topic).copied()
    }

    /// How many topics there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Are there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// All topics and their hashes, sorted by topic.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, u64)> {
        self.hashes.iter().map(|(topic, hash)| (topic, *hash))
    }

    pub(super) fn into_rows(self) -> impl Iterator<Item = (Name, u64)> + Send {
        self.hashes.into_iter()
    }

    pub(super) fn set(&mut self, topic: Name, hash: u64) {
        self.remove(&topic);
        self.sum = self.sum.wrapping_add(share(&topic, hash));
        self.hashes.insert(topic, hash);
    }

    pub(super) fn remove(&mut self, topic: &str) {
        if let Some(hash) = self.hashes.remove(topic) {
            self.sum = self.sum.wrapping_sub(share(topic, hash));
        }
    }

    /// The running sum, computed anew.
    pub(super) fn recompute(&self) -> u64 {
        self.iter().fold(0, |sum, (topic, hash)| sum.wrapping_add(share(topic, hash)))
    }

    /// The digest of these topics and of the rest of the registration.
    pub(super) fn digest(&self, rest_hash: u64) -> u64 {
        self.sum.wrapping_add(rest_hash)
    }
}

/// A topic's share of the sum: it vouches for the name as well as for the hash.
fn share(topic: &str, hash: u64) -> u64 {
    xxh3_64_with_seed(topic.as_bytes(), hash)
}

/// Hash of what a registration says of one topic.
pub(super) fn topic_hash(queues: &QueueConfig, mapping: Option<&QueueMapping>) -> u64 {
    match mapping {
        None => hash_of(queues),
        Some(mapping) => hash_of(&(queues, mapping)),
    }
}

/// Everything that a registration says beside its topics.
#[derive(Serialize)]
struct Rest<'a> {
    door: Door,
    address: &'a str,
    ha_address: &'a str,
    data_version: DataVersion,
    lease_ttl_ms: u64,
    enable_acting_master: Option<bool>,
    zone: Option<&'a str>,
    filter_servers: &'a [String],
}

/// Hash of the rest of `register`, given the filter servers that hold once it is applied.
pub(super) fn rest_hash_of(register: &Register, filter_servers: &[String]) -> u64 {
    hash_of(&Rest {
        door: register.door,
        address: &register.address,
        ha_address: &register.ha_address,
        data_version: register.data_version,
        lease_ttl_ms: register.lease_ttl_ms,
        enable_acting_master: register.enable_acting_master,
        zone: register.zone.as_deref(),
        filter_servers,
    })
}

/// Hash of the rest of a live registration, should its data version become this one.
pub(super) fn rest_hash_with(
    live: &Registration,
    data_version: DataVersion,
    filter_servers: &[String],
) -> u64 {
    hash_of(&Rest {
        door: live.door,
        address: &live.address,
        ha_address: &live.ha_address,
        data_version,
        lease_ttl_ms: live.lease_ttl_ms,
        enable_acting_master: live.enable_acting_master,
        zone: live.zone.as_deref(),
        filter_servers,
    })
}

fn hash_of<T: Serialize>(value: &T) -> u64 {
    let bytes = signpost_raft::codec::encode(value)
        .expect("a part of a registration is smaller than the log record that carried it");
    xxh3_64(&bytes)
}

/// How a registration or a patch differs from the content that a live registration holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference<'a> {
    /// New or changed topics, with their hashes.
    pub topics: Vec<(&'a Topic, &'a QueueConfig, u64)>,
    /// Topics that are no longer there.
    pub gone: Vec<Name>,
    /// The hash of the rest from now on.
    pub rest_hash: u64,
    /// Does the rest differ?
    pub rest_changed: bool,
}

impl<'a> Difference<'a> {
    /// Would applying it change the content at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.gone.is_empty() && !self.rest_changed
    }

    /// What `register` changes in `live`. Without a base its topics are the whole content over
    /// HTTP, and are merged on 9876. `has_its_queues`: do the tables hold queues of this topic that
    /// the broker itself has registered?
    pub(super) fn of_register(
        live: &Registration,
        register: &'a Register,
        filter_servers: &[String],
        has_its_queues: impl Fn(&str) -> bool,
    ) -> Self {
        let content = &live.content;
        // RocketMQ 5.x, RouteInfoManager.registerBroker: under an unchanged data version only
        // topics that are not yet known are taken.
        let known_stay =
            register.door == Door::Remoting && register.data_version == live.data_version;
        // A broker that has changed something since, and has a topic whose queues were deleted, has
        // made it again, as far as can be told: made just as it was, it has the same hash.
        let may_return = |topic: &str| register.door == Door::Remoting && !has_its_queues(topic);
        let topics = changed_topics(content, register, known_stay, may_return);
        let gone = if register.base.is_none() && register.door == Door::Http {
            let listed = |topic: &Name| register.topics.contains_key(&**topic);
            content.iter().map(|(topic, _)| topic).filter(|topic| !listed(topic)).cloned().collect()
        } else {
            let listed = |topic: &&Topic| register.topics.contains_key(*topic);
            known(content, register.gone.iter().filter(|topic| !listed(topic)))
        };
        let rest_hash = rest_hash_of(register, filter_servers);
        Self { topics, gone, rest_hash, rest_changed: rest_hash != live.rest_hash }
    }

    /// What `patch` changes in `live`.
    pub(super) fn of_patch(
        live: &Registration,
        patch: &'a Patch,
        filter_servers: &[String],
    ) -> Self {
        let mut topics = Vec::new();
        for (topic, queues) in &patch.topics {
            let Some(queues) = queues else { continue };
            let hash = topic_hash(queues, None);
            if live.content.get(topic) != Some(hash) {
                topics.push((topic, queues, hash));
            }
        }
        let deleted = patch.topics.iter().filter(|(_, queues)| queues.is_none());
        let gone = known(&live.content, deleted.map(|(topic, _)| topic));
        let data_version = patch.data_version.unwrap_or(live.data_version);
        let rest_hash = rest_hash_with(live, data_version, filter_servers);
        Self { topics, gone, rest_hash, rest_changed: rest_hash != live.rest_hash }
    }
}

fn changed_topics<'a>(
    content: &Content,
    register: &'a Register,
    known_stay: bool,
    may_return: impl Fn(&str) -> bool,
) -> Vec<(&'a Topic, &'a QueueConfig, u64)> {
    let mut changed = Vec::new();
    for (topic, queues) in &register.topics {
        let known = content.get(topic);
        if known_stay && known.is_some() {
            continue;
        }
        let hash = topic_hash(queues, register.mappings.get(topic));
        if known != Some(hash) || may_return(topic) {
            changed.push((topic, queues, hash));
        }
    }
    changed
}

fn known<'b>(content: &Content, topics: impl Iterator<Item = &'b Topic>) -> Vec<Name> {
    let mut names: Vec<Name> = topics
        .filter_map(|t| content.hashes.get_key_value(t.as_str()))
        .map(|(t, _)| t.clone())
        .collect();
    names.sort();
    names.dedup();
    names
}
