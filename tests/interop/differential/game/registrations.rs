//! What brokers say of themselves while they run: the same again, changes, late words, nonsense.

use std::collections::BTreeMap;

use signpost_remoting::body::{DataVersion, TopicConfig};
use signpost_remoting::{ExtFields, request};

use super::super::answer::Answer;
use super::super::brokers::{TOPICS, changed, flag_of, new_address, some_config, topic_name};
use super::super::differences::{DELETED_STAYS, OLDER_IS_LATE, WIPED_STAYS};
use super::super::sides::Wire;
use super::Game;

impl Game {
    /// A member says the same again, one-way sometimes.
    pub(crate) async fn repeat(&mut self) {
        let Some((group, at)) = self.some_up() else { return };
        if self.groups[group].members[at].stored == self.groups[group].data_version
            && self.random.percent(10)
        {
            let request = self.groups[group].registration(at);
            let wire = self.groups[group].members[at].wire.as_ref().expect("it is up");
            self.sides.tell(wire, request).await;
        }
        self.register(group, at).await;
        if self.groups[group].kind.compressed && self.random.percent(40) {
            // A stock name server refuses it; it says nothing new.
            let mut lying = self.groups[group].registration(at);
            lying.ext.insert("compressed", "false");
            self.say(group, at, lying).await;
        }
    }

    /// Topics are changed, made, and made as they were before.
    pub(crate) async fn change(&mut self) {
        let Some((group, at)) = self.some_contributor() else { return };
        let whole = self.random.percent(50);
        let topic = self.change_some(group, !whole);
        self.groups[group].bump();
        if whole {
            self.groups[group].settle_touched();
        }
        let topics = match whole {
            true => self.groups[group].topics.clone(),
            false => BTreeMap::from([(topic.clone(), self.groups[group].topics[&topic].clone())]),
        };
        let data_version = self.groups[group].data_version;
        let request = self.groups[group].registration_of(at, topics, data_version);
        if self.random.percent(25) {
            let query = self.groups[group].query(at, data_version);
            let wire = self.groups[group].members[at].wire.as_ref().expect("it is up");
            self.sides.tell(wire, request).await;
            let is_stored = |answer: &Answer| answer.ext["changed"] == "false";
            self.sides.until("a one-way registration", wire, query, is_stored).await;
        } else {
            self.say(group, at, request).await;
        }
        self.registered(group, at);
        self.route(&topic).await;
        self.sync(group, at).await;
        self.look(group).await;
    }

    /// Changes a topic of a group, or makes one; answers which. `alike`: one that it had may be made
    /// just as it was, which must be told from a repeat (`DELETED_STAYS`).
    pub(super) fn change_some(&mut self, group: usize, alike: bool) -> String {
        let number = self.random.below(TOPICS);
        let of = &mut self.groups[group];
        if of.kind.may_list(number) && self.random.percent(60) {
            let topic = topic_name(number);
            let config = match (of.topics.get(&topic), of.former.get(&topic)) {
                (Some(config), _) => changed(config),
                (None, Some(former)) if alike => former.clone(),
                (None, Some(former)) => changed(former),
                (None, None) => some_config(&mut self.random, flag_of(number)),
            };
            of.put(&topic, config);
            return topic;
        }
        let topics: Vec<String> = of.topics.keys().cloned().collect();
        let topic = self.random.pick(&topics).clone();
        let config = changed(&of.topics[&topic]);
        of.put(&topic, config);
        topic
    }

    /// The topics in two registrations, each of its own data version.
    pub(crate) async fn split(&mut self) {
        let Some((group, at)) = self.some_contributor() else { return };
        self.change_some(group, false);
        self.groups[group].settle_touched();
        let all: Vec<(String, TopicConfig)> =
            self.groups[group].topics.clone().into_iter().collect();
        for half in all.chunks(all.len().div_ceil(2)) {
            self.groups[group].bump();
            let data_version = self.groups[group].data_version;
            let topics = half.iter().cloned().collect();
            let request = self.groups[group].registration_of(at, topics, data_version);
            self.say(group, at, request).await;
            self.registered(group, at);
        }
        self.sync(group, at).await;
        self.look(group).await;
    }

    /// Something else under the same data version: a change is ignored, a new topic is taken.
    pub(crate) async fn same_version(&mut self) {
        let Some((group, at)) = self.some_contributor() else { return };
        let of = &self.groups[group];
        if of.members[at].stored != of.data_version {
            return;
        }
        let mut topics = of.topics.clone();
        let names: Vec<String> = topics.keys().cloned().collect();
        let topic = self.random.pick(&names).clone();
        topics.insert(topic.clone(), changed(&topics[&topic]));
        let number = self.random.below(TOPICS);
        let new = topic_name(number);
        let of = &self.groups[group];
        // One that it had and deleted would be one that was deleted and repeated.
        let is_known = of.topics.contains_key(&new) || of.former.contains_key(&new);
        let is_new = of.kind.may_list(number) && !is_known;
        if is_new && !self.has_row(&new, self.groups[group].name).await {
            let config = some_config(&mut self.random, flag_of(number));
            topics.insert(new.clone(), config.clone());
            self.groups[group].put(&new, config);
        }
        let data_version = self.groups[group].data_version;
        let request = self.groups[group].registration_of(at, topics, data_version);
        self.say(group, at, request).await;
        self.route(&topic).await;
        self.route(&new).await;
        self.sync(group, at).await;
    }

    /// An older data version, with other topics.
    pub(crate) async fn older(&mut self) {
        let Some((group, at)) = self.some_contributor() else { return };
        self.groups[group].settle_touched();
        self.register(group, at).await;
        let of = &self.groups[group];
        let now = of.data_version;
        if now.counter < 3 {
            return;
        }
        let older =
            DataVersion { counter: now.counter - 1, timestamp_ms: now.timestamp_ms - 5, ..now };
        let mut topics = of.topics.clone();
        let topic = of.name.to_owned();
        topics.insert(topic.clone(), changed(&topics[&topic]));
        let request = of.registration_of(at, topics, older);
        self.say(group, at, request).await;
        self.differs_in_route(&OLDER_IS_LATE, &topic).await;
        let of = &mut self.groups[group];
        let twice = changed(&changed(&of.topics[&topic]));
        of.put(&topic, twice);
        of.bump();
        self.register(group, at).await;
        self.sync(group, at).await;
        self.look(group).await;
    }

    /// A master of a former term claims the place of the live one.
    pub(crate) async fn conflict(&mut self) {
        let with_master =
            (0..self.groups.len()).filter(|of| self.groups[*of].data_version.state_version > 0);
        let with_master: Vec<usize> =
            with_master.filter(|of| self.groups[*of].has_master()).collect();
        if with_master.is_empty() {
            return;
        }
        let group = *self.random.pick(&with_master);
        let of = &mut self.groups[group];
        let at = (0..of.members.len()).find(|at| of.members[*at].id == 0).expect("a master");
        let live = std::mem::replace(&mut of.members[at].address, new_address(&mut self.port));
        let former = DataVersion { state_version: 1, ..of.data_version };
        let request = of.registration_of(at, of.topics.clone(), former);
        of.members[at].address = live;
        let ghost = Wire::new();
        self.sides.ask(&ghost, request).await;
        drop(ghost);
        self.look(group).await;
    }

    /// A topic is deleted in the name server alone, and its broker repeats itself.
    pub(crate) async fn delete_and_repeat(&mut self) {
        let Some((group, at)) = self.some_contributor() else { return };
        let of = &self.groups[group];
        let deletable =
            of.topics.keys().filter(|topic| topic.starts_with('T') && !of.is_own(topic));
        let deletable: Vec<String> = deletable.cloned().collect();
        if of.members[at].stored != of.data_version || deletable.len() < 3 {
            return;
        }
        let topic = self.random.pick(&deletable).clone();
        self.delete(&topic, None).await;
        self.route(&topic).await;
        let request = self.groups[group].registration(at);
        self.say(group, at, request).await;
        self.differs_in_route(&DELETED_STAYS, &topic).await;
        self.delete(&topic, None).await;
        self.forget_topic(&topic, None);
        self.look(group).await;
    }

    /// A permission is wiped, and its broker changes another topic.
    pub(crate) async fn wipe_and_change(&mut self) {
        let Some((group, at)) = self.some_contributor() else { return };
        if !self.groups[group].has_master() {
            return;
        }
        let name = self.groups[group].name;
        let all: Vec<String> = self.groups[group].topics.keys().cloned().collect();
        // A topic that surely has a write permission to lose.
        let own = TopicConfig { perm: 6, ..changed(&self.groups[group].topics[name]) };
        self.groups[group].put(name, own);
        self.groups[group].bump();
        self.register(group, at).await;
        let wipe = self.tool_request(request::WIPE_WRITE_PERM_OF_BROKER);
        let wipe = wipe.with_ext(ExtFields::new().with("brokerName", name));
        self.sides.ask(&self.tool, wipe).await;
        let other = all.iter().find(|topic| *topic != name).expect("it has two topics").clone();
        let of = &mut self.groups[group];
        of.topics.insert(other.clone(), changed(&of.topics[&other]));
        of.bump();
        let request = of.registration(at);
        self.say(group, at, request).await;
        self.differs_in_route(&WIPED_STAYS, name).await;
        // Changed in all topics, it is the same on both again.
        self.groups[group].touched.extend(all);
        self.groups[group].bump();
        self.register(group, at).await;
        self.sync(group, at).await;
        self.look(group).await;
    }

    /// 322, true or not, one-way or not; or 904.
    pub(crate) async fn sign_of_life(&mut self) {
        let Some((group, at)) = self.some_up() else { return };
        let of = &self.groups[group];
        let mut data_version = of.data_version;
        data_version.counter += *self.random.pick(&[0, 0, 1, -1]);
        let request = match self.random.below(10) {
            0..5 => of.query(at, data_version),
            5 => {
                let mut request = of.query(at, data_version);
                request.ext.insert("brokerAddr", "10.0.0.9:1");
                request
            }
            6 => {
                let mut request = of.heartbeat(at);
                request.ext.insert("brokerAddr", "10.0.0.9:1");
                request
            }
            7 => {
                let mut request = of.heartbeat(at);
                request.ext.remove("brokerId");
                request
            }
            _ => of.heartbeat(at),
        };
        if self.random.percent(20) {
            let wire = self.groups[group].members[at].wire.as_ref().expect("it is up");
            self.sides.tell(wire, request).await;
        } else {
            self.say(group, at, request).await;
        }
    }

    /// Whether a route shows a topic at this broker name.
    async fn has_row(&mut self, topic: &str, name: &str) -> bool {
        let answer = self.route(topic).await;
        let queues = answer.field("queueDatas").and_then(|queues| queues.as_array().cloned());
        queues.unwrap_or_default().iter().any(|queue| queue["brokerName"] == name)
    }
}
