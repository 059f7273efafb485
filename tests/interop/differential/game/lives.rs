//! Brokers that stop, start again, move and take each other's place.

use std::collections::BTreeMap;

use signpost_remoting::body::TopicConfig;
use signpost_remoting::{RemotingCommand, request, response};

use super::super::answer::Answer;
use super::super::brokers::{changed, members_of, new_address};
use super::super::differences::{CUT_IS_NO_FAREWELL, LATE_UNREGISTER, NEVER_HALF_VISIBLE};
use super::super::sides::Wire;
use super::{DOWN_MAX, Game};

impl Game {
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
}
