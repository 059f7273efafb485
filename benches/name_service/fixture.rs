//! Registrations: as our HTTP API takes them and as stock brokers write them, with the same content.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use serde_json::json;
use signpost_client::types::{DataVersion, Registration, TopicConfig};
use signpost_remoting::{ExtFields, RemotingCommand, request};

use crate::Result;
use crate::http;

/// The RocketMQ cluster of all brokers here.
const CLUSTER: &str = "BenchCluster";
/// Queues of each topic, to read and to write.
const QUEUES: u32 = 8;

/// The name of the `n`th broker.
pub(crate) fn broker(n: usize) -> String {
    format!("broker-{n:03}")
}

/// The name of the `n`th topic.
pub(crate) fn topic(n: usize) -> String {
    format!("BenchTopic-{n:05}")
}

/// Where a broker's registration is.
pub(crate) fn path(broker: &str) -> String {
    format!("/v1/brokers/{CLUSTER}/{broker}/0")
}

fn address(n: usize) -> String {
    format!("10.0.{}.{}:10911", n / 250, n % 250 + 1)
}

/// The `seq`th write of the `n`th broker's process, with the first `topics` topics.
pub(crate) fn registration(n: usize, topics: usize, seq: u64, queues: u32) -> Registration {
    let config =
        TopicConfig { read_queue_nums: queues, write_queue_nums: queues, ..TopicConfig::default() };
    let topics: BTreeMap<_, _> = (0..topics).map(|at| (topic(at), config.clone())).collect();
    Registration {
        incarnation: Some(1),
        seq: Some(seq),
        address: address(n),
        data_version: Some(DataVersion { counter: 1, timestamp: 1, state_version: 0 }),
        topics,
        ..Registration::default()
    }
}

/// The bytes of the whole HTTP request of a first registration.
pub(crate) fn http_request(n: usize, topics: usize) -> Result<Vec<u8>> {
    let body = serde_json::to_vec(&registration(n, topics, 1, QUEUES))?;
    Ok(http::request("PUT", &path(&broker(n)), &body))
}

/// The same registration as a stock 5.x broker sends it (code 103).
pub(crate) fn remoting_request(n: usize, topics: usize) -> Result<RemotingCommand> {
    remoting_write(n, topics, 1)
}

/// Its `counter`th write: with each, the first topic has one more queue to read.
pub(crate) fn remoting_write(n: usize, topics: usize, counter: u32) -> Result<RemotingCommand> {
    let config = |name: &str| {
        let read_queues = if name == topic(0) { QUEUES + counter - 1 } else { QUEUES };
        json!({
            "attributes": {}, "order": false, "perm": 6, "readQueueNums": read_queues,
            "topicFilterType": "SINGLE_TAG", "topicName": name, "topicSysFlag": 0,
            "writeQueueNums": QUEUES,
        })
    };
    let table: BTreeMap<_, _> =
        (0..topics).map(topic).map(|name| (name.clone(), config(&name))).collect();
    let version = json!({ "counter": counter, "stateVersion": 0, "timestamp": counter });
    let body = json!({
        "filterServerList": [],
        "topicConfigSerializeWrapper": {
            "dataVersion": version, "mappingDataVersion": version, "topicConfigTable": table,
            "topicQueueMappingDetailMap": {}, "topicQueueMappingInfoMap": {},
        },
    });
    let body = Bytes::from(serde_json::to_vec(&body)?);
    let address = address(n);
    let ext = ExtFields::new()
        .with("brokerName", broker(n))
        .with("brokerAddr", &address)
        .with("clusterName", CLUSTER)
        .with("haServerAddr", &address)
        .with("brokerId", 0)
        .with("compressed", false)
        .with("enableActingMaster", false)
        // RocketMQ clears the sign bit.
        .with("bodyCrc32", crc32fast::hash(&body) & 0x7fff_ffff);
    Ok(RemotingCommand::request(request::REGISTER_BROKER).with_ext(ext).with_body(body))
}

/// Registers `brokers` brokers with the same topics, one after another.
pub(crate) async fn register(at: SocketAddr, brokers: usize, topics: usize) -> Result<()> {
    let mut connection = http::Connection::open(at).await?;
    for n in 0..brokers {
        connection.ask(&http_request(n, topics)?).await?.expect_success()?;
    }
    Ok(())
}
