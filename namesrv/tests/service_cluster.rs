//! The name service on three real replicas in one process: real log, real sockets, a disk in
//! memory. What is proved here is that the seams fit; the rules have tests of their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use signpost_namesrv::config::NodeConfig;
use signpost_namesrv::errors::ServiceError;
use signpost_namesrv::fake_log::{master, registration};
use signpost_namesrv::gateway::door;
use signpost_namesrv::machine::RouteMachine;
use signpost_namesrv::node::Assembly;
use signpost_namesrv::reads::{Consistency, Read, RouteAnswers};
use signpost_namesrv::service::{Heartbeat, NameService, Registered, Renewed};
use signpost_raft::config::Config;
use signpost_raft::disk::simulated::SimulatedDisk;
use signpost_raft::machine::{Index, NodeId};
use signpost_raft::network::Tcp;
use signpost_raft::replica::Replica;
use signpost_remoting::body::{RegisterBody, TopicConfig};
use signpost_remoting::namesrv::RegisterBrokerHeader;
use signpost_remoting::{Client, ClientOptions, RemotingCommand, request, response};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(30);

struct Node {
    replica: Replica<RouteMachine>,
    service: Arc<NameService>,
}

async fn three() -> BTreeMap<NodeId, Node> {
    let mut listeners = BTreeMap::new();
    let mut peers = BTreeMap::new();
    for id in 1..=3 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        peers.insert(id, listener.local_addr().expect("bound").to_string());
        listeners.insert(id, listener);
    }
    let mut nodes = BTreeMap::new();
    for (id, listener) in listeners {
        let config = Config {
            node_id: id,
            cluster_name: "test".into(),
            peers: peers.clone(),
            http_advertise: format!("127.0.0.1:{id}"),
            remoting_advertise: String::new(),
            join: false,
            election_timeout_min: Duration::from_millis(300),
            election_timeout_max: Duration::from_millis(600),
            heartbeat_interval: Duration::from_millis(50),
            snapshot_every_entries: 10_000,
            log_keep_entries: 1_000,
            log_bytes_max: 1 << 30,
            proposals_max: 1_000,
            seed: id,
            fresh_disk_id: Uuid::from_u128(u128::from(id)),
            journal: None,
        };
        let mut settings = NodeConfig::new(id, "test");
        settings.timings.election_timeout_max = config.election_timeout_max;
        let (assembly, machine) = Assembly::new(settings).expect("valid settings");
        let disk = Arc::new(SimulatedDisk::new(id));
        let replica = Replica::open(config, disk, Arc::new(Tcp), Box::new(listener), machine)
            .await
            .expect("an empty disk opens");
        let service = assembly.start_on(&replica);
        nodes.insert(id, Node { replica, service });
    }
    nodes
}

/// Tries until it succeeds, as a client does, for as long as the error says that it may.
async fn retried<T, F>(mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, ServiceError>>,
{
    let end = Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Ok(answer) => return answer,
            Err(error) if error.is_retryable() && Instant::now() < end => {
                sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl Node {
    async fn register(&self, name: &str, topics: &[&str]) -> Registered {
        retried(|| {
            self.service.register(registration(name, 1, topics), self.service.deadline(None))
        })
        .await
    }

    async fn heartbeat(&self, name: &str, epoch: Index) -> Renewed {
        let heartbeat = Heartbeat { key: master(name), incarnation: Some(1), epoch };
        retried(|| self.service.heartbeat(heartbeat.clone(), self.service.deadline(None))).await
    }

    async fn route(&self, topic: &str, min_index: Option<Index>) -> RouteAnswers {
        let topics = [topic.to_owned()];
        retried(|| {
            let deadline = self.service.deadline(None);
            let read = Read { consistency: Consistency::Linearizable, min_index, deadline };
            let topics = &topics;
            async move { self.service.reads().routes(topics, &read, None).await }
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_replica_takes_any_call_and_all_answer_alike() {
    let nodes = three().await;
    let mut epochs = BTreeMap::new();
    for (id, node) in &nodes {
        let name = format!("broker-{id}");
        let registered = node.register(&name, &["T"]).await;
        epochs.insert(name, registered.epoch);
        for reader in nodes.values() {
            let answer = reader.route("T", Some(registered.index)).await;
            assert!(answer.freshness.index >= registered.index);
            assert!(answer.modified >= registered.index, "an acknowledged write is seen at once");
        }
    }
    let mut answers = Vec::new();
    for node in nodes.values() {
        answers.push(node.route("T", None).await);
    }
    let json = answers[0].routes[0].json.clone().expect("it exists");
    assert!(answers.iter().all(|answer| answer.routes[0].json.as_ref() == Some(&json)));

    let applied = nodes[&1].service.reads().applied();
    for node in nodes.values() {
        for (name, epoch) in &epochs {
            assert_eq!(node.heartbeat(name, *epoch).await.epoch, *epoch);
        }
    }
    nodes[&1].route("T", None).await;
    assert_eq!(nodes[&1].service.reads().applied(), applied, "heartbeats write nothing");
    for node in nodes.values() {
        node.service.shutdown().await;
        node.replica.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_serves_what_was_acknowledged_and_takes_the_leases_over() {
    let mut nodes = three().await;
    let registered = nodes[&1].register("a", &["T"]).await;
    let leader = nodes[&1].service.status().leader.expect("it has just been obeyed");
    let gone = nodes.remove(&leader).expect("one of the three");
    gone.service.shutdown().await;
    gone.replica.shutdown().await;
    for node in nodes.values() {
        let answer = node.route("T", Some(registered.index)).await;
        assert!(answer.routes[0].json.is_some());
        assert_eq!(node.heartbeat("a", registered.epoch).await.epoch, registered.epoch);
    }
    let leases: Vec<usize> = nodes.values().map(|node| node.service.counters().leases).collect();
    assert!(leases.contains(&1), "{leases:?}");
    for node in nodes.values() {
        node.service.shutdown().await;
        node.replica.shutdown().await;
    }
}

/// A door for stock brokers at each replica.
async fn doors(nodes: &BTreeMap<NodeId, Node>, stop: &CancellationToken) -> Vec<String> {
    let mut addresses = Vec::new();
    for node in nodes.values() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        addresses.push(listener.local_addr().expect("bound").to_string());
        tokio::spawn(door::serve_on(node.service.clone(), listener, stop.clone()));
    }
    addresses
}

fn stock_registration() -> RemotingCommand {
    let header = RegisterBrokerHeader {
        broker_name: "a".into(),
        broker_addr: "a:10911".into(),
        cluster_name: "C".into(),
        ha_server_addr: "a:10912".into(),
        ..RegisterBrokerHeader::default()
    };
    let topics = ["T", "U"].map(|topic| (topic.to_owned(), TopicConfig::default()));
    let body = RegisterBody { topics: topics.into(), ..RegisterBody::default() };
    RemotingCommand::request(request::REGISTER_BROKER)
        .with_ext(header.to_ext())
        .with_body(body.encode_json(409))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stock_broker_whose_connections_break_is_gone_everywhere_soon() {
    let nodes = three().await;
    nodes[&1].route("T", None).await;
    let stop = CancellationToken::new();
    let addresses = doors(&nodes, &stop).await;
    let broker = Client::new(ClientOptions::default());
    for _ in 0..3 {
        for address in &addresses {
            let answer = broker.invoke(address, stock_registration(), PATIENCE).await;
            let answer = answer.expect("the door answers");
            assert_eq!((answer.code, answer.remark), (response::SUCCESS, None));
        }
    }
    let is_routed = |node: &Node| node.service.reads().peek().tables.topic("T").is_some();
    let begun = nodes[&1].service.reads().applied();
    sleep(Duration::from_millis(1_500)).await;
    assert!(nodes.values().all(is_routed), "it stays while it is connected");
    assert_eq!(nodes[&1].service.reads().applied(), begun, "repeats write nothing");

    broker.close();
    let died = Instant::now();
    while nodes.values().any(is_routed) {
        assert!(died.elapsed() < PATIENCE, "still routed");
        sleep(Duration::from_millis(5)).await;
    }
    let took = died.elapsed();
    // 1.5 s is the promise; a busy machine may need longer, its lease would be two minutes.
    assert!(took >= Duration::from_millis(950) && took < Duration::from_secs(5), "{took:?}");
    stop.cancel();
    for node in nodes.values() {
        node.service.shutdown().await;
        node.replica.shutdown().await;
    }
}
