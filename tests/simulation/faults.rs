//! What goes wrong in a run: one fault after the other, of every kind, at times and on replicas
//! that the seed chooses.

use std::collections::BTreeMap;
use std::time::Duration;

use signpost_raft::disk::simulated::Loss;
use signpost_raft::machine::NodeId;
use turmoil::Sim;

use crate::cluster::{Cluster, NODES, host};
use crate::random::Random;

/// A kind of fault. "The leader" is any replica while nobody leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The leader crashes.
    LeaderKilled,
    /// A follower crashes.
    FollowerKilled,
    /// The leader and a follower crash at once.
    MajorityKilled,
    /// All crash at once, and what was not synchronised is lost.
    PowerCut,
    /// No replica reaches the leader, nor it them; clients reach all.
    LeaderIsolated,
    /// The same for a follower.
    FollowerIsolated,
    /// What the leader sends to its peers is lost.
    LeaderMute,
    /// What its peers send to the leader is lost.
    LeaderDeaf,
    /// Leader and one follower do not reach each other; the other one reaches both.
    LinkCut,
    /// What leader and peers send to each other arrives, but only when the fault ends.
    LeaderHeld,
    /// A replica's syncs take long.
    SlowDisk,
}

impl Fault {
    const ALL: [Fault; 11] = [
        Fault::LeaderKilled,
        Fault::FollowerKilled,
        Fault::MajorityKilled,
        Fault::PowerCut,
        Fault::LeaderIsolated,
        Fault::FollowerIsolated,
        Fault::LeaderMute,
        Fault::LeaderDeaf,
        Fault::LinkCut,
        Fault::LeaderHeld,
        Fault::SlowDisk,
    ];

    fn name(self) -> &'static str {
        match self {
            Fault::LeaderKilled => "leader killed",
            Fault::FollowerKilled => "follower killed",
            Fault::MajorityKilled => "majority killed",
            Fault::PowerCut => "power cut",
            Fault::LeaderIsolated => "leader isolated",
            Fault::FollowerIsolated => "follower isolated",
            Fault::LeaderMute => "leader mute",
            Fault::LeaderDeaf => "leader deaf",
            Fault::LinkCut => "link cut",
            Fault::LeaderHeld => "leader held",
            Fault::SlowDisk => "slow disk",
        }
    }
}

/// How a fault ends.
enum Undo {
    Start(Vec<NodeId>),
    Repair(Vec<(NodeId, NodeId)>),
    Release(Vec<(NodeId, NodeId)>),
    Quicken(NodeId),
}

/// The faults of a run.
pub(crate) struct Faults {
    random: Random,
    /// Kinds still to come before any comes again.
    deck: Vec<Fault>,
    next: Duration,
    active: Option<(Duration, Undo)>,
    counts: BTreeMap<&'static str, u64>,
}

impl Faults {
    pub(crate) fn new(seed: u64, first: Duration) -> Faults {
        let random = Random::fork(seed, 2);
        Faults { random, deck: Vec::new(), next: first, active: None, counts: BTreeMap::new() }
    }

    /// How many there were, by kind.
    pub(crate) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// Begins and ends what is due.
    pub(crate) fn step(&mut self, sim: &mut Sim<'static>, cluster: &Cluster) {
        let now = sim.elapsed();
        if self.active.as_ref().is_some_and(|(until, _)| *until <= now) {
            self.heal(sim, cluster);
            // Short enough, at times, to strike again before the cluster has recovered.
            self.next = now + self.random.millis(50, 1_200);
        }
        if self.active.is_none() && self.next <= now {
            let fault = self.draw();
            self.strike(fault, sim, cluster);
        }
    }

    /// Cuts the power of all, until [`Faults::heal`] or some steps later.
    pub(crate) fn cut_power(&mut self, sim: &mut Sim<'static>, cluster: &Cluster) {
        self.strike(Fault::PowerCut, sim, cluster);
    }

    fn strike(&mut self, fault: Fault, sim: &mut Sim<'static>, cluster: &Cluster) {
        let undo = self.begin(fault, sim, cluster);
        *self.counts.entry(fault.name()).or_default() += 1;
        self.active = Some((sim.elapsed() + self.random.millis(50, 1_500), undo));
        tracing::info!(fault = fault.name(), "fault begins");
    }

    /// Ends the fault that there is, if there is one.
    pub(crate) fn heal(&mut self, sim: &mut Sim<'static>, cluster: &Cluster) {
        let Some((_, undo)) = self.active.take() else { return };
        match undo {
            Undo::Start(nodes) => nodes.into_iter().for_each(|node| cluster.restart(sim, node)),
            Undo::Repair(links) => {
                links.into_iter().for_each(|(a, b)| sim.repair(host(a), host(b)))
            }
            Undo::Release(links) => {
                links.into_iter().for_each(|(a, b)| sim.release(host(a), host(b)));
            }
            Undo::Quicken(node) => cluster.slow_disk(node, None),
        }
        tracing::info!("fault ends");
    }

    fn draw(&mut self) -> Fault {
        if self.deck.is_empty() {
            self.deck.extend(Fault::ALL);
            self.deck.extend([Fault::LeaderKilled, Fault::LeaderIsolated]);
            self.random.shuffle(&mut self.deck);
        }
        self.deck.pop().expect("just filled")
    }

    fn begin(&mut self, fault: Fault, sim: &mut Sim<'static>, cluster: &Cluster) -> Undo {
        let mut nodes: Vec<NodeId> = NODES.collect();
        self.random.shuffle(&mut nodes);
        let leader = cluster.leader().map_or(nodes[0], |(_, leader)| leader);
        nodes.retain(|node| *node != leader);
        let [follower, other] = nodes[..] else { unreachable!("three replicas, one leads") };
        let away = vec![(leader, follower), (leader, other)];
        match fault {
            Fault::LeaderKilled => self.kill(sim, cluster, vec![leader]),
            Fault::FollowerKilled => self.kill(sim, cluster, vec![follower]),
            Fault::MajorityKilled => self.kill(sim, cluster, vec![leader, follower]),
            Fault::PowerCut => {
                let all: Vec<NodeId> = NODES.collect();
                all.iter().for_each(|node| cluster.crash(sim, *node, Loss::Lost));
                Undo::Start(all)
            }
            Fault::LeaderIsolated => cut(sim, away),
            Fault::FollowerIsolated => cut(sim, vec![(follower, leader), (follower, other)]),
            Fault::LeaderMute => {
                away.iter().for_each(|(a, b)| sim.partition_oneway(host(*a), host(*b)));
                Undo::Repair(away)
            }
            Fault::LeaderDeaf => {
                away.iter().for_each(|(a, b)| sim.partition_oneway(host(*b), host(*a)));
                Undo::Repair(away)
            }
            Fault::LinkCut => cut(sim, vec![(leader, follower)]),
            Fault::LeaderHeld => {
                away.iter().for_each(|(a, b)| sim.hold(host(*a), host(*b)));
                Undo::Release(away)
            }
            Fault::SlowDisk => {
                let node = *self.random.pick(&[leader, follower]);
                let latency = Duration::from_millis(50)..=Duration::from_millis(400);
                cluster.slow_disk(node, Some(latency));
                Undo::Quicken(node)
            }
        }
    }

    fn kill(&mut self, sim: &mut Sim<'static>, cluster: &Cluster, nodes: Vec<NodeId>) -> Undo {
        for node in &nodes {
            // Those that keep what a disk promises: a prefix of what was written.
            let loss = *self.random.pick(&[Loss::Lost, Loss::Kept, Loss::Prefix]);
            cluster.crash(sim, *node, loss);
        }
        Undo::Start(nodes)
    }
}

fn cut(sim: &Sim<'static>, links: Vec<(NodeId, NodeId)>) -> Undo {
    links.iter().for_each(|(a, b)| sim.partition(host(*a), host(*b)));
    Undo::Repair(links)
}
