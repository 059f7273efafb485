//! The most that stock brokers, clients and name servers send, in the forms that they send it in:
//! many entries, and names as short as so many distinct ones can be.

use std::ops::Range;

use signpost_remoting::body::consumers::{ConsumerIds, LockBatch, QUEUES_MAX};
use signpost_remoting::body::heartbeat::{
    ConsumerData, GROUPS_MAX, Heartbeat, ProducerData, Subscription,
};
use signpost_remoting::body::{
    Attributes, BrokerData, BrokerMemberGroup, ClusterInfo, KvTable, QueueData, QueueRef,
    RegisterBody, Table, TopicConfig, TopicList, TopicQueueMappingInfo, TopicRouteData,
};
use signpost_remoting::namesrv::RegisterBrokerHeader;

/// Reads bytes; says whether it took them.
pub(crate) type Decode = fn(&[u8]) -> bool;

/// One body.
pub(crate) struct Large {
    pub(crate) name: String,
    pub(crate) decode: Decode,
    pub(crate) body: Vec<u8>,
    /// Of a compressed one.
    pub(crate) inflated_bytes: usize,
}

/// How things are named.
type Naming = fn(&str, usize) -> String;

/// As in a company's cluster.
fn usual(kind: &str, at: usize) -> String {
    format!("{kind}-of-orders-{at}")
}

/// Numbered, as in a test of load.
fn numbered(kind: &str, at: usize) -> String {
    format!("{}{at}", &kind[..1])
}

/// Three letters and digits each.
fn shortest(_kind: &str, at: usize) -> String {
    const DIGITS: [char; 36] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h',
        'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z',
    ];
    [at / 36 / 36, at / 36, at].map(|digit| DIGITS[digit % 36]).iter().collect()
}

const NAMINGS: [(&str, Naming); 3] =
    [("usual", usual), ("numbered", numbered), ("shortest", shortest)];
/// All that the shortest names can tell apart.
const TOPICS: usize = 36 * 36 * 36;
const BROKERS: usize = 10_000;

/// All of them.
pub(crate) fn all() -> Vec<Large> {
    let mut all = Vec::new();
    for (naming, name) in NAMINGS {
        all.extend(
            registrations(name)
                .into_iter()
                .chain(answers(name))
                .chain(clients(name))
                .map(|large| Large { name: format!("{}, {naming} names", large.name), ..large }),
        );
    }
    all
}

fn plain(name: &str, decode: Decode, body: Vec<u8>) -> Large {
    Large { name: name.to_owned(), decode, body, inflated_bytes: 0 }
}

fn registrations(name: Naming) -> Vec<Large> {
    let config = |attributes| TopicConfig {
        read_queue_nums: 4,
        write_queue_nums: 4,
        attributes,
        ..TopicConfig::default()
    };
    let topics = |range: Range<usize>, attributes: Attributes| RegisterBody {
        topics: range.map(|at| (name("topic", at), config(attributes.clone()))).collect(),
        ..RegisterBody::default()
    };
    let none = Attributes::default();
    let fifo: Attributes = [("message.type", "FIFO")].into_iter().collect();
    let mapping = |at, queues| TopicQueueMappingInfo {
        bname: name("broker", at),
        curr_id_map: (0..queues).map(|queue| (queue, queue)).collect(),
        topic: name("topic", at),
        total_queues: queues,
        ..TopicQueueMappingInfo::default()
    };
    let statics = |count, queues| RegisterBody {
        mapping_infos: (0..count).map(|at| (name("topic", at), mapping(at, queues))).collect(),
        ..topics(0..count, none.clone())
    };
    let one_static = RegisterBody {
        mapping_infos: [("S".to_owned(), mapping(0, 100_000))].into(),
        ..RegisterBody::default()
    };
    let bodies = [
        ("topics", topics(0..TOPICS, none.clone())),
        ("topics with attributes", topics(0..TOPICS, fifo)),
        ("static topics of a queue", statics(TOPICS / 4, 1)),
        ("static topics of 16 queues", statics(TOPICS / 4, 16)),
        ("a static topic of 100,000 queues", one_static),
    ];
    let mut all = Vec::new();
    for (what, body) in &bodies {
        for (version, decode) in VERSIONS {
            let what = format!("registration of {what} by {version}");
            all.push(plain(&what, decode, body.encode_json(version)));
            if version > 36 {
                let zlib = body.encode_compressed(version);
                let inflated_bytes = crate::inflated_bytes(&zlib, INFLATED_BYTES_MAX);
                let what = format!("{what}, zlib");
                all.push(Large { inflated_bytes, ..plain(&what, decode, zlib) });
            }
        }
    }
    all
}

const INFLATED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Before 3.0.11, 4.9.8 and 5.5.0.
const VERSIONS: [(i32, Decode); 3] = [
    (36, |body| register(36, body)),
    (409, |body| register(409, body)),
    (513, |body| register(513, body)),
];

fn register(version: i32, body: &[u8]) -> bool {
    let header = RegisterBrokerHeader::default();
    RegisterBody::decode(&header, version, body, INFLATED_BYTES_MAX).is_ok()
}

/// What name servers answer.
fn answers(name: Naming) -> Vec<Large> {
    let address = |at: usize| format!("10.{}.{}.{}:10911", at >> 16, at >> 8 & 255, at & 255);
    let broker = |at| BrokerData {
        broker_addrs: [(0, address(at))].into(),
        broker_name: name("broker", at),
        cluster: "C".to_owned(),
        ..BrokerData::default()
    };
    let queues = |at| QueueData {
        broker_name: name("broker", at),
        perm: 6,
        read_queue_nums: 4,
        write_queue_nums: 4,
        ..QueueData::default()
    };
    let route = TopicRouteData {
        broker_datas: (0..BROKERS).map(broker).collect(),
        queue_datas: (0..BROKERS).map(queues).collect(),
        ..TopicRouteData::default()
    };
    let clusters = ClusterInfo {
        broker_addr_table: (0..BROKERS).map(|at| (name("broker", at), broker(at))).collect(),
        cluster_addr_table: [("C".to_owned(), (0..BROKERS).map(|at| name("broker", at)).collect())]
            .into(),
    };
    let topics = (0..TOPICS).map(|at| name("topic", at).into()).collect();
    let topics = TopicList { topic_list: topics, ..TopicList::default() };
    let order = |at| (name("topic", at).into(), format!("{}:4", name("broker", at)).into());
    let kv = KvTable { table: (0..TOPICS).map(order).collect() };
    let members = BrokerMemberGroup {
        broker_addrs: (0..4_096).map(|at| (at as u64, address(at))).collect(),
        broker_name: name("broker", 0),
        cluster: "C".to_owned(),
    };
    let servers = (0..BROKERS).map(|at| (address(at), vec![address(at)])).collect::<Table<_, _>>();
    let filtered = TopicRouteData { filter_server_table: servers, ..route.clone() };
    let is_route: Decode = |body| TopicRouteData::from_json(body).is_ok();
    let is_clusters: Decode = |body| ClusterInfo::from_json(body).is_ok();
    let is_group: Decode = |body| BrokerMemberGroup::from_json(body).is_ok();
    vec![
        plain("route", is_route, route.standard_json()),
        plain("route, legacy", is_route, route.legacy_json()),
        plain("route with filter servers", is_route, filtered.legacy_json()),
        plain("clusters", is_clusters, clusters.standard_json()),
        plain("clusters, legacy", is_clusters, clusters.legacy_json()),
        plain("members", is_group, members.standard_json()),
        plain("members, legacy", is_group, members.legacy_json()),
        plain("topics", |body| TopicList::from_json(body).is_ok(), topics.to_json()),
        plain("order", |body| KvTable::from_json(body).is_ok(), kv.to_json()),
    ]
}

/// What clients say, and are answered.
fn clients(name: Naming) -> Vec<Large> {
    let subscription = |at| Subscription::of_tags(&name("topic", at), "A || B || C").expect("tags");
    let consumer = |at| ConsumerData {
        consume_from_where: "CONSUME_FROM_LAST_OFFSET".to_owned(),
        consume_type: "CONSUME_PASSIVELY".to_owned(),
        group_name: name("group", at),
        message_model: "CLUSTERING".to_owned(),
        subscription_data_set: (at..at + 8).map(subscription).collect(),
        unit_mode: false,
    };
    let beat = Heartbeat {
        client_id: "10.0.0.1@7#8".to_owned(),
        consumer_data_set: (0..GROUPS_MAX).map(consumer).collect(),
        producer_data_set: (0..GROUPS_MAX)
            .map(|at| ProducerData { group_name: name("group", at) })
            .collect(),
    };
    let queue = |at: usize| QueueRef {
        broker_name: name("broker", at),
        queue_id: 0,
        topic: name("topic", at),
    };
    let locks = LockBatch {
        client_id: "10.0.0.1@7#8".to_owned(),
        consumer_group: name("group", 0),
        mq_set: (0..QUEUES_MAX).map(queue).collect(),
    };
    let ids = ConsumerIds {
        consumer_id_list: (0..65_536).map(|at| format!("10.0.0.1@{at}#1")).collect(),
    };
    vec![
        plain("heartbeat", |body| Heartbeat::from_json(body).is_ok(), beat.to_json()),
        plain("locks", |body| LockBatch::from_json(body).is_ok(), locks.to_json()),
        plain("consumer ids", |body| ConsumerIds::from_json(body).is_ok(), ids.to_json()),
    ]
}
