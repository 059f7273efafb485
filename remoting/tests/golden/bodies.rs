//! The body of every golden request and answer.

use signpost_remoting::body::registration::crc32;
use signpost_remoting::body::{
    Attributes, BodyError, BrokerData, BrokerMemberGroup, ClusterInfo, DataVersion, KvTable,
    QueueData, RegisterBody, Table, TopicConfig, TopicList, TopicQueueMappingInfo, TopicRouteData,
};
use signpost_remoting::namesrv::RegisterBrokerHeader;

use crate::capture::Capture;

const INFLATED_BYTES_MAX: usize = 1024 * 1024;

fn registration(file: &str) -> Result<RegisterBody, BodyError> {
    let request = Capture::load(file).request;
    let header = RegisterBrokerHeader::from_ext(&request.ext).unwrap();
    RegisterBody::decode(&header, request.version, &request.body, INFLATED_BYTES_MAX)
}

fn topic(queues: i32, perm: i32) -> TopicConfig {
    TopicConfig {
        read_queue_nums: queues,
        write_queue_nums: queues,
        perm,
        ..TopicConfig::default()
    }
}

fn fifo() -> Attributes {
    [("message.type", "FIFO")].into_iter().collect()
}

fn static_topic() -> Table<String, TopicQueueMappingInfo> {
    let info = TopicQueueMappingInfo {
        bname: "broker-a".to_owned(),
        curr_id_map: Table::from([(0, 0), (1, 1)]),
        epoch: 5,
        topic: "S1".to_owned(),
        total_queues: 4,
        ..TopicQueueMappingInfo::default()
    };
    Table::from([("S1".to_owned(), info)])
}

fn master() -> RegisterBody {
    let version =
        DataVersion { counter: 1, timestamp_ms: 1_700_000_000_000, ..DataVersion::default() };
    let topics = [
        ("Fifo", TopicConfig { attributes: fifo(), ..topic(4, 6) }),
        ("S1", topic(4, 6)),
        ("TopicTest", topic(4, 6)),
        ("Unit", TopicConfig { topic_sys_flag: 1, ..topic(4, 6) }),
        ("UnitSub", TopicConfig { topic_sys_flag: 2, ..topic(4, 6) }),
    ];
    RegisterBody {
        topics: topics.map(|(name, config)| (name.to_owned(), config)).into(),
        data_version: version,
        filter_servers: Some(Vec::new()),
        mapping_infos: static_topic(),
        mapping_data_version: version,
    }
}

#[test]
fn a_registration_is_read_and_written_byte_for_byte() {
    let capture = Capture::load("103-register");
    assert_eq!(registration("103-register"), Ok(master()));
    assert_eq!(master().encode_json(513), capture.request.body);
    assert_eq!(
        capture.request.ext.get("bodyCrc32"),
        Some(&*crc32(&capture.request.body).to_string())
    );
    let error = registration("103-register-bad-crc").unwrap_err();
    let stock = Capture::load("103-register-bad-crc").answer.unwrap();
    assert_eq!(Some(error.to_string()), stock.remark);
}

#[test]
fn compressed_registrations() {
    let topics = |attributes| {
        let fifo = TopicConfig { attributes, ..topic(4, 6) };
        Table::from([("Fifo".to_owned(), fifo), ("TopicTest".to_owned(), topic(8, 6))])
    };
    let body = |counter, attributes| RegisterBody {
        topics: topics(attributes),
        data_version: DataVersion { counter, ..master().data_version },
        filter_servers: Some(Vec::new()),
        ..RegisterBody::default()
    };
    let five = RegisterBody { mapping_infos: static_topic(), ..body(2, fifo()) };
    assert_eq!(registration("103-register-compressed").as_ref(), Ok(&five));
    let four = body(3, Attributes::default());
    assert_eq!(registration("103-register-compressed-4").as_ref(), Ok(&four));
    // What we write reads the same.
    for (version, body) in [(513, five), (407, four)] {
        let bytes = body.encode_compressed(version);
        assert_eq!(&bytes[..2], [0x78, 0xDA]);
        let header = RegisterBrokerHeader {
            compressed: true,
            body_crc32: crc32(&bytes),
            ..Default::default()
        };
        assert_eq!(RegisterBody::decode(&header, version, &bytes, INFLATED_BYTES_MAX), Ok(body));
    }
}

#[test]
fn what_stock_brokers_send() {
    let four = registration("103-broker-4.9.7").unwrap();
    assert_eq!(four.topics.len(), 8);
    assert_eq!(four.topics["TBW102"], topic(8, 7));
    assert_eq!(four.topics["SCHEDULE_TOPIC_XXXX"], topic(18, 6));
    assert_eq!(four.data_version.counter, 0);
    assert!(four.data_version.timestamp_ms > 1_600_000_000_000 && four.mapping_infos.is_empty());

    let five = registration("103-broker-5.5.0").unwrap();
    assert_eq!(five.topics["TBW102"], topic(8, 7));
    assert_eq!(five.topics["BenchmarkTest"], topic(1024, 6));
    assert_eq!(five.filter_servers, Some(Vec::new()));

    // The header says that it is not compressed; stock name servers fail here.
    let compressed = registration("103-broker-5.5.0-compressed").unwrap();
    assert_eq!(compressed.topics, five.topics);
    assert!(compressed.data_version.timestamp_ms > five.data_version.timestamp_ms);

    for (version, body) in [(407, four), (513, five)] {
        let bytes = body.encode_json(version);
        let header = RegisterBrokerHeader::default();
        assert_eq!(RegisterBody::decode(&header, version, &bytes, 0), Ok(body));
    }
}

#[test]
fn routes() {
    let mut route = TopicRouteData {
        broker_datas: vec![BrokerData {
            broker_addrs: Table::from([
                (0, "127.0.0.1:10911".to_owned()),
                (1, "127.0.0.1:10921".to_owned()),
            ]),
            broker_name: "broker-a".to_owned(),
            cluster: "DefaultCluster".to_owned(),
            enable_acting_master: true,
            zone_name: Some("z1".to_owned()),
        }],
        queue_datas: vec![QueueData {
            broker_name: "broker-a".to_owned(),
            perm: 6,
            read_queue_nums: 8,
            topic_sys_flag: 0,
            write_queue_nums: 8,
        }],
        ..TopicRouteData::default()
    };
    for file in ["105-route", "105-route-binary"] {
        let capture = Capture::load(file);
        assert_eq!(TopicRouteData::from_json(capture.answer_body()), Ok(route.clone()));
        assert_eq!(route.standard_json(), capture.answer_body());
    }
    route.queue_datas[0].read_queue_nums = 4;
    route.queue_datas[0].write_queue_nums = 4;
    route.topic_queue_mapping_by_broker =
        Table::from([("broker-a".to_owned(), static_topic()["S1"].clone())]);
    let (standard, legacy) = (Capture::load("105-route-static"), Capture::load("105-route-legacy"));
    for capture in [&standard, &legacy] {
        assert_eq!(TopicRouteData::from_json(capture.answer_body()), Ok(route.clone()));
        let header_asks = capture.request.ext.contains("acceptStandardJsonOnly");
        let is_standard = TopicRouteData::is_standard_for(capture.request.version, header_asks);
        let bytes = if is_standard { route.standard_json() } else { route.legacy_json() };
        assert_eq!(bytes, capture.answer_body());
    }
    assert_ne!(standard.answer_body(), legacy.answer_body());
    let zone = Capture::load("105-route-zone");
    assert_eq!(TopicRouteData::default().standard_json(), zone.answer_body());

    let made = TopicRouteData::from_json(&Capture::load("217-make-topic").request.body).unwrap();
    assert_eq!((made.queue_datas.len(), made.queue_datas[0].write_queue_nums), (1, 2));
}

#[test]
fn lists_and_tables() {
    for (file, names) in [
        ("206-topics", &["UnitSub", "TopicTest", "Unit", "Fifo", "S1"][..]),
        ("224-topics-of-cluster", &["UnitSub", "TopicTest", "Unit", "Fifo", "S1"]),
        ("304-system-topics", &["broker-a", "DefaultCluster"]),
        ("311-unit-topics", &["Unit"]),
        ("312-unit-subscriptions", &["UnitSub"]),
        ("313-unit-subscriptions-only", &["UnitSub"]),
    ] {
        let capture = Capture::load(file);
        let list = TopicList::from_json(capture.answer_body()).unwrap();
        assert!(list.topic_list.iter().map(|topic| &**topic).eq(names.iter().copied()), "{file}");
        let address = list.broker_addr.as_deref();
        assert_eq!(address, (capture.request.code == 304).then_some("127.0.0.1:10911"));
        assert_eq!(list.to_json(), capture.answer_body());
    }
    for file in ["219-kv-namespace", "103-register-slave"] {
        let capture = Capture::load(file);
        let table = KvTable::from_json(capture.answer_body()).unwrap();
        assert_eq!(table.table, Table::from([("Fifo".into(), "broker-a:4".into())]));
        assert_eq!(table.to_json(), capture.answer_body());
    }
    let capture = Capture::load("322-version");
    let version = DataVersion { counter: 3, ..master().data_version };
    for body in [&*capture.request.body, capture.answer_body()] {
        assert_eq!(DataVersion::from_json(body), Ok(version));
        assert_eq!(version.to_json(513), body);
    }
}

#[test]
fn clusters_and_members_have_bare_ids() {
    let capture = Capture::load("106-clusters");
    let clusters = ClusterInfo::from_json(capture.answer_body()).unwrap();
    assert_eq!(clusters.broker_addr_table["broker-a"].broker_addrs[&1], "127.0.0.1:10921");
    assert!(clusters.cluster_addr_table["DefaultCluster"].contains(&"broker-a".to_owned()));
    assert_eq!(clusters.legacy_json(), capture.answer_body());
    assert_eq!(ClusterInfo::from_json(&clusters.standard_json()), Ok(clusters));

    let capture = Capture::load("901-members");
    let group = BrokerMemberGroup::from_json(capture.answer_body()).unwrap();
    assert_eq!((&*group.cluster, group.broker_addrs.len()), ("DefaultCluster", 2));
    assert_eq!(group.legacy_json(), capture.answer_body());
    assert_eq!(BrokerMemberGroup::from_json(&group.standard_json()), Ok(group));
}
