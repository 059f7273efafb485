//! Read-index rounds: one confirmation of leadership by a quorum serves all who wait when it
//! begins (Raft thesis, 6.4).
//!
//! Nobody joins a round that has begun: what was written between its beginning and a later arrival
//! need not be covered by its index. On the leader a round is openraft's; on a follower it is one
//! request to the leader, never more than one in flight. After the confirmation each waits until
//! this replica has applied up to the round's index; the next round begins meanwhile.
//!
//! A follower's request carries its vote, which it looked up after the round began: that is what its
//! answer to a heartbeat would say. Where leader and asker are a quorum, as in a cluster of three,
//! the leader so has its confirmation in hand and asks nobody else.

use std::collections::BTreeSet;
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
use crate::types::{LogId, State, Vote};

/// Reads that may wait for a round to begin.
const WAITING_MAX: usize = 65_536;

/// How often, before a round begins, everything else that can run is let before it.
const TURNS_MAX: usize = 8;

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
        // Whatever else is ready to run gets its turn, and joins, for as long as somebody does: the
        // round costs the same.
        for _ in 0..TURNS_MAX {
            tokio::task::yield_now().await;
            let before = joined.len();
            while let Ok(next) = waiting.try_recv() {
                joined.push(next);
            }
            if joined.len() == before {
                break;
            }
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
    let vote = match timeout_at(deadline, looked_up(core, |state| *state.vote_ref())).await {
        Ok(Some(vote)) => vote,
        Ok(None) => return Err(ReadError::Stopped),
        Err(_) => return Err(ReadError::NoQuorum),
    };
    match core.channels.ask(leader, &peer, &Ask::ReadIndex { vote }, deadline).await {
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

/// The read index, if this replica leads and the vote that `asker` reports completes a quorum for
/// it; None: a round must be made.
pub(crate) async fn acknowledged<M: Machine>(
    core: &Core<M>,
    asker: NodeId,
    vote: Vote,
) -> Option<(Index, Term)> {
    let this = core.node_id();
    // On openraft's own task: nothing that it is told meanwhile comes between vote and index.
    let judge = looked_up(core, move |state| {
        let standing = Standing {
            vote: *state.vote_ref(),
            committed: state.local_committed().copied(),
            voters: state.membership_state.effective().membership().get_joint_config(),
        };
        standing.acknowledged(this, asker, vote)
    });
    judge.await.flatten()
}

/// Looks at openraft's state on its own task; None: that has ended. Whoever gives this up meanwhile
/// leaves nothing behind (openraft's own form of it logs an error then).
async fn looked_up<M: Machine, T: Send + 'static>(
    core: &Core<M>,
    look: impl FnOnce(&State) -> T + Send + 'static,
) -> Option<T> {
    let (answer, answered) = oneshot::channel();
    let request = move |state: &State| {
        answer.send(look(state)).ok();
    };
    core.raft.external_request(request).await.ok()?;
    answered.await.ok()
}

/// What a replica knows of its leadership at one moment.
struct Standing<'s> {
    vote: Vote,
    committed: Option<LogId>,
    /// The effective membership: one set of voters, or the two of a joint one.
    voters: &'s [BTreeSet<NodeId>],
}

impl Standing<'_> {
    /// Everything acknowledged before `asker` looked up its `vote` stands at or below this index.
    ///
    /// That holds when a quorum, at some moment after the asker began, had given its vote to nobody
    /// after this leader: the asker when it looked, this replica now. Whoever led a later term
    /// then was elected later still.
    fn acknowledged(&self, this: NodeId, asker: NodeId, vote: Vote) -> Option<(Index, Term)> {
        let leads = vote == self.vote && vote.committed && vote.leader_id.voted_for == this;
        // What former leaders have committed is known only with an entry of the own term.
        let term = vote.leader_id.term;
        let committed =
            self.committed.filter(|log_id| log_id.committed_leader_id().term == term)?;
        let is_quorum = |voters: &BTreeSet<NodeId>| {
            let acks = voters.iter().filter(|voter| [this, asker].contains(voter)).count();
            acks * 2 > voters.len()
        };
        let quorum = !self.voters.is_empty() && self.voters.iter().all(is_quorum);
        (leads && quorum).then(|| (committed.index(), term))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{LeaderId, log_id};

    const LEADER: NodeId = 1;
    const ASKER: NodeId = 2;
    const TERM: Term = 7;

    fn vote(term: Term, voted_for: NodeId, committed: bool) -> Vote {
        Vote { leader_id: LeaderId { term, voted_for }, committed }
    }

    fn judged(
        configs: &[&[NodeId]],
        committed: Option<LogId>,
        ours: Vote,
        theirs: Vote,
    ) -> Option<(Index, Term)> {
        let voters: Vec<BTreeSet<NodeId>> =
            configs.iter().map(|voters| voters.iter().copied().collect()).collect();
        let standing = Standing { vote: ours, committed, voters: &voters };
        standing.acknowledged(LEADER, ASKER, theirs)
    }

    #[test]
    fn an_asker_that_completes_a_quorum_has_confirmed_the_leader() {
        let leads = vote(TERM, LEADER, true);
        let committed = Some(log_id(TERM, 40));
        for voters in [&[1, 2, 3][..], &[1, 2], &[2]] {
            assert_eq!(judged(&[voters], committed, leads, leads), Some((40, TERM)), "{voters:?}");
        }
        let joint = judged(&[&[1, 2, 3], &[1, 2, 4]], committed, leads, leads);
        assert_eq!(joint, Some((40, TERM)));
    }

    #[test]
    fn whatever_else_the_asker_says_confirms_nothing() {
        let leads = vote(TERM, LEADER, true);
        let committed = Some(log_id(TERM, 40));
        let three = [&[1, 2, 3][..]];
        let others = [
            vote(TERM + 1, 3, true),
            vote(TERM + 1, 3, false),
            vote(TERM, LEADER, false),
            vote(TERM - 1, LEADER, true),
        ];
        for theirs in others {
            assert_eq!(judged(&three, committed, leads, theirs), None, "asker: {theirs:?}");
            assert_eq!(judged(&three, committed, theirs, leads), None, "leader: {theirs:?}");
        }
        // Both agree, on what is no leadership of this replica.
        for same in [vote(TERM, 3, true), vote(TERM, LEADER, false)] {
            assert_eq!(judged(&three, committed, same, same), None, "{same:?}");
        }
    }

    #[test]
    fn two_are_no_quorum_of_more_than_three_nor_is_a_learner_one_of_them() {
        let leads = vote(TERM, LEADER, true);
        let committed = Some(log_id(TERM, 40));
        let configs: [&[&[NodeId]]; 6] = [
            &[&[1, 2, 3, 4]],
            &[&[1, 2, 3, 4, 5]],
            &[&[1, 3, 4]],
            &[&[2, 3, 4]],
            &[&[1, 2, 3], &[1, 3, 4]],
            &[],
        ];
        for voters in configs {
            assert_eq!(judged(voters, committed, leads, leads), None, "{voters:?}");
        }
    }

    #[test]
    fn a_leader_without_a_committed_entry_of_its_term_does_not_know_the_index() {
        let leads = vote(TERM, LEADER, true);
        for committed in [None, Some(log_id(TERM - 1, 40))] {
            assert_eq!(judged(&[&[1, 2, 3]], committed, leads, leads), None, "{committed:?}");
        }
    }
}
