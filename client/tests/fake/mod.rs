//! A name cluster in memory that keeps to the contract, and misbehaves when a test asks for it.
//!
//! All replicas share one table of routes and one registration; each has a [`Mode`], may be frozen
//! at an older index, and may be given answers for its next requests. Streams are in memory, so
//! that tests can run in paused time.

#![allow(dead_code, unreachable_pub, reason = "each test crate uses its part")]

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use signpost_client::types::{
    BrokerData, Heartbeat, Patch, QueueData, Registration, Route, headers,
};
use signpost_client::{BoxedStream, Client, Dial, Dialing, Options};
use tokio::sync::watch;
use tokio::time::timeout;

mod tables;

pub use tables::Tables;

/// What a replica does to whoever comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Up,
    /// Refuses connections, and has closed those it had.
    Dead,
    /// Takes connections and requests, and never answers.
    Hung,
    /// Executes requests, then closes without an answer.
    Mute,
}

/// An answer given instead of the real one.
#[derive(Debug, Clone)]
pub struct Scripted {
    pub status: u16,
    pub body: String,
    pub headers: Vec<(&'static str, String)>,
    /// The request is carried out first, and its own answer thrown away.
    pub executed: bool,
}

impl Scripted {
    pub fn status(status: u16) -> Self {
        Self { status, body: String::new(), headers: Vec::new(), executed: false }
    }

    pub fn problem(status: u16, members: &str) -> Self {
        let body = format!(r#"{{"title":"scripted","status":{status}{members}}}"#);
        Self { body, ..Self::status(status) }
    }
}

/// A request as a replica saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub replica: usize,
    pub method: Method,
    pub path: String,
    pub query: String,
    pub body: String,
    pub cluster: Option<String>,
    pub deadline_ms: Option<u64>,
    pub token: Option<String>,
}

pub struct Replica {
    pub mode: Mode,
    /// It has applied no more than this index.
    pub frozen_at: Option<u64>,
    pub quorum_age_ms: u64,
    pub script: VecDeque<Scripted>,
}

pub struct World {
    pub cluster: String,
    pub tables: Tables,
    pub replicas: Vec<Replica>,
    pub log: Vec<Seen>,
}

/// The cluster. Clones are the same one.
#[derive(Clone)]
pub struct Fake {
    world: Arc<Mutex<World>>,
    changed: watch::Sender<u64>,
}

impl Fake {
    pub fn new(replicas: usize) -> Self {
        let replica = || Replica {
            mode: Mode::Up,
            frozen_at: None,
            quorum_age_ms: 0,
            script: VecDeque::new(),
        };
        let world = World {
            cluster: "first".into(),
            tables: Tables::default(),
            replicas: (0..replicas).map(|_| replica()).collect(),
            log: Vec::new(),
        };
        Self { world: Arc::new(Mutex::new(world)), changed: watch::Sender::new(0) }
    }

    pub fn names(&self) -> Vec<String> {
        (0..self.world().replicas.len()).map(|n| format!("http://r{n}:1")).collect()
    }

    /// A client whose first replica is number 0.
    pub fn client(&self, options: Options) -> Client {
        self.client_starting_at(0, options)
    }

    /// A client that asks replica `start` first: tries seeds until one does.
    pub fn client_starting_at(&self, start: usize, options: Options) -> Client {
        let names = self.names();
        let mut order = names.clone();
        for seed in 0..1000 {
            // The first number of the seed picks the first replica; it is the same for all lists.
            let probe = splitmix_first(seed) % names.len() as u64;
            if probe == 0 {
                order.rotate_left(start);
                let options = Options { seed: Some(seed), ..options };
                return Client::with_dialer(order, options, Arc::new(self.clone()))
                    .expect("sound names");
            }
        }
        unreachable!("some seed picks the first");
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub fn set_mode(&self, replica: usize, mode: Mode) {
        self.world().replicas[replica].mode = mode;
        self.changed.send_modify(|n| *n += 1);
    }

    pub fn freeze(&self, replica: usize, at: Option<u64>) {
        self.world().replicas[replica].frozen_at = at;
        self.changed.send_modify(|n| *n += 1);
    }

    pub fn script(&self, replica: usize, answers: impl IntoIterator<Item = Scripted>) {
        self.world().replicas[replica].script.extend(answers);
    }

    /// Puts a topic on brokers `(name, master address)`; none removes it. Answers the index.
    pub fn put_route(&self, topic: &str, brokers: &[(&str, &str)]) -> u64 {
        let route = (!brokers.is_empty()).then(|| route(brokers));
        let index = self.world().tables.put_route(topic, route);
        self.changed.send_modify(|n| *n += 1);
        index
    }

    /// Another history with empty tables at index 1.
    pub fn begin_history(&self, cluster: &str) {
        let mut world = self.world();
        world.cluster = cluster.into();
        world.tables = Tables::default();
        drop(world);
        self.changed.send_modify(|n| *n += 1);
    }

    /// Requests seen so far whose method and path match.
    pub fn seen(&self, method: &Method, path_part: &str) -> Vec<Seen> {
        let matches = |seen: &&Seen| seen.method == method && seen.path.contains(path_part);
        self.world().log.iter().filter(matches).cloned().collect()
    }

    pub fn count(&self, method: &Method, path_part: &str) -> usize {
        self.seen(method, path_part).len()
    }

    /// Serves one connection to a replica.
    pub async fn serve(self, replica: usize, stream: BoxedStream) {
        let mut changed = self.changed.subscribe();
        let fake = self.clone();
        let service = service_fn(move |request| {
            let fake = fake.clone();
            async move { fake.answer(replica, request).await }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            biased;
            _ = changed.wait_for(|_| self.world().replicas[replica].mode == Mode::Dead) => {}
            _ = connection => {}
        }
    }

    async fn answer(
        self,
        replica: usize,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, io::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let header = |name: &str| {
            head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let seen = Seen {
            replica,
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            body: String::from_utf8_lossy(&body).into_owned(),
            cluster: header(headers::CLUSTER),
            deadline_ms: header(headers::DEADLINE_MS).and_then(|ms| ms.parse().ok()),
            token: header("authorization"),
        };
        let (mode, scripted) = {
            let mut world = self.world();
            world.log.push(seen.clone());
            let replica = &mut world.replicas[replica];
            // Probes of a watch must not use up what is meant for calls.
            let scripted = if seen.path == "/livez" { None } else { replica.script.pop_front() };
            (replica.mode, scripted)
        };
        if mode == Mode::Hung {
            let mut changed = self.changed.subscribe();
            let _ = changed.wait_for(|_| self.world().replicas[replica].mode != Mode::Hung).await;
            return Err(io::Error::other("was hung"));
        }
        let response = match scripted {
            Some(scripted) => {
                if scripted.executed {
                    self.handle(&seen).await;
                }
                let mut response = Response::builder().status(scripted.status);
                for (name, value) in scripted.headers {
                    response = response.header(name, value);
                }
                response.body(Full::from(scripted.body)).unwrap()
            }
            None => self.handle(&seen).await,
        };
        if mode == Mode::Mute { Err(io::Error::other("mute")) } else { Ok(response) }
    }

    /// The contract's own answer.
    async fn handle(&self, seen: &Seen) -> Response<Full<Bytes>> {
        if seen.cluster.as_ref().is_some_and(|cluster| *cluster != self.world().cluster) {
            let problem = r#"{"status":409,"reason":"other-history"}"#;
            return self.respond(seen, StatusCode::CONFLICT, None, problem.to_owned());
        }
        let query = Query::parse(&seen.query);
        match (&seen.method, seen.path.as_str()) {
            (&Method::GET, path) if path.starts_with("/v1/routes") => {
                self.read_routes(seen, path, &query).await
            }
            (&Method::GET, _) => self.respond(seen, StatusCode::OK, None, r#"{"ok":true}"#.into()),
            _ => {
                let parsed = self.write(seen, &query);
                let (status, body) = parsed;
                let status = StatusCode::from_u16(status).unwrap();
                self.changed.send_modify(|n| *n += 1);
                self.respond(seen, status, None, body)
            }
        }
    }

    fn write(&self, seen: &Seen, query: &Query) -> (u16, String) {
        let mut world = self.world();
        let tables = &mut world.tables;
        match (&seen.method, seen.path.rsplit('/').next().unwrap_or_default()) {
            (&Method::POST, "heartbeat") => {
                let beat: Heartbeat = serde_json::from_str(&seen.body).unwrap();
                tables.heartbeat(beat)
            }
            (&Method::PATCH, _) => {
                let patch: Patch = serde_json::from_str(&seen.body).unwrap();
                tables.patch(&patch)
            }
            (&Method::PUT, _) if seen.path.starts_with("/v1/brokers") => {
                let registration: Registration = serde_json::from_str(&seen.body).unwrap();
                tables.register(registration)
            }
            (&Method::DELETE, _) if seen.path.starts_with("/v1/brokers") => tables.unregister(
                query.number("incarnation"),
                query.number("seq"),
                query.number("epoch"),
            ),
            _ => {
                tables.index += 1;
                (200, format!(r#"{{"index":{}}}"#, tables.index))
            }
        }
    }

    async fn read_routes(&self, seen: &Seen, path: &str, query: &Query) -> Response<Full<Bytes>> {
        let one = path.strip_prefix("/v1/routes/").map(str::to_owned);
        let topics: Vec<String> = match &one {
            Some(topic) => vec![topic.clone()],
            None => query.text("topics").unwrap_or_default().split(',').map(Into::into).collect(),
        };
        let index = query.number("index");
        let floor = query.number("min_index").max(index);
        let deadline = Duration::from_millis(seen.deadline_ms.unwrap_or(3000));
        let mut changed = self.changed.subscribe();
        if let Some(floor) = floor {
            let reached = changed.wait_for(|_| self.applied(seen.replica) >= floor);
            if timeout(deadline, reached).await.is_err() {
                let problem = r#"{"status":503,"detail":"not yet at min_index"}"#;
                return self.respond(seen, StatusCode::SERVICE_UNAVAILABLE, None, problem.into());
            }
        }
        let wait = query.text("wait").and_then(|text| text.strip_suffix("ms")?.parse().ok());
        if let (Some(index), Some(wait)) = (index, wait) {
            let news = changed.wait_for(|_| self.modified(seen.replica, &topics) > index);
            let _ = timeout(Duration::from_millis(wait), news).await;
        }
        let modified = self.modified(seen.replica, &topics);
        let routes = self.routes_at(seen.replica);
        let (status, body) = if one.is_some() {
            match routes.get(&topics[0]) {
                Some(route) => (StatusCode::OK, serde_json::to_string(route).unwrap()),
                None => (StatusCode::NOT_FOUND, r#"{"status":404,"code":17}"#.to_owned()),
            }
        } else {
            let routes = topics.iter().map(|topic| (topic.clone(), routes.get(topic).cloned()));
            let body = signpost_client::types::Routes { routes: routes.collect() };
            (StatusCode::OK, serde_json::to_string(&body).unwrap())
        };
        self.respond(seen, status, Some(modified), body)
    }

    fn respond(
        &self,
        seen: &Seen,
        status: StatusCode,
        modified: Option<u64>,
        body: String,
    ) -> Response<Full<Bytes>> {
        let world = self.world();
        let local = seen.query.contains("consistency=local");
        let mut response = Response::builder()
            .status(status)
            .header(headers::INDEX, world.applied(seen.replica))
            .header(headers::NODE, seen.replica + 1)
            .header(headers::TERM, 3)
            .header(headers::LEADER, 1)
            .header(headers::CLUSTER, &world.cluster)
            .header(headers::QUORUM_AGE_MS, world.replicas[seen.replica].quorum_age_ms)
            .header(headers::CONSISTENCY, if local { "local" } else { "linearizable" });
        if let Some(modified) = modified {
            response = response.header(headers::MODIFIED, modified);
        }
        response.body(Full::from(body)).unwrap()
    }

    fn applied(&self, replica: usize) -> u64 {
        self.world().applied(replica)
    }

    fn modified(&self, replica: usize, topics: &[String]) -> u64 {
        let world = self.world();
        world.tables.modified(world.applied(replica), topics)
    }

    fn routes_at(&self, replica: usize) -> BTreeMap<String, Route> {
        let world = self.world();
        world.tables.routes_at(world.applied(replica))
    }
}

impl World {
    fn applied(&self, replica: usize) -> u64 {
        self.replicas[replica].frozen_at.unwrap_or(u64::MAX).min(self.tables.index)
    }
}

impl Dial for Fake {
    fn dial<'a>(&'a self, authority: &'a str) -> Dialing<'a> {
        Box::pin(async move {
            let number = authority.strip_prefix('r').and_then(|rest| rest.strip_suffix(":1"));
            let replica: usize = number.and_then(|n| n.parse().ok()).expect("a fake's name");
            let known = self.world().replicas.get(replica).map(|replica| replica.mode);
            if known.is_none_or(|mode| mode == Mode::Dead) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            tokio::spawn(self.clone().serve(replica, Box::new(theirs)));
            Ok(Box::new(ours) as BoxedStream)
        })
    }
}

/// A route whose brokers have four queues each.
pub fn route(brokers: &[(&str, &str)]) -> Route {
    let broker_data = |(name, address): &(&str, &str)| BrokerData {
        broker_addrs: BTreeMap::from([(0, (*address).to_owned())]),
        broker_name: (*name).to_owned(),
        cluster: "C".into(),
        enable_acting_master: false,
    };
    let queue_data = |(name, _): &(&str, &str)| QueueData {
        broker_name: (*name).to_owned(),
        perm: 6,
        read_queue_nums: 4,
        topic_sys_flag: 0,
        write_queue_nums: 4,
    };
    Route {
        broker_datas: brokers.iter().map(broker_data).collect(),
        queue_datas: brokers.iter().map(queue_data).collect(),
        ..Route::default()
    }
}

struct Query(BTreeMap<String, String>);

impl Query {
    fn parse(text: &str) -> Self {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), value.to_owned())
        };
        Self(text.split('&').filter(|text| !text.is_empty()).map(pair).collect())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name).and_then(|text| text.parse().ok())
    }
}

fn splitmix_first(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
