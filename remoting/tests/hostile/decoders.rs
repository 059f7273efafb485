//! Every decoder of this crate, each with an input that it takes.

use bytes::{Bytes, BytesMut};
use signpost_remoting::body::consumers::{ConsumerIds, LockBatch};
use signpost_remoting::body::heartbeat::{FilterCheck, Heartbeat, Subscription};
use signpost_remoting::body::{
    Attributes, BrokerData, BrokerMemberGroup, ClusterInfo, DataVersion, KvTable, QueueData,
    QueueRef, RegisterBody, SubscriptionGroup, TopicConfig, TopicList, TopicQueueMappingInfo,
    TopicRouteData,
};
use signpost_remoting::message::{StoredMessage, batch, id, properties};
use signpost_remoting::pull::{PullHeader, PullResponse};
use signpost_remoting::send::{SendHeader, SendResponse};
use signpost_remoting::{ExtFields, FrameCodec, HeaderKind, RemotingCommand, broker, namesrv};
use tokio_util::codec::Decoder as _;

/// What a compressed registration may inflate to here.
pub(crate) const INFLATED_BYTES_MAX: usize = 256 * 1024;

/// How a decoder's inputs are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Binary,
    Json,
    /// Header fields: `name=value` lines.
    Fields,
}

/// Reads bytes; says whether it took them.
pub(crate) struct Decoder {
    pub(crate) name: &'static str,
    pub(crate) decode: fn(&[u8]) -> bool,
    pub(crate) good: Vec<u8>,
    pub(crate) form: Form,
    /// Takes any text; then no input is malformed.
    pub(crate) refuses: bool,
    /// What is received is what it inflates to.
    pub(crate) zlib: bool,
}

fn decoder(
    name: &'static str,
    form: Form,
    decode: fn(&[u8]) -> bool,
    good: impl Into<Vec<u8>>,
) -> Decoder {
    Decoder { name, decode, good: good.into(), form, refuses: true, zlib: false }
}

/// All of them.
pub(crate) fn all() -> Vec<Decoder> {
    let mut all = Vec::from(frames());
    all.extend(messages());
    all.extend(client_bodies());
    all.extend(name_server_bodies());
    all.extend(headers());
    all
}

fn frames() -> [Decoder; 3] {
    let whole = |header| {
        let fields = [("topic", "T"), ("queueId", "3"), ("a", "\u{e9}\"\\")].into_iter().collect();
        let command = RemotingCommand::request(11).with_ext(fields).with_body("body");
        let command = RemotingCommand { header, remark: Some("remark".into()), ..command };
        let mut frame = BytesMut::new();
        FrameCodec::default().encode_into(&command, &mut frame).unwrap();
        frame
    };
    let header = |kind| {
        let frame = whole(kind);
        frame[8..frame.len() - "body".len()].to_vec()
    };
    [
        decoder(
            "frame",
            Form::Binary,
            |bytes| read(BytesMut::from(bytes)),
            whole(HeaderKind::Json),
        ),
        decoder("JSON header", Form::Json, |bytes| framed(0, bytes), header(HeaderKind::Json)),
        decoder(
            "binary header",
            Form::Binary,
            |bytes| framed(1, bytes),
            header(HeaderKind::Binary),
        ),
    ]
}

fn read(mut frame: BytesMut) -> bool {
    matches!(FrameCodec::default().decode(&mut frame), Ok(Some(_)))
}

/// As a header of this kind, with the lengths that it has.
fn framed(kind: u32, header: &[u8]) -> bool {
    let mut frame = BytesMut::with_capacity(header.len() + 8);
    let length = u32::try_from(header.len()).unwrap();
    frame.extend_from_slice(&(length + 4).to_be_bytes());
    frame.extend_from_slice(&(kind << 24 | length).to_be_bytes());
    frame.extend_from_slice(header);
    read(frame)
}

fn messages() -> [Decoder; 4] {
    let host = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    let message = StoredMessage {
        queue_id: 1,
        flag: 0,
        queue_offset: 5,
        physical_offset: 6,
        sys_flag: 0,
        born_timestamp_ms: 7,
        born_host: host,
        store_timestamp_ms: 8,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: Bytes::from_static(b"body"),
        topic: "T".into(),
        properties: "TAGS\u{1}A\u{2}".into(),
    };
    let mut records = BytesMut::new();
    for _ in 0..3 {
        message.encode_into(&mut records).unwrap();
    }
    let inner = batch::BatchMessage { flag: 1, body: "x".into(), properties: "K\u{1}v".into() };
    let entries = batch::encode(&[inner.clone(), inner]).unwrap();
    let read_properties = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let without = properties::without(&text, "TAGS");
        properties::get(&without, "TAGS").is_none() && properties::get(&text, "KEYS").is_some()
    };
    [
        decoder(
            "message records",
            Form::Binary,
            |body| StoredMessage::decode_all(Bytes::copy_from_slice(body)).is_ok(),
            records,
        ),
        decoder(
            "batch",
            Form::Binary,
            |body| batch::decode(Bytes::copy_from_slice(body), 1024).is_ok(),
            entries,
        ),
        Decoder {
            refuses: false,
            ..decoder("properties", Form::Binary, read_properties, &b"TAGS\x01A\x02KEYS\x01k"[..])
        },
        decoder(
            "offset id",
            Form::Binary,
            |id| std::str::from_utf8(id).is_ok_and(|id| id::parse_offset_id(id).is_some()),
            id::offset_id(host, 198),
        ),
    ]
}

/// What clients say to brokers, and brokers to clients.
fn client_bodies() -> Vec<Decoder> {
    let heartbeat = r#"{"clientID":"c","consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"g","messageModel":"CLUSTERING","subscriptionDataSet":[{"classFilterMode":false,"codeSet":[65,"66"],"expressionType":"TAG","subString":"A||B","subVersion":1795359881931,"tagsSet":["A","B"],"topic":"T"}],"unitMode":false}],"producerDataSet":[{"groupName":"p"}]}"#;
    let filter = r#"{"clientId":"c","group":"g","subscriptionData":{"topic":"T","subString":"*","codeSet":[1],"tagsSet":["A"]}}"#;
    let queue = |queue_id| QueueRef { broker_name: "b".into(), queue_id, topic: "T".into() };
    let locks = LockBatch {
        client_id: "c".into(),
        consumer_group: "g".into(),
        mq_set: (0..8).map(queue).collect(),
    };
    let ids = ConsumerIds { consumer_id_list: vec!["a".into(), "b".into()] };
    let group = SubscriptionGroup::named("g");
    vec![
        decoder("heartbeat", Form::Json, |b| Heartbeat::from_json(b).is_ok(), heartbeat),
        decoder("filter check", Form::Json, |b| FilterCheck::from_json(b).is_ok(), filter),
        decoder("locks", Form::Json, |b| LockBatch::from_json(b).is_ok(), locks.to_json()),
        decoder("consumer ids", Form::Json, |b| ConsumerIds::from_json(b).is_ok(), ids.to_json()),
        decoder("group", Form::Json, |b| SubscriptionGroup::from_json(b).is_ok(), group.to_json()),
        Decoder {
            refuses: false,
            ..decoder(
                "tag expression",
                Form::Binary,
                |body| Subscription::of_tags("T", &String::from_utf8_lossy(body)).is_ok(),
                "TagA || TagB || TagC",
            )
        },
    ]
}

/// What brokers register, and name servers answer.
fn name_server_bodies() -> Vec<Decoder> {
    let topic = TopicConfig {
        attributes: [("message.type", "FIFO")].into_iter().collect(),
        ..TopicConfig::default()
    };
    let mapping = TopicQueueMappingInfo {
        bname: "b".into(),
        curr_id_map: [(0, 0), (1, 1)].into(),
        topic: "S".into(),
        total_queues: 4,
        ..TopicQueueMappingInfo::default()
    };
    let body = RegisterBody {
        topics: [("T".into(), topic.clone()), ("U".into(), topic)].into(),
        filter_servers: Some(vec!["f:1".into()]),
        mapping_infos: [("S".into(), mapping)].into(),
        ..RegisterBody::default()
    };
    let compressed = Decoder {
        zlib: true,
        ..decoder(
            "registration, zlib",
            Form::Binary,
            |b| register(513, b),
            body.encode_compressed(513),
        )
    };
    let broker = BrokerData {
        broker_addrs: [(0, "h:1".into()), (1, "h:2".into())].into(),
        broker_name: "b".into(),
        ..BrokerData::default()
    };
    let route = TopicRouteData {
        broker_datas: vec![broker.clone()],
        filter_server_table: [("h:1".into(), vec!["f:1".into()])].into(),
        order_topic_conf: Some("b:4".into()),
        queue_datas: vec![QueueData { broker_name: "b".into(), ..QueueData::default() }],
        ..TopicRouteData::default()
    };
    let list = TopicList { topic_list: vec!["T".into(), "U".into()], ..TopicList::default() };
    let kv = KvTable { table: [("k".into(), "v".into())].into() };
    let clusters = ClusterInfo {
        broker_addr_table: [("b".into(), broker)].into(),
        cluster_addr_table: [("C".into(), ["b".into()].into())].into(),
    };
    let members = BrokerMemberGroup {
        broker_addrs: [(0, "h:1".into())].into(),
        broker_name: "b".into(),
        cluster: "C".into(),
    };
    let version = DataVersion { counter: 1, ..DataVersion::default() };
    vec![
        decoder("registration, JSON", Form::Json, |b| register(513, b), body.encode_json(513)),
        decoder("registration, bare", Form::Json, |b| register(36, b), body.encode_json(36)),
        compressed,
        decoder("route", Form::Json, |b| TopicRouteData::from_json(b).is_ok(), route.legacy_json()),
        decoder("topic list", Form::Json, |b| TopicList::from_json(b).is_ok(), list.to_json()),
        decoder("KV table", Form::Json, |b| KvTable::from_json(b).is_ok(), kv.to_json()),
        decoder(
            "clusters",
            Form::Json,
            |b| ClusterInfo::from_json(b).is_ok(),
            clusters.legacy_json(),
        ),
        decoder(
            "member group",
            Form::Json,
            |b| BrokerMemberGroup::from_json(b).is_ok(),
            members.legacy_json(),
        ),
        decoder(
            "data version",
            Form::Json,
            |b| DataVersion::from_json(b).is_ok(),
            version.to_json(513),
        ),
        Decoder {
            refuses: false,
            ..decoder(
                "attributes",
                Form::Json,
                |b| !Attributes::from_json(&String::from_utf8_lossy(b)).is_empty(),
                r#"{"message.type":"FIFO"}"#,
            )
        },
    ]
}

fn register(version: i32, body: &[u8]) -> bool {
    let header = namesrv::RegisterBrokerHeader::default();
    RegisterBody::decode(&header, version, body, INFLATED_BYTES_MAX).is_ok()
}

/// The fields of a command, from `name=value` lines.
fn fields(lines: &[u8]) -> ExtFields {
    let text = String::from_utf8_lossy(lines);
    text.lines().filter_map(|line| line.split_once('=')).collect()
}

/// Decoders of typed headers: what they are read from, and the fields that they take.
macro_rules! typed {
    ($($(#[$any:ident])? $module:ident::$header:ident: $good:literal,)+) => {
        vec![$(Decoder {
            refuses: true $(&& $any())?,
            ..decoder(
                concat!("header ", stringify!($module), "::", stringify!($header)),
                Form::Fields,
                |lines| $module::$header::from_ext(&fields(lines)).is_ok(),
                $good,
            )
        }),+]
    };
}

/// All its fields are optional.
fn any() -> bool {
    false
}

fn headers() -> Vec<Decoder> {
    let mut all = typed![
        broker::QueryMessageHeader: "topic=T\nkey=k\nmaxNum=9\nbeginTimestamp=1\nendTimestamp=2\n_UNIQUE_KEY_QUERY=true",
        broker::QueryConsumerOffsetHeader: "consumerGroup=g\ntopic=T\nqueueId=1\nsetZeroIfNotFound=true",
        broker::UpdateConsumerOffsetHeader: "consumerGroup=g\ntopic=T\nqueueId=1\ncommitOffset=5",
        broker::CreateTopicHeader: "topic=T\nreadQueueNums=4\nwriteQueueNums=4\nperm=6\ntopicSysFlag=0\norder=false",
        broker::SearchOffsetHeader: "topic=T\nqueueId=1\ntimestamp=5\nboundaryType=LOWER",
        broker::QueueHeader: "topic=T\nqueueId=1",
        broker::ViewMessageHeader: "offset=5",
        broker::UnregisterClientHeader: "clientID=c\nproducerGroup=p\nconsumerGroup=g",
        broker::SendBackHeader: "offset=5\ngroup=g\ndelayLevel=3\noriginMsgId=i\noriginTopic=T\nmaxReconsumeTimes=16",
        broker::ConsumerGroupHeader: "consumerGroup=g\ntopic=T",
        broker::TopicHeader: "topic=T",
        broker::ProducerGroupHeader: "producerGroup=p",
        broker::GetGroupHeader: "group=g",
        broker::DeleteGroupHeader: "groupName=g\ncleanOffset=true",
        broker::QueryMessageResponseHeader: "indexLastUpdateTimestamp=1\nindexLastUpdatePhyoffset=2",
        broker::OffsetResponseHeader: "offset=5",
        broker::StoreTimeResponseHeader: "timestamp=5",
        namesrv::PutKvConfigHeader: "namespace=n\nkey=k\nvalue=v",
        namesrv::GetKvConfigHeader: "namespace=n\nkey=k",
        namesrv::DeleteKvConfigHeader: "namespace=n\nkey=k",
        namesrv::RegisterBrokerHeader: "brokerName=b\nbrokerAddr=h:1\nclusterName=C\nhaServerAddr=h:2\nbrokerId=0\ncompressed=false\nbodyCrc32=0\nheartbeatTimeoutMillis=9",
        namesrv::UnregisterBrokerHeader: "brokerName=b\nbrokerAddr=h:1\nclusterName=C\nbrokerId=0",
        namesrv::GetRouteInfoHeader: "topic=T\nacceptStandardJsonOnly=true\n__ZONE_MODE=true\n__ZONE_NAME=z",
        namesrv::WipeWritePermHeader: "brokerName=b",
        namesrv::AddWritePermHeader: "brokerName=b",
        namesrv::DeleteTopicHeader: "topic=T\nclusterName=C",
        namesrv::RegisterTopicHeader: "topic=T",
        namesrv::GetKvListHeader: "namespace=n",
        namesrv::GetTopicsByClusterHeader: "cluster=C",
        namesrv::QueryDataVersionHeader: "brokerName=b\nbrokerAddr=h:1\nclusterName=C\nbrokerId=0",
        namesrv::GetBrokerMemberGroupHeader: "clusterName=C\nbrokerName=b",
        namesrv::BrokerHeartbeatHeader: "clusterName=C\nbrokerAddr=h:1\nbrokerName=b\nbrokerId=0\nepoch=1\nmaxOffset=2",
        #[any] namesrv::GetKvConfigResponseHeader: "value=v",
        #[any] namesrv::RegisterBrokerResponseHeader: "haServerAddr=h:1\nmasterAddr=h:2",
        #[any] namesrv::WipeWritePermResponseHeader: "wipeTopicCount=1",
        #[any] namesrv::AddWritePermResponseHeader: "addTopicCount=1",
        #[any] namesrv::QueryDataVersionResponseHeader: "changed=true",
        #[any] namesrv::NotifyMinBrokerIdChangeHeader: "minBrokerId=0\nbrokerName=b\nminBrokerAddr=h:1",
    ];
    let long = "producerGroup=p\ntopic=T\ndefaultTopic=TBW102\ndefaultTopicQueueNums=4\nqueueId=1\nsysFlag=0\nbornTimestamp=5\nflag=0\nproperties=x\nreconsumeTimes=0\nunitMode=false\nbatch=false";
    let short =
        "a=p\nb=T\nc=TBW102\nd=4\ne=1\nf=0\ng=5\nh=0\ni=x\nj=0\nk=false\nl=16\nm=false\nn=b";
    let pull = "consumerGroup=g\ntopic=T\nqueueId=1\nqueueOffset=5\nmaxMsgNums=32\nsysFlag=6\ncommitOffset=5\nsuspendTimeoutMillis=15000\nsubscription=*\nsubVersion=7\nexpressionType=TAG\nmaxMsgBytes=9";
    let sent = "msgId=i\nqueueId=1\nqueueOffset=5\ntransactionId=t";
    let pulled = "suggestWhichBrokerId=0\nnextBeginOffset=5\nminOffset=0\nmaxOffset=9";
    all.extend([
        decoder(
            "header of a send, 10",
            Form::Fields,
            |l| SendHeader::decode(10, &fields(l)).is_ok(),
            long,
        ),
        decoder(
            "header of a send, 310",
            Form::Fields,
            |l| SendHeader::decode(310, &fields(l)).is_ok(),
            short,
        ),
        decoder(
            "header of a send, 320",
            Form::Fields,
            |l| SendHeader::decode(320, &fields(l)).is_ok(),
            short,
        ),
        decoder(
            "header of a send's answer",
            Form::Fields,
            |l| SendResponse::decode(&fields(l)).is_ok(),
            sent,
        ),
        decoder("header of a pull", Form::Fields, |l| PullHeader::decode(&fields(l)).is_ok(), pull),
        decoder(
            "header of a pull's answer",
            Form::Fields,
            |l| PullResponse::decode(&fields(l)).is_ok(),
            pulled,
        ),
    ]);
    all
}
