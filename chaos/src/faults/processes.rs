//! Faults of whole processes: killed, paused, restarted, starved.

use std::time::Duration;

use signpost_raft::machine::NodeId;
use tokio::time::{Instant, sleep};

use super::kind::Kind;
use super::schedule::Planned;
use super::strike::{Begun, Stage, Undo};
use crate::ask;
use crate::error::Error;

/// How long a replica that was restarted in turn may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the log may take to be cut above what a starved follower has.
const STARVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one replica may take to tell its metrics.
const METRICS_TIMEOUT: Duration = Duration::from_millis(500);
/// A clock jumps ahead by at least and at most so many seconds.
const JUMP_S: (u64, u64) = (60, 1_000_000);

pub(super) async fn begin(stage: &Stage, planned: Planned) -> Result<Begun, Error> {
    let (leader, others) = stage.cast(planned.choice)?;
    let follower = others[0];
    match planned.kind {
        Kind::KillLeader => kill(stage, vec![leader]).await,
        Kind::KillFollower => kill(stage, vec![follower]).await,
        Kind::KillMajority => {
            let majority = others.len().div_ceil(2) + 1;
            let doomed = std::iter::once(leader).chain(others).take(majority).collect();
            kill(stage, doomed).await
        }
        Kind::KillAll => kill(stage, std::iter::once(leader).chain(others).collect()).await,
        Kind::RollingRestart => rolling_restart(stage, leader, others).await,
        Kind::Transfer => {
            let client = stage.cluster.client()?;
            client.transfer_leadership(follower).await.map_err(Error::new)?;
            Ok(Begun::new([leader, follower], format!("{leader} → {follower}"), Undo::Nothing))
        }
        Kind::PauseLeader | Kind::PauseLeaderShort => pause(stage, leader),
        Kind::PauseFollower => pause(stage, follower),
        Kind::ClockJump => {
            let node = if planned.choice.is_multiple_of(2) { leader } else { follower };
            stage.cluster.kill(node).await?;
            let ahead = JUMP_S.0 + planned.choice % (JUMP_S.1 - JUMP_S.0);
            let note = format!("{node}'s clock jumps ahead by {ahead} s across a restart");
            Ok(Begun::new([node], note, Undo::StartAhead(node, ahead)))
        }
        _ => starve(stage, follower).await,
    }
}

async fn kill(stage: &Stage, nodes: Vec<NodeId>) -> Result<Begun, Error> {
    for node in &nodes {
        stage.cluster.kill(*node).await?;
    }
    Ok(Begun::new(nodes.clone(), "", Undo::Start(nodes)))
}

fn pause(stage: &Stage, node: NodeId) -> Result<Begun, Error> {
    if !stage.cluster.pause(node)? {
        return Err(Error::new(format!("replica {node} does not run")));
    }
    Ok(Begun::new([node], "", Undo::Resume(vec![node])))
}

async fn rolling_restart(
    stage: &Stage,
    leader: NodeId,
    others: Vec<NodeId>,
) -> Result<Begun, Error> {
    let all: Vec<NodeId> = others.into_iter().chain([leader]).collect();
    for node in &all {
        stage.cluster.stop_replica(*node).await;
        stage.cluster.start_replica(*node, None).await?;
        // Another fault may keep it from that; the next one is stopped all the same.
        let _ = stage.cluster.until_ready(*node, READY_TIMEOUT).await;
    }
    Ok(Begun::new(all, "one after the other", Undo::Nothing))
}

/// Kills a follower and waits until the leader has cut its log above all that the follower has.
async fn starve(stage: &Stage, follower: NodeId) -> Result<Begun, Error> {
    let had = stage.watch.statuses().get(&follower).cloned().flatten().map(|said| said.applied);
    let had = had.ok_or_else(|| Error::new(format!("replica {follower} is not to be seen")))?;
    stage.cluster.kill(follower).await?;
    let undo = Undo::Start(vec![follower]);
    let begun = Instant::now();
    while begun.elapsed() < STARVE_TIMEOUT {
        if let Some((_, leader)) = stage.leader()
            && let Some(purged) = purged(stage, leader).await
            && purged > had
        {
            let note = format!("replica {follower} has {had}, the log begins above {purged}");
            return Ok(Begun::new([follower], note, undo));
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(Begun::new([follower], "the log was not cut in time", undo))
}

/// The index up to which a replica's log is gone.
async fn purged(stage: &Stage, node: NodeId) -> Option<u64> {
    let metrics = ask::metrics(stage.cluster.http(node), METRICS_TIMEOUT).await.ok()?;
    ask::metric(&metrics, "signpost_log_purged_index")
}
