//! Claims 7 and 8, by the clients' clock.
//!
//! Never early: a sign of life (an acknowledged heartbeat or registration) that was made at s keeps
//! that registration until s + ttl. Against it stand an `expire` in the log that somebody saw applied
//! by then, and a linearizable list of brokers that lacks it.
//!
//! Nor late: while the cluster is steady a linearizable list shows no broker that has been silent for
//! longer than its ttl, two scans and a commit.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use signpost_client::types::BrokerList;
use signpost_namesrv::routes::command::{BrokerKey, ExpiryCause, RouteCommand, RouteOutcome};
use signpost_raft::machine::Index;

use super::Violation;
use super::truth::Truth;
use crate::history::{Call, Operation, Outcome, What};

const CHECK: &str = "leases";

/// When a silent broker must be gone.
#[derive(Debug, Clone)]
pub struct Lateness {
    /// Times with one leader that a quorum hears ([`crate::steady`]), and without the mass-expiry brake.
    pub steady: Vec<Range<Duration>>,
    /// Two scans and a commit.
    pub slack: Duration,
}

/// An acknowledged sign of life.
struct Sign<'a> {
    operation: &'a Operation,
    epoch: Index,
    until: Duration,
}

type Signs<'a> = BTreeMap<&'a BrokerKey, Vec<Sign<'a>>>;

/// Claim 7. With a [`Truth`] the log's expiries are judged, too. A leader's clock may be too quick by so
/// many percent: its leases are that much shorter.
#[must_use]
pub fn early(
    operations: &[Operation],
    truth: Option<&Truth>,
    quick_percent: u32,
) -> Vec<Violation> {
    let signs = signs(operations, quick_percent);
    let mut violations = truth.map(|truth| expired(truth, operations, &signs)).unwrap_or_default();
    let departures = departures(operations);
    for (read, list) in lists(operations) {
        for (key, signs) in &signs {
            if list.brokers.iter().any(|entry| is_of(key, entry)) {
                continue;
            }
            let left = departures.get(key).is_some_and(|since| *since <= read.ended);
            let held = signs.iter().filter(|sign| sign.operation.ended < read.began);
            if let Some(sign) = held.max_by_key(|sign| sign.until)
                && read.ended <= sign.until
                && !left
            {
                violations.push(told("it is missing", sign, read));
            }
        }
    }
    violations
}

/// What [`late`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Late {
    /// Brokers that were listed when they should have been gone.
    pub violations: Vec<Violation>,
    /// Silences that lasted until their broker had to be gone, and after which somebody looked.
    pub judged: u64,
}

/// What a broker last said, before a moment.
#[derive(Debug, Clone, Copy)]
struct Word {
    began: Duration,
    /// When it was over. One whose outcome is unknown may still be under way; so its broker is left
    /// alone.
    over: Duration,
    /// It said goodbye.
    left: bool,
}

/// Claim 8.
#[must_use]
pub fn late(operations: &[Operation], lateness: &Lateness) -> Late {
    // Of the last thing that a broker may have said, whatever came of it.
    let mut spoken: BTreeMap<&BrokerKey, Vec<Word>> = BTreeMap::new();
    let mut longest: BTreeMap<&BrokerKey, Duration> = BTreeMap::new();
    for operation in operations {
        let Some((key, left)) = speaker(operation) else { continue };
        let over = match operation.outcome {
            Outcome::Unknown(_) => Duration::MAX,
            _ => operation.ended,
        };
        spoken.entry(key).or_default().push(Word { began: operation.began, over, left });
        let ttl = longest.entry(key).or_default();
        *ttl = ttl_of(operation).map_or(*ttl, |new| new.max(*ttl));
    }
    let mut late = Late::default();
    let mut judged: BTreeSet<(&BrokerKey, Duration)> = BTreeSet::new();
    for (read, list) in lists(operations) {
        let within = |steady: &&Range<Duration>| {
            steady.contains(&read.began) && steady.contains(&read.ended)
        };
        let Some(steady) = lateness.steady.iter().find(within) else { continue };
        for (key, words) in &spoken {
            let heard = words.iter().filter(|word| word.began <= read.ended);
            let Some(last) = heard.max_by_key(|word| word.over) else { continue };
            let (silent_since, ttl) = (last.over, longest[key]);
            // A new leader gives every lease its full ttl again.
            let gone_by = silent_since.max(steady.start).saturating_add(ttl + lateness.slack);
            if ttl == Duration::ZERO || read.began <= gone_by {
                continue;
            }
            if !last.left {
                judged.insert((key, silent_since));
            }
            if list.brokers.iter().any(|entry| is_of(key, entry)) {
                let (cluster, name, id) = (&key.cluster, &key.name, key.id);
                let text = format!(
                    "{cluster}/{name}/{id} was silent since {silent_since:?}, should have gone by \
                     {gone_by:?}, and is listed:\n    {}",
                    read.line()
                );
                late.violations.push(Violation::new(CHECK, text));
            }
        }
    }
    late.judged = judged.len() as u64;
    late
}

/// How many acknowledged signs of life there are: each is a lease for [`early`] to judge.
#[must_use]
pub fn signs_of_life(operations: &[Operation]) -> u64 {
    signs(operations, 0).values().map(|signs| signs.len() as u64).sum()
}

fn signs(operations: &[Operation], quick_percent: u32) -> Signs<'_> {
    let mut signs = Signs::new();
    for operation in operations {
        let Some(answer) = operation.answer() else { continue };
        let (key, epoch) = match &operation.call {
            Call::Heartbeat(beat) => (&beat.key, beat.epoch),
            Call::Write(RouteCommand::Register(write)) => match answer.epoch {
                Some(epoch) => (&write.key, epoch),
                None => continue,
            },
            _ => continue,
        };
        let Some(ttl) = ttl_of(operation) else { continue };
        let until = operation.began + ttl * 100 / (100 + quick_percent);
        signs.entry(key).or_default().push(Sign { operation, epoch, until });
    }
    signs
}

fn ttl_of(operation: &Operation) -> Option<Duration> {
    let asked = match &operation.call {
        Call::Write(RouteCommand::Register(write)) => Some(write.lease_ttl_ms),
        _ => None,
    };
    let granted = operation.answer().and_then(|answer| answer.lease_ttl_ms);
    granted.or(asked).map(Duration::from_millis)
}

/// Who spoke, and whether it was a goodbye.
fn speaker(operation: &Operation) -> Option<(&BrokerKey, bool)> {
    match &operation.call {
        Call::Heartbeat(beat) => Some((&beat.key, false)),
        Call::Write(RouteCommand::Register(write)) => Some((&write.key, false)),
        Call::Write(RouteCommand::Patch(write)) => Some((&write.key, false)),
        Call::Write(RouteCommand::Unregister(write)) => Some((&write.key, true)),
        _ => None,
    }
}

/// From when on a broker may have left by its own or an operator's wish.
fn departures(operations: &[Operation]) -> BTreeMap<&BrokerKey, Duration> {
    let mut departures = BTreeMap::new();
    for operation in operations {
        if let Some(RouteCommand::Unregister(write)) = operation.write()
            && !matches!(operation.outcome, Outcome::Refused(_))
        {
            let since: &mut Duration = departures.entry(&write.key).or_insert(Duration::MAX);
            *since = operation.began.min(*since);
        }
    }
    departures
}

/// Expiries that somebody saw applied while a sign of life still held.
fn expired(truth: &Truth, operations: &[Operation], signs: &Signs<'_>) -> Vec<Violation> {
    // By index, and from the end: the earliest moment at which anybody was told so high an index.
    let mut told_at: Vec<(Index, &Operation)> = operations
        .iter()
        .filter(|operation| matches!(operation.call, Call::Write(_) | Call::Read(_)))
        .filter_map(|operation| Some((operation.answer()?.index, operation)))
        .collect();
    told_at.sort_by_key(|(index, _)| *index);
    let mut earliest: Vec<(Index, &Operation)> = Vec::new();
    for (index, operation) in told_at.into_iter().rev() {
        let known = earliest.last().map_or(operation, |(_, known)| *known);
        earliest.push((index, if operation.ended < known.ended { operation } else { known }));
    }
    earliest.reverse();

    let mut violations = Vec::new();
    for (index, entry) in truth.entries() {
        let RouteCommand::Expire(expire) = &entry.command else { continue };
        if entry.outcome != RouteOutcome::Expired || expire.cause == ExpiryCause::Closed {
            continue;
        }
        let place = earliest.partition_point(|(at, _)| *at < index);
        let Some((_, seen)) = earliest.get(place) else { continue };
        let held = signs.get(&expire.key).into_iter().flatten();
        if let Some(sign) =
            held.filter(|sign| sign.epoch == expire.epoch).max_by_key(|sign| sign.until)
            && seen.ended < sign.until
        {
            violations.push(told(&format!("it expired at index {index}, seen by"), sign, seen));
        }
    }
    violations
}

fn lists(operations: &[Operation]) -> impl Iterator<Item = (&Operation, BrokerList)> {
    operations.iter().filter_map(|operation| {
        let read = operation.read()?;
        let answer = operation.answer()?;
        let list = serde_json::from_slice(&answer.body).ok()?;
        (read.what == What::Brokers && read.linearizable).then_some((operation, list))
    })
}

fn is_of(key: &BrokerKey, entry: &signpost_client::types::BrokerEntry) -> bool {
    (&entry.cluster, &entry.name, entry.id) == (&key.cluster, &key.name, key.id)
}

fn told(what: &str, sign: &Sign<'_>, seen: &Operation) -> Violation {
    let text = format!(
        "a lease that holds until {:?} ended early: {what}\n    {}\n    {}",
        sign.until,
        sign.operation.line(),
        seen.line()
    );
    Violation::new(CHECK, text)
}
