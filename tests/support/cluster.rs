//! Replicas of the name service together.

mod settings;
mod waits;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use signpost_chaos::journal;
use signpost_client::types::ClusterStatus;
use signpost_client::{Client, Options, Secret};
use tempfile::TempDir;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(crate) use self::settings::Settings;
use super::http::{self, Answered};
use super::logs;
use super::ports::Ports;
use super::process::{Process, run};

/// Tests that measure times run alone; all others share the machine.
static MACHINE: RwLock<()> = RwLock::const_new(());

/// What any replica may say: openraft names each call that found nobody, which is what happens when
/// peers are killed, paused and started; in the moment between founding a cluster and naming it the
/// founder's first calls are refused, by peers that learn of it right after; and on a busy machine a
/// leader with short leases may be out of touch for a quarter of one, which harms nobody.
const ALLOWED_ALWAYS: &[&str] = &[
    " WARN openraft::",
    "this replica belongs to no cluster yet, and was not expected in yours",
    "no quorum confirmed this leader for a while: each broker has its full ttl again",
];

/// Names the bugs and faults that are planted in a process (`signpost_raft::planted`).
const PLANTED: &str = "SIGNPOST_PLANTED";

/// Where one replica is.
#[derive(Debug)]
struct Place {
    http: SocketAddr,
    peer: SocketAddr,
    remoting: SocketAddr,
    join: bool,
    process: Option<Process>,
    paused: bool,
}

/// A place on the machine, with others or alone.
#[derive(Debug)]
enum Turn {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

/// A cluster of three. When it is dropped its processes are killed; and unless the test has failed
/// already, it fails when a log has an unexpected warning, a replica has ended by itself, or
/// journals disagree.
#[derive(Debug)]
pub(crate) struct Cluster {
    settings: Settings,
    places: BTreeMap<u64, Place>,
    dir: TempDir,
    ports: Ports,
    _turn: Turn,
}

impl Cluster {
    /// Three replicas, running, founded and ready.
    pub(crate) async fn start(settings: Settings) -> Self {
        let mut cluster = Self::prepare(settings).await;
        cluster.start_all().await;
        cluster
    }

    /// The same while no other test runs.
    pub(crate) async fn start_alone(settings: Settings) -> Self {
        let turn = Turn::Alone { _guard: MACHINE.write().await };
        let mut cluster = Self::lay_out(settings, turn);
        cluster.start_all().await;
        cluster
    }

    /// Three replicas that have never run.
    pub(crate) async fn prepare(settings: Settings) -> Self {
        Self::lay_out(settings, Turn::Shared { _guard: MACHINE.read().await })
    }

    fn lay_out(settings: Settings, turn: Turn) -> Self {
        let mut ports = Ports::reserve();
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("logs")).expect("a directory for logs");
        let mut place = || {
            let (http, peer, remoting) = (ports.take(), ports.take(), ports.take());
            Place { http, peer, remoting, join: false, process: None, paused: false }
        };
        let places = [1, 2, 3].map(|id| (id, place())).into();
        Self { settings, places, dir, ports, _turn: turn }
    }

    /// All numbers, running or not.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.places.keys().copied().collect()
    }

    /// Those that run and are not paused.
    pub(crate) fn up(&self) -> Vec<u64> {
        let is_up = |place: &Place| place.process.is_some() && !place.paused;
        self.places.iter().filter(|(_, place)| is_up(place)).map(|(id, _)| *id).collect()
    }

    /// All but this one.
    pub(crate) fn others(&self, id: u64) -> Vec<u64> {
        self.ids().into_iter().filter(|other| *other != id).collect()
    }

    /// Where it serves HTTP.
    pub(crate) fn http(&self, id: u64) -> SocketAddr {
        self.places[&id].http
    }

    /// Where it serves its peers.
    pub(crate) fn peer(&self, id: u64) -> SocketAddr {
        self.places[&id].peer
    }

    /// Where it serves RocketMQ's own protocol.
    #[allow(dead_code, reason = "for suites with stock RocketMQ programs")]
    pub(crate) fn remoting(&self, id: u64) -> SocketAddr {
        self.places[&id].remoting
    }

    /// Its data directory.
    pub(crate) fn data_dir(&self, id: u64) -> PathBuf {
        self.dir.path().join(format!("namesrv-{id}"))
    }

    /// Its journal.
    pub(crate) fn journal(&self, id: u64) -> PathBuf {
        self.dir.path().join(format!("journal-{id}"))
    }

    /// A place for a test's own things.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A further port of this test's own.
    pub(crate) fn port(&mut self) -> SocketAddr {
        self.ports.take()
    }

    /// All replicas, as `--namesrv` takes them.
    pub(crate) fn namesrv(&self) -> String {
        let urls: Vec<String> =
            self.places.values().map(|place| format!("http://{}", place.http)).collect();
        urls.join(",")
    }

    /// A typed client of all replicas that knows nothing yet.
    pub(crate) fn client(&self) -> Client {
        self.client_with(Options::default())
    }

    /// The same with its own deadlines.
    pub(crate) fn client_with(&self, options: Options) -> Client {
        Client::new(self.namesrv().split(','), options).expect("addresses")
    }

    /// A client that begins with this replica and carries its admin token.
    pub(crate) fn admin(&self, id: u64) -> Client {
        let options =
            Options { admin_token: Some(Secret::from(self.token(id))), ..Options::default() };
        Client::new([self.http(id).to_string()], options).expect("an address")
    }

    /// The admin token of this replica.
    pub(crate) fn token(&self, id: u64) -> String {
        let path = self.data_dir(id).join("admin-token");
        fs::read_to_string(path).expect("a token").trim().to_owned()
    }

    /// A `GET` at this replica, which must answer something.
    pub(crate) async fn get(&self, id: u64, path: &str) -> Answered {
        http::get(self.http(id), path).await.expect("an answer")
    }

    /// `signpost cluster … ` asked of this replica, with its token.
    pub(crate) async fn command(&self, id: u64, words: &[&str]) -> Output {
        let (namesrv, token) = (format!("http://{}", self.http(id)), self.data_dir(id));
        let token = token.join("admin-token").display().to_string();
        let mut args = vec!["cluster", "--namesrv", &namesrv];
        args.extend_from_slice(words);
        args.extend_from_slice(&["--token-file", &token]);
        run(&args).await
    }

    /// Starts all that do not run, at once, and waits until they are ready.
    pub(crate) async fn start_all(&mut self) {
        for id in self.ids() {
            if self.places[&id].process.is_none() {
                self.launch(id);
            }
        }
        for id in self.ids() {
            self.ready(id).await;
        }
    }

    /// Starts one and waits until it is ready.
    pub(crate) async fn start_replica(&mut self, id: u64) {
        self.launch(id);
        self.ready(id).await;
    }

    /// Starts one.
    pub(crate) fn launch(&mut self, id: u64) {
        let args = self.args(id);
        // Bugs of this test run are in every replica (tests/planted).
        let planted = self.settings.planted.get(&id).cloned();
        let planted = planted.or_else(|| std::env::var(PLANTED).ok());
        let environment: Vec<(String, String)> =
            planted.map(|names| (PLANTED.to_owned(), names)).into_iter().collect();
        let process =
            Process::spawn(&format!("namesrv-{id}"), &args, &environment, self.log_of(id));
        let place = self.place(id);
        place.process = Some(process);
        place.paused = false;
    }

    /// Starts one whose files may have no more than so many KiB each: to it, that is a full disk.
    pub(crate) fn launch_on_small_disk(&mut self, id: u64, kibibytes: u64) {
        // The shell counts in blocks of 512 bytes. The signal would end the process before it can fail.
        let script = "trap '' XFSZ; ulimit -f $0; exec \"$@\"";
        let launcher = ["sh", "-c", script, &(2 * kibibytes).to_string()].map(str::to_owned);
        let process = Process::launch(
            &format!("namesrv-{id}"),
            &launcher,
            &self.args(id),
            &[],
            self.log_of(id),
        );
        self.place(id).process = Some(process);
    }

    /// A new replica of its own number, which waits to be added.
    pub(crate) fn launch_joining(&mut self, id: u64) {
        let (http, peer) = (self.ports.take(), self.ports.take());
        let remoting = self.ports.take();
        let place = Place { http, peer, remoting, join: true, process: None, paused: false };
        assert!(self.places.insert(id, place).is_none(), "replica {id} is new");
        self.launch(id);
    }

    /// kill -9.
    pub(crate) fn kill(&mut self, id: u64) {
        let place = self.place(id);
        place.process.take().expect("it runs").kill();
        place.paused = false;
    }

    /// kill -9 of all.
    pub(crate) fn kill_all(&mut self) {
        let running = |place: &mut Place| place.process.take();
        let mut processes: Vec<Process> = self.places.values_mut().filter_map(running).collect();
        processes.iter_mut().for_each(Process::kill);
    }

    /// SIGSTOP.
    pub(crate) async fn pause(&mut self, id: u64) {
        let place = self.place(id);
        place.paused = true;
        place.process.as_ref().expect("it runs").pause().await;
    }

    /// SIGCONT.
    pub(crate) fn resume(&mut self, id: u64) {
        let place = self.place(id);
        place.paused = false;
        place.process.as_ref().expect("it runs").resume();
    }

    /// SIGTERM; the process is handed out, to be waited for.
    pub(crate) fn terminate(&mut self, id: u64) -> Process {
        let process = self.place(id).process.take().expect("it runs");
        process.terminate();
        process
    }

    /// A process that is about to end, or has ended, by itself.
    pub(crate) fn take(&mut self, id: u64) -> Process {
        self.place(id).process.take().expect("it was started")
    }

    /// All that this replica has said.
    pub(crate) fn log(&self, id: u64) -> String {
        logs::read(&self.log_of(id))
    }

    /// How this replica says that it stands.
    pub(crate) async fn status(&self, id: u64) -> Result<ClusterStatus, String> {
        let answered = http::get(self.http(id), "/v1/cluster").await?;
        match answered.status {
            200 => Ok(serde_json::from_slice(&answered.body).expect("the contract's answer")),
            _ => Err(answered.text()),
        }
    }

    fn place(&mut self, id: u64) -> &mut Place {
        self.places.get_mut(&id).expect("a known replica")
    }

    fn log_of(&self, id: u64) -> PathBuf {
        self.dir.path().join(format!("logs/namesrv-{id}.log"))
    }

    fn args(&self, id: u64) -> Vec<String> {
        let place = &self.places[&id];
        let founders = self.places.iter().filter(|(known, place)| !place.join || **known == id);
        let peers: Vec<String> =
            founders.map(|(id, place)| format!("{id}={}", place.peer)).collect();
        let millis = |duration: Duration| format!("{}ms", duration.as_millis());
        let mut options = vec![
            ("--node-id", id.to_string()),
            ("--cluster-id", "test".to_owned()),
            ("--data-dir", self.data_dir(id).display().to_string()),
            ("--http-addr", place.http.to_string()),
            ("--peer-addr", place.peer.to_string()),
            ("--remoting-addr", place.remoting.to_string()),
            ("--peers", peers.join(",")),
            ("--lease-ttl", millis(self.settings.lease_ttl)),
            ("--scan-interval", millis(self.settings.scan_interval)),
            ("--first-scan", millis(self.settings.scan_interval)),
            ("--journal", self.journal(id).display().to_string()),
        ];
        options.extend(self.settings.options.iter().cloned());
        let mut args = vec!["namesrv".to_owned()];
        if place.join {
            args.push("--join".to_owned());
        }
        args.extend(options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
        args
    }

    /// What is wrong at the end of a test that has gone well so far.
    fn verdict(&mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (id, place) in &mut self.places {
            if let Some(end) = place.process.as_mut().and_then(Process::end) {
                wrong.push(format!("replica {id} ended by itself: {end}"));
            }
        }
        self.kill_all();
        let allowed = [ALLOWED_ALWAYS, &self.settings.allowed].concat();
        for id in self.ids() {
            let lines = logs::unexpected(&self.log(id), &allowed);
            wrong.extend(lines.into_iter().map(|line| format!("replica {id} said: {line}")));
        }
        let journals: Vec<PathBuf> = self.ids().into_iter().map(|id| self.journal(id)).collect();
        wrong.extend(journal::disagreement(&journals));
        wrong
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The logs of those that run are shown as they are dropped.
        let failed = std::thread::panicking();
        let ended = self.ids().into_iter().filter(|id| self.places[id].process.is_none());
        let silent: Vec<u64> = if failed { ended.collect() } else { self.ids() };
        let wrong = if failed { Vec::new() } else { self.verdict() };
        if failed || !wrong.is_empty() {
            for id in silent {
                eprintln!("---- the end of replica {id}'s log\n{}", logs::tail(&self.log(id)));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
