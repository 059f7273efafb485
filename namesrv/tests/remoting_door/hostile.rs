//! Nonsense under every request code is answered, harms nobody, and is not written to the log
//! beyond what it may ask for.

use signpost_remoting::{HeaderKind, RemotingCommand};

use crate::door::{Door, NEW, look_up, request};

const CODES: [i32; 23] = [
    100, 101, 102, 103, 104, 105, 106, 205, 206, 216, 217, 219, 224, 304, 311, 312, 313, 318, 319,
    322, 327, 901, 904,
];

/// Every field that any of these calls reads.
const FIELDS: [&str; 22] = [
    "namespace",
    "key",
    "value",
    "brokerName",
    "brokerAddr",
    "clusterName",
    "brokerId",
    "haServerAddr",
    "compressed",
    "bodyCrc32",
    "heartbeatTimeoutMillis",
    "enableActingMaster",
    "topic",
    "acceptStandardJsonOnly",
    "cluster",
    "epoch",
    "maxOffset",
    "confirmOffset",
    "heartbeatTimeoutMills",
    "electionPriority",
    "__ZONE_NAME",
    "__ZONE_MODE",
];

/// xorshift: the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("below a usize")
    }

    fn value(&mut self) -> String {
        match self.below(10) {
            0 => String::new(),
            1 => "0".into(),
            2 => "-1".into(),
            3 => i64::MAX.to_string(),
            4 => "99999999999999999999999".into(),
            5 => "true".into(),
            6 => "\0\u{1}\n\"\\é😀".into(),
            7 => "x".repeat(10_000),
            8 => "a".into(),
            _ => "127.0.0.1:10911".into(),
        }
    }

    fn body(&mut self) -> Vec<u8> {
        match self.below(8) {
            0 | 1 => Vec::new(),
            2 => b"{}".to_vec(),
            3 => b"null".to_vec(),
            4 => "[".repeat(5_000).into_bytes(),
            5 => r#"{"a":"#.repeat(5_000).into_bytes(),
            6 => (0..self.below(200)).map(|_| self.below(256) as u8).collect(),
            _ => {
                br#"{"queueDatas":[{"brokerName":null,"perm":1e99}],"topicConfigSerializeWrapper":7,
                "counter":"x","dataVersion":[]}"#
                    .to_vec()
            }
        }
    }

    fn request(&mut self) -> RemotingCommand {
        let mut request = request(CODES[self.below(CODES.len())], &[]);
        for field in FIELDS {
            if self.below(2) == 0 {
                request.ext.insert(field, self.value());
            }
        }
        request.header = if self.below(2) == 0 { HeaderKind::Json } else { HeaderKind::Binary };
        request.version = [0, 36, 317, 409, 479, i32::from(i16::MAX)][self.below(6)];
        request.with_body(self.body())
    }
}

#[tokio::test]
async fn nonsense_is_answered_and_harms_nobody() {
    let seed = std::env::var("SIGNPOST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(0x5EED_1234_ABCD_0001_u64);
    println!("SIGNPOST_SEED={seed}");
    let door = Door::open().await;
    door.master("good", &["T", "U"]);
    let before = door.ask(look_up("T", NEW)).await;
    let mut dice = Dice(seed);
    let mut peer = door.dial().await;
    for _ in 0..3_000 {
        let request = dice.request();
        let (code, fields) = (request.code, request.ext.clone());
        let answer = peer.ask(request).await;
        assert_ne!(answer.code, 3, "{code} is served");
        assert!(answer.code >= 0, "{code} with {fields:?}: {answer:?}");
    }
    assert_eq!(door.ask(look_up("T", NEW)).await.body, before.body);
    let view = door.service.reads().peek();
    for (topic, _) in view.tables.topics() {
        assert!(topic.len() <= 255, "an endless name got in");
    }
    assert!(view.tables.brokers().all(|(name, _)| name.len() <= 255));
}
