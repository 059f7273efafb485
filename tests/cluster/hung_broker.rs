//! A broker hangs (SIGSTOP) among three: what that costs those who send, and that it is used again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signpost_client::ReadMode;
use signpost_client::types::TopicConfig;
use signpost_producer::{FaultAvoidance, Message, Producer, ProducerConfig};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::support::cluster::{Cluster, Settings};
use crate::support::process::Process;
use crate::support::wait::until;

const NAMES: [&str; 3] = ["broker-a", "broker-b", "broker-c"];
const HUNG: &str = "broker-b";
const SENDERS: usize = 4;
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(500);
/// One retry at a broker that is well, on a busy machine.
const RETRY: Duration = Duration::from_millis(500);
/// Longer than a failed broker is left alone (10 s), so that it is met again while it hangs.
const SPAN: Duration = Duration::from_secs(12);
/// Each sender at most this often: so that a touch is not hidden among as many others as the
/// machine can do.
const SEND_INTERVAL: Duration = Duration::from_millis(10);

/// What came of the sends while the broker hung.
#[derive(Debug, Default)]
struct Told {
    latencies: Vec<Duration>,
    failed: Vec<String>,
    /// Sends that tried the hung broker.
    touched: usize,
}

impl Told {
    fn p99(&mut self) -> Duration {
        self.latencies.sort_unstable();
        self.latencies[self.latencies.len() * 99 / 100]
    }
}

#[tokio::test]
async fn a_hung_broker_costs_an_attempt_and_with_fault_avoidance_hardly_that() {
    // Its lease must outlive this test: the point is a broker that stays in the route.
    let mut cluster = Cluster::start_alone(Settings::ttl(Duration::from_secs(120))).await;
    let brokers = NAMES.map(|name| {
        let listen = cluster.port();
        (name, start_broker(&cluster, name, listen))
    });
    until("three brokers are registered", || async {
        let listed = cluster.client().brokers(ReadMode::Linearizable).await;
        let count = listed.map_err(|error| error.to_string())?.value.brokers.len();
        if count == NAMES.len() { Ok(()) } else { Err(count.to_string()) }
    })
    .await;
    // On all three: a topic made by its first message lies on one broker.
    let four = TopicConfig { read_queue_nums: 4, write_queue_nums: 4, ..TopicConfig::default() };
    let brokers_of_topic = NAMES.map(|name| (name.to_owned(), four.clone())).into();
    cluster.client().put_topic("orders", brokers_of_topic).await.expect("a topic");
    let plain = ProducerConfig {
        attempt_timeout: ATTEMPT_TIMEOUT,
        retries: 1,
        send_timeout: ATTEMPT_TIMEOUT + Duration::from_secs(10),
        ..ProducerConfig::default()
    };
    let avoiding =
        ProducerConfig { fault_avoidance: Some(FaultAvoidance::default()), ..plain.clone() };
    let hung = &brokers.iter().find(|(name, _)| *name == HUNG).expect("it is one of them").1;
    for (config, span) in [(plain, SPAN / 3), (avoiding, SPAN)] {
        let avoids = config.fault_avoidance.is_some();
        let producer = Producer::start(&cluster.client(), config).expect("a producer");
        // All know the topic before one of them hangs.
        until("all three take messages", || all_used(&producer)).await;
        hung.pause().await;
        let mut told = send_for(&producer, span).await;
        let (sends, touched, p99) = (told.latencies.len(), told.touched, told.p99());
        eprintln!("fault avoidance {avoids}: {sends} sends, {touched} touched it, p99 {p99:?}");
        assert_eq!(told.failed, Vec::<String>::new(), "each had another broker to go to");
        assert!(touched > 0, "it was met, or this shows nothing");
        assert!(p99 < ATTEMPT_TIMEOUT + RETRY, "p99 {p99:?}");
        if avoids {
            assert!(touched * 100 <= sends, "{touched} of {sends} sends touched it");
        }
        hung.resume();
        until("it is used again", || all_used(&producer)).await;
        producer.close().await;
    }
}

/// Sends a dozen messages; ok when every broker has taken one at the first attempt.
async fn all_used(producer: &Producer) -> Result<(), String> {
    let mut used = Vec::new();
    for _ in 0..12 {
        match producer.send(&Message::new("orders", "x")).await {
            Ok(sent) if sent.attempts == 1 => used.push(sent.queue.broker_name),
            Ok(_retried) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    match NAMES.iter().all(|name| used.iter().any(|broker| broker == name)) {
        true => Ok(()),
        false => Err(format!("{used:?}")),
    }
}

async fn send_for(producer: &Producer, span: Duration) -> Told {
    let stop = Arc::new(AtomicBool::new(false));
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        let (producer, stop) = (producer.clone(), Arc::clone(&stop));
        senders.spawn(async move {
            let mut told = Told::default();
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                match producer.send(&Message::new("orders", "x")).await {
                    // A first attempt that failed can only have been at the hung one.
                    Ok(sent) => told.touched += usize::from(sent.attempts > 1),
                    Err(error) => told.failed.push(error.to_string()),
                }
                told.latencies.push(begun.elapsed());
                sleep(SEND_INTERVAL).await;
            }
            told
        });
    }
    sleep(span).await;
    stop.store(true, Ordering::Relaxed);
    let mut all = Told::default();
    while let Some(told) = senders.join_next().await {
        let told = told.expect("no panic");
        all.latencies.extend(told.latencies);
        all.failed.extend(told.failed);
        all.touched += told.touched;
    }
    all
}

fn start_broker(cluster: &Cluster, name: &str, listen: SocketAddr) -> Process {
    let (namesrv, listen) = (cluster.namesrv(), listen.to_string());
    let data_dir = cluster.path(name).display().to_string();
    let args = ["broker", "--namesrv", &namesrv, "--name", name, "--listen", &listen];
    let more = ["--data-dir", &data_dir, "--segment-size", "8MiB"];
    let args: Vec<String> = args.iter().chain(&more).map(|arg| (*arg).to_owned()).collect();
    Process::spawn(name, &args, &[], cluster.path(&format!("logs/{name}.log")))
}
