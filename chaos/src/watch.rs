//! How the replicas stand, looked at ten times a second: who leads, who answers, and whether equal
//! indices have equal digests. Of a leader also, twice a second, whether its leases ran on unbroken.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use signpost_client::types::ClusterStatus;
use signpost_raft::machine::{Index, NodeId, Term};
use tokio::task::JoinSet;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::ask;
use crate::checks::Violation;
use crate::steady::Led;
use crate::workload::client::Replicas;
use crate::workload::told::Told;

/// Between two looks at a replica.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// One that takes longer to say how it stands counts as silent.
const PATIENCE: Duration = Duration::from_millis(400);
/// Between two looks at the metrics of a leader.
const LED_INTERVAL: Duration = Duration::from_millis(500);
/// What somebody said longer ago is no news.
const FRESH: Duration = Duration::from_millis(600);
/// The role of a replica that was replaced or removed.
pub const GONE: &str = "gone";
/// So many indices are remembered with their digests.
const DIGESTS_MAX: usize = 100_000;

/// A moment from which on a replica stood so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stood {
    /// Since the run began: when the look began.
    pub at: Duration,
    /// Which replica.
    pub node: NodeId,
    /// What it said that it was; `silent` when it said nothing, `gone` when it is there no more.
    pub role: String,
    /// Its term.
    pub term: Term,
}

/// What was seen so far.
#[derive(Debug, Default)]
struct Seen {
    stood: Vec<Stood>,
    latest: BTreeMap<NodeId, (Duration, Option<ClusterStatus>)>,
    digests: BTreeMap<Index, (String, NodeId)>,
    compared: u64,
    led: Vec<Led>,
    violations: Vec<Violation>,
}

/// The looks of a run. Clones share them.
#[derive(Clone)]
pub struct Watch {
    replicas: Arc<dyn Replicas>,
    told: Told,
    seen: Arc<Mutex<Seen>>,
}

impl Watch {
    /// Nothing was looked at yet.
    #[must_use]
    pub fn new(replicas: Arc<dyn Replicas>, told: Told) -> Watch {
        Watch { replicas, told, seen: Arc::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks until it is stopped.
    pub async fn run(self, stop: CancellationToken) {
        let mut ticks = interval(LOOK_INTERVAL);
        let mut looking: JoinSet<NodeId> = JoinSet::new();
        let mut busy = Vec::new();
        while !stop.is_cancelled() {
            ticks.tick().await;
            while let Some(done) = looking.try_join_next() {
                busy.retain(|node| Some(node) != done.as_ref().ok());
            }
            let replicas = self.replicas.replicas();
            self.seen().leave(self.told.now(), |node| replicas.iter().all(|(id, _)| *id != node));
            for (node, address) in replicas {
                if !busy.contains(&node) {
                    busy.push(node);
                    looking.spawn(self.clone().look(node, address));
                }
            }
        }
    }

    async fn look(self, node: NodeId, address: SocketAddr) -> NodeId {
        let at = self.told.now();
        let status = ask::status(address, PATIENCE).await.ok();
        let leads = status.as_ref().is_some_and(|said| said.role == "leader");
        self.seen().note(node, at, status);
        if leads && self.seen().is_led_due(node, self.told.now()) {
            self.look_at_leader(node, address).await;
        }
        node
    }

    async fn look_at_leader(&self, node: NodeId, address: SocketAddr) {
        let asked = self.told.now();
        let Ok(metrics) = ask::metrics(address, PATIENCE).await else { return };
        let of = |name| ask::metric(&metrics, name);
        if let (Some(1), Some(term), Some(rounds_missed)) =
            (of("signpost_is_leader"), of("signpost_raft_term"), of("signpost_rounds_missed_total"))
        {
            let from = self.told.now();
            self.seen().note_leader(Led { node, term, rounds_missed, from, until: asked });
        }
    }

    /// The latest words of each replica, but those that are old.
    #[must_use]
    pub fn statuses(&self) -> BTreeMap<NodeId, Option<ClusterStatus>> {
        let now = self.told.now();
        let fresh = |at: Duration| now.saturating_sub(at) < FRESH;
        let seen = self.seen();
        let latest = seen.latest.iter();
        latest.map(|(id, (at, said))| (*id, said.clone().filter(|_| fresh(*at)))).collect()
    }

    /// How the replicas stood from when on, in the order of time.
    #[must_use]
    pub fn stood(&self) -> Vec<Stood> {
        let mut stood = self.seen().stood.clone();
        stood.sort_by_key(|stood| stood.at);
        stood
    }

    /// Who led from when until when, and whose leases ran on unbroken.
    #[must_use]
    pub fn led(&self) -> Vec<Led> {
        self.seen().led.clone()
    }

    /// How often two answers at one index were compared.
    #[must_use]
    pub fn compared(&self) -> u64 {
        self.seen().compared
    }

    /// Equal indices with different digests.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.seen().violations.clone()
    }
}

impl Seen {
    fn note(&mut self, node: NodeId, at: Duration, status: Option<ClusterStatus>) {
        let (role, term) =
            status.as_ref().map_or(("silent", 0), |said| (said.role.as_str(), said.term));
        let last = self.stood.iter().rev().find(|stood| stood.node == node);
        if last.is_none_or(|last| (last.role.as_str(), last.term) != (role, term)) {
            self.stood.push(Stood { at, node, role: role.to_owned(), term });
        }
        if let Some(said) = &status {
            self.compare(node, said);
        }
        self.latest.insert(node, (at, status));
    }

    /// Nobody looks any more at one that is gone: how it stood last would seem to last.
    fn leave(&mut self, at: Duration, is_gone: impl Fn(NodeId) -> bool) {
        let latest: BTreeMap<NodeId, &str> =
            self.stood.iter().map(|stood| (stood.node, stood.role.as_str())).collect();
        let left = latest.into_iter().filter(|(node, role)| *role != GONE && is_gone(*node));
        let left: Vec<NodeId> = left.map(|(node, _)| node).collect();
        let role = || GONE.to_owned();
        self.stood.extend(left.into_iter().map(|node| Stood { at, node, role: role(), term: 0 }));
    }

    fn is_led_due(&self, node: NodeId, now: Duration) -> bool {
        let last = self.led.iter().rev().find(|led| led.node == node);
        last.is_none_or(|last| now >= last.from.max(last.until) + LED_INTERVAL)
    }

    /// The same as before goes on; anything else begins anew.
    fn note_leader(&mut self, now: Led) {
        let last = self.led.iter_mut().rev().find(|led| led.node == now.node);
        match last {
            Some(last) if (last.term, last.rounds_missed) == (now.term, now.rounds_missed) => {
                last.until = last.until.max(now.until);
            }
            _ => self.led.push(now),
        }
    }

    /// Claim 9, as it can be seen from outside.
    fn compare(&mut self, node: NodeId, said: &ClusterStatus) {
        if said.applied == 0 {
            return;
        }
        match self.digests.get(&said.applied) {
            None => {
                if self.digests.len() >= DIGESTS_MAX {
                    self.digests.pop_first();
                }
                self.digests.insert(said.applied, (said.digest.clone(), node));
            }
            Some((digest, other)) if *digest == said.digest => {
                self.compared += u64::from(*other != node);
            }
            Some((digest, other)) => {
                let text = format!(
                    "at index {} replica {other} has the digest {digest}, and replica {node} {}",
                    said.applied, said.digest
                );
                self.violations.push(Violation::new("digests", text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(role: &str, term: Term, applied: Index, digest: &str) -> Option<ClusterStatus> {
        let (role, digest) = (role.to_owned(), digest.to_owned());
        Some(ClusterStatus { role, term, applied, digest, ..ClusterStatus::default() })
    }

    #[test]
    fn only_changes_are_kept_and_different_digests_are_told() {
        let mut seen = Seen::default();
        let at = Duration::from_millis;
        seen.note(1, at(0), said("leader", 1, 5, "a"));
        seen.note(1, at(100), said("leader", 1, 6, "b"));
        seen.note(2, at(100), said("follower", 1, 5, "a"));
        seen.note(1, at(200), None);
        let roles: Vec<&str> = seen.stood.iter().map(|stood| stood.role.as_str()).collect();
        assert_eq!(roles, ["leader", "follower", "silent"]);
        assert!(seen.violations.is_empty());
        seen.note(2, at(300), said("follower", 1, 6, "c"));
        assert_eq!(seen.violations.len(), 1);
    }

    #[test]
    fn who_is_gone_stands_so_once_and_may_come_back() {
        let mut seen = Seen::default();
        let at = Duration::from_millis;
        seen.note(1, at(0), said("leader", 1, 5, "a"));
        seen.note(2, at(0), said("follower", 1, 5, "a"));
        for look in 1..4 {
            seen.leave(at(look), |node| node == 1);
        }
        seen.note(1, at(9), said("follower", 2, 5, "a"));
        let of_one = seen.stood.iter().filter(|stood| stood.node == 1);
        let of_one: Vec<_> = of_one.map(|stood| (stood.at, stood.role.as_str())).collect();
        assert_eq!(of_one, [(at(0), "leader"), (at(1), GONE), (at(9), "follower")]);
        assert_eq!(seen.stood.iter().filter(|stood| stood.node == 2).count(), 1);
    }

    #[test]
    fn a_leader_leads_on_until_its_term_or_its_count_changes() {
        let mut seen = Seen::default();
        let at = Duration::from_millis;
        let led = |node, term, rounds_missed, asked| Led {
            node,
            term,
            rounds_missed,
            from: at(asked + 5),
            until: at(asked),
        };
        assert!(seen.is_led_due(1, at(0)));
        seen.note_leader(led(1, 1, 0, 0));
        assert!(!seen.is_led_due(1, at(400)));
        seen.note_leader(led(1, 1, 0, 600));
        seen.note_leader(led(1, 1, 1, 1_200));
        seen.note_leader(led(1, 1, 1, 1_800));
        seen.note_leader(led(2, 2, 0, 2_000));
        let spans: Vec<_> = seen.led.iter().map(|led| (led.node, led.from..led.until)).collect();
        assert_eq!(
            spans,
            [(1, at(5)..at(600)), (1, at(1_205)..at(1_800)), (2, at(2_005)..at(2_000))]
        );
    }
}
