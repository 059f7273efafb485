//! The processes of a local cluster together: started in order, stopped together.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use signpost_chaos::process::{Process, ending};
use signpost_client::types::{BrokerEntry, ClusterStatus};
use signpost_client::{Client, Options as ClientOptions, ReadMode};
use signpost_namesrv::http::{ADMIN_TOKEN_FILE, admin_token};
use tokio::time::{Instant, sleep};

use super::plan::{BROKERS, Plan, REPLICAS, replica_name};
use crate::failure::Failure;
use crate::probe;

/// How long a start may take before it is given up.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks at something that is awaited.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// How long a child may take to stop after SIGTERM.
const STOP_GRACE: Duration = Duration::from_secs(8);
/// How long one replica may take to say how it stands.
const STATUS_TIMEOUT: Duration = Duration::from_millis(500);

/// A running local cluster. Its processes die with it.
pub(crate) struct LocalCluster {
    /// How it was laid out.
    pub(crate) plan: Plan,
    /// By number.
    pub(crate) replicas: BTreeMap<u64, Process>,
    /// By name.
    pub(crate) brokers: BTreeMap<String, Process>,
    /// A client of all of them.
    pub(crate) client: Client,
}

impl LocalCluster {
    /// Prepares the directories; nothing runs yet. All replicas get the same admin token, so that
    /// it does not matter which one is asked.
    ///
    /// # Errors
    /// When a port is taken, or a directory cannot be written.
    pub(crate) fn prepare(plan: Plan) -> Result<Self, Failure> {
        plan.check_ports().map_err(Failure::failed)?;
        let in_dir =
            |error| Failure::failed(format!("data directory {}: {error}", plan.data_dir.display()));
        fs::create_dir_all(plan.data_dir.join("logs")).map_err(in_dir)?;
        share_token(&plan).map_err(in_dir)?;
        let client = Client::new(plan.namesrv().split(','), ClientOptions::default());
        let client = client.map_err(Failure::failed)?;
        let (replicas, brokers) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { plan, replicas, brokers, client })
    }

    /// Starts the three replicas and waits until they are ready.
    ///
    /// # Errors
    /// When one cannot be started, ends, or is not ready in time.
    pub(crate) async fn start_replicas(&mut self) -> Result<(), Failure> {
        for id in REPLICAS {
            self.start_replica(id)?;
        }
        let deadline = Instant::now() + START_TIMEOUT;
        for id in REPLICAS {
            self.until_ready(id, deadline).await?;
        }
        Ok(())
    }

    /// Starts one replica, for the first time or again.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub(crate) fn start_replica(&mut self, id: u64) -> Result<(), Failure> {
        let name = replica_name(id);
        let process = spawn(&name, self.plan.replica_args(id), self.plan.log_of(&name))?;
        self.replicas.insert(id, process);
        Ok(())
    }

    /// Waits until this replica is ready.
    ///
    /// # Errors
    /// When it ends, or time is up.
    pub(crate) async fn until_ready(&mut self, id: u64, deadline: Instant) -> Result<(), Failure> {
        let address = self.plan.http(id).to_string();
        loop {
            if probe::is_ready(&address, STATUS_TIMEOUT).await {
                return Ok(());
            }
            let what = format!("replica {id} is not ready");
            let process = self.replicas.get_mut(&id);
            wait_on(process, deadline, &what).await?;
        }
    }

    /// Starts the brokers and waits until all are registered.
    ///
    /// # Errors
    /// When one cannot be started, ends, or is not registered in time.
    pub(crate) async fn start_brokers(&mut self) -> Result<(), Failure> {
        for name in BROKERS {
            let args = self.plan.broker_args(name);
            let process = spawn(name, args, self.plan.log_of(name))?;
            self.brokers.insert(name.to_owned(), process);
        }
        let deadline = Instant::now() + START_TIMEOUT;
        for name in BROKERS {
            loop {
                let known = self.client.brokers(ReadMode::Linearizable).await;
                let listed =
                    known.is_ok_and(|known| known.value.brokers.iter().any(|b| b.name == name));
                if listed {
                    break;
                }
                let what = format!("{name} is not registered");
                wait_on(self.brokers.get_mut(name), deadline, &what).await?;
            }
        }
        Ok(())
    }

    /// How each replica says that it stands; None for those that do not answer.
    pub(crate) async fn statuses(&self) -> BTreeMap<u64, Option<ClusterStatus>> {
        let asked = REPLICAS.map(|id| async move {
            (id, probe::status(&self.plan.http(id).to_string(), STATUS_TIMEOUT).await.ok())
        });
        futures_util::future::join_all(asked).await.into_iter().collect()
    }

    /// The live registrations, as some replica knows them.
    pub(crate) async fn registered(&self) -> Option<Vec<BrokerEntry>> {
        self.client.brokers(ReadMode::Local).await.ok().map(|answer| answer.value.brokers)
    }

    /// Stops everything, brokers first: they unregister.
    pub(crate) async fn stop(&mut self) {
        let brokers = self.brokers.values_mut().map(|process| process.stop(STOP_GRACE));
        futures_util::future::join_all(brokers).await;
        let replicas = self.replicas.values_mut().map(|process| process.stop(STOP_GRACE));
        futures_util::future::join_all(replicas).await;
    }
}

/// Starts this executable again with `args`.
fn spawn(name: &str, args: Vec<String>, log: PathBuf) -> std::io::Result<Process> {
    let this = std::env::current_exe()?.display().to_string();
    Process::spawn(name, &[], std::iter::once(this).chain(args).collect(), log)
}

/// Who leads, by the words of the leader itself, in the highest term.
pub(crate) fn leader_of(statuses: &BTreeMap<u64, Option<ClusterStatus>>) -> Option<(u64, u64)> {
    let leading = statuses.values().flatten().filter(|status| status.role == "leader");
    leading.map(|status| (status.term, status.node_id)).max()
}

/// A moment's patience with a process that should do something soon.
async fn wait_on(
    process: Option<&mut Process>,
    deadline: Instant,
    what: &str,
) -> Result<(), Failure> {
    if let Some(process) = process {
        let ended = process.ended();
        if ended.is_some() || Instant::now() > deadline {
            let how = ended.map_or("and time is up".to_owned(), ending);
            let (name, words) = (process.name(), process.last_words());
            let message = format!("{what}: {name}: {how}; its last words:\n{words}");
            return Err(Failure::failed(message));
        }
    }
    sleep(LOOK_INTERVAL).await;
    Ok(())
}

/// Puts one admin token into every replica's data directory, before they mint their own.
fn share_token(plan: &Plan) -> std::io::Result<()> {
    let dirs = REPLICAS.map(|id| plan.dir_of(&replica_name(id)));
    for dir in &dirs {
        fs::create_dir_all(dir)?;
    }
    let [first, others @ ..] = &dirs;
    admin_token(first)?;
    for other in others {
        if !other.join(ADMIN_TOKEN_FILE).exists() {
            // `copy` keeps the mode: only the owner may read it.
            fs::copy(first.join(ADMIN_TOKEN_FILE), other.join(ADMIN_TOKEN_FILE))?;
        }
    }
    Ok(())
}
