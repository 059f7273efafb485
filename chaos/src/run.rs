//! One run: starts a cluster, lets clients and faults loose on it, heals it, kills it whole and
//! starts it again, and gathers all that is to be judged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use signpost_raft::machine::NodeId;
use signpost_raft::store::journal::{JournalRecord, read_journal};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::checks::Violation;
use crate::checks::convergence::{Rest, Standing, is_uniform};
use crate::cluster::Cluster;
use crate::cluster::layout::Settings;
use crate::error::Error;
use crate::faults::kind::{Kind, Lane};
use crate::faults::record::Record;
use crate::faults::schedule::Schedule;
use crate::faults::strike::Stage;
use crate::history::Operation;
use crate::resources::{Used, used};
use crate::scenario::Scenario;
use crate::steady::Led;
use crate::watch::{Stood, Watch};
use crate::workload::client::{Client, Common};
use crate::workload::fleet::Fleet;
use crate::workload::names::Names;
use crate::workload::sends;
use crate::workload::told::Told;

/// Nothing goes wrong in the first moment, so that there is something to break.
const GOOD_TIMES: Duration = Duration::from_millis(1_500);
/// How long all replicas may take to be up and ready once nothing is the matter with them.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// Calls in flight when the clients are stopped have ended after this.
pub(crate) const LAST_CALLS: Duration = Duration::from_secs(5);
/// Claim 10 speaks of election times: the product's own default, its longest.
const ELECTION_TIME: Duration = Duration::from_millis(500);
/// Ten of them.
const REST_WITHIN: Duration = ELECTION_TIME.saturating_mul(10);
/// Between two looks at memory and descriptors.
const USED_INTERVAL: Duration = Duration::from_secs(5);
/// Clients of audits have numbers of their own.
const AUDITOR: u64 = 900_000;

/// Reads the bodies of a topic's messages in a stopped broker's data directory.
pub type ReadLog = fn(&Path, &str) -> Result<BTreeSet<String>, String>;

/// What is to be run.
pub struct Request {
    /// What it consists of.
    pub scenario: Scenario,
    /// Names the schedule of its faults.
    pub seed: u64,
    /// The `signpost` binary.
    pub program: PathBuf,
    /// For data, journals and logs.
    pub dir: PathBuf,
    /// This process is inside namespaces of its own.
    pub inside: bool,
    /// How the brokers' logs are read at the end.
    pub read_log: ReadLog,
}

/// All that is known of a run.
#[derive(Debug)]
pub struct Run {
    /// What it consisted of.
    pub scenario: Scenario,
    /// Which one it was.
    pub seed: u64,
    /// When it began.
    pub started: SystemTime,
    /// How the network was made.
    pub network: String,
    /// Kinds of faults that this machine does not allow, and why.
    pub left_out: Vec<(Kind, String)>,
    /// What clients did and were told.
    pub operations: Vec<Operation>,
    /// Operations that were too many to keep.
    pub forgotten: u64,
    /// What went wrong, on purpose.
    pub faults: Vec<Record>,
    /// How the replicas stood from when on.
    pub stood: Vec<Stood>,
    /// When clients began and faults ended; when all was over.
    pub struck: (Duration, Duration),
    /// When all was over.
    pub ended: Duration,
    /// What each replica applied, in all its lives.
    pub journals: BTreeMap<NodeId, Vec<JournalRecord>>,
    /// How they stood after the last fault was healed, and after all were killed and started again.
    pub rests: Vec<Rest>,
    /// Ids of the messages in each broker's log.
    pub stored: BTreeMap<String, BTreeSet<String>>,
    /// Memory and descriptors.
    pub used: Vec<Used>,
    /// Who led from when until when.
    pub led: Vec<Led>,
    /// How often two replicas' digests were compared at one index while it ran.
    pub compared: u64,
    /// How often brokers of the fleet lost their registration.
    pub fleet_lost: u64,
    /// Checks that could not be made, and why.
    pub not_made: BTreeMap<&'static str, String>,
    /// What was found while it ran.
    pub violations: Vec<Violation>,
    /// What went wrong with the run itself, so that less can be said.
    pub doubts: Vec<Violation>,
}

/// What can be seen of a run while it goes on.
#[derive(Clone)]
pub struct Live {
    /// What clients were told.
    pub told: Told,
    /// How the replicas stand.
    pub watch: Watch,
    /// What is done to them; nothing when a running cluster is observed.
    pub stage: Option<Arc<Stage>>,
}

/// Runs it. `live` is told as soon as there is something to be seen.
///
/// # Errors
/// When the run could not be made. What it finds is no error.
pub async fn run(
    request: Request,
    live: &watch::Sender<Option<Live>>,
    stop: CancellationToken,
) -> Result<Run, Error> {
    let Request { scenario, seed, program, dir, inside, read_log } = request;
    let (kinds, left_out) = possible(&scenario, inside).await?;
    let settings = Settings {
        program,
        dir,
        replicas: scenario.replicas,
        brokers: scenario.brokers,
        network: scenario.network,
        small_disks: inside && kinds.contains(&Kind::DiskFull),
        lease_ttl: scenario.lease_ttl(),
        scan_interval: scenario.scan_interval(),
        options: scenario.options.clone(),
    };
    let started = SystemTime::now();
    let cluster = Arc::new(Cluster::prepare(settings, inside).await?);
    let made = async {
        cluster.start().await?;
        let acts = Acts::new(&cluster, &scenario, seed, live);
        acts.play(&kinds, stop).await
    };
    let made = made.await;
    // Before anything else: what runs keeps writing to the directory.
    cluster.stop().await;
    let (stage, played) = made?;
    let (operations, forgotten) = stage.common.told.take();
    let mut stored = BTreeMap::new();
    for (name, dir) in cluster.broker_dirs() {
        let topic = stage.common.names.sent_topic();
        let read = tokio::task::spawn_blocking(move || read_log(&dir, &topic)).await;
        let read = read.map_err(Error::new)?;
        let read = read.map_err(|why| Error::new(format!("the log of {name}: {why}")))?;
        stored.insert(name, read);
    }
    let mut violations = stage.watch.violations();
    violations.extend(played.violations);
    let (journals, unreadable) = journals(&cluster);
    violations.extend(unreadable);
    let network = cluster.network.name().to_owned();
    let (faults, stood) = (stage.records(), stage.watch.stood());
    let (led, compared) = (stage.watch.led(), stage.watch.compared());
    let Played { struck, ended, rests, used, fleet_lost, .. } = played;
    Ok(Run {
        scenario,
        seed,
        started,
        network,
        left_out,
        operations,
        forgotten,
        faults,
        stood,
        struck,
        ended,
        journals,
        rests,
        stored,
        used,
        led,
        compared,
        fleet_lost,
        not_made: BTreeMap::new(),
        violations,
        doubts: Vec::new(),
    })
}

/// The kinds that this machine allows, and the others with the reason.
async fn possible(
    scenario: &Scenario,
    inside: bool,
) -> Result<(Vec<Kind>, Vec<(Kind, String)>), Error> {
    let mut kinds = scenario.kinds().map_err(Error::new)?;
    let mut left_out = Vec::new();
    let mut drop = |kind: Kind, why: &str| {
        if kinds.contains(&kind) {
            kinds.retain(|one| *one != kind);
            left_out.push((kind, why.to_owned()));
        }
    };
    if !inside || scenario.network == crate::network::Kind::Proxies {
        drop(Kind::DiskFull, "needs namespaces, for a small file system of each replica's own");
    }
    let mut probe = Command::new("unshare");
    probe.args(["-T", "--fork", "--kill-child", "--monotonic", "60", "true"]);
    probe.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    if !probe.status().await.is_ok_and(|status| status.success()) {
        drop(
            Kind::ClockJump,
            "needs time namespaces (unshare -T), which this machine does not allow",
        );
    }
    if scenario.brokers == 0 {
        drop(Kind::BrokerChurn, "there are no embedded brokers");
    }
    Ok((kinds, left_out))
}

fn journals(cluster: &Cluster) -> (BTreeMap<NodeId, Vec<JournalRecord>>, Vec<Violation>) {
    let (mut journals, mut unreadable) = (BTreeMap::new(), Vec::new());
    for node in cluster.nodes_ever() {
        let path = cluster.journal(node);
        if !path.exists() {
            continue;
        }
        match read_journal(&path) {
            Ok(records) => {
                journals.insert(node, records);
            }
            Err(error) => {
                let text = format!("replica {node}'s journal: {error}");
                unreadable.push(Violation::new("journal", text));
            }
        }
    }
    (journals, unreadable)
}

/// What was gathered while it was played.
#[derive(Debug, Default)]
struct Played {
    struck: (Duration, Duration),
    ended: Duration,
    rests: Vec<Rest>,
    used: Vec<Used>,
    fleet_lost: u64,
    violations: Vec<Violation>,
}

struct Acts<'a> {
    cluster: &'a Arc<Cluster>,
    scenario: &'a Scenario,
    seed: u64,
    stage: Arc<Stage>,
}

impl<'a> Acts<'a> {
    fn new(
        cluster: &'a Arc<Cluster>,
        scenario: &'a Scenario,
        seed: u64,
        live: &watch::Sender<Option<Live>>,
    ) -> Acts<'a> {
        let told = Told::new(scenario.operations_max);
        let common = Common {
            replicas: Arc::clone(cluster) as _,
            told: told.clone(),
            names: Names::new("chaos"),
            lease_ttl: scenario.lease_ttl(),
            silences_per_mille: scenario.silences_per_mille,
            pause_ms: scenario.pause_ms,
        };
        let watch = Watch::new(Arc::clone(cluster) as _, told);
        let stage = Stage::new(Arc::clone(cluster), watch, common, scenario.storm_brokers);
        let stage = Arc::new(stage);
        let (told, watch) = (stage.common.told.clone(), stage.watch.clone());
        live.send_replace(Some(Live { told, watch, stage: Some(Arc::clone(&stage)) }));
        Acts { cluster, scenario, seed, stage }
    }

    fn now(&self) -> Duration {
        self.stage.common.told.now()
    }

    async fn play(
        self,
        kinds: &[Kind],
        stop: CancellationToken,
    ) -> Result<(Arc<Stage>, Played), Error> {
        let mut played = Played::default();
        let watching = CancellationToken::new();
        let watch = tokio::spawn(self.stage.watch.clone().run(watching.clone()));
        let fleet = self.fleet().await?;
        let working = CancellationToken::new();
        let mut work = self.workload(&working)?;
        sleep(GOOD_TIMES).await;
        played.struck.0 = self.now();
        self.strike(kinds, &stop, &mut played).await;
        played.struck.1 = self.now();

        let healed = self.heal(&mut played, "healed").await;
        working.cancel();
        let _ = timeout(LAST_CALLS, async { while work.join_next().await.is_some() {} }).await;
        work.shutdown().await;
        if let Some(fleet) = fleet {
            played.fleet_lost = fleet.registered_again();
            fleet.stop().await;
        }
        healed?;
        self.rest("healed", &mut played).await;
        self.audit("healed", &mut played).await;

        // Claim 4: what was acknowledged survives the crash of all.
        for node in self.cluster.nodes() {
            self.cluster.kill(node).await?;
        }
        self.heal(&mut played, "all killed and started again").await?;
        self.rest("all killed and started again", &mut played).await;
        self.audit("all killed and started again", &mut played).await;
        watching.cancel();
        let _ = watch.await;
        played.ended = self.now();
        Ok((self.stage, played))
    }

    async fn fleet(&self) -> Result<Option<Fleet>, Error> {
        let Scenario { fleet_brokers, fleet_topics, .. } = *self.scenario;
        if fleet_brokers == 0 {
            return Ok(None);
        }
        let client = self.cluster.client()?;
        let (names, ttl) = (&self.stage.common.names, self.scenario.lease_ttl() * 5);
        Fleet::start(&client, names, fleet_brokers, fleet_topics, ttl).await.map(Some)
    }

    fn workload(&self, stop: &CancellationToken) -> Result<JoinSet<()>, Error> {
        let mut work = JoinSet::new();
        for id in 0..self.scenario.clients {
            let client = Client::new(id, self.seed, self.stage.common.clone());
            work.spawn(client.work(stop.clone()));
        }
        for number in 0..self.scenario.producers {
            let topic = self.stage.common.names.sent_topic();
            let (client, told) = (self.cluster.client()?, self.stage.common.told.clone());
            let sending = sends::send(number, client, topic, told, stop.clone());
            work.spawn(async move {
                if let Err(error) = sending.await {
                    tracing::error!(%error, "a producer could not be started");
                }
            });
        }
        Ok(work)
    }

    /// Lets the faults loose until time is up, the history is full, or somebody stops it.
    async fn strike(&self, kinds: &[Kind], stop: &CancellationToken, played: &mut Played) {
        let end = CancellationToken::new();
        let mut lanes = JoinSet::new();
        for lane in Lane::ALL {
            let (stage, end) = (Arc::clone(&self.stage), end.clone());
            let schedule = Schedule::new(self.seed, lane, kinds, self.scenario.gap_ms);
            lanes.spawn(async move { stage.run_lane(lane, schedule, end).await });
        }
        let until = self.now() + self.scenario.duration();
        let mut ticks = interval(Duration::from_millis(200));
        let mut next_used = Duration::ZERO;
        while self.now() < until && !stop.is_cancelled() && !self.stage.common.told.is_full() {
            ticks.tick().await;
            self.complain_of_ends(played);
            if self.now() >= next_used {
                next_used = self.now() + USED_INTERVAL;
                let pids = self.cluster.pids().into_iter();
                played.used.extend(pids.filter_map(|(node, pid)| used(self.now(), node, pid)));
            }
        }
        end.cancel();
        while lanes.join_next().await.is_some() {}
        self.complain_of_ends(played);
    }

    fn complain_of_ends(&self, played: &mut Played) {
        for (node, end) in self.cluster.unexpected_ends() {
            let text = format!("replica {node} ended by itself: {end}");
            played.violations.push(Violation::new("process", text));
        }
    }

    /// Ends all faults; then a new registration must be acknowledged soon (claim 10).
    async fn heal(&self, played: &mut Played, when: &str) -> Result<(), Error> {
        self.stage.heal().await?;
        for node in self.cluster.nodes() {
            self.cluster.until_ready(node, READY_TIMEOUT).await?;
        }
        let deadline = self.now() + REST_WITHIN;
        let number = AUDITOR + played.rests.len() as u64 * 2;
        let client = Client::new(number, self.seed, self.stage.common.clone());
        if !client.register_by(deadline).await {
            let text =
                format!("{when}: no new registration was acknowledged within {REST_WITHIN:?}");
            played.violations.push(Violation::new("convergence", text));
        }
        Ok(())
    }

    /// Waits until all stand alike (claim 10).
    async fn rest(&self, when: &str, played: &mut Played) {
        // Brokers that have just fallen silent expire first.
        let deadline = self.now() + REST_WITHIN + 2 * self.scenario.lease_ttl();
        let rest = loop {
            let replicas = self.standings().await;
            let complete = replicas.len() == self.cluster.nodes().len();
            if complete && is_uniform(&replicas) {
                break Rest { when: when.to_owned(), at: self.now(), failed: None, replicas };
            }
            if self.now() >= deadline {
                let failed = Some("they did not come to stand alike in time".to_owned());
                break Rest { when: when.to_owned(), at: self.now(), failed, replicas };
            }
            sleep(Duration::from_millis(50)).await;
        };
        played.rests.push(rest);
    }

    async fn standings(&self) -> Vec<Standing> {
        let statuses = self.cluster.statuses().await;
        let told = statuses.into_iter().filter_map(|(node, said)| {
            let said = said?;
            let digest = u128::from_str_radix(&said.digest, 16).ok()?;
            Some(Standing { node, leader: said.leader, applied: said.applied, digest })
        });
        told.collect()
    }

    async fn audit(&self, when: &str, played: &mut Played) {
        let number = AUDITOR + played.rests.len() as u64 * 2 + 1;
        let client = Client::new(number, self.seed, self.stage.common.clone());
        let chapter = Names::chapter(played.struck.1);
        if !client.audit(chapter, self.now() + READY_TIMEOUT).await {
            let text = format!("{when}: not every replica answered every read in time");
            played.violations.push(Violation::new("convergence", text));
        }
    }
}
