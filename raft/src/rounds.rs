//! Read-index rounds: one confirmation of leadership by a quorum serves all who wait when it
//! begins (Raft thesis, 6.4).
//!
//! Nobody joins a round that has begun: what was written between its beginning and a later arrival
//! need not be covered by its index. On the leader a round is openraft's; on a follower it is one
//! request to the leader, never more than one in flight. After the confirmation each waits until
//! this replica has applied up to the round's index; the next round begins meanwhile.

use std::time::Duration;

use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::raft::linearizable_read::LinearizerOption;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::machine::{Index, Machine, NodeId, Term};
use crate::peer::channel::CallError;
use crate::peer::message::{Answer, Ask};
use crate::planted::{Bug, planted};
use crate::shared::Core;

/// Reads that may wait for a round to begin.
const WAITING_MAX: usize = 65_536;

/// A confirmed round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// Everything acknowledged before the round began stands at or below this index.
    pub index: Index,
    /// The leader's term.
    pub term: Term,
    /// Who led.
    pub leader: NodeId,
    /// When this replica began it.
    pub started: Instant,
    /// When its quorum was known here.
    pub ended: Instant,
}

/// Why there is no confirmed round. Nothing was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nobody is known to lead.
    #[error("no leader is known")]
    NoLeader,
    /// No quorum confirmed it in time, or this replica has not applied so far in time.
    #[error("no quorum confirmed the read in time")]
    NoQuorum,
    /// More reads wait than this replica takes.
    #[error("too many reads wait")]
    Overloaded,
    /// This replica was removed from the cluster.
    #[error("this replica was removed from the cluster")]
    Removed,
    /// This replica is stopping.
    #[error("this replica is stopping")]
    Stopped,
}

type Waiter = oneshot::Sender<Result<Round, ReadError>>;

/// The entrance to the rounds of one replica.
#[derive(Clone)]
pub(crate) struct Rounds {
    waiters: mpsc::Sender<Waiter>,
    give_up: Duration,
}

impl Rounds {
    /// Starts the task that makes the rounds. A round that no quorum confirms within `give_up` has
    /// failed for all that wait for it.
    pub(crate) fn start<M: Machine>(core: Core<M>, give_up: Duration) -> Rounds {
        let (waiters, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(run(core, waiting, give_up));
        Rounds { waiters, give_up }
    }

    /// A round that begins after this call, confirmed by a quorum; says nothing about what this
    /// replica has applied.
    pub(crate) async fn confirm(&self, deadline: Instant) -> Result<Round, ReadError> {
        let (waiter, confirmed) = oneshot::channel();
        self.waiters.try_send(waiter).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ReadError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => ReadError::Stopped,
        })?;
        // The round under way and the one after it have ended by then: who is that patient needs no
        // timer, which would cost as much as the rest of a read.
        if deadline > Instant::now() + self.give_up * 3 {
            return confirmed.await.unwrap_or(Err(ReadError::Stopped));
        }
        match timeout_at(deadline, confirmed).await {
            Ok(Ok(round)) => round,
            Ok(Err(_)) => Err(ReadError::Stopped),
            Err(_) => Err(ReadError::NoQuorum),
        }
    }
}

async fn run<M: Machine>(core: Core<M>, mut waiting: mpsc::Receiver<Waiter>, give_up: Duration) {
    let mut stop = core.stop.subscribe();
    let mut joined = Vec::new();
    loop {
        let first = tokio::select! {
            first = waiting.recv() => first,
            _ = stop.wait_for(|stop| *stop) => None,
        };
        let Some(first) = first else { return };
        joined.push(first);
        // Whatever else is ready to run gets its turn, and joins: the round costs the same.
        tokio::task::yield_now().await;
        while let Ok(next) = waiting.try_recv() {
            joined.push(next);
        }
        let started = Instant::now();
        let confirmed = confirm(&core, started + give_up).await.map(|(index, term, leader)| {
            Round { index, term, leader, started, ended: Instant::now() }
        });
        for waiter in joined.drain(..) {
            waiter.send(confirmed).ok();
        }
    }
}

async fn confirm<M: Machine>(
    core: &Core<M>,
    deadline: Instant,
) -> Result<(Index, Term, NodeId), ReadError> {
    let (leader, peer) = core.leader().ok_or(ReadError::NoLeader)?;
    if leader == core.node_id() {
        let (index, term) = confirm_as_leader(core, deadline).await?;
        return Ok((index, term, leader));
    }
    match core.channels.ask(leader, &peer, &Ask::ReadIndex, deadline).await {
        Ok(Answer::ReadIndex { index, term }) => Ok((index, term, leader)),
        Ok(Answer::NotLeader) | Err(CallError::NotSent(_)) => Err(ReadError::NoLeader),
        Ok(Answer::Removed { .. }) | Err(CallError::Removed { .. }) => Err(ReadError::Removed),
        Ok(_) | Err(CallError::Unknown(_)) => Err(ReadError::NoQuorum),
    }
}

async fn confirm_as_leader<M: Machine>(
    core: &Core<M>,
    deadline: Instant,
) -> Result<(Index, Term), ReadError> {
    if planted(Bug::ReadIndexWithoutQuorum) {
        let applied = core.raft.watch_apply_progress().get().map_or(0, |applied| applied.index());
        return Ok((applied, core.raft.metrics().borrow_watched().current_term));
    }
    let wait = deadline.saturating_duration_since(Instant::now());
    // Zero age: only a quorum's answer to something sent after this moment counts, never a lease.
    let option = LinearizerOption::new(Some(Duration::ZERO), true).with_wait_timeout(wait);
    match timeout_at(deadline, core.raft.get_read_linearizer(option)).await {
        // openraft takes the larger of the committed index and the term's own first entry.
        Ok(Ok(linearizer)) => {
            let read = linearizer.read_log_id();
            Ok((read.index(), read.committed_leader_id().term))
        }
        Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(_)))) => {
            Err(ReadError::NoLeader)
        }
        Ok(Err(RaftError::Fatal(_))) => Err(ReadError::Stopped),
        Ok(Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)))) | Err(_) => {
            Err(ReadError::NoQuorum)
        }
    }
}
