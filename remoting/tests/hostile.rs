//! What a peer may send that no peer should: every decoder of a broker's calls takes it without a
//! panic, and without taking more memory than a small multiple of what was sent.
//!
//! One test in an executable of its own: the allocator counts for the whole process.

#![allow(clippy::print_stdout, reason = "a test reports to whoever runs it")]

use bytes::Bytes;
use peak_alloc::PeakAlloc;
use signpost_remoting::body::consumers::{ConsumerIds, LockBatch};
use signpost_remoting::body::heartbeat::{FilterCheck, Heartbeat, Subscription};
use signpost_remoting::body::{QueueRef, SubscriptionGroup};
use signpost_remoting::broker::{
    CreateTopicHeader, QueryConsumerOffsetHeader, QueryMessageHeader, SearchOffsetHeader,
    SendBackHeader, UpdateConsumerOffsetHeader,
};
use signpost_remoting::message::{StoredMessage, batch};
use signpost_remoting::pull::PullHeader;
use signpost_remoting::send::SendHeader;
use signpost_remoting::{ExtFields, FrameCodec, RemotingCommand};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Times the bytes received.
const FACTOR: usize = 4;
/// For what does not grow with them: texts of errors, first capacities.
const BESIDES_BYTES: usize = 64 * 1024;
/// Inputs for each decoder, at least.
const INPUTS: usize = 200;

type Decoder = (&'static str, fn(&[u8]) -> bool, Vec<u8>);

/// Every decoder with an input that it takes.
fn decoders() -> Vec<Decoder> {
    let heartbeat = r#"{"clientID":"c","consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"g","messageModel":"CLUSTERING","subscriptionDataSet":[{"classFilterMode":false,"codeSet":[65,"66"],"expressionType":"TAG","subString":"A||B","subVersion":1795359881931,"tagsSet":["A","B"],"topic":"T"}],"unitMode":false}],"producerDataSet":[{"groupName":"p"}]}"#;
    let filter = r#"{"clientId":"c","group":"g","subscriptionData":{"topic":"T","subString":"*","codeSet":[1],"tagsSet":["A"]}}"#;
    let queue = |queue_id| QueueRef { broker_name: "b".into(), queue_id, topic: "T".into() };
    let locks = LockBatch {
        client_id: "c".into(),
        consumer_group: "g".into(),
        mq_set: (0..8).map(queue).collect(),
    };
    let ids = ConsumerIds { consumer_id_list: vec!["a".into(), "b".into()] };
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
    let mut records = bytes::BytesMut::new();
    for _ in 0..3 {
        message.encode_into(&mut records).unwrap();
    }
    let inner = batch::BatchMessage { flag: 1, body: "x".into(), properties: "K\u{1}v".into() };
    let batch = batch::encode(&[inner.clone(), inner]).unwrap();
    let ext: ExtFields = FIELDS.iter().map(|name| (*name, "1")).collect();
    let frame = {
        let mut frame = bytes::BytesMut::new();
        let command = RemotingCommand::request(11).with_ext(ext).with_body("body");
        FrameCodec::default().encode_into(&command, &mut frame).unwrap();
        frame.to_vec()
    };
    vec![
        ("heartbeat", |body| Heartbeat::from_json(body).is_ok(), heartbeat.into()),
        ("filter check", |body| FilterCheck::from_json(body).is_ok(), filter.into()),
        ("locks", |body| LockBatch::from_json(body).is_ok(), locks.to_json()),
        ("ids", |body| ConsumerIds::from_json(body).is_ok(), ids.to_json()),
        (
            "group",
            |body| SubscriptionGroup::from_json(body).is_ok(),
            SubscriptionGroup::named("g").to_json(),
        ),
        (
            "records",
            |body| StoredMessage::decode_all(Bytes::copy_from_slice(body)).is_ok(),
            records.to_vec(),
        ),
        ("batch", |body| batch::decode(Bytes::copy_from_slice(body), 64).is_ok(), batch.to_vec()),
        ("headers", headers, frame),
        (
            "expression",
            |body| Subscription::of_tags("T", &String::from_utf8_lossy(body)).is_ok(),
            b"TagA || TagB || TagC".to_vec(),
        ),
    ]
}

/// Every field that any of these headers reads.
const FIELDS: [&str; 26] = [
    "consumerGroup",
    "topic",
    "queueId",
    "queueOffset",
    "maxMsgNums",
    "sysFlag",
    "commitOffset",
    "suspendTimeoutMillis",
    "subVersion",
    "maxMsgBytes",
    "key",
    "maxNum",
    "beginTimestamp",
    "endTimestamp",
    "timestamp",
    "offset",
    "group",
    "delayLevel",
    "readQueueNums",
    "writeQueueNums",
    "perm",
    "a",
    "b",
    "d",
    "e",
    "f",
];

/// A frame, and each typed header from its fields.
fn headers(frame: &[u8]) -> bool {
    use tokio_util::codec::Decoder as _;
    let mut frame = bytes::BytesMut::from(frame);
    let Ok(Some(command)) = FrameCodec::default().decode(&mut frame) else { return false };
    let ext = &command.ext;
    let taken = [
        PullHeader::decode(ext).is_ok(),
        SendHeader::decode(310, ext).is_ok(),
        SendHeader::decode(10, ext).is_ok(),
        QueryConsumerOffsetHeader::from_ext(ext).is_ok(),
        UpdateConsumerOffsetHeader::from_ext(ext).is_ok(),
        QueryMessageHeader::from_ext(ext).is_ok(),
        SearchOffsetHeader::from_ext(ext).is_ok(),
        SendBackHeader::from_ext(ext).is_ok(),
        CreateTopicHeader::from_ext(ext).is_ok(),
    ];
    taken.contains(&true)
}

/// Inputs made of a good one: cut, with bytes changed, repeated, swollen, nested.
fn hostile(good: &[u8], dice: &mut Dice) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = (0..good.len().min(120)).map(|end| good[..end].to_vec()).collect();
    for _ in 0..INPUTS {
        let mut one = good.to_vec();
        for _ in 0..=dice.below(4) {
            let at = dice.below(one.len());
            one[at] = [0, 0xFF, b'[', b'{', b'"', b'9', b',', dice.below(256) as u8][dice.below(8)];
        }
        all.push(one);
    }
    for _ in 0..20 {
        let (at, to) = (dice.below(good.len()), dice.below(good.len()));
        let piece = &good[at.min(to)..at.max(to)];
        all.push([&good[..at], &piece.repeat(200), &good[at..]].concat());
    }
    for nested in ["[", "{\"a\":", "[[],", "{a:["] {
        all.push(nested.repeat(20_000).into_bytes());
    }
    let sets = ["consumerDataSet", "producerDataSet", "mqSet", "consumerIdList", "tagsSet"];
    for set in sets {
        for entry in ["{}", "\"\"", "null", "7", "{\"topic\":\"T\"}", "{0:1}", "[]"] {
            for count in [900, 4_000, 20_000] {
                let entries = vec![entry; count].join(",");
                all.push(format!("{{\"{set}\":[{entries}]}}").into_bytes());
                for inside in ["subscriptionDataSet", "codeSet", "tagsSet"] {
                    let inner = format!("{{\"{inside}\":[{entries}]}}");
                    all.push(format!("{{\"{set}\":[{inner}]}}").into_bytes());
                    all.push(format!("{{\"subscriptionData\":{inner}}}").into_bytes());
                }
            }
        }
    }
    all.push([&[0x7F, 0xFF, 0xFF, 0xFF], good].concat());
    all.push([&[0xFF; 4], good].concat());
    all.push("a||".repeat(50_000).into_bytes());
    all
}

/// xorshift: the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("below a usize")
    }
}

#[test]
fn nothing_panics_and_nothing_swells() {
    let seed = std::env::var("SIGNPOST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(0x5EED_1234_ABCD_0001_u64);
    println!("SIGNPOST_SEED={seed}");
    let mut dice = Dice(seed);
    for (name, decode, good) in decoders() {
        assert!(decode(&good), "{name} takes what is good");
        let inputs = hostile(&good, &mut dice);
        assert!(inputs.len() >= INPUTS);
        let mut refused = 0;
        let mut worst = (0, 0);
        for input in &inputs {
            let before = MEMORY.current_usage();
            MEMORY.reset_peak_usage();
            refused += usize::from(!decode(input));
            let took = MEMORY.peak_usage().saturating_sub(before);
            let allowed = FACTOR * input.len() + BESIDES_BYTES;
            if took * worst.1.max(1) > worst.0 * input.len().max(1) && took > BESIDES_BYTES {
                worst = (took, input.len());
            }
            let shown = String::from_utf8_lossy(&input[..input.len().min(100)]);
            assert!(took <= allowed, "{name}: {took} bytes for {}: {shown}", input.len());
        }
        println!(
            "{name}: {} inputs, {refused} refused, most {} for {}",
            inputs.len(),
            worst.0,
            worst.1
        );
        // Almost any text is an expression.
        assert!(refused >= INPUTS || name == "expression", "{name}: only {refused} were bad");
    }
}
