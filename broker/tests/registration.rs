//! The broker and the name cluster: one registration, renewals, patches, unregistration, supersession.

mod support;

use std::time::Duration;

use signpost_broker::Exit;
use signpost_client::types::TopicConfig;
use support::{Names, Producer, config, start};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn it_registers_once_renews_patches_and_unregisters() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let broker = start(&config(&names.url, directory.path())).await;
    names.until("three heartbeats", |asked| asked.heartbeats >= 3).await;
    {
        let asked = names.asked.lock().unwrap();
        let [registration] = &asked.registrations[..] else { panic!("registered more than once") };
        assert_eq!(registration.address, broker.addr().to_string());
        assert_eq!(registration.incarnation, Some(broker.incarnation()));
        let topics: Vec<_> = registration.topics.keys().map(String::as_str).collect();
        assert!(topics.contains(&"TBW102") && topics.contains(&"broker-a"), "{topics:?}");
        assert_eq!(registration.topics["TBW102"].perm, 7);
        assert_eq!(registration.data_version.unwrap().counter, 1);
    }
    let producer = Producer::new(&broker);
    assert_eq!(producer.send("Fresh", 1, "x").await.code, 0);
    names.until("a patch", |asked| !asked.patches.is_empty()).await;
    {
        let asked = names.asked.lock().unwrap();
        let expected =
            TopicConfig { read_queue_nums: 4, write_queue_nums: 4, ..TopicConfig::default() };
        assert_eq!(asked.patches[0].topics["Fresh"], Some(expected));
        assert_eq!(asked.patches[0].data_version.unwrap().counter, 2);
    }
    let incarnation = broker.incarnation();
    assert_eq!(broker.shutdown().await, Exit::Stopped { unregistered: true });
    {
        let asked = names.asked.lock().unwrap();
        let [gone] = &asked.unregisters[..] else { panic!("{:?}", asked.unregisters) };
        assert!(gone.starts_with("/v1/brokers/DefaultCluster/broker-a/0?"), "{gone}");
        assert!(gone.contains(&format!("incarnation={incarnation}")) && gone.contains("epoch=7"));
        assert_eq!(asked.registrations.len(), 1);
    }

    // The next process is above it, and knows the topic.
    let broker = start(&config(&names.url, directory.path())).await;
    assert!(broker.incarnation() > incarnation);
    names.until("registered again", |asked| asked.registrations.len() == 2).await;
    assert!(names.asked.lock().unwrap().registrations[1].topics.contains_key("Fresh"));
}

#[tokio::test]
async fn when_superseded_it_stops_serving_and_says_why() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let mut broker = start(&config(&names.url, directory.path())).await;
    names.until("registered", |asked| asked.registrations.len() == 1).await;
    names.asked.lock().unwrap().refuse_heartbeats = Some((409, "superseded"));
    let exit = tokio::time::timeout(Duration::from_secs(10), broker.ended()).await.unwrap();
    assert_eq!(exit, Exit::Superseded);
    assert!(exit.to_string().contains("higher incarnation"), "{exit}");
    assert!(TcpStream::connect(broker.addr()).await.is_err(), "still listening");
    assert!(names.asked.lock().unwrap().unregisters.is_empty(), "it is not ours to take out");
}

#[tokio::test]
async fn it_registers_again_when_its_lease_has_expired() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let _broker = start(&config(&names.url, directory.path())).await;
    names.until("registered", |asked| asked.registrations.len() == 1).await;
    names.asked.lock().unwrap().refuse_heartbeats = Some((410, "expired"));
    names.until("registered again", |asked| asked.registrations.len() >= 2).await;
}

#[tokio::test]
async fn without_any_name_replica_it_serves_and_registers_when_one_comes() {
    let directory = tempfile::tempdir().unwrap();
    let address = {
        let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
        reserved.local_addr().unwrap().to_string()
    };
    let broker = start(&config(&format!("http://{address}"), directory.path())).await;
    let producer = Producer::new(&broker);
    assert_eq!(producer.send("Fresh", 0, "x").await.code, 0);
    let names = Names::start_on(&address).await;
    names
        .until("registered", |asked| {
            let topics = asked.registrations.iter().flat_map(|one| one.topics.keys().cloned());
            let patched = asked.patches.iter().flat_map(|one| one.topics.keys().cloned());
            topics.chain(patched).any(|topic| topic == "Fresh")
        })
        .await;
}

#[tokio::test]
async fn a_stop_without_any_name_replica_ends_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config("http://127.0.0.1:1", directory.path());
    config.drain_ms = 300;
    let broker = start(&config).await;
    let exit = tokio::time::timeout(Duration::from_secs(10), broker.shutdown()).await.unwrap();
    assert_eq!(exit, Exit::Stopped { unregistered: false });
}

#[tokio::test]
async fn a_topic_created_in_the_name_cluster_is_served_as_it_was_created() {
    let (names, directory) = (Names::start().await, tempfile::tempdir().unwrap());
    let route = |queues: u32| {
        format!(
            r#"{{"queueDatas":[{{"brokerName":"broker-b","perm":6,"readQueueNums":2,"writeQueueNums":2}},
               {{"brokerName":"broker-a","perm":6,"readQueueNums":{queues},"writeQueueNums":{queues}}}]}}"#
        )
    };
    names.asked.lock().unwrap().routes.insert("Wide".to_owned(), route(12));
    let mut config = config(&names.url, directory.path());
    config.auto_create_topics = false;
    let broker = start(&config).await;
    let producer = Producer::new(&broker);
    assert_eq!(producer.send("Wide", 11, "x").await.code, 0);
    assert_eq!(producer.send("Wide", 12, "x").await.code, 1);
    assert_eq!(producer.send("Narrow", 0, "x").await.code, 17);
    // Made wider later: found out when a send needs it, though not at every send.
    names.asked.lock().unwrap().routes.insert("Wide".to_owned(), route(16));
    let widened = async {
        while producer.send("Wide", 15, "x").await.code != 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), widened).await.unwrap();
}
