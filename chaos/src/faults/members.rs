//! Changes of membership, while other faults go on: each step is asked for until the members show
//! that it was done.

use std::time::Duration;

use signpost_client::types::Member;
use signpost_client::{CallError, Client};
use signpost_raft::machine::NodeId;
use tokio::time::{Instant, sleep};

use super::kind::Kind;
use super::schedule::Planned;
use super::strike::{Begun, Stage, Undo};
use crate::error::Error;

/// How long a step may take, other faults included.
const STEP_TIMEOUT: Duration = Duration::from_secs(15);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(150);
/// A cluster is not made smaller than this.
const VOTERS_MIN: usize = 3;

pub(super) async fn begin(stage: &Stage, planned: Planned) -> Result<Begun, Error> {
    let (leader, others) = stage.cast(planned.choice)?;
    match planned.kind {
        Kind::ReplaceDead => {
            let dead = others[0];
            stage.cluster.kill(dead).await?;
            let new = replace(stage, dead, planned.choice.is_multiple_of(2)).await?;
            Ok(Begun::new(
                [dead, new],
                format!("replica {dead} died, {new} took its place"),
                Undo::Nothing,
            ))
        }
        Kind::ReplaceLeader => {
            let new = replace(stage, leader, true).await?;
            Ok(Begun::new(
                [leader, new],
                format!("replica {leader} was removed while it led, {new} added"),
                Undo::Nothing,
            ))
        }
        Kind::Shrink if others.len() + 1 > VOTERS_MIN => {
            remove(stage, others[0]).await?;
            Ok(Begun::new([others[0]], format!("replica {} removed", others[0]), Undo::Add))
        }
        Kind::Shrink => {
            // To two and back to three: with one of two gone there is no quorum.
            remove(stage, others[0]).await?;
            let new = add(stage).await?;
            let note = format!("replica {} removed, {new} added", others[0]);
            Ok(Begun::new([others[0], new], note, Undo::Nothing))
        }
        _ => {
            let new = add(stage).await?;
            Ok(Begun::new([new], format!("replica {new} added"), Undo::Remove(new)))
        }
    }
}

/// Removes one replica and adds a new one, in this order or the other.
pub(super) async fn replace(
    stage: &Stage,
    old: NodeId,
    remove_first: bool,
) -> Result<NodeId, Error> {
    if remove_first {
        remove(stage, old).await?;
        return add(stage).await;
    }
    let new = add(stage).await?;
    remove(stage, old).await?;
    Ok(new)
}

/// Starts an empty replica under a new number, and has it added and promoted; answers its number.
pub(super) async fn add(stage: &Stage) -> Result<NodeId, Error> {
    let id = stage.cluster.start_joining().await?;
    let peer = stage.cluster.peer(id);
    until(stage, &Step::Add(id, peer)).await?;
    until(stage, &Step::Promote(id)).await?;
    Ok(id)
}

/// Removes a replica for good and stops it.
pub(super) async fn remove(stage: &Stage, id: NodeId) -> Result<(), Error> {
    // A removed replica may say that it is; nobody needs it any more.
    stage.cluster.forget(id);
    until(stage, &Step::Remove(id)).await?;
    stage.cluster.resume(id)?;
    stage.cluster.stop_replica(id).await;
    Ok(())
}

/// A step of a change.
enum Step {
    Add(NodeId, String),
    Promote(NodeId),
    Remove(NodeId),
}

impl Step {
    async fn ask(&self, client: &Client) -> Result<(), CallError> {
        match self {
            Step::Add(id, peer) => client.add_member(*id, peer).await.map(|_| ()),
            Step::Promote(id) => client.promote_member(*id).await.map(|_| ()),
            Step::Remove(id) => client.remove_member(*id).await.map(|_| ()),
        }
    }

    fn is_done(&self, members: &[Member]) -> bool {
        match self {
            Step::Add(id, _) => members.iter().any(|member| member.id == *id),
            Step::Promote(id) => members.iter().any(|m| m.id == *id && m.role == "voter"),
            Step::Remove(id) => !members.iter().any(|member| member.id == *id),
        }
    }

    fn failure(&self) -> String {
        match self {
            Step::Add(id, _) => format!("replica {id} was not added"),
            Step::Promote(id) => format!("replica {id} was not promoted"),
            Step::Remove(id) => format!("replica {id} was not removed"),
        }
    }
}

/// Asks until the leader's members show that it was done.
async fn until(stage: &Stage, step: &Step) -> Result<(), Error> {
    let client = stage.cluster.client()?;
    let begun = Instant::now();
    let mut last = String::new();
    while begun.elapsed() < STEP_TIMEOUT {
        if let Err(error) = step.ask(&client).await {
            last = error.to_string();
        }
        let statuses = stage.cluster.statuses().await;
        if let Some((_, leader)) = crate::cluster::leader_of(&statuses)
            && let Some(Some(said)) = statuses.get(&leader)
            && step.is_done(&said.members)
        {
            return Ok(());
        }
        sleep(AGAIN).await;
    }
    Err(Error::new(format!("{} within {STEP_TIMEOUT:?}: {last}", step.failure())))
}
