//! One seed: builds the cluster, lets clients and faults loose on it for 30 virtual seconds, heals it,
//! cuts the power of all, and judges.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use signpost_namesrv::routes::command::{RouteCommand, RouteOutcome};
use signpost_raft::machine::{NodeId, Term};
use turmoil::Sim;

use crate::cluster::{Cluster, ELECTION_MAX, NODES};
use crate::faults::Faults;
use crate::logs;
use crate::random::Random;
use crate::report::Report;
use crate::workload::{Client, History};
use signpost_chaos::checks::convergence::{Rest, is_uniform};
use signpost_chaos::checks::truth::Truth;
use signpost_chaos::checks::{self, Evidence, Violation, agreement};
use signpost_chaos::history::{Call, Operation, Outcome};

const CLIENTS: u64 = 5;

/// A file to write the history of a seed to.
const HISTORY: &str = "SIGNPOST_HISTORY";

/// How long clients work and faults strike.
const WORK: Duration = Duration::from_secs(30);

/// The founding is over by then, mostly.
const FIRST_FAULT: Duration = Duration::from_millis(1_500);

/// From here on nothing else goes wrong, so that all replicas are at work when their power is cut.
const CALM: Duration = Duration::from_millis(28_000);
const LAST_POWER_CUT: Duration = Duration::from_millis(29_000);

/// Claim 10: ten election times after the last fault all is well.
const REST_WITHIN: Duration = ELECTION_MAX.saturating_mul(10);

/// And so long after, all replicas stand alike and answer linearizable reads. Far longer, because a
/// segment that a partition swallows stalls its connection for ever here (see `network.rs`), and is
/// waited for as long as the peers' deadlines say: a follower's calls for 1.5 s of silence, a
/// snapshot's chunk for 10 s, its installation for 60 s. Each run counts how long it really took.
const REST_AT_LAST: Duration = Duration::from_secs(75);

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
    sim: Sim<'static>,
    cluster: Cluster,
    faults: Faults,
    history: History,
    rests: Vec<Rest>,
    leader: Option<(Term, NodeId)>,
    leader_changes: u64,
    resting: Duration,
}

impl Running {
    fn start(seed: u64) -> Result<Running, String> {
        let mut random = Random::fork(seed, 0);
        let latency_ms = *random.pick(&[3, 10, 30]);
        let mut sim = turmoil::Builder::new()
            .simulation_duration(Duration::from_secs(3_600))
            .tick_duration(Duration::from_millis(1))
            .min_message_latency(Duration::ZERO)
            .max_message_latency(Duration::from_millis(latency_ms))
            .tcp_capacity(4_096)
            .enable_random_order()
            .rng_seed(random.next())
            .build();
        let cluster = Cluster::start(&mut sim, seed)?;
        let history = History::default();
        for id in 1..=CLIENTS {
            let client = Client::new(id, seed, history.clone());
            sim.client(format!("client-{id}"), async move {
                client.work(WORK).await;
                Ok(())
            });
        }
        let faults = Faults::new(seed, FIRST_FAULT);
        Ok(Running {
            seed,
            sim,
            cluster,
            faults,
            history,
            rests: Vec::new(),
            leader: None,
            leader_changes: 0,
            resting: Duration::ZERO,
        })
    }

    fn drive(&mut self) -> Result<(), String> {
        // Every other run ends in the midst of its faults, so that connections which a partition has
        // stalled are still there afterwards.
        let calm = if self.seed.is_multiple_of(2) { WORK } else { CALM };
        while self.sim.elapsed() < calm {
            self.faults.step(&mut self.sim, &self.cluster);
            self.step()?;
        }
        self.faults.heal(&mut self.sim, &self.cluster);
        if calm < WORK {
            self.work_until(LAST_POWER_CUT)?;
            self.faults.cut_power(&mut self.sim, &self.cluster);
            self.work_until(WORK)?;
            self.faults.heal(&mut self.sim, &self.cluster);
        }
        self.rest("after the last fault", CLIENTS + 1)?;
        self.faults.cut_power(&mut self.sim, &self.cluster);
        self.faults.heal(&mut self.sim, &self.cluster);
        self.rest("after a power cut at rest", CLIENTS + 2)
    }

    fn work_until(&mut self, until: Duration) -> Result<(), String> {
        while self.sim.elapsed() < until {
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        self.sim.step().map_err(|error| error.to_string())?;
        if let Some(leader) = self.cluster.leader()
            && self.leader.is_none_or(|known| known < leader)
        {
            self.leader = Some(leader);
            self.leader_changes += 1;
        }
        Ok(())
    }

    /// Waits until a new registration is acknowledged and all replicas stand alike; `auditor`
    /// then reads everything at each of them.
    fn rest(&mut self, when: &str, auditor: u64) -> Result<(), String> {
        const WORKING: u8 = 0;
        let done = Arc::new(AtomicU8::new(WORKING));
        let begun = self.sim.elapsed();
        let client = Client::new(auditor, self.seed, self.history.clone());
        let told = Arc::clone(&done);
        self.sim.client(format!("client-{auditor}"), async move {
            let well = client.audit(begun + REST_WITHIN, begun + REST_AT_LAST).await;
            told.store(if well { 1 } else { 2 }, Ordering::Relaxed);
            Ok(())
        });
        let deadline = begun + REST_AT_LAST + LAST_CALLS;
        let failed = loop {
            self.step()?;
            let now = self.sim.elapsed();
            let replicas = self.cluster.standings();
            let still = now > begun + LAST_CALLS && replicas.len() == NODES.count();
            match done.load(Ordering::Relaxed) {
                2 => break Some("the audit's calls were not answered"),
                1 if still && is_uniform(&replicas) => break None,
                _ if now > deadline => break Some("the replicas did not come to stand alike"),
                _ => {}
            }
        };
        let (at, replicas) = (self.sim.elapsed(), self.cluster.standings());
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
        let evidence = Evidence { operations: self.history.take(), journals, rests: self.rests };
        if let Ok(path) = std::env::var(HISTORY) {
            let lines: Vec<String> = evidence.operations.iter().map(Operation::line).collect();
            std::fs::write(path, lines.join("\n")).expect("the history's file can be written");
        }
        let judged = checks::all(&evidence);
        // Here a search that is cut short fails as well: a seed's histories are small.
        let violations = [judged.violations, judged.unknown].concat();
        let mut counters = count(&evidence.operations);
        let faults = self.faults.counts();
        counters.insert("faults".into(), faults.values().sum());
        counters.extend(faults.iter().map(|(name, times)| (format!("fault: {name}"), *times)));
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
