//! The verdict of a run: what was checked and found, and what was covered. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use signpost_namesrv::routes::command::RouteOutcome;
use signpost_raft::codec;

use crate::checks::{self, Evidence, Violation};
use crate::faults::kind::Kind;
use crate::faults::record::Record;
use crate::history::{Call, Operation, Outcome};
use crate::resources::{Growth, growth};
use crate::run::Run;
use crate::verdict::{Verdict, verdict};

/// A fault of the leader, and how long no write went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failover {
    /// What happened to the leader.
    pub kind: Kind,
    /// When.
    pub at: Duration,
    /// Until the first acknowledgement of a write that began after it.
    pub took: Duration,
}

/// What came of a run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judgement {
    /// In one word.
    pub verdict: Verdict,
    /// Promises that were broken.
    pub violations: Vec<Violation>,
    /// Why nothing can be said, if nothing can.
    pub doubts: Vec<Violation>,
    /// How often what happened.
    pub coverage: BTreeMap<&'static str, u64>,
    /// How long writes were not to be had after a fault of the leader.
    pub failovers: Vec<Failover>,
    /// Memory and descriptors, if the run was long enough to say.
    pub growth: Option<Growth>,
}

/// Judges a run.
#[must_use]
pub fn judge(run: &mut Run) -> Judgement {
    let evidence = Evidence {
        operations: std::mem::take(&mut run.operations),
        journals: std::mem::take(&mut run.journals),
        rests: std::mem::take(&mut run.rests),
    };
    let judged = checks::all(&evidence);
    let (mut violations, mut doubts) = (run.violations.clone(), judged.unknown);
    violations.extend(judged.violations);
    run.operations = evidence.operations;
    run.journals = evidence.journals;
    run.rests = evidence.rests;
    violations.extend(lost_messages(run));
    if run.forgotten > 0 {
        let text = format!("{} operations were too many to keep", run.forgotten);
        doubts.push(Violation::new("history", text));
    }
    if !run.operations.iter().any(|operation| operation.answer().is_some()) {
        doubts.push(Violation::new("history", "no operation was answered at all"));
    }
    let verdict = verdict(&violations, &doubts, &[]);
    let (coverage, failovers) = (coverage(run), failovers(&run.faults, &run.operations));
    let growth = growth(&run.used);
    Judgement { verdict, violations, doubts, coverage, failovers, growth }
}

/// Every acknowledged message is in the log of the broker that acknowledged it.
fn lost_messages(run: &Run) -> Vec<Violation> {
    let mut lost: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for operation in &run.operations {
        if let (Call::Send(message), Some(answer)) = (&operation.call, operation.answer()) {
            let broker = String::from_utf8_lossy(&answer.body).into_owned();
            let is_there = run.stored.get(&broker).is_some_and(|ids| ids.contains(&message.id));
            if !is_there {
                lost.entry(broker).or_default().push(&message.id);
            }
        }
    }
    let told = lost.into_iter().map(|(broker, ids)| {
        let text =
            format!("{} acknowledged messages are not in {broker}'s log: {ids:?}", ids.len());
        Violation::new("messages", text)
    });
    told.collect()
}

/// How often what happened: counted from journals, histories and looks, not from intentions.
fn coverage(run: &Run) -> BTreeMap<&'static str, u64> {
    let done: Vec<&Record> = run.faults.iter().filter(|record| !record.failed).collect();
    let count = |is: &dyn Fn(&Record) -> bool| done.iter().filter(|r| is(r)).count() as u64;
    // Another one led, in a later term, before the fault was over or soon after.
    let deposed = |record: &Record| {
        record.on_leader
            && run.stood.iter().any(|stood| {
                let (from, to) = (record.began, record.ended.unwrap_or(run.ended));
                stood.role == "leader"
                    && (from..to + Duration::from_secs(3)).contains(&stood.at)
                    && record.leader.is_some_and(|(term, _)| stood.term > term)
            })
    };
    let of = |kinds: &[Kind], record: &Record| kinds.contains(&record.kind);
    let calls = |is: &dyn Fn(&Operation) -> bool| {
        run.operations.iter().filter(|operation| is(operation)).count() as u64
    };
    let full = u64::from(run.rests.len() > 1);
    BTreeMap::from([
        ("faults", done.len() as u64),
        ("faults that could not be made", (run.faults.len() - done.len()) as u64),
        (
            "leader killed",
            count(&|r| {
                r.on_leader && of(&[Kind::KillLeader, Kind::KillMajority, Kind::RegisterStorm], r)
            }),
        ),
        (
            "leader paused past its election time",
            count(&|r| r.kind == Kind::PauseLeader && deposed(r)),
        ),
        (
            "leader in a minority",
            count(&|r| of(&[Kind::MinorityLeader, Kind::Split], r) && deposed(r)),
        ),
        (
            "one-way cuts",
            count(&|r| of(&[Kind::MuteLeader, Kind::DeafLeader, Kind::DeafFollower], r)),
        ),
        ("flapping", count(&|r| r.kind == Kind::Flapping)),
        ("snapshots installed on followers", snapshots_installed(run)),
        ("full restarts", full + count(&|r| r.kind == Kind::KillAll)),
        (
            "members replaced",
            count(&|r| of(&[Kind::ReplaceDead, Kind::ReplaceLeader, Kind::DiskDamaged], r)),
        ),
        ("expiries", expiries(run)),
        ("operations", run.operations.len() as u64),
        ("unknown outcomes", calls(&|o| matches!(o.outcome, Outcome::Unknown(_)))),
        (
            "linearizable reads at followers",
            calls(&|o| {
                o.read().is_some_and(|read| read.linearizable)
                    && o.answer().is_some_and(|answer| answer.at_follower)
            }),
        ),
        ("acknowledged writes", calls(&|o| o.write().is_some() && o.answer().is_some())),
        (
            "acknowledged messages",
            calls(&|o| matches!(o.call, Call::Send(_)) && o.answer().is_some()),
        ),
    ])
}

/// Indices with a command that a replica went past without applying it: they came in a snapshot.
fn snapshots_installed(run: &Run) -> u64 {
    let commands: BTreeSet<u64> =
        run.journals.values().flatten().map(|record| record.index).collect();
    let mut installed = 0;
    for journal in run.journals.values() {
        let own: BTreeSet<u64> = journal.iter().map(|record| record.index).collect();
        let Some(last) = own.last() else { continue };
        let mut missing = false;
        for index in commands.range(..=*last) {
            let lacks = !own.contains(index);
            installed += u64::from(lacks && !missing);
            missing = lacks;
        }
    }
    installed
}

fn expiries(run: &Run) -> u64 {
    let mut expired = BTreeSet::new();
    for record in run.journals.values().flatten() {
        let outcome = codec::decode::<RouteOutcome>(&record.outcome);
        if matches!(outcome, Ok(RouteOutcome::Expired)) {
            expired.insert(record.index);
        }
    }
    expired.len() as u64
}

/// What takes leadership away, and how long it took until the next write went through.
fn failovers(faults: &[Record], operations: &[Operation]) -> Vec<Failover> {
    const KINDS: [Kind; 7] = [
        Kind::KillLeader,
        Kind::PauseLeader,
        Kind::MinorityLeader,
        Kind::Split,
        Kind::MuteLeader,
        Kind::DeafLeader,
        Kind::RegisterStorm,
    ];
    let of_leader = faults.iter().filter(|r| r.on_leader && !r.failed && KINDS.contains(&r.kind));
    let first = of_leader.filter_map(|record| {
        let acknowledged = operations.iter().filter(|operation| {
            operation.began >= record.began
                && operation.write().is_some()
                && operation.answer().is_some()
        });
        let first = acknowledged.map(|operation| operation.ended).min()?;
        let took = first - record.began;
        Some(Failover { kind: record.kind, at: record.began, took })
    });
    first.collect()
}
