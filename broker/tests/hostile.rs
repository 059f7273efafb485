//! Nonsense under every request code is answered, harms nobody, and makes nothing that it may not.

#![allow(clippy::print_stdout, reason = "a test reports to whoever runs it")]

mod support;

use std::time::Duration;

use signpost_remoting::{Client, ClientOptions, HeaderKind, RemotingCommand};
use support::{Consumer, Names, Producer, config, start};

const CODES: [i32; 31] = [
    10, 310, 320, 11, 12, 14, 15, 17, 28, 29, 30, 31, 32, 33, 34, 35, 36, 38, 41, 42, 46, 200, 201,
    202, 203, 204, 207, 208, 215, 300, 351,
];

/// Every field that any of these calls reads.
#[rustfmt::skip]
const FIELDS: [&str; 46] = [
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "producerGroup", "topic",
    "defaultTopic", "defaultTopicQueueNums", "queueId", "sysFlag", "bornTimestamp", "flag",
    "properties", "reconsumeTimes", "consumerGroup", "queueOffset", "maxMsgNums", "commitOffset",
    "suspendTimeoutMillis", "subVersion", "subscription", "expressionType", "maxMsgBytes", "key",
    "maxNum", "beginTimestamp", "endTimestamp", "timestamp", "offset", "clientID", "group",
    "delayLevel", "readQueueNums", "writeQueueNums", "perm", "groupName", "maxReconsumeTimes",
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
        match self.below(13) {
            0 => String::new(),
            1 | 2 => "0".into(),
            3 => "-1".into(),
            4 => i64::MAX.to_string(),
            5 => "99999999999999999999999".into(),
            6 => "true".into(),
            7 => "\0\u{1}\n\"\\é😀".into(),
            8 => "x".repeat(10_000),
            9 => "%RETRY%g".into(),
            10 => "SYS_COMMIT_MARK".into(),
            11 => "DELAY\u{1}99999\u{2}REAL_TOPIC\u{1}T\u{2}".into(),
            _ => "T".into(),
        }
    }

    fn body(&mut self) -> Vec<u8> {
        match self.below(9) {
            0 | 1 => Vec::new(),
            2 => b"{}".to_vec(),
            3 => b"null".to_vec(),
            4 => "[".repeat(5_000).into_bytes(),
            5 => r#"{"a":"#.repeat(5_000).into_bytes(),
            6 => (0..self.below(200)).map(|_| self.below(256) as u8).collect(),
            7 => br#"{"clientID":"c","groupName":"g","consumerGroup":"g","clientId":"c","retryQueueNums":-5,
                "consumerDataSet":[{"groupName":"a b"},{}],"mqSet":[{"topic":"T","queueId":-7}]}"#
                .to_vec(),
            _ => {
                br#"{"clientID":"c","consumerDataSet":[{"groupName":"g","subscriptionDataSet":[{"topic":"T"}]}]}"#
                    .to_vec()
            }
        }
    }

    fn request(&mut self) -> RemotingCommand {
        let mut request = RemotingCommand::request(CODES[self.below(CODES.len())]);
        for field in FIELDS {
            if self.below(2) == 0 {
                request.ext.insert(field, self.value());
            }
        }
        // Long polls only would take their time.
        request.ext.insert("suspendTimeoutMillis", "1");
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
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let config = config(&names.url, directory.path());
    let broker = start(&config).await;
    let (producer, consumer) = (Producer::new(&broker), Consumer::new(&broker, "good", "c"));
    assert_eq!(producer.send("Good", 0, "before").await.code, 0);
    consumer.subscribe(&[("Good", "*")]).await;
    let mut dice = Dice(seed);
    let peer = Client::new(ClientOptions::default());
    let address = broker.addr().to_string();
    for number in 0..3_000 {
        let request = dice.request();
        let (code, fields) = (request.code, request.ext.clone());
        let answer = peer.invoke(&address, request, Duration::from_secs(10)).await;
        let answer = answer.unwrap_or_else(|error| panic!("{number}: {code}, {fields:?}: {error}"));
        assert!(answer.code >= 0 && answer.code != 3, "{code} with {fields:?}: {answer:?}");
    }
    assert_eq!(consumer.pull("Good", 0, 0).await.bodies(), ["before"]);
    drop(peer);
    assert!(broker.shutdown().await.is_clean());
    let broker = start(&config).await;
    let consumer = Consumer::new(&broker, "good", "c");
    consumer.subscribe(&[("Good", "*")]).await;
    assert_eq!(consumer.pull("Good", 0, 0).await.bodies(), ["before"]);
}
