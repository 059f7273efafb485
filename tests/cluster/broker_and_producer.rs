//! The whole way of a message: a broker registers once, producers find it through any replica, and
//! what is acknowledged is on disk, whoever dies meanwhile.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use signpost_broker::store::read_all;
use signpost_client::ReadMode;
use signpost_producer::{Message, Producer, ProducerConfig};
use signpost_remoting::message::properties::UNIQ_KEY;
use tokio::task::JoinSet;

use crate::support::cluster::{Cluster, Settings};
use crate::support::logs;
use crate::support::process::{Process, run};
use crate::support::wait::until;

const TTL: Duration = Duration::from_secs(5);

#[tokio::test]
async fn no_message_is_lost_when_the_name_leader_dies() {
    let mut cluster = Cluster::start(Settings::ttl(TTL)).await;
    let listen = cluster.port();
    let broker = start_broker(&cluster, listen);
    registered(&cluster).await;
    let epoch = epoch(&cluster).await;

    let namesrv = cluster.namesrv();
    let words = ["produce", "--namesrv", &namesrv, "--topic", "orders", "--count", "1500"];
    let (how, json) = (["--rate", "500", "--send-timeout", "10s"], ["-o", "json"]);
    let args = [&words[..], &how[..], &json[..]].concat();
    let (leader, _) = cluster.leader().await;
    let (output, ()) = tokio::join!(run(&args), async {
        // While it sends: the route of its topic is known by then.
        cluster.same_everywhere("/v1/routes/orders", |seen| seen.status == 200).await;
        cluster.kill(leader);
    });
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(report["sent"], 1500, "{report}");
    assert_eq!((&report["failed"], &report["unknown"]), (&0.into(), &0.into()), "{report}");

    cluster.start_replica(leader).await;
    assert_eq!(self::epoch(&cluster).await, epoch, "it registered once");
    let log = broker.log();
    assert_eq!(log.lines().filter(|line| line.contains(": registered ")).count(), 1, "{log}");
    let allowed = ["name cluster: will try again"];
    assert_eq!(logs::unexpected(&log, &allowed), Vec::<String>::new());
    drop(broker);
    let stored = read(&cluster.path("broker-a"));
    assert!(stored.len() >= 1500, "{} are stored", stored.len());
}

#[tokio::test]
async fn a_killed_broker_has_every_acknowledged_message() {
    let mut cluster = Cluster::start(Settings::ttl(TTL)).await;
    let listen = cluster.port();
    let mut broker = start_broker(&cluster, listen);
    registered(&cluster).await;

    let config = ProducerConfig { send_timeout: Duration::from_secs(20), ..Default::default() };
    let producer = Producer::start(&cluster.client(), config).expect("a producer");
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut senders = JoinSet::new();
    for n in 0..8 {
        let (producer, stop) = (producer.clone(), Arc::clone(&stop));
        let acknowledged = Arc::clone(&acknowledged);
        senders.spawn(async move {
            let mut sent = BTreeMap::new();
            for turn in 0.. {
                let body = format!("{n}/{turn}");
                let message = Message::new("orders", body.clone());
                // What fails meanwhile was not acknowledged, and may be sent again.
                if let Ok(done) = producer.send(&message).await {
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                    sent.insert(done.message_id, (body, done.queue.queue_id, done.queue_offset));
                }
                if stop.load(Ordering::Relaxed) {
                    return sent;
                }
            }
            sent
        });
    }
    for _ in 0..3 {
        until_more(&acknowledged, 200).await;
        broker.kill();
        broker = start_broker(&cluster, listen);
    }
    until_more(&acknowledged, 200).await;
    stop.store(true, Ordering::Relaxed);
    let mut sent = BTreeMap::new();
    while let Some(sender) = senders.join_next().await {
        sent.extend(sender.expect("no panic"));
    }
    broker.kill();

    let stored = read(&cluster.path("broker-a"));
    eprintln!("{} acknowledged, {} stored, 4 kills", sent.len(), stored.len());
    for (id, placed) in &sent {
        assert_eq!(stored.get(id), Some(placed), "message {id} was acknowledged");
    }
    let log = broker.log();
    let allowed = ["cut the commit log's torn tail, never acknowledged"];
    assert_eq!(logs::unexpected(&log, &allowed), Vec::<String>::new());
}

fn start_broker(cluster: &Cluster, listen: SocketAddr) -> Process {
    let namesrv = cluster.namesrv();
    let (listen, data_dir) = (listen.to_string(), cluster.path("broker-a").display().to_string());
    let args = ["broker", "--namesrv", &namesrv, "--name", "broker-a", "--listen", &listen];
    let more = ["--data-dir", &data_dir, "--segment-size", "8MiB"];
    let args: Vec<String> = args.iter().chain(&more).map(|arg| (*arg).to_owned()).collect();
    Process::spawn("broker-a", &args, &[], cluster.path("logs/broker-a.log"))
}

async fn registered(cluster: &Cluster) {
    until("the broker is registered", || async {
        let listed = cluster.client().brokers(ReadMode::Linearizable).await;
        let listed = listed.map_err(|error| error.to_string())?.value.brokers;
        if listed.len() == 1 { Ok(()) } else { Err(format!("{listed:?}")) }
    })
    .await;
}

async fn epoch(cluster: &Cluster) -> u64 {
    let listed = cluster.client().brokers(ReadMode::Linearizable).await.expect("a list").value;
    listed.brokers.first().expect("it is registered").epoch
}

async fn until_more(count: &AtomicU64, more: u64) {
    let goal = count.load(Ordering::Relaxed) + more;
    until(&format!("{more} more messages are acknowledged"), || async {
        let now = count.load(Ordering::Relaxed);
        if now >= goal { Ok(()) } else { Err(now) }
    })
    .await;
}

/// What the log of a broker that has ended holds, by message id: body, queue and offset.
fn read(data_dir: &Path) -> BTreeMap<String, (String, u32, i64)> {
    let log_id = signpost_broker::log_id(data_dir).expect("its identity");
    let stored = read_all(data_dir, log_id).expect("a sound log");
    let by_id = stored.into_iter().map(|message| {
        let id = message
            .properties
            .split('\u{2}')
            .find_map(|pair| pair.strip_prefix(UNIQ_KEY)?.strip_prefix('\u{1}'))
            .expect("an id")
            .to_owned();
        let body = String::from_utf8_lossy(&message.body).into_owned();
        let queue_id = u32::try_from(message.queue_id).expect("a queue of this broker");
        (id, (body, queue_id, message.queue_offset))
    });
    by_id.collect()
}
