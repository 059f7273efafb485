//! Begins a fault on a running cluster, and ends it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use signpost_raft::machine::{NodeId, Term};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::kind::{Kind, Lane};
use super::record::Record;
use super::schedule::{Planned, Schedule};
use super::{brokers, disks, links, members, processes};
use crate::cluster::{Cluster, leader_of};
use crate::error::Error;
use crate::network::{Link, Trouble};
use crate::watch::Watch;
use crate::workload::client::Common;

/// A fault that takes longer to begin or to end is given up, and said to have failed.
const STRIKE_TIMEOUT: Duration = Duration::from_secs(40);

/// All that faults act upon, and where they are written down.
pub struct Stage {
    /// The processes and their network.
    pub cluster: Arc<Cluster>,
    /// How the replicas stand.
    pub watch: Watch,
    /// For the storms, which are a workload, too.
    pub common: Common,
    /// Brokers of a storm.
    pub storm_brokers: u64,
    storms: AtomicU64,
    records: Mutex<Vec<Record>>,
}

/// How a fault ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    /// By itself, or it has already.
    Nothing,
    /// These replicas start again.
    Start(Vec<NodeId>),
    /// This replica starts on a clock that is so many seconds ahead.
    StartAhead(NodeId, u64),
    /// These replicas go on.
    Resume(Vec<NodeId>),
    /// The network is whole again.
    Mend,
    /// A replica has room on its disk again, and starts again if it had stopped.
    Empty(NodeId),
    /// A broker starts again.
    Broker(String),
    /// A replica is removed from the cluster again.
    Remove(NodeId),
    /// A replica is added to the cluster again.
    Add,
}

/// A fault that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The replicas concerned.
    pub nodes: Vec<NodeId>,
    /// In words.
    pub note: String,
    /// How it ends.
    pub undo: Undo,
}

impl Begun {
    /// A fault that concerns these, and ends so.
    pub fn new(nodes: impl Into<Vec<NodeId>>, note: impl Into<String>, undo: Undo) -> Begun {
        Begun { nodes: nodes.into(), note: note.into(), undo }
    }
}

impl Stage {
    /// A stage on which nothing has happened.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>, watch: Watch, common: Common, storm_brokers: u64) -> Stage {
        let (storms, records) = (AtomicU64::new(0), Mutex::default());
        Stage { cluster, watch, common, storm_brokers, storms, records }
    }

    fn writing(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was done so far.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.writing().clone()
    }

    /// Who leads, and in which term, by its own latest words.
    #[must_use]
    pub fn leader(&self) -> Option<(Term, NodeId)> {
        leader_of(&self.watch.statuses())
    }

    /// The voters, by the words of the leader, else all members that were started.
    #[must_use]
    pub fn voters(&self) -> Vec<NodeId> {
        let statuses = self.watch.statuses();
        let known = self.cluster.nodes();
        let leader = leader_of(&statuses).and_then(|(_, leader)| statuses.get(&leader).cloned());
        let members = leader.flatten().map(|said| said.members).unwrap_or_default();
        let voters = members.iter().filter(|member| member.role == "voter").map(|member| member.id);
        let voters: Vec<NodeId> = voters.filter(|id| known.contains(id)).collect();
        if voters.is_empty() { known } else { voters }
    }

    /// The leader, or any voter while nobody leads, and the others, in an order that `choice` decides.
    ///
    /// # Errors
    /// When there are fewer than two voters.
    pub fn cast(&self, choice: u64) -> Result<(NodeId, Vec<NodeId>), Error> {
        let mut voters = self.voters();
        if voters.len() < 2 {
            return Err(Error::new("there are not two voters"));
        }
        crate::random::Random::fork(choice, 1).shuffle(&mut voters);
        let leader = self.leader().map(|(_, leader)| leader);
        let leader = leader.filter(|leader| voters.contains(leader)).unwrap_or(voters[0]);
        voters.retain(|node| *node != leader);
        Ok((leader, voters))
    }

    /// The number of the next storm.
    pub fn next_storm(&self) -> u64 {
        self.storms.fetch_add(1, Ordering::Relaxed)
    }

    /// Lets faults loose, one after the other, until it is stopped; then ends the last one.
    pub async fn run_lane(&self, lane: Lane, schedule: Schedule, stop: CancellationToken) {
        for planned in schedule {
            tokio::select! {
                () = sleep(planned.gap) => {}
                () = stop.cancelled() => return,
            }
            if stop.is_cancelled() {
                return;
            }
            let at = self.open(lane, planned.kind);
            let begun = timeout(STRIKE_TIMEOUT, self.begin(planned)).await;
            let begun = begun.unwrap_or_else(|_| Err(Error::new("it took too long")));
            match begun {
                Err(error) => self.close(at, |record| {
                    record.failed = true;
                    record.note = error.to_string();
                }),
                Ok(begun) => {
                    let on_leader = |record: &Record| {
                        record.leader.is_some_and(|(_, leader)| begun.nodes.contains(&leader))
                    };
                    self.note(at, |record| {
                        record.on_leader = on_leader(record);
                        record.nodes.clone_from(&begun.nodes);
                        record.note.clone_from(&begun.note);
                    });
                    tokio::select! {
                        () = sleep(planned.hold) => {}
                        () = stop.cancelled() => {}
                    }
                    let ended = timeout(STRIKE_TIMEOUT, self.end(begun.undo)).await;
                    let ended = ended.unwrap_or_else(|_| Err(Error::new("its end took too long")));
                    self.close(at, |record| match ended {
                        Ok(Some(said)) => record.note = format!("{}; {said}", record.note),
                        Ok(None) => {}
                        Err(error) => {
                            record.failed = true;
                            record.note = format!("{}; {error}", record.note);
                        }
                    });
                }
            }
        }
    }

    fn open(&self, lane: Lane, kind: Kind) -> usize {
        let record = Record {
            kind,
            lane,
            nodes: Vec::new(),
            leader: self.leader(),
            began: self.common.told.now(),
            ended: None,
            note: String::new(),
            failed: false,
            on_leader: false,
        };
        let mut records = self.writing();
        records.push(record);
        records.len() - 1
    }

    fn note(&self, at: usize, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.writing().get_mut(at) {
            change(record);
        }
    }

    fn close(&self, at: usize, change: impl FnOnce(&mut Record)) {
        let now = self.common.told.now();
        self.note(at, |record| {
            change(record);
            record.ended = Some(now);
        });
    }

    async fn begin(&self, planned: Planned) -> Result<Begun, Error> {
        match planned.kind {
            Kind::KillLeader
            | Kind::KillFollower
            | Kind::KillMajority
            | Kind::KillAll
            | Kind::RollingRestart
            | Kind::Transfer
            | Kind::PauseLeader
            | Kind::PauseLeaderShort
            | Kind::PauseFollower
            | Kind::ClockJump
            | Kind::Starve => processes::begin(self, planned).await,
            Kind::MinorityLeader
            | Kind::IsolatedFollower
            | Kind::Split
            | Kind::MuteLeader
            | Kind::DeafLeader
            | Kind::DeafFollower
            | Kind::Bridge
            | Kind::Ring
            | Kind::Flapping
            | Kind::SlowLinks
            | Kind::LossyLinks => links::begin(self, planned).await,
            Kind::DiskFull => disks::fill(self, planned).await,
            Kind::DiskDamaged => disks::damage(self, planned).await,
            Kind::ReplaceDead | Kind::ReplaceLeader | Kind::Grow | Kind::Shrink => {
                members::begin(self, planned).await
            }
            Kind::BrokerChurn | Kind::RegisterStorm => brokers::begin(self, planned).await,
        }
    }

    async fn end(&self, undo: Undo) -> Result<Option<String>, Error> {
        match undo {
            Undo::Nothing => {}
            Undo::Start(nodes) => {
                for node in nodes {
                    self.cluster.start_replica(node, None).await?;
                }
            }
            Undo::StartAhead(node, seconds) => {
                self.cluster.start_replica(node, Some(seconds)).await?;
            }
            Undo::Resume(nodes) => {
                for node in nodes {
                    self.cluster.resume(node)?;
                }
            }
            Undo::Mend => self.mend().await?,
            Undo::Empty(node) => return disks::empty(self, node).await.map(Some),
            Undo::Broker(name) => self.cluster.start_broker(&name)?,
            Undo::Remove(node) => return members::remove(self, node).await.map(|()| None),
            Undo::Add => {
                return members::add(self).await.map(|id| Some(format!("replica {id} added")));
            }
        }
        Ok(None)
    }

    /// These links are in trouble, and no other.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn disturb(&self, troubles: &BTreeMap<Link, Trouble>) -> Result<(), Error> {
        self.cluster.network.set(troubles).await
    }

    /// All links are well.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn mend(&self) -> Result<(), Error> {
        self.disturb(&BTreeMap::new()).await
    }

    /// Ends whatever may still be the matter: all links are well, nobody is paused, all run.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn heal(&self) -> Result<(), Error> {
        self.mend().await?;
        for node in self.cluster.nodes() {
            self.cluster.resume(node)?;
            self.cluster.start_replica(node, None).await?;
        }
        for name in self.cluster.broker_dirs().keys() {
            self.cluster.start_broker(name)?;
        }
        Ok(())
    }
}
