//! A name service that does as it is told and remembers what it was asked, and a producer's words.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use signpost_broker::{Broker, BrokerConfig};
use signpost_client::types::{Patch, Registration};
use signpost_remoting::body::heartbeat::{ConsumerData, Heartbeat, Subscription};
use signpost_remoting::message::{StoredMessage, properties};
use signpost_remoting::pull::{PullHeader, PullResponse, sys_flag};
use signpost_remoting::send::SendHeader;
use signpost_remoting::{
    Client, ClientOptions, Connection, ExtFields, Handler, RemotingCommand, Reply, response,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What was asked of the name service.
#[derive(Default)]
pub struct Asked {
    pub registrations: Vec<Registration>,
    pub heartbeats: usize,
    pub patches: Vec<Patch>,
    pub unregisters: Vec<String>,
    /// Answer heartbeats with this problem's reason and status instead.
    pub refuse_heartbeats: Option<(u16, &'static str)>,
    /// Route bodies by topic.
    pub routes: BTreeMap<String, String>,
}

pub struct Names {
    pub url: String,
    pub asked: Arc<Mutex<Asked>>,
    task: JoinHandle<()>,
}

impl Drop for Names {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Names {
    pub async fn start() -> Self {
        Self::start_on("127.0.0.1:0").await
    }

    pub async fn start_on(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Asked::default()));
        let app = axum::Router::new().fallback(answer).with_state(asked.clone());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, asked, task }
    }

    /// Waits until what was asked is as wanted.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Asked) -> bool) {
        for _ in 0..1000 {
            if wanted(&self.asked.lock().unwrap()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("ten seconds, and not yet: {what}");
    }
}

async fn answer(State(asked): State<Arc<Mutex<Asked>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let mut asked = asked.lock().unwrap();
    let epoch = 7 + asked.registrations.len();
    let (status, text) = match (head.method.as_str(), head.uri.path()) {
        ("PUT", _) => {
            asked.registrations.push(serde_json::from_slice(&body).unwrap());
            (200, format!(r#"{{"epoch":{epoch},"index":{epoch},"leaseTtlMs":400}}"#))
        }
        ("POST", _) => match asked.refuse_heartbeats {
            Some((status, reason)) => (
                status,
                format!(
                    r#"{{"title":"no","status":{status},"detail":"no","code":1,"reason":"{reason}"}}"#
                ),
            ),
            None => {
                asked.heartbeats += 1;
                (200, format!(r#"{{"epoch":{},"leaseTtlMs":400}}"#, epoch - 1))
            }
        },
        ("PATCH", _) => {
            asked.patches.push(serde_json::from_slice(&body).unwrap());
            (200, format!(r#"{{"epoch":{},"index":20}}"#, epoch - 1))
        }
        ("DELETE", _) => {
            asked.unregisters.push(head.uri.to_string());
            (200, r#"{"index":30}"#.to_owned())
        }
        (_, path) => match asked.routes.get(path.rsplit('/').next().unwrap()) {
            Some(route) => (200, route.clone()),
            None => (404, r#"{"title":"no such topic","status":404,"code":17}"#.to_owned()),
        },
    };
    Response::builder()
        .status(status)
        .header("Signpost-Index", "40")
        .header("content-type", "application/json")
        .body(Body::from(text))
        .unwrap()
}

pub fn config(names: &str, data_dir: &Path) -> BrokerConfig {
    BrokerConfig {
        namesrv: vec![names.to_owned()],
        listen: "127.0.0.1:0".to_owned(),
        data_dir: data_dir.to_owned(),
        max_message_bytes: 16 * 1024,
        segment_bytes: 128 * 1024,
        max_pending_bytes: 8 << 20,
        drain_ms: 2000,
        // However full the disk of this machine is.
        disk_clean_above: 1.0,
        disk_refuse_above: 1.0,
        ..BrokerConfig::default()
    }
}

/// Starts a broker on a directory that a former one, just dropped, may not have left yet.
pub async fn start(config: &BrokerConfig) -> Broker {
    for _ in 0..1000 {
        match Broker::start(config.clone()).await {
            Ok(broker) => return broker,
            Err(error) if error.to_string().contains("in use") => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the directory stays in use");
}

pub fn header(topic: &str, queue_id: i32) -> SendHeader {
    let mut text = String::new();
    properties::append(&mut text, properties::UNIQ_KEY, "ID1");
    properties::append(&mut text, properties::WAIT, "true");
    properties::append(&mut text, properties::TAGS, "TagA");
    SendHeader {
        producer_group: "PG".to_owned(),
        topic: topic.to_owned(),
        default_topic: "TBW102".to_owned(),
        default_topic_queue_nums: 4,
        queue_id,
        sys_flag: 0,
        born_timestamp_ms: 1_700_000_000_000,
        flag: 5,
        properties: text,
        reconsume_times: 0,
        unit_mode: false,
        max_reconsume_times: None,
        batch: false,
        broker_name: None,
    }
}

pub fn command(code: i32, header: &SendHeader, body: impl Into<bytes::Bytes>) -> RemotingCommand {
    RemotingCommand::request(code).with_ext(header.encode(code)).with_body(body)
}

/// Sends to a broker and answers what it answered.
pub struct Producer {
    client: Client,
    address: String,
}

impl Producer {
    pub fn new(broker: &Broker) -> Self {
        let client = Client::new(ClientOptions::default());
        Self { client, address: broker.addr().to_string() }
    }

    pub async fn ask(&self, command: RemotingCommand) -> RemotingCommand {
        self.client.invoke(&self.address, command, Duration::from_secs(10)).await.unwrap()
    }

    pub async fn send(&self, topic: &str, queue_id: i32, body: &str) -> RemotingCommand {
        self.ask(command(310, &header(topic, queue_id), body.to_owned())).await
    }
}

/// The pushes that a consumer was sent: the groups that have changed.
#[derive(Default)]
pub struct Pushes(Mutex<Vec<String>>);

impl Handler for Pushes {
    fn request(&self, _: &Connection, request: RemotingCommand) -> Reply {
        assert_eq!((request.code, request.is_oneway()), (40, true));
        let group = request.ext.get("consumerGroup").expect("mandatory").to_owned();
        self.0.lock().unwrap().push(group);
        Reply::Nothing
    }
}

/// A member of a consumer group, on a connection of its own.
pub struct Consumer {
    client: Client,
    address: String,
    pub id: String,
    pub group: String,
    pub pushes: Arc<Pushes>,
}

impl Consumer {
    pub fn new(broker: &Broker, group: &str, id: &str) -> Self {
        let pushes = Arc::new(Pushes::default());
        let handler: Arc<dyn Handler> = pushes.clone();
        let client = Client::new(ClientOptions { handler, ..ClientOptions::default() });
        let (id, group) = (id.to_owned(), group.to_owned());
        Self { client, address: broker.addr().to_string(), id, group, pushes }
    }

    pub async fn ask(&self, command: RemotingCommand) -> RemotingCommand {
        self.client.invoke(&self.address, command, Duration::from_secs(30)).await.unwrap()
    }

    /// Asks with these fields, named as on the wire.
    pub async fn call(&self, code: i32, fields: &[(&str, &str)]) -> RemotingCommand {
        let ext: ExtFields = fields.iter().copied().collect();
        self.ask(RemotingCommand::request(code).with_ext(ext)).await
    }

    /// Subscribes to these topics by these expressions.
    pub async fn subscribe(&self, topics: &[(&str, &str)]) {
        let subscription = |(topic, tags): &(&str, &str)| Subscription {
            sub_version: 7,
            ..Subscription::of_tags(topic, tags).unwrap()
        };
        let data = ConsumerData {
            group_name: self.group.clone(),
            consume_type: "CONSUME_PASSIVELY".to_owned(),
            message_model: "CLUSTERING".to_owned(),
            consume_from_where: "CONSUME_FROM_FIRST_OFFSET".to_owned(),
            subscription_data_set: topics.iter().map(subscription).collect(),
            ..ConsumerData::default()
        };
        let beat = Heartbeat {
            client_id: self.id.clone(),
            consumer_data_set: vec![data],
            ..Heartbeat::default()
        };
        let answer = self.ask(RemotingCommand::request(34).with_body(beat.to_json())).await;
        assert_eq!(answer.code, 0, "{answer:?}");
    }

    /// The header of a pull that is not to be held.
    pub fn pull_header(&self, topic: &str, queue_id: i32, from: i64) -> PullHeader {
        PullHeader {
            consumer_group: self.group.clone(),
            topic: topic.to_owned(),
            queue_id,
            queue_offset: from,
            max_msg_nums: 32,
            sub_version: 7,
            ..PullHeader::default()
        }
    }

    /// Pulls at once.
    pub async fn pull(&self, topic: &str, queue_id: i32, from: i64) -> Pulled {
        self.pull_as(&self.pull_header(topic, queue_id, from)).await
    }

    /// Pulls, and waits for messages.
    pub async fn pull_held(&self, topic: &str, queue_id: i32, from: i64, hold_ms: i64) -> Pulled {
        let mut header = self.pull_header(topic, queue_id, from);
        header.sys_flag = sys_flag::SUSPEND;
        header.suspend_timeout_ms = hold_ms;
        self.pull_as(&header).await
    }

    pub async fn pull_as(&self, header: &PullHeader) -> Pulled {
        let command = RemotingCommand::request(11).with_ext(header.encode());
        let answer = self.ask(command).await;
        let offsets = match answer.code {
            response::SUCCESS
            | response::PULL_NOT_FOUND
            | response::PULL_RETRY_IMMEDIATELY
            | response::PULL_OFFSET_MOVED => PullResponse::decode(&answer.ext).unwrap(),
            _ => PullResponse::default(),
        };
        Pulled {
            code: answer.code,
            remark: answer.remark.unwrap_or_default(),
            next: offsets.next_begin_offset,
            min: offsets.min_offset,
            max: offsets.max_offset,
            messages: StoredMessage::decode_all(answer.body).unwrap(),
        }
    }

    /// Pulls a queue until a message comes.
    pub async fn first(&self, topic: &str, queue_id: i32, from: i64) -> StoredMessage {
        for _ in 0..20 {
            let pulled = self.pull_held(topic, queue_id, from, 1000).await;
            if let Some(message) = pulled.messages.into_iter().next() {
                return message;
            }
        }
        panic!("nothing has come to {topic}");
    }

    /// Waits until it has been pushed so often.
    pub async fn until_pushed(&self, times: usize) {
        for _ in 0..1000 {
            if self.pushes.0.lock().unwrap().len() >= times {
                assert!(self.pushes.0.lock().unwrap().iter().all(|group| *group == self.group));
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("ten seconds, and not pushed {times} times");
    }

    pub fn pushed(&self) -> usize {
        self.pushes.0.lock().unwrap().len()
    }
}

/// What a pull was answered.
#[derive(Debug)]
pub struct Pulled {
    pub code: i32,
    pub remark: String,
    pub next: i64,
    pub min: i64,
    pub max: i64,
    pub messages: Vec<StoredMessage>,
}

impl Pulled {
    pub fn bodies(&self) -> Vec<&str> {
        self.messages.iter().map(|one| std::str::from_utf8(&one.body).unwrap()).collect()
    }
}
