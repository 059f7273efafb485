//! kill -9 of a real broker process, fifty times, while senders have it busy: what was acknowledged
//! is there and whole, and queues and index are what a rebuild from the log gives.
#![allow(clippy::print_stdout)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use signpost_broker::store::{Store, StoreOptions, read_all};
use signpost_broker::{Broker, BrokerConfig, log_id};
use signpost_remoting::send::SendResponse;
use signpost_remoting::{Client, ClientOptions};
use support::{command, config, header};
use tokio::task::JoinSet;

const DIR: &str = "SIGNPOST_KILLS_DIR";
const KILLS: u64 = 50;
const SENDERS: u64 = 8;

fn broker_config(dir: &Path) -> BrokerConfig {
    BrokerConfig {
        // Nobody listens there; a broker serves all the same.
        namesrv: vec!["http://127.0.0.1:9".to_owned()],
        // So often that kills meet checkpoints.
        checkpoint_interval_ms: 20,
        ..config("http://127.0.0.1:9", &dir.join("data"))
    }
}

/// The process that is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "no test of its own: the entry point of the process that the test below starts"]
async fn child() {
    let dir = std::env::var_os(DIR).expect("the parent says where");
    let dir = Path::new(&dir);
    let mut broker = Broker::start(broker_config(dir)).await.expect("it starts");
    std::fs::write(dir.join("addr.new"), broker.addr().to_string()).expect("written");
    std::fs::rename(dir.join("addr.new"), dir.join("addr")).expect("told");
    println!("{}", broker.ended().await);
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn(dir: &Path) -> (Killed, String) {
    let _ = std::fs::remove_file(dir.join("addr"));
    let log = std::fs::File::create(dir.join("log")).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child", "--nocapture"])
        .env(DIR, dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut child = Killed(child);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Ok(addr) = std::fs::read_to_string(dir.join("addr")) {
            return (child, addr);
        }
        let ended = child.0.try_wait().unwrap();
        let log = || std::fs::read_to_string(dir.join("log")).unwrap_or_default();
        assert!(ended.is_none(), "it did not start: {}", log());
        assert!(Instant::now() < deadline, "it did not start in a minute: {}", log());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Body → queue and offset of what was acknowledged.
type Acknowledged = BTreeMap<String, (i32, i64)>;

async fn sender(addr: String, name: String, count: Arc<AtomicU64>) -> Acknowledged {
    let client = Client::new(ClientOptions::default());
    let mut acknowledged = Acknowledged::new();
    for turn in 0_u64.. {
        let queue = (turn % 4) as i32;
        let body = format!("{name} {turn} {}", "x".repeat((turn as usize * 97) % 1500));
        let topic = format!("T{}", turn % 2);
        let asked = command(310, &header(&topic, queue), body.clone());
        // An error: it has been killed.
        let Ok(answer) = client.invoke(&addr, asked, Duration::from_secs(20)).await else { break };
        if answer.code == 0 {
            let sent = SendResponse::decode(&answer.ext).unwrap();
            acknowledged.insert(body, (sent.queue_id, sent.queue_offset));
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
    acknowledged
}

/// What is wrong on the disk would panic here.
fn judge(data: &Path, acknowledged: &Acknowledged) {
    let log_id = log_id(data).unwrap();
    let options = StoreOptions { segment_bytes: 128 * 1024, ..StoreOptions::of(log_id) };
    let (store, recovery) = Store::open(data, options, Vec::new(), None).unwrap();
    assert!(!recovery.rebuilt, "the checkpoint does not fit");
    let found = store.reader().contents().unwrap();
    let bare = tempfile::tempdir().unwrap();
    let log = bare.path().join("commitlog");
    std::fs::create_dir(&log).unwrap();
    for entry in std::fs::read_dir(data.join("commitlog")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), log.join(entry.file_name())).unwrap();
    }
    let (rebuilt, how) = Store::open(bare.path(), options, Vec::new(), None).unwrap();
    assert!(how.rebuilt);
    assert!(rebuilt.reader().contents().unwrap() == found, "not what a rebuild gives");
    rebuilt.close();
    store.close();

    // The decoder compares each body with its checksum, the commit marks all the rest.
    let stored = read_all(data, log_id).unwrap();
    let stored: BTreeMap<&[u8], (i32, i64)> = stored
        .iter()
        .map(|message| (&message.body[..], (message.queue_id, message.queue_offset)))
        .collect();
    for (body, placed) in acknowledged {
        assert_eq!(stored.get(body.as_bytes()), Some(placed), "acknowledged and lost: {body:.40}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_lose_nothing_and_leave_queues_as_a_rebuild_gives_them() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut acknowledged = Acknowledged::new();
    for kill in 0..KILLS {
        let (child, addr) = spawn(dir.path());
        let count = Arc::new(AtomicU64::new(0));
        let mut senders = JoinSet::new();
        for n in 0..SENDERS {
            let name = format!("{kill}/{n}");
            senders.spawn(sender(addr.clone(), name, count.clone()));
        }
        // At another point of the load each time.
        let goal = 5 + kill * 37 % 90;
        let deadline = Instant::now() + Duration::from_secs(30);
        while count.load(Ordering::Relaxed) < goal {
            assert!(Instant::now() < deadline, "only {} of {goal}", count.load(Ordering::Relaxed));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(child);
        while let Some(sent) = senders.join_next().await {
            acknowledged.extend(sent.unwrap());
        }
        // Every other time the broker recovers by itself.
        if kill % 2 == 1 {
            judge(&data, &acknowledged);
        }
    }
    println!("{KILLS} kills, {} messages acknowledged, all there", acknowledged.len());
}
