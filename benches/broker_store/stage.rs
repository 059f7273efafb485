//! What is measured: a broker on loopback with clients, or its store alone; and the message.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use signpost_broker::store::StoreOptions;
use signpost_broker::{Broker, BrokerConfig, FlushMode};
use signpost_remoting::message::{StoredMessage, properties};
use signpost_remoting::pull::{PullHeader, PullResponse, sys_flag};
use signpost_remoting::send::SendHeader;
use signpost_remoting::{Client, ClientOptions, RemotingCommand, request, response};

use crate::Result;

pub(crate) const TOPIC: &str = "Bench";
const TIMEOUT: Duration = Duration::from_secs(20);

/// A broker in this process; nobody listens where its name replicas should be.
pub(crate) async fn broker(directory: &Path, flush: FlushMode) -> Result<Broker> {
    let config = BrokerConfig {
        namesrv: vec!["http://127.0.0.1:9".to_owned()],
        listen: "127.0.0.1:0".to_owned(),
        data_dir: directory.join("broker"),
        flush,
        // However full the disk of this machine is.
        disk_clean_above: 1.0,
        disk_refuse_above: 1.0,
        ..BrokerConfig::default()
    };
    Ok(Broker::start(config).await?)
}

/// How a store behaves that is measured without a broker.
pub(crate) fn store_options() -> StoreOptions {
    StoreOptions { max_pending_bytes: 256 << 20, ..StoreOptions::of(1) }
}

/// A message as a producer's looks when it comes to the store.
pub(crate) fn message(number: u64, body: &Bytes) -> StoredMessage {
    let host = ([127, 0, 0, 1], 10_911).into();
    let mut text = String::with_capacity(96);
    properties::append(
        &mut text,
        properties::UNIQ_KEY,
        &format!("7F0000010B9C355FDD{number:014X}"),
    );
    properties::append(&mut text, properties::TAGS, "TagA");
    properties::append(&mut text, properties::CLUSTER, "DefaultCluster");
    StoredMessage {
        queue_id: (number % 4) as i32,
        flag: 0,
        queue_offset: 0,
        physical_offset: 0,
        sys_flag: 0,
        born_timestamp_ms: 1_700_000_000_000,
        born_host: host,
        store_timestamp_ms: 0,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: body.clone(),
        topic: TOPIC.to_owned(),
        properties: text,
    }
}

/// A client on a connection of its own.
pub(crate) struct Peer {
    client: Client,
    address: String,
}

impl Peer {
    pub(crate) fn of(broker: &Broker) -> Self {
        let client = Client::new(ClientOptions::default());
        Self { client, address: broker.addr().to_string() }
    }

    /// Sends a message to a queue.
    pub(crate) async fn send(&self, number: u64, queue_id: i32, body: &Bytes) -> Result<()> {
        let message = message(number, body);
        let header = SendHeader {
            producer_group: "PG".to_owned(),
            topic: TOPIC.to_owned(),
            default_topic: "TBW102".to_owned(),
            default_topic_queue_nums: 4,
            queue_id,
            sys_flag: 0,
            born_timestamp_ms: message.born_timestamp_ms,
            flag: 0,
            properties: message.properties,
            reconsume_times: 0,
            unit_mode: false,
            max_reconsume_times: None,
            batch: false,
            broker_name: None,
        };
        let code = request::SEND_MESSAGE_V2;
        let asked = RemotingCommand::request(code).with_ext(header.encode(code));
        let answer =
            self.client.invoke(&self.address, asked.with_body(body.clone()), TIMEOUT).await?;
        match answer.code {
            response::SUCCESS => Ok(()),
            code => Err(format!("a send was answered {code}: {:?}", answer.remark).into()),
        }
    }

    /// Pulls from a queue, and waits for messages if there are none. Answers their bytes, and where
    /// to go on.
    pub(crate) async fn pull(&self, queue_id: i32, from: i64) -> Result<(Bytes, i64)> {
        let header = PullHeader {
            consumer_group: "CG".to_owned(),
            topic: TOPIC.to_owned(),
            queue_id,
            queue_offset: from,
            max_msg_nums: 32,
            sys_flag: sys_flag::SUSPEND | sys_flag::SUBSCRIPTION,
            suspend_timeout_ms: 10_000,
            subscription: Some("*".to_owned()),
            ..PullHeader::default()
        };
        let asked = RemotingCommand::request(request::PULL_MESSAGE).with_ext(header.encode());
        let answer = self.client.invoke(&self.address, asked, TIMEOUT).await?;
        match answer.code {
            response::SUCCESS | response::PULL_NOT_FOUND | response::PULL_RETRY_IMMEDIATELY => {
                Ok((answer.body, PullResponse::decode(&answer.ext)?.next_begin_offset))
            }
            code => Err(format!("a pull was answered {code}: {:?}", answer.remark).into()),
        }
    }
}
