//! How often what happened in a run: counted from journals, histories and looks, not from intentions.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use signpost_namesrv::routes::command::RouteOutcome;
use signpost_raft::codec;

use crate::faults::kind::Kind;
use crate::faults::record::Record;
use crate::history::{Call, Operation, Outcome};
use crate::run::Run;

/// A fault of the leader, and how long no write went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failover {
    /// What happened to the leader.
    pub kind: Kind,
    /// When.
    pub at: Duration,
    /// Until the first acknowledgement of a write that began after it.
    pub took: Duration,
}

/// How often what happened, by name.
#[must_use]
pub fn count(run: &Run) -> BTreeMap<String, u64> {
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
    let counts = [
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
        ("registrations that the fleet lost", run.fleet_lost),
    ];
    let mut counts: BTreeMap<String, u64> =
        counts.into_iter().map(|(what, count)| (what.to_owned(), count)).collect();
    for record in done {
        *counts.entry(format!("fault: {}", record.kind)).or_default() += 1;
    }
    counts
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
#[must_use]
pub fn failovers(faults: &[Record], operations: &[Operation]) -> Vec<Failover> {
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
