//! Which queues of a route can be written, and which one is next: pure.
//!
//! A route with an order configuration (`broker:queues;…`) has exactly the queues that it names,
//! whether their brokers have a master or not: so a key keeps its queue while a broker is away,
//! and sends to it fail rather than overtake. Source: RocketMQ
//! `MQClientInstance.topicRouteData2TopicPublishInfo`, `TopicPublishInfo.selectOneMessageQueue`.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use signpost_client::types::Route;

/// The unit of sharding: one queue of a topic on one broker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageQueue {
    /// The topic.
    pub topic: String,
    /// The broker's name.
    pub broker_name: String,
    /// Its number on that broker, from 0.
    pub queue_id: u32,
}

impl fmt::Display for MessageQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.topic, self.broker_name, self.queue_id)
    }
}

/// The writable queues of a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicQueues {
    brokers: Vec<Broker>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Broker {
    name: Arc<str>,
    /// Of its master; None only with an order configuration.
    address: Option<Arc<str>>,
    queues: u32,
}

/// Most queues that an order configuration may give a broker: a slip there must not cost memory.
const ORDER_QUEUES_MAX: u32 = 0xFFFF;

/// One chosen queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) broker_name: Arc<str>,
    pub(crate) address: Arc<str>,
    pub(crate) queue_id: u32,
}

impl TopicQueues {
    /// Of a topic's own route: writable queues of brokers that have a master.
    #[must_use]
    pub fn of(route: &Route) -> Self {
        let ordered =
            route.order_topic_conf.as_deref().map(|conf| Self::of_order_conf(route, conf));
        ordered
            .filter(|queues| !queues.is_empty())
            .unwrap_or_else(|| Self::with(route, |data| data.write_queue_nums))
    }

    /// What an order configuration names; entries that cannot be read are left out.
    fn of_order_conf(route: &Route, conf: &str) -> Self {
        let broker = |entry: &str| {
            let (name, queues) = entry.trim().split_once(':')?;
            let queues = queues.parse().ok().filter(|n| (1..=ORDER_QUEUES_MAX).contains(n))?;
            Some(Broker { name: name.into(), address: master(route, name), queues })
        };
        Self { brokers: conf.split(';').filter_map(broker).collect() }
    }

    /// Of the default topic's route, for a topic that does not exist yet: as many queues as the
    /// broker will create when the first message comes.
    #[must_use]
    pub fn of_default(route: &Route, queues: u32) -> Self {
        Self::with(route, |data| data.read_queue_nums.min(queues))
    }

    fn with(route: &Route, count: impl Fn(&signpost_client::types::QueueData) -> u32) -> Self {
        let mut datas: Vec<_> =
            route.queue_datas.iter().filter(|data| data.is_writable()).collect();
        datas.sort_by(|a, b| a.broker_name.cmp(&b.broker_name));
        let broker = |data: &&signpost_client::types::QueueData| {
            let address = Some(master(route, &data.broker_name)?);
            let queues = count(data);
            let name = data.broker_name.as_str().into();
            (queues > 0).then_some(Broker { name, address, queues })
        };
        Self { brokers: datas.iter().filter_map(broker).collect() }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.brokers.iter().map(|broker| broker.queues as usize).sum()
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.brokers.is_empty()
    }

    /// All of them, as queues of `topic`.
    pub fn queues<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = MessageQueue> + 'a {
        self.brokers.iter().flat_map(move |broker| {
            (0..broker.queues).map(move |queue_id| MessageQueue {
                topic: topic.to_owned(),
                broker_name: broker.name.to_string(),
                queue_id,
            })
        })
    }

    /// The `index`th of [`Self::queues`].
    pub(crate) fn nth(&self, index: usize) -> Option<(Arc<str>, u32)> {
        let mut left = index;
        for broker in &self.brokers {
            let queues = broker.queues as usize;
            if left < queues {
                return Some((Arc::clone(&broker.name), u32::try_from(left).ok()?));
            }
            left -= queues;
        }
        None
    }

    /// That queue, if it is there and its broker has a master.
    pub(crate) fn find(&self, broker_name: &str, queue_id: u32) -> Option<Choice> {
        let is_it = |broker: &&Broker| &*broker.name == broker_name && queue_id < broker.queues;
        let broker = self.brokers.iter().find(is_it)?;
        let address = Arc::clone(broker.address.as_ref()?);
        Some(Choice { broker_name: Arc::clone(&broker.name), address, queue_id })
    }

    /// The `turn`th queue in the round, leaving out brokers in `avoid` unless none other is left;
    /// then only the last of them, unless it is the only one.
    pub(crate) fn pick(&self, turn: usize, avoid: &[Arc<str>]) -> Option<Choice> {
        self.pick_among(turn, avoid, |_| true).or_else(|| self.pick_if(turn, |_| true))
    }

    /// The same among the brokers that are good; None when there is none but the one that has
    /// just failed.
    pub(crate) fn pick_among(
        &self,
        turn: usize,
        avoid: &[Arc<str>],
        is_good: impl Fn(&str) -> bool,
    ) -> Option<Choice> {
        let all: BTreeSet<&str> = avoid.iter().map(AsRef::as_ref).collect();
        let last = avoid.last().map(AsRef::as_ref);
        self.pick_if(turn, |name| !all.contains(name) && is_good(name))
            .or_else(|| self.pick_if(turn, |name| Some(name) != last && is_good(name)))
    }

    fn pick_if(&self, turn: usize, is_usable: impl Fn(&str) -> bool) -> Option<Choice> {
        let usable = || {
            let with_master = self.brokers.iter().filter(|broker| broker.address.is_some());
            with_master.filter(|broker| is_usable(&broker.name))
        };
        let count: usize = usable().map(|broker| broker.queues as usize).sum();
        let mut left = turn.checked_rem(count)?;
        for broker in usable() {
            let queues = broker.queues as usize;
            if left < queues {
                return Some(Choice {
                    broker_name: Arc::clone(&broker.name),
                    address: broker.address.clone()?,
                    queue_id: u32::try_from(left).ok()?,
                });
            }
            left -= queues;
        }
        None
    }
}

/// The address of a broker's master.
fn master(route: &Route, name: &str) -> Option<Arc<str>> {
    let mut brokers = route.broker_datas.iter();
    Some(brokers.find(|known| known.broker_name == name)?.master()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use signpost_client::types::{BrokerData, QueueData};
    use std::collections::BTreeMap;

    /// Brokers as (name, ids with addresses, perm, read, write).
    type Row<'a> = (&'a str, &'a [(u64, &'a str)], u32, u32, u32);

    fn route(rows: &[Row<'_>]) -> Route {
        let broker = |(name, addresses, ..): &Row<'_>| BrokerData {
            broker_name: (*name).into(),
            broker_addrs: addresses.iter().map(|(id, at)| (*id, (*at).to_owned())).collect(),
            ..BrokerData::default()
        };
        let queues = |(name, _, perm, read, write): &Row<'_>| QueueData {
            broker_name: (*name).into(),
            perm: *perm,
            read_queue_nums: *read,
            write_queue_nums: *write,
            topic_sys_flag: 0,
        };
        Route {
            broker_datas: rows.iter().map(broker).collect(),
            queue_datas: rows.iter().map(queues).collect(),
            filter_server_table: BTreeMap::new(),
            order_topic_conf: None,
        }
    }

    fn picks(queues: &TopicQueues, turns: usize, avoid: &[&str]) -> Vec<String> {
        let avoid: Vec<Arc<str>> = avoid.iter().map(|name| (*name).into()).collect();
        let pick = |turn| {
            let choice = queues.pick(turn, &avoid).expect("some queue");
            format!("{}{}", choice.broker_name, choice.queue_id)
        };
        (0..turns).map(pick).collect()
    }

    #[test]
    fn only_writable_queues_of_masters_count_in_the_order_of_names() {
        let route = route(&[
            ("c", &[(0, "c:1")], 2, 9, 1),
            ("a", &[(0, "a:1"), (1, "a:2")], 6, 1, 2),
            ("read-only", &[(0, "r:1")], 4, 4, 4),
            ("slaves-only", &[(1, "s:1")], 6, 4, 4),
            ("none", &[(0, "n:1")], 6, 4, 0),
        ]);
        let queues = TopicQueues::of(&route);
        assert_eq!(queues.len(), 3);
        assert_eq!(picks(&queues, 7, &[]), ["a0", "a1", "c0", "a0", "a1", "c0", "a0"]);
        assert_eq!(&*queues.pick(0, &[]).unwrap().address, "a:1");
        assert_eq!(queues.queues("t").count(), 3);
        assert!(TopicQueues::of(&Route::default()).pick(0, &[]).is_none());
    }

    #[test]
    fn a_new_topic_gets_as_many_queues_as_the_broker_will_create() {
        let route = route(&[("a", &[(0, "a:1")], 7, 8, 8), ("b", &[(0, "b:1")], 7, 2, 8)]);
        assert_eq!(TopicQueues::of_default(&route, 4).len(), 6);
    }

    #[test]
    fn failed_brokers_are_avoided_while_there_are_others() {
        let row = |name| (name, &[(0, "x:1")][..], 6, 2, 2);
        let queues = TopicQueues::of(&route(&[row("a"), row("b"), row("c")]));
        assert_eq!(picks(&queues, 4, &["a"]), ["b0", "b1", "c0", "c1"]);
        assert_eq!(picks(&queues, 3, &["a", "b"]), ["c0", "c1", "c0"]);
        assert_eq!(picks(&queues, 4, &["a", "b", "c"]), ["a0", "a1", "b0", "b1"], "not the last");
        let one = TopicQueues::of(&route(&[row("a")]));
        assert_eq!(picks(&one, 2, &["a"]), ["a0", "a1"], "there is no other");
    }

    #[test]
    fn good_brokers_come_first_and_the_one_that_just_failed_is_none_of_them() {
        let row = |name| (name, &[(0, "x:1")][..], 6, 1, 1);
        let queues = TopicQueues::of(&route(&[row("a"), row("b"), row("c")]));
        let among = |avoid: &[&str], good: &str| {
            let avoid: Vec<Arc<str>> = avoid.iter().map(|name| (*name).into()).collect();
            let choice = queues.pick_among(0, &avoid, |name| good.contains(name));
            choice.map(|choice| choice.broker_name.to_string())
        };
        assert_eq!(among(&[], "bc"), Some("b".into()));
        assert_eq!(among(&["b"], "bc"), Some("c".into()));
        assert_eq!(among(&["b", "c"], "bc"), Some("b".into()));
        assert_eq!(among(&["b"], "b"), None);
    }

    #[test]
    fn an_order_configuration_keeps_its_queues_while_a_broker_is_away() {
        let mut route = route(&[("a", &[(0, "a:1")], 6, 8, 8), ("b", &[(1, "b:2")], 6, 8, 8)]);
        route.order_topic_conf = Some("b:2;broken;x:0;c:99999999999; a:1;".into());
        let queues = TopicQueues::of(&route);
        let all: Vec<_> = queues.queues("t").map(|queue| queue.to_string()).collect();
        assert_eq!(all, ["t@b:0", "t@b:1", "t@a:0"]);
        assert_eq!(queues.nth(2), Some(("a".into(), 0)));
        assert_eq!(queues.nth(3), None);
        assert_eq!(queues.find("a", 0).map(|choice| choice.address), Some("a:1".into()));
        assert_eq!(queues.find("b", 0), None, "it has no master now");
        assert_eq!(queues.find("a", 1), None);
        assert_eq!(picks(&queues, 2, &[]), ["a0", "a0"], "others are sent where they can be");
    }

    #[test]
    fn every_queue_gets_its_share() {
        let row = |name, queues| (name, &[(0, "x:1")][..], 6, queues, queues);
        let queues = TopicQueues::of(&route(&[row("a", 3), row("b", 1), row("c", 4)]));
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for pick in picks(&queues, 800, &[]) {
            *counts.entry(pick).or_default() += 1;
        }
        assert!(counts.len() == 8 && counts.values().all(|count| *count == 100), "{counts:?}");
    }
}
