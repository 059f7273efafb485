//! What operators and clients do in a run: reads, administration, and requests that make no sense.

use bytes::Bytes;
use signpost_remoting::body::{QueueData, TopicRouteData};
use signpost_remoting::{ExtFields, HeaderKind, RemotingCommand, request, response};

use super::answer::Answer;
use super::brokers::{TOPICS, flag_of, members_of, topic_name};
use super::differences::ALL_OR_NOTHING;
use super::game::Game;
use super::sides::Wire;

/// A code that no name server serves.
pub(crate) const UNKNOWN: i32 = 7_777;

const CLUSTERS: [&str; 4] = ["C1", "C2", "C3", "nowhere"];
const NAMESPACES: [&str; 4] = ["ORDER_TOPIC_CONFIG", "N1", "N2", "never"];
const VALUES: [&str; 5] = ["four:4;five:8", "", "ä/\"\\\u{1F980}\n", "plain", "true"];

impl Game {
    /// A request of a tool or a client of some version, either header.
    pub(crate) fn tool_request(&mut self, code: i32) -> RemotingCommand {
        let version = *self.random.pick(&[317, 400, 401, 409, 479]);
        let header = *self.random.pick(&[HeaderKind::Json, HeaderKind::Json, HeaderKind::Binary]);
        RemotingCommand { version, header, ..RemotingCommand::request(code) }
    }

    /// 105 in some form.
    pub(crate) fn route_request(&mut self, topic: &str) -> RemotingCommand {
        let mut ext = ExtFields::new().with("topic", topic);
        if self.random.percent(20) {
            ext.insert("acceptStandardJsonOnly", *self.random.pick(&["true", "false", "TRUE"]));
        }
        if self.random.percent(15) {
            ext.insert("__ZONE_MODE", *self.random.pick(&["true", "True", "false"]));
            ext.insert("__ZONE_NAME", *self.random.pick(&["z1", "z2", " ", "elsewhere"]));
        }
        self.tool_request(request::GET_ROUTEINFO_BY_TOPIC).with_ext(ext)
    }

    pub(crate) async fn route(&mut self, topic: &str) -> Answer {
        let request = self.tool_request(request::GET_ROUTEINFO_BY_TOPIC);
        let request = request.with_ext(ExtFields::new().with("topic", topic));
        self.sides.ask(&self.tool, request).await
    }

    /// A look at a group, and at one of its topics.
    pub(crate) async fn look(&mut self, group: usize) {
        let of = &self.groups[group];
        let topics: Vec<String> = of.topics.keys().chain(of.former.keys()).cloned().collect();
        let (cluster, name) = (of.cluster, of.name);
        let topic = self.random.pick(&topics).clone();
        self.route(&topic).await;
        self.sides.ask(&self.tool, members_of(cluster, name)).await;
    }

    /// Everything that can be seen.
    pub(crate) async fn look_at_all(&mut self) {
        let mut topics: Vec<String> = (0..TOPICS).map(topic_name).collect();
        topics.push("TBW102".to_owned());
        for group in 0..self.groups.len() {
            let (cluster, name) = (self.groups[group].cluster, self.groups[group].name);
            topics.extend([name.to_owned(), format!("S-{name}")]);
            self.sides.ask(&self.tool, members_of(cluster, name)).await;
            for at in self.groups[group].up() {
                let query = self.groups[group].query(at, self.groups[group].data_version);
                self.say(group, at, query).await;
            }
        }
        for topic in topics {
            self.route(&topic).await;
        }
        for code in LISTS {
            self.list(code).await;
        }
        for namespace in NAMESPACES {
            let request = self.tool_request(request::GET_KVLIST_BY_NAMESPACE);
            let request = request.with_ext(ExtFields::new().with("namespace", namespace));
            self.sides.ask(&self.tool, request).await;
        }
    }

    /// A list without a question.
    pub(crate) async fn list(&mut self, code: i32) {
        let request = self.tool_request(code);
        self.sides.ask(&self.tool, request).await;
    }

    /// 105 of any topic, in any form, one-way even.
    pub(crate) async fn any_route(&mut self) {
        let number = self.random.below(TOPICS + 8);
        let names = ["TBW102", "five", "acting", "S-acting", "S-five", "filtered", "ä\"/", ""];
        let topic = match names.get((number as usize).wrapping_sub(TOPICS as usize)) {
            Some(name) => (*name).to_owned(),
            None => topic_name(number),
        };
        let request = self.route_request(&topic);
        if self.random.percent(3) {
            self.sides.tell(&self.tool, request).await;
        } else {
            self.sides.ask(&self.tool, request).await;
        }
    }

    /// 901, of a name that may be unknown.
    pub(crate) async fn any_group(&mut self) {
        let name = *self.random.pick(&["four", "five", "acting", "packed", "filtered", "nobody"]);
        let cluster = *self.random.pick(&CLUSTERS);
        self.sides.ask(&self.tool, members_of(cluster, name)).await;
    }

    /// 224.
    pub(crate) async fn topics_of_cluster(&mut self) {
        let cluster = *self.random.pick(&CLUSTERS);
        let request = self.tool_request(request::GET_TOPICS_BY_CLUSTER);
        let request = request.with_ext(ExtFields::new().with("cluster", cluster));
        self.sides.ask(&self.tool, request).await;
    }

    /// 100, 101, 102 and 219.
    pub(crate) async fn kv(&mut self, code: i32) {
        let namespace = *self.random.pick(&NAMESPACES[..3]);
        let key = topic_name(self.random.below(4));
        let mut ext = ExtFields::new().with("namespace", namespace);
        if code != request::GET_KVLIST_BY_NAMESPACE {
            ext.insert("key", &key);
        }
        if code == request::PUT_KV_CONFIG {
            ext.insert("value", *self.random.pick(&VALUES));
        }
        let written = ext.get("value").map(str::to_owned);
        let mut request = self.tool_request(code).with_ext(ext);
        if written.as_deref() == Some("") || code == request::GET_KV_CONFIG {
            // A binary header has no empty values: they are absent.
            request.header = HeaderKind::Json;
        }
        let oneway = self.random.percent(10);
        match written {
            Some(value) if oneway => {
                let ext = ExtFields::new().with("namespace", namespace).with("key", &key);
                self.sides.tell(&self.tool, request).await;
                let get = RemotingCommand::request(request::GET_KV_CONFIG).with_ext(ext);
                let is_so = move |answer: &Answer| answer.ext.get("value") == Some(&value);
                self.sides.until("a one-way write", &self.tool, get, is_so).await;
            }
            _ => {
                self.sides.ask(&self.tool, request).await;
            }
        }
    }

    /// 205 and 327.
    pub(crate) async fn permission(&mut self, code: i32) {
        let name = *self.random.pick(&["four", "five", "acting", "packed", "filtered", "nobody"]);
        let request = self.tool_request(code);
        let request = request.with_ext(ExtFields::new().with("brokerName", name));
        self.sides.ask(&self.tool, request).await;
        let Some(group) = self.groups.iter().position(|group| group.name == name) else { return };
        let all: Vec<String> = self.groups[group].topics.keys().cloned().collect();
        self.groups[group].touched.extend(all);
        self.look(group).await;
    }

    /// 216, as tools do it: the brokers have deleted it first.
    pub(crate) async fn any_deletion(&mut self) {
        let topic = topic_name(self.random.below(TOPICS));
        let cluster = *self.random.pick(&["C1", "C2", "C3", "nowhere", "", ""]);
        let cluster = (!cluster.is_empty() || self.random.percent(30)).then_some(cluster);
        self.delete(&topic, cluster).await;
        self.forget_topic(&topic, cluster.filter(|cluster| !cluster.is_empty()));
        self.route(&topic).await;
    }

    pub(crate) async fn delete(&mut self, topic: &str, cluster: Option<&str>) {
        let mut ext = ExtFields::new().with("topic", topic);
        if let Some(cluster) = cluster {
            ext.insert("clusterName", cluster);
        }
        let request = self.tool_request(request::DELETE_TOPIC_IN_NAMESRV).with_ext(ext);
        self.sides.ask(&self.tool, request).await;
    }

    /// Brokers that were there have deleted it, too.
    pub(crate) fn forget_topic(&mut self, topic: &str, cluster: Option<&str>) {
        for group in &mut self.groups {
            if !group.up().is_empty() && cluster.is_none_or(|cluster| cluster == group.cluster) {
                group.drop_topic(topic);
            }
        }
    }

    /// 217, for some brokers, all known or none.
    pub(crate) async fn any_new_topic(&mut self) {
        let number = self.random.below(TOPICS);
        let topic = topic_name(number);
        let mut queues = Vec::new();
        for group in &self.groups {
            if !group.up().is_empty() && self.random.percent(40) {
                queues.push(self_queues(group.name, number, self.random.below(8) as i32));
            }
        }
        match self.random.below(10) {
            0 => queues.clear(),
            1 => queues.insert(0, self_queues("nobody", number, 1)),
            _ => {}
        }
        let names: Vec<String> = queues.iter().map(|queue| queue.broker_name.clone()).collect();
        let is_known = names.first().is_some_and(|name| name != "nobody");
        self.new_topic(&topic, queues).await;
        if is_known {
            for group in self.groups.iter_mut().filter(|group| names.contains(&group.name.into())) {
                if group.topics.contains_key(&topic) {
                    group.touched.insert(topic.clone());
                }
            }
        }
        self.route(&topic).await;
    }

    async fn new_topic(&mut self, topic: &str, queues: Vec<QueueData>) {
        let body = TopicRouteData { queue_datas: queues, ..TopicRouteData::default() };
        let request = self.tool_request(request::REGISTER_TOPIC_IN_NAMESRV);
        let request = request.with_ext(ExtFields::new().with("topic", topic));
        self.sides.ask(&self.tool, request.with_body(body.standard_json())).await;
    }

    /// 217 for a topic that exists, at a known broker first, and at an unknown one then.
    pub(crate) async fn half_known_topic(&mut self) {
        let up = self.groups.iter().find(|group| !group.up().is_empty());
        let Some(name) = up.map(|group| group.name) else { return };
        let topic = "half-known";
        self.new_topic(topic, vec![self_queues(name, 0, 4)]).await;
        let queues = vec![self_queues(name, 0, 5), self_queues("nobody", 0, 5)];
        self.new_topic(topic, queues).await;
        self.differs_in_route(&ALL_OR_NOTHING, topic).await;
        self.delete(topic, None).await;
    }

    /// Deletes what operators made at a group, after one name server alone had taken its broker
    /// away, and those topics or their write permission with it.
    pub(crate) async fn clear_operators_topics(&mut self, group: usize) {
        for number in 0..TOPICS {
            let topic = topic_name(number);
            if !self.groups[group].topics.contains_key(&topic) {
                self.delete(&topic, Some(self.groups[group].cluster)).await;
                let cluster = self.groups[group].cluster;
                self.forget_topic(&topic, Some(cluster));
            }
        }
    }

    /// Requests that lack something, or have a body that is none.
    pub(crate) async fn nonsense(&mut self) {
        let ext = ExtFields::new();
        let some = |field: &str| ExtFields::new().with(field, "x");
        let whose = self.groups.iter().find(|group| !group.up().is_empty());
        let Some((registration, query)) = whose.map(|group| {
            let at = group.up()[0];
            (group.registration(at), group.query(at, group.data_version))
        }) else {
            return;
        };
        let with = |mut request: RemotingCommand, field: &str, value: Option<&str>| {
            match value {
                Some(value) => request.ext.insert(field, value),
                None => {
                    request.ext.remove(field);
                }
            }
            request
        };
        let request = match self.random.below(22) {
            0 => RemotingCommand::request(UNKNOWN).with_ext(some("topic")),
            1 => self.tool_request(request::PUT_KV_CONFIG).with_ext(some("namespace")),
            2 => self.tool_request(request::PUT_KV_CONFIG).with_ext(some("key")),
            3 => self.tool_request(request::GET_KV_CONFIG).with_ext(some("key")),
            4 => self.tool_request(request::DELETE_KV_CONFIG).with_ext(some("namespace")),
            5 => self.tool_request(request::GET_KVLIST_BY_NAMESPACE),
            6 => self.tool_request(request::WIPE_WRITE_PERM_OF_BROKER).with_ext(ext),
            7 => self.tool_request(request::GET_ROUTEINFO_BY_TOPIC),
            8 => self.tool_request(request::REGISTER_TOPIC_IN_NAMESRV).with_ext(some("topic")),
            9 => self
                .tool_request(request::REGISTER_TOPIC_IN_NAMESRV)
                .with_ext(some("topic"))
                .with_body("{]"),
            10 => with(registration, "bodyCrc32", Some("12345")),
            11 => with(registration, "brokerId", None),
            12 => with(registration, "brokerId", Some("zero")),
            13 => with(registration, "clusterName", None),
            14 => with(registration, "bodyCrc32", None).with_body("{\"topicConfig"),
            15 => {
                with(registration, "bodyCrc32", None).with_body(Bytes::from_static(b"\x78\xda\x00"))
            }
            16 => query.with_body("{"),
            17 => query.with_body("[]"),
            18 => self.tool_request(request::UPDATE_NAMESRV_CONFIG).with_body("rocketmqHome=/x"),
            19 => self.tool_request(request::GET_NAMESRV_CONFIG),
            20 => self.tool_request(request::GET_TOPICS_BY_CLUSTER),
            _ => self.tool_request(request::DELETE_TOPIC_IN_NAMESRV).with_ext(some("topic")),
        };
        // A connection of its own: whoever has said anything of a broker on one that is still open
        // speaks for that broker.
        self.sides.ask(&Wire::new(), request).await;
    }

    /// Nobody knows this code.
    pub(crate) async fn unknown_code(&mut self) {
        let request = self.tool_request(UNKNOWN);
        if self.random.percent(10) {
            self.sides.tell(&self.tool, request).await;
        } else {
            let answer = self.sides.ask(&self.tool, request).await;
            let expected = response::REQUEST_CODE_NOT_SUPPORTED;
            self.sides.check(answer.code == expected, || format!("{answer:?}"));
        }
    }
}

/// Requests without fields.
pub(crate) const LISTS: [i32; 6] = [
    request::GET_BROKER_CLUSTER_INFO,
    request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER,
    request::GET_SYSTEM_TOPIC_LIST_FROM_NS,
    request::GET_UNIT_TOPIC_LIST,
    request::GET_HAS_UNIT_SUB_TOPIC_LIST,
    request::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST,
];

fn self_queues(name: &str, number: u64, more: i32) -> QueueData {
    QueueData {
        broker_name: name.to_owned(),
        perm: 6,
        read_queue_nums: 4 + more,
        topic_sys_flag: flag_of(number),
        write_queue_nums: 4,
    }
}
