//! The broker's process, and what it is asked directly.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use signpost_remoting::body::heartbeat::SUBSCRIBE_ALL;
use signpost_remoting::message::StoredMessage;
use signpost_remoting::pull::{PullHeader, sys_flag};
use signpost_remoting::{Client, ClientOptions, ExtFields, RemotingCommand, request};

use crate::stage::Stage;
use crate::support::logs;
use crate::support::process::Process;
use crate::support::wait::until;

/// The broker's name.
pub(super) const NAME: &str = "ours";
/// Level 2 is what delayed messages use; retries begin at level 3.
const DELAY_LEVELS: &str = "1s,2s,500ms,500ms,500ms,500ms";

/// The embedded broker on a stage.
pub(super) struct Ours {
    address: SocketAddr,
    args: Vec<String>,
    data_dir: PathBuf,
    log: PathBuf,
    process: Option<Process>,
    client: Client,
}

impl Ours {
    /// Runs, and is registered.
    pub(super) async fn start(stage: &mut Stage) -> Self {
        let address = stage.ports.take();
        let (namesrv, data_dir) = (stage.cluster.namesrv(), stage.home(NAME));
        let args = ["broker", "--namesrv", &namesrv, "--name", NAME, "--listen"];
        let more = ["--delay-levels", DELAY_LEVELS, "--segment-size", "64MiB", "--data-dir"];
        let mut args: Vec<String> = args.map(str::to_owned).to_vec();
        args.push(address.to_string());
        args.extend(more.map(str::to_owned));
        args.push(data_dir.display().to_string());
        let log = stage.cluster.path("logs").join("ours.log");
        let client = Client::new(ClientOptions::default());
        let mut broker = Self { address, args, data_dir, log, process: None, client };
        broker.run();
        stage.cluster.same_everywhere("/v1/routes/TBW102", |seen| seen.status == 200).await;
        broker
    }

    /// Starts the process.
    pub(super) fn run(&mut self) {
        self.process = Some(Process::spawn(NAME, &self.args, &[], self.log.clone()));
    }

    /// Waits until it answers.
    pub(super) async fn answers(&self) {
        let address = self.address();
        until("our broker answers", || async {
            let asked = RemotingCommand::request(request::GET_BROKER_RUNTIME_INFO);
            self.client.invoke(&address, asked, Duration::from_secs(1)).await.map(drop)
        })
        .await;
    }

    /// kill -9.
    pub(super) fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// Where it serves.
    pub(super) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Its log has no warning that does not belong to what happens here.
    pub(super) fn said_nothing_unexpected(&self) {
        let log = logs::read(&self.log);
        let allowed = ["cut the commit log's torn tail, never acknowledged"];
        assert_eq!(logs::unexpected(&log, &allowed), Vec::<String>::new());
    }

    async fn ask(&self, command: RemotingCommand) -> RemotingCommand {
        let answer = self.client.invoke(&self.address(), command, Duration::from_secs(10)).await;
        answer.unwrap_or_else(|error| panic!("our broker does not answer: {error}"))
    }

    /// An offset that one of 14, 30 and 31 answers; none if there is none.
    pub(super) async fn offset(&self, code: i32, fields: &[(&str, &str)]) -> Option<i64> {
        let ext: ExtFields = fields.iter().copied().collect();
        let answer = self.ask(RemotingCommand::request(code).with_ext(ext)).await;
        answer.ext.get("offset").and_then(|offset| offset.parse().ok())
    }

    /// All messages of a queue, as they are stored.
    pub(super) async fn queue(&self, topic: &str, queue_id: i32) -> Vec<StoredMessage> {
        let (mut all, mut next) = (Vec::new(), 0);
        loop {
            let header = PullHeader {
                consumer_group: "TOOLS_CONSUMER".to_owned(),
                topic: topic.to_owned(),
                queue_id,
                queue_offset: next,
                max_msg_nums: 1000,
                sys_flag: sys_flag::SUBSCRIPTION,
                subscription: Some(SUBSCRIBE_ALL.to_owned()),
                ..PullHeader::default()
            };
            let pull = RemotingCommand::request(request::PULL_MESSAGE).with_ext(header.encode());
            let found = StoredMessage::decode_all(self.ask(pull).await.body).expect("records");
            if found.is_empty() {
                return all;
            }
            next += found.len() as i64;
            all.extend(found);
        }
    }

    /// Waits until all that a group has told of a topic is on disk: one-way commits are within 5 s.
    pub(super) async fn until_written(&self, topic: &str, group: &str) {
        let path = self.data_dir.join("consumerOffset.json");
        until("the group's offsets are on disk", || async {
            let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
            let table: Value = serde_json::from_str(&text).expect("JSON");
            let written = &table["offsetTable"][format!("{topic}@{group}")];
            for queue_id in 0..4 {
                let queue = queue_id.to_string();
                let fields = [("consumerGroup", group), ("topic", topic), ("queueId", &*queue)];
                let known = self.offset(request::QUERY_CONSUMER_OFFSET, &fields).await;
                if written[&queue].as_i64() != known {
                    return Err(format!("queue {queue}: {written} is written, {known:?} known"));
                }
            }
            Ok(())
        })
        .await;
    }

    /// The first message of a topic of one queue, once it is there.
    pub(super) async fn first(&self, topic: &str) -> StoredMessage {
        until(&format!("a message comes to {topic}"), || async {
            self.queue(topic, 0).await.into_iter().next().ok_or("none yet")
        })
        .await
    }
}
