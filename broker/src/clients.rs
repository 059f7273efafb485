//! Who is connected: producer and consumer groups, their members, and what each group subscribes
//! to. Pure: time and connections are arguments.
//! Source: RocketMQ `ConsumerManager`, `ConsumerGroupInfo`, `ProducerManager`.

use std::collections::{BTreeMap, BTreeSet};

use signpost_remoting::body::consumers::ClientConnection;
use signpost_remoting::body::heartbeat::{ConsumerData, Heartbeat, by_topic};
use signpost_remoting::body::{ConsumerConnections, Subscription};

/// A member that has not been heard of for this long is taken out. RocketMQ: 120 s.
pub(crate) const SILENCE_MS: i64 = 120_000;

/// One client, as a group's member.
#[derive(Debug, Clone)]
pub(crate) struct Member<C> {
    /// As tools are shown it.
    pub(crate) shown: ClientConnection,
    /// When it was last heard of, in ms.
    pub(crate) seen_ms: i64,
    /// By which it is told.
    pub(crate) connection: C,
}

type Members<C> = BTreeMap<u64, Member<C>>;

/// A consumer group that has members.
#[derive(Debug)]
struct ConsumerGroup<C> {
    members: Members<C>,
    consume_type: String,
    message_model: String,
    consume_from_where: String,
    subscriptions: BTreeMap<String, Subscription>,
}

/// A group whose members, or subscriptions, are not what they were.
#[derive(Debug)]
pub(crate) struct Changed<C> {
    pub(crate) group: String,
    /// Those who are to be told.
    pub(crate) members: Vec<C>,
}

/// What a group consumes, for judging a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subscribed {
    /// No member has said that it is there.
    NoGroup,
    /// The group does not subscribe to that topic.
    NoTopic,
    /// It does, so; in broadcasting mode or not.
    To { subscription: Subscription, broadcasting: bool },
}

/// All groups with members. `C` is a connection; each has a number of its own.
#[derive(Debug)]
pub(crate) struct Clients<C> {
    consumers: BTreeMap<String, ConsumerGroup<C>>,
    producers: BTreeMap<String, Members<C>>,
}

impl<C> Default for Clients<C> {
    fn default() -> Self {
        Self { consumers: BTreeMap::new(), producers: BTreeMap::new() }
    }
}

impl<C: Clone> Clients<C> {
    /// Takes a heartbeat in. Answers the consumer groups that it changed.
    pub(crate) fn heartbeat(
        &mut self,
        number: u64,
        member: &Member<C>,
        beat: Heartbeat,
    ) -> Vec<Changed<C>> {
        for data in beat.producer_data_set {
            self.producers.entry(data.group_name).or_default().insert(number, member.clone());
        }
        let mut changed = Vec::new();
        for data in beat.consumer_data_set {
            let name = data.group_name.clone();
            let group = self.consumers.entry(name.clone()).or_insert_with(ConsumerGroup::new);
            let ids = group.ids();
            group.members.insert(number, member.clone());
            let subscribed = group.subscribe(data);
            if subscribed || ids != group.ids() {
                changed.push(group.changed(name));
            }
        }
        changed
    }

    /// A client leaves groups. Answers the consumer group if that changed it.
    pub(crate) fn unregister(
        &mut self,
        number: u64,
        producer_group: Option<&str>,
        consumer_group: Option<&str>,
    ) -> Vec<Changed<C>> {
        if let Some(name) = producer_group
            && let Some(members) = self.producers.get_mut(name)
        {
            members.remove(&number);
            if members.is_empty() {
                self.producers.remove(name);
            }
        }
        let leaving = |name: &str, at: u64| at == number && consumer_group == Some(name);
        self.take_out(|name, at, _| leaving(name, at))
    }

    /// A connection has ended.
    pub(crate) fn closed(&mut self, number: u64) -> Vec<Changed<C>> {
        self.producers.retain(|_, members| {
            members.remove(&number);
            !members.is_empty()
        });
        self.take_out(|_, at, _| at == number)
    }

    /// Takes out who has been silent too long; answers those connections too.
    pub(crate) fn expire(&mut self, now_ms: i64) -> (Vec<Changed<C>>, Vec<C>) {
        let is_silent = |member: &Member<C>| now_ms - member.seen_ms > SILENCE_MS;
        let mut silent = BTreeMap::new();
        self.producers.retain(|_, members| {
            members.retain(|number, member| {
                if is_silent(member) {
                    silent.insert(*number, member.connection.clone());
                }
                !is_silent(member)
            });
            !members.is_empty()
        });
        let changed = self.take_out(|_, number, member| {
            if is_silent(member) {
                silent.insert(number, member.connection.clone());
            }
            is_silent(member)
        });
        (changed, silent.into_values().collect())
    }

    /// Removes consumers; empty groups go with their last member.
    fn take_out(
        &mut self,
        mut leaves: impl FnMut(&str, u64, &Member<C>) -> bool,
    ) -> Vec<Changed<C>> {
        let mut changed = Vec::new();
        self.consumers.retain(|name, group| {
            let ids = group.ids();
            group.members.retain(|number, member| !leaves(name, *number, member));
            if ids != group.ids() && !group.members.is_empty() {
                changed.push(group.changed(name.clone()));
            }
            !group.members.is_empty()
        });
        changed
    }

    /// Ids of a group's members, each once, sorted.
    pub(crate) fn ids(&self, group: &str) -> Vec<String> {
        self.consumers.get(group).map(|group| group.ids().into_iter().collect()).unwrap_or_default()
    }

    /// What a group wants of a topic.
    pub(crate) fn subscribed(&self, group: &str, topic: &str) -> Subscribed {
        let Some(group) = self.consumers.get(group) else { return Subscribed::NoGroup };
        match group.subscriptions.get(topic) {
            None => Subscribed::NoTopic,
            Some(subscription) => Subscribed::To {
                subscription: subscription.clone(),
                broadcasting: group.message_model == "BROADCASTING",
            },
        }
    }

    /// The groups that subscribe to a topic now.
    pub(crate) fn groups_of(&self, topic: &str) -> BTreeSet<String> {
        let groups = self.consumers.iter();
        groups
            .filter(|(_, group)| group.subscriptions.contains_key(topic))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// A consumer group as tools are shown it.
    pub(crate) fn connections(&self, group: &str) -> Option<ConsumerConnections> {
        self.consumers.get(group).map(|group| ConsumerConnections {
            connection_set: shown(&group.members),
            consume_from_where: group.consume_from_where.clone(),
            consume_type: group.consume_type.clone(),
            message_model: group.message_model.clone(),
            subscription_table: group.subscriptions.clone(),
        })
    }

    /// A producer group as tools are shown it.
    pub(crate) fn producers(&self, group: &str) -> Option<Vec<ClientConnection>> {
        self.producers.get(group).map(shown)
    }

    /// Connections of producers, and of each consumer group.
    pub(crate) fn counts(&self) -> (usize, BTreeMap<&str, usize>) {
        let producers: BTreeSet<_> = self.producers.values().flat_map(BTreeMap::keys).collect();
        let consumers = self.consumers.iter();
        let consumers = consumers.map(|(name, group)| (name.as_str(), group.members.len()));
        (producers.len(), consumers.collect())
    }
}

fn shown<C>(members: &Members<C>) -> Vec<ClientConnection> {
    members.values().map(|member| member.shown.clone()).collect()
}

impl<C: Clone> ConsumerGroup<C> {
    fn new() -> Self {
        Self {
            members: BTreeMap::new(),
            consume_type: String::new(),
            message_model: String::new(),
            consume_from_where: String::new(),
            subscriptions: BTreeMap::new(),
        }
    }

    fn ids(&self) -> BTreeSet<String> {
        self.members.values().map(|member| member.shown.client_id.clone()).collect()
    }

    fn changed(&self, group: String) -> Changed<C> {
        let members = self.members.values().map(|member| member.connection.clone()).collect();
        Changed { group, members }
    }

    /// The latest heartbeat says which topics there are; of one topic the newest version counts.
    /// Says whether topics came or went.
    fn subscribe(&mut self, data: ConsumerData) -> bool {
        self.consume_type = data.consume_type;
        self.message_model = data.message_model;
        self.consume_from_where = data.consume_from_where;
        let wanted = by_topic(data.subscription_data_set);
        let known = self.subscriptions.len();
        self.subscriptions.retain(|topic, _| wanted.contains_key(topic));
        let mut changed = known != self.subscriptions.len();
        for (topic, subscription) in wanted {
            match self.subscriptions.get_mut(&topic) {
                Some(known) if subscription.sub_version > known.sub_version => {
                    *known = subscription
                }
                Some(_) => {}
                None => {
                    self.subscriptions.insert(topic, subscription);
                    changed = true;
                }
            }
        }
        changed
    }
}

#[cfg(test)]
#[path = "clients/tests.rs"]
mod tests;
