//! Routes as stock clients see them: asked of one name server over RocketMQ's protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use signpost_remoting::client::{Client, ClientOptions};
use signpost_remoting::{ExtFields, RemotingCommand, request, response};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::stock::broker::Broker;

/// How long a stock client waits for a name server.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two looks of a [`Watch`].
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Broker name → id → address.
pub(crate) type Brokers = BTreeMap<String, BTreeMap<u64, String>>;

/// What a name server says of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// The brokers that have it, and the body as it came.
    Found { brokers: Brokers, body: Vec<u8> },
    /// There is no such topic (code 17).
    Missing,
}

impl Route {
    /// Its brokers; none when it is missing.
    pub(crate) fn brokers(self) -> Brokers {
        match self {
            Self::Found { brokers, .. } => brokers,
            Self::Missing => Brokers::new(),
        }
    }
}

/// Asks name servers, as a client of 4.9.8 does.
#[derive(Clone)]
pub(crate) struct Asker(Client);

impl Asker {
    /// One without connections.
    pub(crate) fn new() -> Self {
        Self(Client::new(ClientOptions::default()))
    }

    /// The route of a topic.
    ///
    /// # Errors
    /// When there was no answer, or neither "found" nor "missing".
    pub(crate) async fn route(&self, server: SocketAddr, topic: &str) -> Result<Route, String> {
        let ext = ExtFields::new().with("topic", topic);
        let answer = self.ask(server, request::GET_ROUTEINFO_BY_TOPIC, ext).await?;
        match answer.code {
            response::SUCCESS => {
                let brokers = brokers(&answer.body)?;
                Ok(Route::Found { brokers, body: answer.body.to_vec() })
            }
            response::TOPIC_NOT_EXIST => Ok(Route::Missing),
            code => Err(format!("code {code}: {:?}", answer.remark)),
        }
    }

    /// Creates a topic with four queues at a broker, as `mqadmin updateTopic -b` does.
    pub(crate) async fn create_topic(&self, broker: SocketAddr, topic: &str) {
        let ext = ExtFields::new()
            .with("topic", topic)
            .with("defaultTopic", "TBW102")
            .with("readQueueNums", 4)
            .with("writeQueueNums", 4)
            .with("perm", 6)
            .with("topicFilterType", "SINGLE_TAG")
            .with("topicSysFlag", 0)
            .with("order", false);
        let asked = self.ask(broker, request::UPDATE_AND_CREATE_TOPIC, ext).await;
        let answer = asked.unwrap_or_else(|error| panic!("no answer: {error}"));
        assert_eq!(answer.code, response::SUCCESS, "{:?}", answer.remark);
    }

    /// Any request without a body.
    ///
    /// # Errors
    /// When there was no answer.
    pub(crate) async fn ask(
        &self,
        server: SocketAddr,
        code: i32,
        ext: ExtFields,
    ) -> Result<RemotingCommand, String> {
        let request = RemotingCommand::request(code).with_ext(ext);
        let asked = self.0.invoke(&server.to_string(), request, CALL_TIMEOUT).await;
        asked.map_err(|error| format!("{server}: {error}"))
    }
}

fn brokers(body: &[u8]) -> Result<Brokers, String> {
    let route: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let datas = route["brokerDatas"].as_array().ok_or("no brokerDatas")?;
    let mut brokers = Brokers::new();
    for data in datas {
        let name = data["brokerName"].as_str().ok_or("no brokerName")?;
        let addrs = data["brokerAddrs"].as_object().ok_or("no brokerAddrs")?;
        let of_name = brokers.entry(name.to_owned()).or_default();
        for (id, address) in addrs {
            let id = id.parse().map_err(|_| format!("id {id:?}"))?;
            of_name.insert(id, address.as_str().unwrap_or_default().to_owned());
        }
    }
    Ok(brokers)
}

/// These brokers as routes show them.
pub(crate) fn of<'a>(brokers: impl IntoIterator<Item = &'a Broker>) -> Brokers {
    let mut expected = Brokers::new();
    for broker in brokers {
        let of_name = expected.entry(broker.broker_name().to_owned()).or_default();
        of_name.insert(broker.id(), broker.address().to_string());
    }
    expected
}

/// Asks each of some name servers for a topic, all the time: every answer must show all of some
/// brokers. No answer is no fault; stock clients ask another one then.
pub(crate) struct Watch {
    stop: CancellationToken,
    askers: JoinSet<()>,
    seen: Arc<Mutex<Seen>>,
}

/// What a [`Watch`] saw.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    /// Answers that showed all brokers, by name server.
    pub(crate) good: BTreeMap<SocketAddr, u64>,
    /// Answers that did not.
    pub(crate) bad: BTreeSet<String>,
    /// Calls without an answer, or refused.
    pub(crate) without: BTreeMap<String, u64>,
}

impl Watch {
    /// Begins.
    pub(crate) fn start(servers: &[SocketAddr], topic: &str, expected: &Brokers) -> Self {
        let (stop, seen) = (CancellationToken::new(), Arc::new(Mutex::new(Seen::default())));
        let mut askers = JoinSet::new();
        for server in servers.iter().copied() {
            let (topic, expected) = (topic.to_owned(), expected.clone());
            let (stop, seen) = (stop.clone(), Arc::clone(&seen));
            askers.spawn(async move {
                let asker = Asker::new();
                while !stop.is_cancelled() {
                    let answer = asker.route(server, &topic).await;
                    seen.lock().expect("no panic under this lock").add(server, answer, &expected);
                    sleep(LOOK_INTERVAL).await;
                }
            });
        }
        Self { stop, askers, seen }
    }

    /// What it has seen so far.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().expect("no panic under this lock").clone()
    }

    /// Ends, and answers what it saw, which had no fault.
    ///
    /// # Panics
    /// When an answer lacked a broker, or a name server never answered.
    pub(crate) async fn stop(self) -> Seen {
        self.stop.cancel();
        let servers = self.askers.len();
        self.askers.join_all().await;
        let seen = self.seen.lock().expect("no panic under this lock").clone();
        assert!(seen.bad.is_empty(), "live brokers were not in a route: {seen:#?}");
        assert_eq!(seen.good.len(), servers, "each has answered: {seen:#?}");
        seen
    }
}

impl Seen {
    fn add(&mut self, server: SocketAddr, answer: Result<Route, String>, expected: &Brokers) {
        match answer {
            Ok(route) => {
                let shown = route.brokers();
                if contains(&shown, expected) {
                    *self.good.entry(server).or_default() += 1;
                } else {
                    self.bad.insert(format!("{server}: {shown:?}"));
                }
            }
            Err(why) => *self.without.entry(why).or_default() += 1,
        }
    }
}

/// Whether all of `expected` is there, with the same addresses under the same ids.
fn contains(shown: &Brokers, expected: &Brokers) -> bool {
    expected.iter().all(|(name, ids)| {
        let of_name = shown.get(name);
        ids.iter().all(|(id, address)| of_name.and_then(|ids| ids.get(id)) == Some(address))
    })
}
