//! One seed: builds the cluster, lets clients and faults loose on it for 60 virtual seconds, heals it,
//! cuts the power of all, and judges.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use signpost_namesrv::routes::command::{RouteCommand, RouteOutcome};
use signpost_raft::machine::{NodeId, Term};
use tokio::time::Instant;

use crate::cluster::{Cluster, ELECTION_MAX};
use crate::faults::{CLOCKS_QUICK_PERCENT, Faults, Stage};
use crate::logs;
use crate::report::Report;
use crate::workload::{Client, Shared};
use crate::world::World;
use crate::world::net::HostId;
use signpost_chaos::checks::convergence::{Rest, is_uniform};
use signpost_chaos::checks::truth::Truth;
use signpost_chaos::checks::{self, Evidence, Violation, agreement};
use signpost_chaos::history::{Call, Operation, Outcome};
use signpost_chaos::random::Random;

const CLIENTS: u64 = 5;

/// All clients, and the operators, live on one host. Its clock is the world's.
pub(crate) const CLIENTS_HOST: HostId = 200;

/// A file to write the history of a seed to.
const HISTORY: &str = "SIGNPOST_HISTORY";

/// How long clients work and faults strike.
const WORK: Duration = Duration::from_secs(60);

const TICKS_MS: [u64; 4] = [1, 2, 2, 2];

const LOOK_EVERY_MS: u128 = 20;

/// The founding is over by then, mostly.
const FIRST_FAULT: Duration = Duration::from_millis(1_500);

/// From here on nothing else goes wrong, so that all replicas are at work when their power is cut.
const CALM: Duration = Duration::from_millis(58_000);
const LAST_POWER_CUT: Duration = Duration::from_millis(59_000);

/// Claim 10: ten election times after the last fault all is well.
const REST_WITHIN: Duration = ELECTION_MAX.saturating_mul(10);

/// And so long after, all replicas stand alike and answer linearizable reads: longer, for a connection
/// to a machine that lost its power must be found out first. Each run counts how long it really took.
const REST_AT_LAST: Duration = Duration::from_secs(20);

/// An operator who replaces a replica has done it so long after the last fault.
const REPLACED_WITHIN: Duration = Duration::from_secs(30);

/// Calls in flight when the work ends have been answered, or given up, so long after.
const LAST_CALLS: Duration = Duration::from_secs(3);

/// Runs a seed to its verdict.
pub(crate) fn run(seed: u64) -> Report {
    let mut running = match Running::start(seed) {
        Ok(running) => running,
        Err(why) => return Report::failed(seed, Violation::new("run", why)),
    };
    let stopped = running.drive().err();
    let mut report = running.judge();
    report.violations.extend(stopped.map(|why| Violation::new("run", why)));
    let complaints = logs::complaints();
    report.violations.extend(complaints.into_iter().map(|line| Violation::new("logs", line)));
    report
}

struct Running {
    seed: u64,
    world: World,
    cluster: Cluster,
    clients: Shared,
    faults: Faults,
    rests: Vec<Rest>,
    leader: Option<(Term, NodeId)>,
    leader_changes: u64,
    resting: Duration,
    /// What must not have happened.
    wrong: Vec<String>,
}

impl Running {
    fn start(seed: u64) -> Result<Running, String> {
        let mut random = Random::fork(seed, 0);
        let latency_us = *random.pick(&[(100, 3_000), (500, 10_000), (1_000, 30_000)]);
        let tick = Duration::from_millis(*random.pick(&TICKS_MS));
        let mut world = World::new(Random::fork(seed, 5), tick, latency_us);
        let cluster = Cluster::start(&mut world, seed)?;
        let (members, known) = (cluster.members().clone(), Arc::new(OnceLock::new()));
        let tell = Arc::clone(&known);
        world.boot(CLIENTS_HOST, "clients", |nic| async move {
            let _ = tell.set(Shared::new(members, nic, Instant::now()));
            std::future::pending().await
        });
        let ended = world.step();
        let clients = known.get().cloned().ok_or("the clients' host did not start")?;
        for id in 1..=CLIENTS {
            let client = Client::new(id, seed, clients.clone());
            world.spawn(CLIENTS_HOST, client.work(WORK));
        }
        let faults = Faults::new(seed, FIRST_FAULT);
        let wrong = ended.into_iter().map(|(id, how)| format!("replica {id}: {how:?}"));
        Ok(Running {
            seed,
            wrong: wrong.collect(),
            world,
            cluster,
            clients,
            faults,
            rests: Vec::new(),
            leader: None,
            leader_changes: 0,
            resting: Duration::ZERO,
        })
    }

    fn stage(&mut self) -> (&mut Faults, Stage<'_>) {
        let Running { world, cluster, clients, faults, .. } = self;
        (faults, Stage { world, cluster, clients })
    }

    fn drive(&mut self) -> Result<(), String> {
        // Every other run ends in the midst of its faults, so that connections which a cut has
        // stalled are still there afterwards.
        let calm = if self.seed.is_multiple_of(2) { WORK } else { CALM };
        while self.world.now() < calm {
            let (faults, mut stage) = self.stage();
            faults.step(&mut stage);
            self.step();
        }
        self.heal();
        if calm < WORK {
            self.work_until(LAST_POWER_CUT);
            self.cut_power();
            self.work_until(WORK);
            self.heal();
        }
        self.settle_members()?;
        self.rest("after the last fault", CLIENTS + 1)?;
        self.cut_power();
        self.heal();
        self.rest("after a power cut at rest", CLIENTS + 2)
    }

    fn heal(&mut self) {
        let (faults, mut stage) = self.stage();
        faults.heal(&mut stage);
    }

    fn cut_power(&mut self) {
        let (faults, mut stage) = self.stage();
        faults.cut_power(&mut stage);
    }

    fn work_until(&mut self, until: Duration) {
        while self.world.now() < until {
            self.step();
        }
    }

    /// Looking at how replicas stand takes longer than a tick of them.
    fn is_time_to_look(&self) -> bool {
        self.world.now().as_millis().is_multiple_of(LOOK_EVERY_MS)
    }

    /// Waits for the operator who is replacing a replica.
    fn settle_members(&mut self) -> Result<(), String> {
        let deadline = self.world.now() + REPLACED_WITHIN;
        while !self.faults.members_are_settled() {
            if self.world.now() > deadline {
                return Err("a replica could not be replaced".into());
            }
            self.step();
        }
        Ok(())
    }

    fn step(&mut self) {
        for (id, how) in self.world.step() {
            tracing::info!(host = id, ?how, "a program ended");
            self.wrong.extend(self.faults.ended(id, &how));
        }
        let (faults, mut stage) = self.stage();
        faults.step_members(&mut stage, false);
        if self.is_time_to_look()
            && let Some(leader) = self.cluster.leader()
            && self.leader.is_none_or(|known| known < leader)
        {
            self.leader = Some(leader);
            self.leader_changes += 1;
        }
    }

    /// Waits until a new registration is acknowledged and all replicas stand alike; `auditor`
    /// then reads everything at each of them.
    fn rest(&mut self, when: &str, auditor: u64) -> Result<(), String> {
        const WORKING: u8 = 0;
        let done = Arc::new(AtomicU8::new(WORKING));
        let begun = self.world.now();
        let client = Client::new(auditor, self.seed, self.clients.clone());
        let told = Arc::clone(&done);
        self.world.spawn(CLIENTS_HOST, async move {
            let well = client.audit(begun + REST_WITHIN, begun + REST_AT_LAST).await;
            told.store(if well { 1 } else { 2 }, Ordering::Relaxed);
        });
        let deadline = begun + REST_AT_LAST + LAST_CALLS;
        let failed = loop {
            self.step();
            if !self.is_time_to_look() {
                continue;
            }
            let now = self.world.now();
            let replicas = self.cluster.standings();
            let still =
                now > begun + LAST_CALLS && replicas.len() == self.cluster.members().all().len();
            match done.load(Ordering::Relaxed) {
                2 => break Some("the audit's calls were not answered"),
                1 if still && is_uniform(&replicas) => break None,
                _ if now > deadline => break Some("the replicas did not come to stand alike"),
                _ => {}
            }
        };
        let (at, replicas) = (self.world.now(), self.cluster.standings());
        self.resting += at - begun;
        let failed = failed.map(str::to_owned);
        self.rests.push(Rest { when: when.to_owned(), at, failed, replicas });
        Ok(())
    }

    fn judge(self) -> Report {
        let journals = match self.cluster.journals() {
            Ok(journals) => journals,
            Err(why) => return Report::failed(self.seed, Violation::new("run", why)),
        };
        let evidence = Evidence {
            operations: self.clients.take(),
            journals,
            rests: self.rests,
            clocks_quick_percent: CLOCKS_QUICK_PERCENT,
        };
        if let Ok(path) = std::env::var(HISTORY) {
            let lines: Vec<String> = evidence.operations.iter().map(Operation::line).collect();
            std::fs::write(path, lines.join("\n")).expect("the history's file can be written");
        }
        let judged = checks::all(&evidence);
        // Here a search that is cut short fails as well: a seed's histories are small.
        let mut violations = [judged.violations, judged.unknown].concat();
        violations.extend(self.wrong.into_iter().map(|why| Violation::new("run", why)));
        let mut counters = count(&evidence.operations);
        let faults = self.faults.counts();
        counters.insert("faults".into(), faults.values().sum());
        counters.extend(faults.iter().map(|(name, times)| (format!("fault: {name}"), *times)));
        counters.extend(self.faults.feats().iter().map(|(name, times)| ((*name).into(), *times)));
        counters.insert("silent brokers".into(), self.clients.silences());
        counters.insert("leader changes".into(), self.leader_changes);
        counters.insert("seconds until rest".into(), self.resting.as_secs());
        if let (Some(truth), _) = agreement::check(&evidence.journals) {
            counters.extend(count_entries(&truth));
            counters.insert("snapshots installed".into(), skips(&evidence, &truth));
        }
        Report { seed: self.seed, counters, violations, fingerprint: fingerprint(&evidence) }
    }
}

fn count(operations: &[Operation]) -> BTreeMap<String, u64> {
    let mut counters = BTreeMap::new();
    let mut add = |name: &str| *counters.entry(name.to_owned()).or_insert(0) += 1;
    for operation in operations {
        add("operations");
        match (&operation.call, &operation.outcome) {
            (_, Outcome::Unknown(_)) => add("unknown outcomes"),
            (_, Outcome::Refused(_)) => add("refused"),
            (Call::Write(_), Outcome::Answered(_)) => add("writes"),
            (Call::Heartbeat(_), Outcome::Answered(_)) => add("heartbeats"),
            (Call::Send(_), Outcome::Answered(_)) => add("sends"),
            (Call::Read(read), Outcome::Answered(answer)) => {
                match (read.linearizable, answer.at_follower) {
                    (true, true) => add("linearizable reads at followers"),
                    (true, false) => add("linearizable reads at leaders"),
                    (false, _) => add("local reads"),
                }
            }
        }
    }
    counters
}

fn count_entries(truth: &Truth) -> BTreeMap<String, u64> {
    let mut counters = BTreeMap::new();
    for (_, entry) in truth.entries() {
        *counters.entry("log entries".to_owned()).or_insert(0) += 1;
        if matches!(
            (&entry.command, &entry.outcome),
            (RouteCommand::Expire(_), RouteOutcome::Expired)
        ) {
            *counters.entry("expiries".to_owned()).or_insert(0) += 1;
        }
    }
    counters
}

/// How often a replica went over entries without applying them: it was sent a snapshot.
fn skips(evidence: &Evidence, truth: &Truth) -> u64 {
    let indices: Vec<u64> = truth.entries().map(|(index, _)| index).collect();
    let mut skips = 0;
    for journal in evidence.journals.values() {
        for pair in journal.windows(2) {
            let after = indices.partition_point(|index| *index <= pair[0].index);
            let next = indices.get(after).copied();
            skips += u64::from(next.is_some_and(|next| next < pair[1].index));
        }
    }
    skips
}

/// Of everything that clients saw, with its times (FNV-1a).
fn fingerprint(evidence: &Evidence) -> String {
    let mut hash: u64 = 0xCBF2_9CE4_8422_2325;
    for operation in &evidence.operations {
        for byte in operation.line().bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }
    format!("{hash:016x}")
}
