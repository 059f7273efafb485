//! The state of a run, and what brokers do in it. `tools.rs` has what operators and clients do.

use std::collections::BTreeMap;

use signpost_remoting::body::{DataVersion, TopicConfig};
use signpost_remoting::{ExtFields, RemotingCommand, request, response};

use super::answer::Answer;
use super::brokers::{
    Group, TOPICS, changed, flag_of, kinds, members_of, new_address, some_config, topic_name,
};
use super::differences::{
    CUT_IS_NO_FAREWELL, DELETED_STAYS, Difference, LATE_UNREGISTER, NEVER_HALF_VISIBLE,
    OLDER_IS_LATE, WIPED_STAYS,
};
use super::random::Random;
use super::sides::{Sides, Wire};

/// So few brokers may be down at a time that nobody takes it for a cut network.
const DOWN_MAX: usize = 3;

/// A run.
pub(crate) struct Game {
    pub(crate) sides: Sides,
    pub(crate) random: Random,
    pub(crate) groups: Vec<Group>,
    /// What operators and clients use.
    pub(crate) tool: Wire,
    /// The last port given to a broker.
    port: u16,
}

impl Game {
    /// All groups up.
    pub(crate) async fn begin(sides: Sides, mut random: Random) -> Self {
        let mut port = 10_000;
        let groups = kinds().map(|(cluster, name, ids, kind)| {
            Group::new(cluster, name, kind, ids, &mut port, &mut random)
        });
        let groups = groups.into();
        let mut game = Self { sides, random, groups, tool: Wire::new(), port };
        for group in 0..game.groups.len() {
            for at in 0..game.groups[group].members.len() {
                game.start(group, at).await;
            }
        }
        game
    }

    /// A group, and one of its members that is up.
    fn some_up(&mut self) -> Option<(usize, usize)> {
        let all: Vec<(usize, usize)> = (0..self.groups.len())
            .flat_map(|of| self.groups[of].up().into_iter().map(move |at| (of, at)))
            .collect();
        (!all.is_empty()).then(|| *self.random.pick(&all))
    }

    fn some_down(&mut self) -> Option<(usize, usize)> {
        let all: Vec<(usize, usize)> = (0..self.groups.len())
            .flat_map(|of| self.groups[of].down().into_iter().map(move |at| (of, at)))
            .collect();
        (!all.is_empty()).then(|| *self.random.pick(&all))
    }

    /// A group whose topics somebody can change.
    fn some_contributor(&mut self) -> Option<(usize, usize)> {
        let all: Vec<(usize, usize)> = (0..self.groups.len())
            .filter_map(|of| Some((of, self.groups[of].contributor()?)))
            .collect();
        (!all.is_empty()).then(|| *self.random.pick(&all))
    }

    fn down_count(&self) -> usize {
        self.groups.iter().map(|group| group.down().len()).sum()
    }

    /// Sends a request on a member's connection, and compares.
    pub(crate) async fn say(
        &mut self,
        group: usize,
        at: usize,
        request: RemotingCommand,
    ) -> Answer {
        let wire = self.groups[group].members[at].wire.as_ref().expect("it is up");
        self.sides.ask(wire, request).await
    }

    /// Registers all that a member has, and expects it to be taken.
    async fn register(&mut self, group: usize, at: usize) {
        if self.groups[group].contributor() == Some(at)
            && self.groups[group].members[at].stored != self.groups[group].data_version
        {
            self.groups[group].settle_touched();
        }
        let request = self.groups[group].registration(at);
        let answer = self.say(group, at, request).await;
        self.sides.check(answer.code == response::SUCCESS, || format!("refused: {answer:?}"));
        self.registered(group, at);
    }

    fn registered(&mut self, group: usize, at: usize) {
        self.groups[group].members[at].stored = self.groups[group].data_version;
    }

    /// The others learn what the contributor has changed.
    async fn sync(&mut self, group: usize, but: usize) {
        for at in self.groups[group].up() {
            if at != but {
                self.register(group, at).await;
            }
        }
    }

    /// A member that is down begins, on a connection of its own.
    pub(crate) async fn start(&mut self, group: usize, at: usize) {
        let alone = self.groups[group].up().is_empty();
        self.groups[group].members[at].wire = Some(Wire::new());
        if alone || self.groups[group].contributor() == Some(at) {
            // All that it lists is applied by both.
            self.groups[group].touched.clear();
        }
        self.groups[group].members[at].stored = self.groups[group].data_version;
        self.register(group, at).await;
        self.look(group).await;
    }

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
    fn change_some(&mut self, group: usize, alike: bool) -> String {
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

    /// A member ends: it says so, or its connections close, or an answer was an error before.
    pub(crate) async fn stop(&mut self) {
        if self.down_count() >= DOWN_MAX {
            return;
        }
        let Some((group, at)) = self.some_up() else { return };
        match self.random.below(10) {
            0..5 => self.unregister(group, at).await,
            // What only one name server takes away with it, the member must be able to bring back.
            9 if self.groups[group].contributor() == Some(at) => self.cut(group, at).await,
            _ => self.kill(group, at).await,
        }
        self.look(group).await;
    }

    /// A member that is down comes back, with its topics or with a few more.
    pub(crate) async fn restart(&mut self) {
        let Some((group, at)) = self.some_down() else { return };
        if self.random.percent(30) {
            self.groups[group].members[at].address = new_address(&mut self.port);
        }
        if self.groups[group].up().is_empty() && self.random.percent(50) {
            self.change_some(group, true);
            self.groups[group].bump();
        }
        if self.random.percent(40) {
            self.one_topic_first(group, at).await;
        } else {
            self.start(group, at).await;
        }
    }

    async fn unregister(&mut self, group: usize, at: usize) {
        let request = self.groups[group].unregistration(at);
        self.say(group, at, request.clone()).await;
        self.gone(group, at).await;
        // Once more: there is nothing left to take away.
        if self.random.percent(30) {
            self.say(group, at, request).await;
        }
        self.left(group, at);
    }

    async fn kill(&mut self, group: usize, at: usize) {
        // The last answer is none that would make the end of the connection doubtful.
        let heartbeat = self.groups[group].heartbeat(at);
        self.say(group, at, heartbeat).await;
        self.left(group, at);
        self.gone(group, at).await;
    }

    fn left(&mut self, group: usize, at: usize) {
        self.groups[group].members[at].wire = None;
        if self.groups[group].up().is_empty() {
            // So are the rows that operators made.
            self.groups[group].touched.clear();
        }
    }

    /// Waits until a member is gone from both name servers, which happens after the answer.
    async fn gone(&mut self, group: usize, at: usize) {
        let of = &self.groups[group];
        let address = of.members[at].address.clone();
        let request = members_of(of.cluster, of.name);
        let is_gone = move |answer: &Answer| !answer.addresses().contains(&&*address);
        self.sides.until("a broker is gone", &self.tool, request, is_gone).await;
    }

    /// A connection ends after an error, and another one begins.
    async fn cut(&mut self, group: usize, at: usize) {
        let of = &self.groups[group];
        let address = of.members[at].address.clone();
        let who = members_of(of.cluster, of.name);
        let mut bad = of.registration(at);
        bad.ext.insert("bodyCrc32", "1");
        self.say(group, at, bad).await;
        self.groups[group].members[at].wire = None;
        for _ in 0..1_000 {
            let (ours, stock) = self.sides.peek(&self.tool, who.clone()).await;
            self.sides.check(ours.addresses().contains(&&*address), || "it was taken away".into());
            if !stock.addresses().contains(&&*address) {
                self.sides.meet(&CUT_IS_NO_FAREWELL);
                break;
            }
        }
        self.clear_operators_topics(group).await;
        // Both apply all of it: here a new epoch begins, there the broker is new.
        self.groups[group].bump();
        self.start(group, at).await;
    }

    /// Another connection is there before the former one ends: nothing is taken away.
    pub(crate) async fn reconnect(&mut self) {
        let Some((group, at)) = self.some_up() else { return };
        let former = self.groups[group].members[at].wire.replace(Wire::new());
        if self.groups[group].contributor() == Some(at) {
            let of = &mut self.groups[group];
            let topics: Vec<String> = of.topics.keys().cloned().collect();
            let topic = self.random.pick(&topics).clone();
            let config = changed(&of.topics[&topic]);
            of.put(&topic, config);
            of.bump();
        }
        self.register(group, at).await;
        let contributes = self.groups[group].contributor() == Some(at);
        if contributes && self.random.percent(50) {
            let late = self.groups[group].unregistration(at);
            self.late_unregistration(former.expect("it was up"), late, group, at).await;
        } else {
            drop(former);
        }
        self.sync(group, at).await;
        self.look(group).await;
    }

    /// The former process unregisters after the new one has registered.
    async fn late_unregistration(
        &mut self,
        former: Wire,
        late: RemotingCommand,
        group: usize,
        at: usize,
    ) {
        self.sides.ask(&former, late).await;
        drop(former);
        let of = &self.groups[group];
        let (who, address) = (members_of(of.cluster, of.name), of.members[at].address.clone());
        for _ in 0..1_000 {
            let (ours, stock) = self.sides.peek(&self.tool, who.clone()).await;
            self.sides.check(ours.addresses().contains(&&*address), || "it was taken away".into());
            if !stock.addresses().contains(&&*address) {
                self.sides.meet(&LATE_UNREGISTER);
                break;
            }
        }
        // Changed in all that it lists, for here nothing had gone.
        let of = &mut self.groups[group];
        of.touched.extend(of.topics.keys().cloned());
        of.bump();
        self.register(group, at).await;
        self.clear_operators_topics(group).await;
    }

    /// The same broker from another address: it takes the place, the former one's end says nothing.
    pub(crate) async fn take_over(&mut self) {
        let Some((group, at)) = self.some_up() else { return };
        self.groups[group].members[at].address = new_address(&mut self.port);
        let former = self.groups[group].members[at].wire.take();
        self.start(group, at).await;
        drop(former);
        self.look(group).await;
    }

    /// A slave comes back as master, at the same address, and the former master as slave.
    pub(crate) async fn promote(&mut self) {
        let lost = (0..self.groups.len()).filter(|of| {
            let group = &self.groups[*of];
            !group.has_master() && !group.up().is_empty()
        });
        let lost: Vec<usize> = lost.collect();
        if lost.is_empty() {
            return;
        }
        let group = *self.random.pick(&lost);
        let (slaves, of) = (self.groups[group].up(), &mut self.groups[group]);
        let at = *self.random.pick(&slaves);
        let id = std::mem::take(&mut of.members[at].id);
        let master = (0..of.members.len()).find(|other| *other != at && of.members[*other].id == 0);
        of.members[master.expect("each group has one")].id = id;
        of.touched.clear();
        of.bump();
        let all: Vec<String> = of.topics.keys().cloned().collect();
        of.touched.extend(all);
        self.register(group, at).await;
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

    /// An incremental registration that comes before the first whole one.
    async fn one_topic_first(&mut self, group: usize, at: usize) {
        let of = &mut self.groups[group];
        of.members[at].wire = Some(Wire::new());
        let one: BTreeMap<String, TopicConfig> =
            of.topics.iter().take(1).map(|(topic, of)| (topic.clone(), of.clone())).collect();
        let request = of.registration_of(at, one, of.data_version);
        let answer = self.say(group, at, request).await;
        self.sides.check(answer.code == response::SYSTEM_ERROR, || format!("{answer:?}"));
        let info = self.tool_request(request::GET_BROKER_CLUSTER_INFO);
        let (ours, stock) = self.sides.ask_each(&self.tool, info).await;
        if self.groups[group].up().len() == 1 {
            let same = ours.body == stock.body;
            self.sides.check(!same, || format!("nothing is left behind: {stock:?}"));
            self.sides.meet(&NEVER_HALF_VISIBLE);
        }
        self.start(group, at).await;
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

    /// Both answer something else, as they should.
    pub(crate) async fn differs_in_route(&mut self, difference: &Difference, topic: &str) {
        let request = self.tool_request(request::GET_ROUTEINFO_BY_TOPIC);
        let request = request.with_ext(ExtFields::new().with("topic", topic));
        let (ours, stock) = self.sides.ask_each(&self.tool, request).await;
        let what = difference.what;
        let same = (ours.code, &ours.body) == (stock.code, &stock.body);
        self.sides.check(!same, || format!("the same after all: {what}: {ours:?}"));
        self.sides.meet(difference);
    }
}
