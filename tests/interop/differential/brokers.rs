//! Simulated brokers: what each has, and the requests that it sends.

use std::collections::{BTreeMap, BTreeSet};

use signpost_remoting::body::registration::crc32;
use signpost_remoting::body::{DataVersion, RegisterBody, TopicConfig, TopicQueueMappingInfo};
use signpost_remoting::namesrv::{
    BrokerHeartbeatHeader, QueryDataVersionHeader, RegisterBrokerHeader, UnregisterBrokerHeader,
};
use signpost_remoting::{ExtFields, HeaderKind, RemotingCommand, request};

use super::sides::Wire;
use signpost_chaos::random::Random;

/// A master and its slaves. They have the same topics, as slaves copy them.
pub(crate) struct Group {
    pub(crate) cluster: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) topics: BTreeMap<String, TopicConfig>,
    pub(crate) mappings: BTreeMap<String, TopicQueueMappingInfo>,
    pub(crate) data_version: DataVersion,
    /// Topics that it had.
    pub(crate) former: BTreeMap<String, TopicConfig>,
    /// Topics whose rows operators have changed since the group registered them. A registration
    /// that changes another topic undoes that at a stock name server only (`WIPED_STAYS`), so these
    /// are changed along with it.
    pub(crate) touched: BTreeSet<String>,
    pub(crate) members: Vec<Member>,
}

/// How a group's brokers speak.
#[derive(Clone)]
pub(crate) struct Kind {
    pub(crate) version: i32,
    pub(crate) header: HeaderKind,
    pub(crate) compressed: bool,
    pub(crate) crc: bool,
    pub(crate) acting: Option<bool>,
    pub(crate) zone: Option<&'static str>,
    pub(crate) filter_servers: Option<Vec<String>>,
}

/// One broker.
pub(crate) struct Member {
    pub(crate) id: u64,
    pub(crate) address: String,
    /// Its connections, while it is up.
    pub(crate) wire: Option<Wire>,
    /// What it registered last.
    pub(crate) stored: DataVersion,
}

impl Kind {
    /// Before 3.0.11 a registration is the bare table.
    fn is_bare(&self) -> bool {
        self.version < signpost_remoting::body::REGISTER_BODY_VERSION
    }

    /// Compressed registrations have no place for a topic's flag.
    pub(crate) fn may_list(&self, number: u64) -> bool {
        !self.compressed || flag_of(number) == 0
    }
}

/// Every broker says the same of a topic's flag: which one a name server goes by is left open.
pub(crate) fn flag_of(number: u64) -> i32 {
    (number % 4) as i32
}

/// The numbered topics of all groups.
pub(crate) const TOPICS: u64 = 14;

pub(crate) fn topic_name(number: u64) -> String {
    format!("T{number}")
}

pub(crate) fn some_config(random: &mut Random, flag: i32) -> TopicConfig {
    TopicConfig {
        read_queue_nums: 1 + random.below(16) as i32,
        write_queue_nums: 1 + random.below(16) as i32,
        perm: *random.pick(&[6, 6, 6, 4, 2, 7]),
        topic_sys_flag: flag,
        ..TopicConfig::default()
    }
}

/// The same topic, certainly changed.
pub(crate) fn changed(config: &TopicConfig) -> TopicConfig {
    let read_queue_nums = config.read_queue_nums % 999 + 1;
    TopicConfig { read_queue_nums, ..config.clone() }
}

impl Group {
    pub(crate) fn new(
        cluster: &'static str,
        name: &'static str,
        kind: Kind,
        ids: &[u64],
        port: &mut u16,
        random: &mut Random,
    ) -> Self {
        let member = |id: &u64| {
            let address = new_address(port);
            Member { id: *id, address, wire: None, stored: DataVersion::default() }
        };
        let mut group = Self {
            cluster,
            name,
            topics: BTreeMap::new(),
            mappings: BTreeMap::new(),
            data_version: DataVersion { state_version: 0, counter: 1, timestamp_ms: 1_000 },
            former: BTreeMap::new(),
            touched: BTreeSet::new(),
            members: ids.iter().map(member).collect(),
            kind,
        };
        if group.kind.acting.is_some() {
            group.data_version.state_version = 2;
            group.own_static_topic(random);
        }
        for number in 0..TOPICS {
            if group.kind.may_list(number) && random.percent(50) {
                let config = some_config(random, flag_of(number));
                group.topics.insert(topic_name(number), config);
            }
        }
        let own = some_config(random, 0);
        group.topics.insert(name.to_owned(), own.clone());
        group.topics.insert("TBW102".to_owned(), TopicConfig { perm: 7, ..own });
        group
    }

    /// Nobody else has queues of it.
    fn own_static_topic(&mut self, random: &mut Random) {
        let topic = self.static_topic();
        let info = TopicQueueMappingInfo {
            bname: self.name.to_owned(),
            curr_id_map: (0..4).map(|id| (id, id)).collect(),
            epoch: 5,
            topic: topic.clone(),
            total_queues: 4,
            ..TopicQueueMappingInfo::default()
        };
        self.mappings.insert(topic.clone(), info);
        self.topics.insert(topic, some_config(random, 0));
    }

    pub(crate) fn static_topic(&self) -> String {
        format!("S-{}", self.name)
    }

    /// What is broker's own and never deleted.
    pub(crate) fn is_own(&self, topic: &str) -> bool {
        topic == self.name || topic == "TBW102" || topic == self.static_topic()
    }

    pub(crate) fn bump(&mut self) {
        self.data_version.counter += 1;
        self.data_version.timestamp_ms += 10;
    }

    pub(crate) fn up(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|at| self.members[*at].wire.is_some()).collect()
    }

    pub(crate) fn down(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|at| self.members[*at].wire.is_none()).collect()
    }

    /// The member whose topics count: the master, or a slave of 5.x that is the first of its group.
    pub(crate) fn contributor(&self) -> Option<usize> {
        let first = self.up().into_iter().min_by_key(|at| self.members[*at].id)?;
        (self.members[first].id == 0 || self.kind.acting.is_some()).then_some(first)
    }

    pub(crate) fn has_master(&self) -> bool {
        self.up().into_iter().any(|at| self.members[at].id == 0)
    }

    /// A change or a removal of a topic, and another data version.
    pub(crate) fn put(&mut self, topic: &str, config: TopicConfig) {
        self.topics.insert(topic.to_owned(), config);
        self.touched.remove(topic);
    }

    pub(crate) fn drop_topic(&mut self, topic: &str) {
        if let Some(config) = self.topics.remove(topic) {
            self.former.insert(topic.to_owned(), config);
            self.touched.remove(topic);
            self.bump();
        }
    }

    /// Changes what operators have changed.
    pub(crate) fn settle_touched(&mut self) {
        let touched = std::mem::take(&mut self.touched);
        for topic in &touched {
            if let Some(config) = self.topics.get_mut(topic) {
                *config = changed(config);
            }
        }
        if !touched.is_empty() {
            self.bump();
        }
    }

    /// 103 with all that the group has.
    pub(crate) fn registration(&self, at: usize) -> RemotingCommand {
        self.registration_of(at, self.topics.clone(), self.data_version)
    }

    /// 103 with these topics.
    pub(crate) fn registration_of(
        &self,
        at: usize,
        topics: BTreeMap<String, TopicConfig>,
        data_version: DataVersion,
    ) -> RemotingCommand {
        let Kind { version, compressed, crc, acting, zone, .. } = self.kind.clone();
        let mappings = self.mappings.iter().filter(|(topic, _)| topics.contains_key(*topic));
        let body = RegisterBody {
            mapping_infos: mappings.map(|(of, info)| (of.clone(), info.clone())).collect(),
            topics: topics.into_iter().collect(),
            data_version,
            filter_servers: self.kind.filter_servers.clone(),
            mapping_data_version: data_version,
        };
        let compressed = compressed && !self.kind.is_bare();
        let body =
            if compressed { body.encode_compressed(version) } else { body.encode_json(version) };
        let Member { id, address, .. } = &self.members[at];
        let header = RegisterBrokerHeader {
            broker_name: self.name.to_owned(),
            broker_addr: address.clone(),
            cluster_name: self.cluster.to_owned(),
            ha_server_addr: format!("{address}1"),
            broker_id: *id,
            compressed,
            body_crc32: if crc { crc32(&body) } else { 0 },
            heartbeat_timeout_ms: None,
            enable_acting_master: acting,
            zone_name: zone.map(str::to_owned),
        };
        self.request(request::REGISTER_BROKER).with_ext(header.to_ext()).with_body(body)
    }

    /// 104.
    pub(crate) fn unregistration(&self, at: usize) -> RemotingCommand {
        let header = UnregisterBrokerHeader {
            broker_name: self.name.to_owned(),
            broker_addr: self.members[at].address.clone(),
            cluster_name: self.cluster.to_owned(),
            broker_id: self.members[at].id,
        };
        self.request(request::UNREGISTER_BROKER).with_ext(header.to_ext())
    }

    /// 322.
    pub(crate) fn query(&self, at: usize, data_version: DataVersion) -> RemotingCommand {
        let header = QueryDataVersionHeader {
            broker_name: self.name.to_owned(),
            broker_addr: self.members[at].address.clone(),
            cluster_name: self.cluster.to_owned(),
            broker_id: self.members[at].id,
        };
        let body = data_version.to_json(self.kind.version);
        self.request(request::QUERY_DATA_VERSION).with_ext(header.to_ext()).with_body(body)
    }

    /// 904.
    pub(crate) fn heartbeat(&self, at: usize) -> RemotingCommand {
        let header = BrokerHeartbeatHeader {
            cluster_name: self.cluster.to_owned(),
            broker_addr: self.members[at].address.clone(),
            broker_name: self.name.to_owned(),
            broker_id: Some(self.members[at].id),
            ..BrokerHeartbeatHeader::default()
        };
        self.request(request::BROKER_HEARTBEAT).with_ext(header.to_ext())
    }

    /// Any request of this group's brokers.
    pub(crate) fn request(&self, code: i32) -> RemotingCommand {
        let Kind { version, header, .. } = self.kind;
        RemotingCommand { version, header, ..RemotingCommand::request(code) }
    }
}

/// An address that nobody has had.
pub(crate) fn new_address(port: &mut u16) -> String {
    *port += 1;
    format!("10.0.0.1:{port}")
}

/// Who is there, and how they speak: cluster, name, ids.
pub(crate) fn kinds() -> [(&'static str, &'static str, &'static [u64], Kind); 5] {
    let five = Kind {
        version: 479,
        header: HeaderKind::Json,
        compressed: false,
        crc: false,
        acting: Some(false),
        zone: None,
        filter_servers: Some(Vec::new()),
    };
    let four = Kind { version: 407, acting: None, ..five.clone() };
    let acting = Kind { acting: Some(true), zone: Some("z1"), ..five.clone() };
    let packed = Kind { compressed: true, crc: true, header: HeaderKind::Binary, ..five.clone() };
    let filtered = Kind {
        compressed: true,
        filter_servers: Some(vec!["10.0.0.7:1".to_owned(), "10.0.0.7:2".to_owned()]),
        zone: Some("Z2"),
        ..four.clone()
    };
    [
        ("C1", "four", &[0, 1], four),
        ("C1", "five", &[0, 1], five),
        ("C2", "acting", &[0, 1, 2], acting),
        ("C2", "packed", &[0], packed),
        ("C3", "filtered", &[0], filtered),
    ]
}

/// 901.
pub(crate) fn members_of(cluster: &str, name: &str) -> RemotingCommand {
    let ext = ExtFields::new().with("clusterName", cluster).with("brokerName", name);
    RemotingCommand::request(request::GET_BROKER_MEMBER_GROUP).with_ext(ext)
}
