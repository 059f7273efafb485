//! When the cluster was steady, as claim 8 means it: one leader, in contact with a quorum, that gave no
//! lease its full ttl anew. Pure, and careful: a moment that may not have been steady is left out.

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use signpost_raft::machine::{NodeId, Term};

use crate::faults::kind::Kind;
use crate::faults::record::Record;

/// How long a replica that was away may take to be one of the quorum again.
const RECOVERY: Duration = Duration::from_secs(3);

/// A time through which a replica said that it led one term, and counted no break of its run of
/// confirmed rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Led {
    /// Who.
    pub node: NodeId,
    /// In which term.
    pub term: Term,
    /// How often, by its own count, leases were granted anew for want of a quorum.
    pub rounds_missed: u64,
    /// When the first answer that said so had come.
    pub from: Duration,
    /// When the last one was asked for.
    pub until: Duration,
}

/// The steady times among these.
#[must_use]
pub fn steady(led: &[Led], faults: &[Record], ended: Duration) -> Vec<Range<Duration>> {
    let mut steady = Vec::new();
    for led in led.iter().filter(|led| led.from < led.until) {
        let mut left = vec![led.from..led.until];
        for disturbed in disturbed(led.node, faults, ended) {
            left = left.into_iter().flat_map(|whole| without(whole, &disturbed)).collect();
        }
        steady.extend(left);
    }
    steady.sort_by_key(|range| range.start);
    steady
}

/// Times at which this leader may have lacked a quorum.
fn disturbed(leader: NodeId, faults: &[Record], ended: Duration) -> Vec<Range<Duration>> {
    let span = |record: &Record| {
        record.began..record.ended.map_or(ended, |ended| ended + RECOVERY).max(record.began)
    };
    // One replica that is away leaves a quorum, if it is not the leader.
    let (harmless, others): (Vec<&Record>, Vec<&Record>) = faults
        .iter()
        .filter(|record| record.kind != Kind::BrokerChurn)
        .partition(|record| is_of_one_follower(record) && !record.nodes.contains(&leader));
    let mut disturbed: Vec<Range<Duration>> = others.into_iter().map(span).collect();
    for (at, one) in harmless.iter().enumerate() {
        for other in &harmless[at + 1..] {
            let (first, second) = (span(one), span(other));
            let both = first.start.max(second.start)..first.end.min(second.end);
            if one.nodes != other.nodes && both.start < both.end {
                disturbed.push(both);
            }
        }
    }
    disturbed
}

fn is_of_one_follower(record: &Record) -> bool {
    const KINDS: [Kind; 5] = [
        Kind::KillFollower,
        Kind::PauseFollower,
        Kind::IsolatedFollower,
        Kind::DeafFollower,
        Kind::Starve,
    ];
    KINDS.contains(&record.kind) && record.nodes.len() == 1 && !record.on_leader && !record.failed
}

fn without(whole: Range<Duration>, cut: &Range<Duration>) -> Vec<Range<Duration>> {
    if cut.end <= whole.start || whole.end <= cut.start {
        return vec![whole];
    }
    let parts = [whole.start..cut.start.max(whole.start), cut.end.min(whole.end)..whole.end];
    parts.into_iter().filter(|part| part.start < part.end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn led(node: NodeId, from: u64, until: u64) -> Led {
        Led { node, term: 1, rounds_missed: 0, from: s(from), until: s(until) }
    }

    fn fault(kind: Kind, nodes: &[NodeId], began: u64, ended: u64) -> Record {
        Record {
            kind,
            lane: kind.lane(),
            nodes: nodes.to_vec(),
            leader: None,
            began: s(began),
            ended: Some(s(ended)),
            note: String::new(),
            failed: false,
            on_leader: false,
        }
    }

    fn found(faults: &[Record]) -> Vec<Range<Duration>> {
        steady(&[led(1, 0, 30)], faults, s(30))
    }

    #[test]
    fn one_follower_may_be_away() {
        assert_eq!(found(&[]), [s(0)..s(30)]);
        assert_eq!(found(&[fault(Kind::KillFollower, &[2], 5, 6)]), [s(0)..s(30)]);
        assert_eq!(found(&[fault(Kind::BrokerChurn, &[], 5, 6)]), [s(0)..s(30)]);
    }

    #[test]
    fn whatever_may_cost_the_quorum_is_left_out_and_some_time_after_it() {
        assert_eq!(found(&[fault(Kind::Split, &[1], 5, 6)]), [s(0)..s(5), s(9)..s(30)]);
        let two = [fault(Kind::KillFollower, &[2], 5, 6), fault(Kind::KillFollower, &[3], 8, 10)];
        assert_eq!(found(&two), [s(0)..s(8), s(9)..s(30)], "3 dies before 2 is back for sure");
        // Who was meant for a follower may lead by now.
        assert_eq!(found(&[fault(Kind::PauseFollower, &[1], 5, 6)]), [s(0)..s(5), s(9)..s(30)]);
        let mut failed = fault(Kind::KillFollower, &[2], 5, 6);
        failed.failed = true;
        assert_eq!(found(&[failed]), [s(0)..s(5), s(9)..s(30)]);
        let mut going_on = fault(Kind::Ring, &[1, 2, 3], 20, 0);
        going_on.ended = None;
        assert_eq!(found(&[going_on]), [s(0)..s(20)]);
    }

    #[test]
    fn each_leader_is_judged_by_itself() {
        let both = [led(1, 0, 10), led(2, 12, 20), led(3, 21, 21)];
        let cut = [fault(Kind::KillFollower, &[2], 5, 14)];
        assert_eq!(steady(&both, &cut, s(30)), [s(0)..s(10), s(17)..s(20)]);
    }
}
