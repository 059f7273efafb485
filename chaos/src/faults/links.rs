//! Faults of the network between the replicas.

use signpost_raft::machine::NodeId;
use tokio::time::{Instant, sleep};

use super::kind::Kind;
use super::schedule::Planned;
use super::strike::{Begun, Stage, Undo};
use crate::error::Error;
use crate::network::shapes::{between, bridge, from, isolated, ring, to, trouble};
use crate::network::{Link, Trouble};
use crate::random::Random;

/// So many of a hundred packets are lost on a lossy link.
const LOSS_PERCENT: u8 = 25;
/// How long a flapping link is cut, and how long it is well.
const FLAP_MS: (u64, u64) = (200, 600);

pub(super) async fn begin(stage: &Stage, planned: Planned) -> Result<Begun, Error> {
    let (leader, others) = stage.cast(planned.choice)?;
    let all: Vec<NodeId> = std::iter::once(leader).chain(others.iter().copied()).collect();
    let follower = others[0];
    let (nodes, links, how): (Vec<NodeId>, Vec<Link>, Trouble) = match planned.kind {
        Kind::MinorityLeader => (vec![leader], isolated(leader, &all), Trouble::Cut),
        Kind::IsolatedFollower => (vec![follower], isolated(follower, &all), Trouble::Cut),
        Kind::Split => {
            // As many with the leader as make no majority.
            let with = (all.len() - 1) / 2;
            let (few, many) = all.split_at(with.max(1));
            (few.to_vec(), between(few, many), Trouble::Cut)
        }
        Kind::MuteLeader => (vec![leader], from(leader, &all), Trouble::Cut),
        Kind::DeafLeader => (vec![leader], to(leader, &all), Trouble::Cut),
        Kind::DeafFollower => (vec![follower], to(follower, &all), Trouble::Cut),
        Kind::Bridge => {
            let middle = if planned.choice.is_multiple_of(2) { follower } else { leader };
            (all.clone(), bridge(middle, &all), Trouble::Cut)
        }
        Kind::Ring => (all.clone(), ring(&all), Trouble::Cut),
        Kind::SlowLinks => (all.clone(), between(&all, &all), Trouble::Slow),
        Kind::LossyLinks => (all.clone(), between(&all, &all), Trouble::Lossy(LOSS_PERCENT)),
        _ => return flap(stage, planned, leader, &all).await,
    };
    stage.disturb(&trouble(links, how)).await?;
    Ok(Begun::new(nodes, "", Undo::Mend))
}

/// The leader of the beginning is cut off and comes back, again and again, for as long as it lasts.
async fn flap(
    stage: &Stage,
    planned: Planned,
    leader: NodeId,
    all: &[NodeId],
) -> Result<Begun, Error> {
    let mut random = Random::fork(planned.choice, 2);
    let (begun, mut cuts) = (Instant::now(), 0);
    while begun.elapsed() < planned.hold {
        stage.disturb(&trouble(isolated(leader, all), Trouble::Cut)).await?;
        cuts += 1;
        sleep(random.millis(FLAP_MS.0, FLAP_MS.1)).await;
        stage.mend().await?;
        sleep(random.millis(FLAP_MS.0, FLAP_MS.1) / 2).await;
    }
    let note = format!("replica {leader} cut off {cuts} times");
    Ok(Begun::new([leader], note, Undo::Mend))
}
