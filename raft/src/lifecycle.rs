//! The life of a replica around its log: founding, being fed, being removed, handing over.

use std::collections::BTreeMap;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver as _;
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use crate::founding::{Decision, decide};
use crate::machine::{Index, Machine, NodeId};
use crate::peer::hello::{MemberRole, SelfPortrait};
use crate::rounds::ReadError;
use crate::shared::Core;
use crate::status::Role;
use crate::types::Peer;

/// How often an empty replica asks who is there, and a lonely one whether it still belongs.
const ASK_INTERVAL: Duration = Duration::from_millis(200);

/// How long one peer may take to say who it is.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// How often a replica that has a leader checks that it still belongs.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Runs the life cycle until the replica stops.
pub(crate) async fn run<M: Machine>(core: Core<M>) {
    let mut stop = core.stop.subscribe();
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => {}
        () = live(&core) => {}
    }
}

async fn live<M: Machine>(core: &Core<M>) {
    if core.status.borrow().removed {
        return;
    }
    if let Err(why) = begin(core).await {
        core.fail(why);
        return;
    }
    belong(core).await;
}

/// Sees to it that this replica is part of a cluster, or says why it cannot be.
async fn begin<M: Machine>(core: &Core<M>) -> Result<(), String> {
    if core.raft.is_initialized().await.map_err(|error| error.to_string())? {
        return Ok(());
    }
    let me = Peer {
        peer: core.config.peers.get(&core.node_id()).cloned().unwrap_or_default(),
        http: core.config.http_advertise.clone(),
        remoting: core.config.remoting_advertise.clone(),
        disk_id: core.identity().disk_id,
    };
    let mut said = String::new();
    loop {
        // Fed meanwhile, or counted in and about to be.
        if core.status.borrow().fed {
            return Ok(());
        }
        let answers = ask_who_is_there(core).await;
        let id = core.node_id();
        let decision = decide(id, &me, &core.config.peers, &answers, core.config.join);
        match decision {
            Decision::Wait(why) => {
                if why != said {
                    tracing::info!(waiting = %why, "this replica is empty");
                    said = why;
                }
            }
            // Counted into somebody's cluster already: what others say now is out of date.
            Decision::Refuse(_) | Decision::Found(_) if belongs_to_another(core) => {}
            Decision::Refuse(why) => return Err(why),
            Decision::Found(members) => return found(core, members).await,
        }
        sleep(ASK_INTERVAL).await;
    }
}

fn belongs_to_another<M: Machine>(core: &Core<M>) -> bool {
    core.identity().cluster().is_some_and(|cluster| cluster != name_of_own_founding(core))
}

/// Founds the cluster: first its name, then its membership. A founder that dies in between finds
/// itself empty and named after its own disk, and founds again.
async fn found<M: Machine>(core: &Core<M>, members: BTreeMap<NodeId, Peer>) -> Result<(), String> {
    let ids: Vec<NodeId> = members.keys().copied().collect();
    let cluster = name_of_own_founding(core);
    core.adopt(cluster)
        .await
        .map_err(|error| format!("cannot write the cluster's name: {error}"))?;
    core.raft
        .initialize(members)
        .await
        .map_err(|error| format!("cannot found the cluster: {error}"))?;
    tracing::info!(%cluster, members = ?ids, "founded the cluster");
    Ok(())
}

/// As random as this disk's id, and always the same for it.
fn name_of_own_founding<M: Machine>(core: &Core<M>) -> Uuid {
    Uuid::new_v5(&core.identity().disk_id, b"cluster")
}

async fn ask_who_is_there<M: Machine>(core: &Core<M>) -> BTreeMap<NodeId, SelfPortrait> {
    let others = core.config.peers.iter().filter(|(id, _)| **id != core.node_id());
    let probes = others.map(|(id, address)| async move {
        let answer = core.dialer.probe(address, PROBE_TIMEOUT).await;
        if let Err(error) = &answer {
            tracing::debug!(peer = id, address, %error, "does not say who it is");
        }
        answer.ok().map(|portrait| (*id, portrait))
    });
    futures_util::future::join_all(probes).await.into_iter().flatten().collect()
}

/// Watches that this replica still belongs to its cluster, and notes when it has caught up.
async fn belong<M: Machine>(core: &Core<M>) {
    loop {
        let (index, included, leads, caught_up) = {
            let status = core.status.borrow();
            let included = status.includes(core.node_id());
            (status.membership_index, included, status.role == Role::Leader, status.caught_up)
        };
        // One that is still being fed, and one that has just started again, see memberships from before
        // their time.
        let held_at = core.store.identity.get().held_at;
        if !included && held_at.is_some_and(|held_at| index > held_at) {
            // Its own log says so.
            removed(core, index).await;
            return;
        }
        let deadline = Instant::now() + core.round_timeout();
        let belongs = match core.rounds().confirm(deadline).await {
            Ok(round) => {
                catch_up(core, round.index, deadline).await;
                true
            }
            Err(ReadError::Removed) => false,
            Err(_) => leads,
        };
        if !belongs
            && let Some(held_at) = held_at
            && let Some(without_us) = ask_whether_removed(core, held_at.max(index)).await
        {
            removed(core, without_us).await;
            return;
        }
        sleep(if caught_up && belongs { CHECK_INTERVAL } else { ASK_INTERVAL }).await;
    }
}

async fn catch_up<M: Machine>(core: &Core<M>, index: Index, deadline: Instant) {
    if core.status.borrow().caught_up {
        return;
    }
    let mut progress = core.raft.watch_apply_progress();
    let reached = async {
        while progress.get().is_none_or(|applied| applied.index() < index) {
            if progress.changed().await.is_err() {
                return false;
            }
        }
        true
    };
    if timeout_at(deadline, reached).await == Ok(true) {
        core.status.send_modify(|status| status.caught_up = true);
    }
}

/// Asks all that this replica knows whether a later membership is without it. One that has just started
/// may know of no members yet, but of those that it was started with.
async fn ask_whether_removed<M: Machine>(core: &Core<M>, included_at: Index) -> Option<Index> {
    let mut others = core.config.peers.clone();
    let members = core.status.borrow().members.clone();
    others.extend(members.into_iter().map(|member| (member.id, member.peer)));
    others.remove(&core.node_id());
    for address in others.values() {
        let Ok(portrait) = core.dialer.probe(address, PROBE_TIMEOUT).await else { continue };
        if portrait.cluster == core.identity().cluster()
            && portrait.membership_index > included_at
            && portrait.members.iter().all(|member| member.id != core.node_id())
        {
            return Some(portrait.membership_index);
        }
    }
    None
}

/// The leader said that a membership is without this replica; believed only when it is later than
/// the last one known here that has it.
pub(crate) async fn told_removed<M: Machine>(core: &Core<M>, membership_index: Index) {
    let later = {
        let status = core.status.borrow();
        status.includes(core.node_id()) && membership_index > status.membership_index
    };
    if later {
        removed(core, membership_index).await;
    }
}

async fn removed<M: Machine>(core: &Core<M>, membership_index: Index) {
    tracing::warn!(membership_index, "this replica was removed from the cluster");
    if let Err(error) = core.store.identity.set_removed().await
        && !core.stopping()
    {
        core.fail(format!("cannot write that this replica was removed: {error}"));
    }
    core.status.send_modify(|status| {
        status.removed = true;
        status.role = Role::Removed;
    });
}

/// Hands leadership to the voter that is furthest, and waits until it has it or time is up.
pub(crate) async fn hand_over<M: Machine>(core: &Core<M>) {
    let heir = {
        let metrics = core.raft.metrics();
        let metrics = metrics.borrow_watched();
        if metrics.current_leader != Some(core.node_id()) {
            return;
        }
        let voters = core.status.borrow().members.clone();
        let replication = metrics.replication.clone().unwrap_or_default();
        voters
            .iter()
            .filter(|member| member.role == MemberRole::Voter && member.id != core.node_id())
            .max_by_key(|member| {
                replication
                    .get(&member.id)
                    .and_then(|matched| matched.as_ref().map(|id| id.index()))
            })
            .map(|member| member.id)
    };
    let Some(heir) = heir else { return };
    if core.raft.trigger().transfer_leader(heir).await.is_err() {
        return;
    }
    let mut status = core.status.subscribe();
    let node_id = core.node_id();
    let moved = status.wait_for(|status| status.leader.is_some_and(|leader| leader != node_id));
    let deadline = Instant::now() + core.config.election_timeout_max * 2;
    if timeout_at(deadline, moved).await.is_err() {
        tracing::info!(heir, "leadership was not taken over in time: the others will elect");
    } else {
        tracing::info!(heir, "handed leadership over");
    }
}
