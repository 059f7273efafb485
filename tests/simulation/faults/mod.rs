//! What goes wrong in a run, at times and on replicas that the seed chooses. Three things go on side by
//! side: one fault of the cluster after the other, one clock that is wrong after the other, and a
//! change of members.
//!
//! | file | holds |
//! | --- | --- |
//! | [`kind`] | the kinds of faults of the cluster |
//! | [`clocks`] | clocks that are quick, slow, or jump |
//! | [`members`] | a replica is lost, or sent away, and another takes its place |

mod clocks;
mod kind;
mod members;

use std::collections::BTreeMap;
use std::time::Duration;

use signpost_raft::disk::Disk as _;
use signpost_raft::disk::simulated::Loss;
use signpost_raft::machine::{NodeId, Term};

use self::clocks::Clocks;
pub(crate) use self::clocks::QUICK_PERCENT as CLOCKS_QUICK_PERCENT;
use self::kind::Kind;
use self::members::Replacement;
use crate::cluster::Cluster;
use crate::operator;
use crate::run::CLIENTS_HOST;
use crate::workload::Shared;
use crate::world::net::{HostId, Link};
use crate::world::{Death, Ended, World};
use signpost_chaos::random::Random;

/// Between two faults; short enough, at times, to strike again before the cluster has recovered.
const GAP_MS: (u64, u64) = (50, 1_200);

/// How long a flapping link stays as it is.
const FLAP_MS: (u64, u64) = (100, 500);

/// How long a graceful stop may take before it is cut short.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// Between two replicas of a rolling restart.
const ROLL_MS: (u64, u64) = (0, 500);

/// What faults happen to.
pub(crate) struct Stage<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) cluster: &'a mut Cluster,
    pub(crate) clients: &'a Shared,
}

/// What ends a fault.
enum Undo {
    Nothing,
    Start(Vec<NodeId>),
    Thaw(Vec<NodeId>),
    Mend,
    Heal(NodeId, Loss),
}

/// What a fault does while it lasts.
enum Course {
    Holds,
    /// These links are cut and mended in turn.
    Flaps {
        links: Vec<(HostId, HostId)>,
        cut: bool,
        next: Duration,
    },
    /// These are still to be restarted; one of them is stopping since.
    Rolls {
        left: Vec<NodeId>,
        stopping: Option<(NodeId, Duration)>,
        next: Duration,
    },
}

struct Active {
    kind: Kind,
    until: Duration,
    course: Course,
    undo: Undo,
    /// Whom it struck as a leader, in which term.
    leader: Option<(Term, NodeId)>,
}

/// The faults of a run.
pub(crate) struct Faults {
    random: Random,
    /// Kinds still to come before any comes again.
    deck: Vec<Kind>,
    next: Duration,
    active: Option<Active>,
    clocks: Clocks,
    replacement: Replacement,
    counts: BTreeMap<&'static str, u64>,
    /// What a fault came to, which its kind alone does not say.
    feats: BTreeMap<&'static str, u64>,
}

impl Faults {
    pub(crate) fn new(seed: u64, first: Duration) -> Faults {
        Faults {
            random: Random::fork(seed, 2),
            deck: Vec::new(),
            next: first,
            active: None,
            clocks: Clocks::new(Random::fork(seed, 3), first),
            replacement: Replacement::new(Random::fork(seed, 4)),
            counts: BTreeMap::new(),
            feats: BTreeMap::new(),
        }
    }

    /// How many there were, by kind.
    pub(crate) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// What they came to.
    pub(crate) fn feats(&self) -> &BTreeMap<&'static str, u64> {
        &self.feats
    }

    /// Begins and ends what is due.
    pub(crate) fn step(&mut self, stage: &mut Stage<'_>) {
        let now = stage.world.now();
        self.go_on(stage);
        if self.active.as_ref().is_some_and(|active| active.until <= now) {
            self.end(stage);
        }
        if self.active.is_none() && self.next <= now {
            let kind = self.draw();
            self.strike(kind, stage);
        }
        if let Some(name) = self.clocks.step(stage) {
            *self.counts.entry(name).or_default() += 1;
        }
        self.step_members(stage, true);
    }

    /// Goes on with the change of members that is under way, and begins one if that is due and wanted.
    pub(crate) fn step_members(&mut self, stage: &mut Stage<'_>, may_begin: bool) {
        let told = self.replacement.step(stage, may_begin);
        if let Some(name) = told.began {
            *self.counts.entry(name).or_default() += 1;
        }
        if let Some(name) = told.done {
            *self.feats.entry(name).or_default() += 1;
        }
    }

    /// Whether no change of members is under way.
    pub(crate) fn members_are_settled(&self) -> bool {
        !self.replacement.is_under_way()
    }

    /// A replica's program ended by itself. Answers what is wrong with that, if anything.
    pub(crate) fn ended(&mut self, id: NodeId, how: &Ended) -> Option<String> {
        match how {
            Ok(()) => None,
            Err(_) if crate::logs::is_excused(id) => None,
            Err(why) => Some(format!("replica {id} ended: {why}")),
        }
    }

    /// Cuts the power of all, until [`Faults::heal`].
    pub(crate) fn cut_power(&mut self, stage: &mut Stage<'_>) {
        self.end(stage);
        self.strike(Kind::PowerCut, stage);
    }

    /// Ends the faults that there are, but for a change of members.
    pub(crate) fn heal(&mut self, stage: &mut Stage<'_>) {
        self.end(stage);
        self.clocks.heal(stage);
    }

    fn draw(&mut self) -> Kind {
        if self.deck.is_empty() {
            self.deck.extend(Kind::ALL);
            self.deck.extend([Kind::LeaderKilled, Kind::LeaderIsolated, Kind::LeaderPaused]);
            self.random.shuffle(&mut self.deck);
        }
        self.deck.pop().expect("just filled")
    }

    fn strike(&mut self, kind: Kind, stage: &mut Stage<'_>) {
        let now = stage.world.now();
        let leader = stage.cluster.leader();
        let (course, undo) = self.begin(kind, leader, stage);
        let (from, to) = kind.holds_ms();
        let until = now + self.random.millis(from, to);
        *self.counts.entry(kind.name()).or_default() += 1;
        self.active = Some(Active { kind, until, course, undo, leader });
        tracing::info!(fault = kind.name(), ?leader, "fault begins");
    }

    /// Ends the fault that there is, if there is one.
    fn end(&mut self, stage: &mut Stage<'_>) {
        let Some(Active { kind, course, undo, leader, .. }) = self.active.take() else { return };
        let Stage { world, cluster, .. } = stage;
        self.next = world.now() + self.random.millis(GAP_MS.0, GAP_MS.1);
        let now_leads = cluster.leader();
        let deposed = leader.is_some_and(|was| now_leads.is_some_and(|now| now.0 > was.0));
        let struck = leader.is_some();
        if let Some(feat) = feat(kind, struck, deposed) {
            *self.feats.entry(feat).or_default() += 1;
        }
        if let Course::Rolls { stopping: Some((id, _)), .. } = course {
            world.kill(id, Death::Killed);
            cluster.restart(world, id);
        }
        match undo {
            Undo::Nothing => {}
            Undo::Start(nodes) => nodes.into_iter().for_each(|node| cluster.restart(world, node)),
            Undo::Thaw(nodes) => nodes.into_iter().for_each(|node| world.thaw(node)),
            Undo::Mend => world.net().mend(),
            Undo::Heal(node, loss) => {
                if cluster.heal(world, node, loss) || kind == Kind::SlowDisk {
                    *self.feats.entry("disk faults that struck").or_default() += 1;
                }
            }
        }
        tracing::info!(fault = kind.name(), deposed, "fault ends");
    }

    /// Does what the fault that there is does while it lasts.
    fn go_on(&mut self, stage: &mut Stage<'_>) {
        let Some(active) = &mut self.active else { return };
        let Stage { world, cluster, .. } = stage;
        let now = world.now();
        match &mut active.course {
            Course::Holds => {}
            Course::Flaps { links, cut, next } if *next <= now => {
                *cut = !*cut;
                *next = now + self.random.millis(FLAP_MS.0, FLAP_MS.1);
                links.iter().for_each(|ends| set_link(world, *ends, |link| link.cut = *cut));
            }
            Course::Flaps { .. } => {}
            Course::Rolls { left, stopping, next } => match stopping {
                Some((id, since)) => {
                    if now > *since + STOP_WITHIN {
                        world.kill(*id, Death::Killed);
                    }
                    if !world.is_alive(*id) {
                        cluster.restart(world, *id);
                        *stopping = None;
                        *next = now + self.random.millis(ROLL_MS.0, ROLL_MS.1);
                    }
                }
                None if *next <= now => match left.pop() {
                    Some(id) => {
                        cluster.stop(id);
                        *stopping = Some((id, now));
                    }
                    None => active.until = now,
                },
                None => {}
            },
        }
    }

    fn begin(
        &mut self,
        kind: Kind,
        leader: Option<(Term, NodeId)>,
        stage: &mut Stage<'_>,
    ) -> (Course, Undo) {
        let Stage { world, cluster, clients } = stage;
        let mut others = cluster.present();
        self.random.shuffle(&mut others);
        let leader = leader.map_or(others[0], |(_, leader)| leader);
        others.retain(|node| *node != leader);
        let follower = others.first().copied().unwrap_or(leader);
        let voters = others.len() + 1;
        let majority: Vec<NodeId> =
            [leader].into_iter().chain(others.iter().copied()).take(voters / 2 + 1).collect();
        let out: Vec<_> = others.iter().map(|other| (leader, *other)).collect();
        let back: Vec<_> = out.iter().map(|(a, b)| (*b, *a)).collect();
        let both = [out.clone(), back.clone()].concat();
        let of_follower = |into: bool| {
            let away = others.iter().chain([&leader]).filter(|other| **other != follower);
            let into_it = away.clone().map(|other| (*other, follower));
            let from_it = away.map(|other| (follower, *other));
            if into { into_it.collect() } else { into_it.chain(from_it).collect::<Vec<_>>() }
        };
        let victim = if self.random.percent(50) { leader } else { follower };
        let undo = match kind {
            Kind::LeaderKilled => self.kill(stage, vec![leader]),
            Kind::FollowerKilled => self.kill(stage, vec![follower]),
            Kind::MajorityKilled => self.kill(stage, majority),
            Kind::PowerCut => {
                let all = cluster.present();
                all.iter().for_each(|id| cluster.crash(world, *id, Death::PowerCut, Loss::Lost));
                Undo::Start(all)
            }
            Kind::RollingRestart => {
                let (left, next) = (cluster.present(), world.now());
                return (Course::Rolls { left, stopping: None, next }, Undo::Nothing);
            }
            Kind::Transfer => {
                let work = operator::transfer((*clients).clone(), leader, follower);
                world.spawn(CLIENTS_HOST, work);
                Undo::Nothing
            }
            Kind::LeaderPaused | Kind::LeaderPausedShortly => freeze(world, vec![leader]),
            Kind::FollowerPaused => freeze(world, vec![follower]),
            Kind::MajorityPaused => freeze(world, majority),
            Kind::LeaderIsolated | Kind::LeaderIsolatedShortly => cut(world, both),
            Kind::FollowerIsolated => cut(world, of_follower(false)),
            Kind::LeaderMute => cut(world, out),
            Kind::LeaderDeaf => cut(world, back),
            Kind::FollowerDeaf => cut(world, of_follower(true)),
            Kind::Bridge => cut(world, vec![(leader, follower), (follower, leader)]),
            Kind::Flapping => {
                let next = world.now();
                return (Course::Flaps { links: both, cut: false, next }, Undo::Mend);
            }
            Kind::SlowLinks => {
                let most_ms = *self.random.pick(&[50, 150, 300]);
                self.on_all_links(stage, |link| link.latency_us = (10_000, most_ms * 1000))
            }
            Kind::LossyLinks => {
                let percent = *self.random.pick(&[2, 5, 20]);
                self.on_all_links(stage, |link| link.loss_percent = percent)
            }
            Kind::ClientsCut => {
                let (asking, answering) = ((CLIENTS_HOST, leader), (leader, CLIENTS_HOST));
                cut(world, self.random.pick(&[vec![asking], vec![answering]]).clone())
            }
            Kind::SlowDisk => {
                let latency = Duration::from_millis(50)..=Duration::from_millis(400);
                cluster.tamper(victim, |disk| disk.set_sync_latency(Some(latency)));
                Undo::Heal(victim, Loss::Kept)
            }
            Kind::FailingWrite | Kind::FailingSync | Kind::DiskFull => {
                let nth = 1 + self.random.below(20);
                cluster.tamper(victim, |disk| match kind {
                    Kind::FailingWrite => disk.fail_write(nth),
                    Kind::FailingSync => disk.fail_sync(nth),
                    _ => disk.set_capacity_bytes(Some(disk.size_bytes() + 50 * nth)),
                });
                // What a failed sync was to save is lost, so nothing written after it may be kept.
                let lost = kind == Kind::FailingSync;
                Undo::Heal(victim, if lost { Loss::Lost } else { self.loss() })
            }
        };
        (Course::Holds, undo)
    }

    /// Those that keep what a disk promises: a prefix of what was written.
    fn loss(&mut self) -> Loss {
        *self.random.pick(&[Loss::Lost, Loss::Kept, Loss::Prefix])
    }

    fn kill(&mut self, stage: &mut Stage<'_>, nodes: Vec<NodeId>) -> Undo {
        let death = *self.random.pick(&[Death::Killed, Death::PowerCut]);
        for node in &nodes {
            let loss = self.loss();
            stage.cluster.crash(stage.world, *node, death, loss);
        }
        Undo::Start(nodes)
    }

    fn on_all_links(&self, stage: &Stage<'_>, change: impl Fn(&mut Link)) -> Undo {
        let nodes = stage.cluster.present();
        for from in &nodes {
            for to in nodes.iter().filter(|to| *to != from) {
                set_link(stage.world, (*from, *to), &change);
            }
        }
        Undo::Mend
    }
}

/// What a fault came to, by the names of what a run must have covered.
fn feat(kind: Kind, struck_a_leader: bool, deposed_it: bool) -> Option<&'static str> {
    match kind {
        Kind::LeaderKilled | Kind::MajorityKilled if struck_a_leader => Some("leader killed"),
        Kind::LeaderPaused if deposed_it => Some("leader paused past its election time"),
        Kind::LeaderIsolated | Kind::LeaderIsolatedShortly if deposed_it => {
            Some("leader in a minority")
        }
        Kind::LeaderMute | Kind::LeaderDeaf | Kind::FollowerDeaf => Some("one-way cuts"),
        Kind::Flapping => Some("flapping"),
        Kind::PowerCut => Some("full restarts"),
        Kind::Transfer if deposed_it => Some("leadership handed over"),
        _ => None,
    }
}

fn freeze(world: &mut World, nodes: Vec<NodeId>) -> Undo {
    // One that is down at this moment has nothing to freeze.
    let nodes: Vec<NodeId> = nodes.into_iter().filter(|node| world.is_alive(*node)).collect();
    nodes.iter().for_each(|node| world.freeze(*node));
    Undo::Thaw(nodes)
}

fn set_link(world: &World, (from, to): (HostId, HostId), change: impl FnOnce(&mut Link)) {
    world.net().set_link(from, to, change);
}

fn cut(world: &World, links: Vec<(HostId, HostId)>) -> Undo {
    links.into_iter().for_each(|ends| set_link(world, ends, |link| link.cut = true));
    Undo::Mend
}
