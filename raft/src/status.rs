//! How a replica stands, for the application and for people.

use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver as _;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use crate::config::Config;
use crate::machine::{Index, Machine, NodeId, Term};
use crate::peer::dial::Identity;
pub use crate::peer::hello::{Member, MemberRole};
use crate::shared::{Core, RaftOf};
use crate::types::StoredMembership;

/// How often the core is looked at besides its own notices.
const OBSERVE_INTERVAL: Duration = Duration::from_millis(100);

/// What a replica is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Not fed yet: empty, waiting for the founding or to be added.
    Waiting,
    /// Is fed, does not vote.
    Learner,
    /// Votes and follows.
    Follower,
    /// Stands for election.
    Candidate,
    /// Leads, as far as it knows.
    Leader,
    /// Was removed from the cluster.
    Removed,
}

/// How a replica stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its number.
    pub node_id: NodeId,
    /// Its cluster's name.
    pub cluster_name: String,
    /// Its cluster's uuid, once it has one.
    pub cluster: Option<Uuid>,
    /// What it is.
    pub role: Role,
    /// The term it is in.
    pub term: Term,
    /// Who leads that term, if it is known.
    pub leader: Option<NodeId>,
    /// The members, by number, as of the last committed membership.
    pub members: Vec<Member>,
    /// The log index of that membership.
    pub membership_index: Index,
    /// Whether it has ever been fed: before that its tables say nothing.
    pub fed: bool,
    /// Whether it has once since its start been as far as a leader.
    pub caught_up: bool,
    /// Whether it was removed from the cluster. It remembers.
    pub removed: bool,
    /// Whether log and tables can be written.
    pub disk_ok: bool,
    /// Whether it has been stopped.
    pub stopped: bool,
}

impl Status {
    /// Whether the last committed membership holds this number.
    #[must_use]
    pub fn includes(&self, id: NodeId) -> bool {
        self.members.iter().any(|member| member.id == id)
    }
}

/// The members of a stored membership, by number.
pub(crate) fn members_of(stored: &StoredMembership) -> Vec<Member> {
    let membership = stored.membership();
    let voters: std::collections::BTreeSet<NodeId> = membership.voter_ids().collect();
    let mut members: Vec<Member> = membership
        .nodes()
        .map(|(id, peer)| Member {
            id: *id,
            role: if voters.contains(id) { MemberRole::Voter } else { MemberRole::Learner },
            peer: peer.peer.clone(),
            http: peer.http.clone(),
            remoting: peer.remoting.clone(),
            disk_id: peer.disk_id,
        })
        .collect();
    members.sort_by_key(|member| member.id);
    members
}

/// Reads the status off openraft's metrics.
pub(crate) fn of<M: Machine>(
    config: &Config,
    identity: &Identity,
    raft: &RaftOf<M>,
    removed: bool,
    caught_up: bool,
    in_contact: bool,
) -> Status {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let committed = &metrics.committed_membership_config;
    let membership_index = committed.log_id().as_ref().map_or(0, openraft::LogId::index);
    let fed = committed.log_id().is_some() || metrics.last_applied.is_some();
    let role = match metrics.state {
        _ if removed => Role::Removed,
        _ if !fed => Role::Waiting,
        ServerState::Leader => Role::Leader,
        ServerState::Candidate => Role::Candidate,
        ServerState::Follower => Role::Follower,
        ServerState::Learner | ServerState::Shutdown => Role::Learner,
    };
    Status {
        node_id: config.node_id,
        cluster_name: config.cluster_name.clone(),
        cluster: identity.cluster(),
        role,
        term: metrics.current_term,
        leader: metrics.current_leader.filter(|leader| *leader == config.node_id || in_contact),
        members: members_of(committed),
        membership_index,
        fed,
        caught_up,
        removed,
        disk_ok: metrics.running_state.is_ok(),
        stopped: false,
    }
}

/// Keeps the status, and what the handshake knows of the members, up to date.
pub(crate) async fn observe<M: Machine>(core: Core<M>) {
    let mut changes = core.raft.server_metrics();
    // What the server's metrics do not tell: that the core has stopped, and the first apply.
    let mut ticks = interval(OBSERVE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = core.stop.subscribe();
    let mut leader_seen = None;
    let mut membership_seen = None;
    loop {
        let (removed, caught_up) = {
            let status = core.status.borrow();
            (status.removed, status.caught_up)
        };
        let in_contact = core.hears_of_leader();
        let mut now = of(&core.config, core.identity(), &core.raft, removed, caught_up, in_contact);
        now.disk_ok &= core.store.failure().is_none();
        core.identity().set_members(now.membership_index, now.members.clone());
        tell_of_leadership(&mut leader_seen, &now);
        tell_of_members(&mut membership_seen, &now);
        let Status { disk_ok, .. } = now;
        let held_at = now.includes(now.node_id).then_some(now.membership_index);
        let highest = now.members.last().map_or(0, |member| member.id);
        core.status.send_if_modified(|status| {
            // Set by others meanwhile; both only ever go from false to true.
            let now = Status {
                removed: status.removed,
                caught_up: status.caught_up,
                stopped: status.stopped,
                role: if status.removed { Role::Removed } else { now.role },
                ..now
            };
            let changed = *status != now;
            *status = now;
            changed
        });
        let remembered = remember(&core, held_at, highest).await;
        if core.stopping() {
            return;
        }
        if let Err(error) = remembered {
            tracing::error!(%error, "cannot write what the membership says of this replica");
        }
        if !disk_ok {
            core.fail(why_not_ok(&core));
            return;
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() {
                if !core.stopping() {
                    core.fail(why_not_ok(&core));
                }
                return;
            },
            _ = ticks.tick() => {}
            () = core.heard_again.notified() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// What ended the core, as far as it says it.
fn why_not_ok<M: Machine>(core: &Core<M>) -> String {
    let running = core.raft.metrics().borrow_watched().running_state.clone();
    match running {
        Err(fatal) => untrusted(&fatal),
        Ok(()) => "this replica's raft core has ended unexpectedly: see the log".to_owned(),
    }
}

/// The end of a replica whose log or tables are not what they were.
pub(crate) fn untrusted(why: &dyn std::fmt::Display) -> String {
    format!("this replica has stopped, for its log or its tables cannot be trusted any more: {why}")
}

async fn remember<M: Machine>(
    core: &Core<M>,
    held_at: Option<Index>,
    highest: NodeId,
) -> std::io::Result<()> {
    let identity = &core.store.identity;
    if let Some(held_at) = held_at {
        identity.note_held(held_at).await?;
    }
    identity.note_node_id(highest).await
}

/// Each change of the committed membership, but not what it was at the start.
fn tell_of_members(seen: &mut Option<Index>, now: &Status) {
    let index = now.membership_index;
    let former = seen.replace(index);
    if former.is_none_or(|former| former == index) {
        return;
    }
    let of = |role| now.members.iter().filter(move |m| m.role == role).map(|m| m.id);
    let voters: Vec<NodeId> = of(MemberRole::Voter).collect();
    let learners: Vec<NodeId> = of(MemberRole::Learner).collect();
    tracing::info!(index, ?voters, ?learners, "the members of the cluster have changed");
}

fn tell_of_leadership(seen: &mut Option<(Term, Option<NodeId>)>, now: &Status) {
    let current = Some((now.term, now.leader));
    if *seen == current {
        return;
    }
    *seen = current;
    match now.leader {
        Some(leader) if leader == now.node_id => {
            tracing::info!(term = now.term, "this replica leads");
        }
        Some(leader) => tracing::info!(term = now.term, leader, "another replica leads"),
        None => tracing::info!(term = now.term, "no leader is known"),
    }
}
