//! Damaged files of the broker's own, the store's aside: the start is refused and names the file,
//! without a panic and without taking much more memory than the file has, and nothing is lost.
//!
//! One test in an executable of its own: the allocator counts for the whole process.

#![allow(clippy::print_stdout, reason = "a test reports to whoever runs it")]

mod support;

use std::path::Path;
use std::time::Duration;

use peak_alloc::PeakAlloc;
use signpost_broker::{Broker, BrokerConfig};
use support::{Consumer, Names, Producer, config, start};
use tokio::net::TcpListener;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const FILES: [&str; 5] = [
    "identity.json",
    "topics.json",
    "subscriptionGroup.json",
    "consumerOffset.json",
    "delayOffset.json",
];
/// Damages of each file, at least, that must be found.
const MALFORMED: usize = 200;
/// Times the file's bytes.
const FACTOR: usize = 4;
/// For what does not grow with the file: the rest of a start.
const BESIDES_BYTES: usize = 256 * 1024;

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

/// A file cut, with bytes changed, with a piece repeated, or with other things in it.
fn damaged(good: &[u8], dice: &mut Dice) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = (0..100).map(|n| good[..n * good.len() / 100].to_vec()).collect();
    for _ in 0..400 {
        let mut one = good.to_vec();
        for _ in 0..=dice.below(6) {
            let at = dice.below(one.len());
            one[at] = [0, 0xFF, b'[', b'{', b'"', b'}', b',', b'-'][dice.below(8)];
        }
        all.push(one);
    }
    for _ in 0..20 {
        let (at, to) = (dice.below(good.len()), dice.below(good.len()));
        let piece = &good[at.min(to)..at.max(to)];
        all.push([&good[..at], &piece.repeat(200), &good[at..]].concat());
    }
    for other in ["", "null", "[]", "7", "\"x\"", "{\"a\":", "[[["] {
        all.push(other.repeat(20_000).into_bytes());
        all.push(other.into());
    }
    all
}

/// Tries to start at a port that is taken: a start that gets there has read all its files.
async fn read_all(config: &BrokerConfig) -> Result<(), String> {
    loop {
        match Broker::start(config.clone()).await {
            Ok(_) => panic!("the port is taken"),
            Err(error) if error.to_string().contains("in use by another broker process") => {
                // The store of the try before is on its way out.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Err(error) if error.to_string().starts_with("`listen`") => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Makes all the files, each with something in it.
async fn fill(names: &Names, directory: &Path) {
    let broker = start(&config(&names.url, directory)).await;
    let (producer, consumer) = (Producer::new(&broker), Consumer::new(&broker, "good", "c"));
    assert_eq!(producer.send("Good", 0, "kept").await.code, 0);
    let mut late = support::header("Good", 0);
    signpost_remoting::message::properties::append(&mut late.properties, "DELAY", "1");
    assert_eq!(producer.ask(support::command(310, &late, "late")).await.code, 0);
    consumer.subscribe(&[("Good", "*")]).await;
    let fields =
        [("consumerGroup", "good"), ("topic", "Good"), ("queueId", "0"), ("commitOffset", "1")];
    assert_eq!(consumer.call(15, &fields).await.code, 0);
    assert_eq!(consumer.first("Good", 0, 1).await.body, "late");
    assert!(broker.shutdown().await.is_clean());
}

#[tokio::test]
async fn a_damaged_file_is_named_and_nothing_is_lost() {
    let seed = std::env::var("SIGNPOST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(0x5EED_1234_ABCD_0001_u64);
    println!("SIGNPOST_SEED={seed}");
    let mut dice = Dice(seed);
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    fill(&names, directory.path()).await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let blocked = BrokerConfig { listen, ..config(&names.url, directory.path()) };
    read_all(&blocked).await.expect("all is well");
    for name in FILES {
        let path = directory.path().join(name);
        let good = std::fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (mut refused, mut most) = (0, 0);
        let all = damaged(&good, &mut dice);
        for bytes in &all {
            std::fs::write(&path, bytes).unwrap();
            let before = MEMORY.current_usage();
            MEMORY.reset_peak_usage();
            let read = read_all(&blocked).await;
            let took = MEMORY.peak_usage().saturating_sub(before);
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]);
            if let Err(error) = read {
                refused += 1;
                // One file may say what does not fit what another says: whose broker it is, say.
                assert!(error.contains(name) || name == "identity.json", "{error} of {shown}");
                most = most.max(took.saturating_sub(FACTOR * bytes.len()));
                let allowed = FACTOR * bytes.len() + BESIDES_BYTES;
                assert!(took <= allowed, "{name}: {took} bytes for {}: {shown}", bytes.len());
            }
        }
        println!("{name}: {} damages, {refused} refused, most {most} bytes besides", all.len());
        assert!(refused >= MALFORMED, "{name}: only {refused} were bad");
        std::fs::write(&path, &good).unwrap();
        read_all(&blocked).await.expect("it is as it was");
    }
    let broker = start(&config(&names.url, directory.path())).await;
    let consumer = Consumer::new(&broker, "good", "c");
    consumer.subscribe(&[("Good", "*")]).await;
    assert_eq!(consumer.pull("Good", 0, 0).await.bodies(), ["kept", "late"]);
}
