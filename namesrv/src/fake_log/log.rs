//! What the name service needs of a log, as the test has set it.

use signpost_raft::machine::{Index, NodeId};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::samples::member;
use super::{Calls, FakeLog, Held, Proposals, Proposed, Rounds};
use crate::log::{
    Applied, CallError, Log, LogFuture, Member, MemberError, MemberRole, ProposeError, ReadError,
    Round, Status,
};
use crate::routes::command::{RouteCommand, RouteOutcome};

impl FakeLog {
    async fn confirm(&self, deadline: Instant) -> Result<Round, ReadError> {
        let started = Instant::now();
        {
            let status = self.status.borrow();
            if status.removed {
                return Err(ReadError::Removed);
            }
            if status.leader.is_none() {
                return Err(ReadError::NoLeader);
            }
        }
        loop {
            let changed = self.changed.notified();
            let rounds = self.lock().rounds;
            match rounds {
                Rounds::Confirm => break,
                Rounds::Delay(delay) => {
                    if timeout_at(deadline, sleep(delay)).await.is_err() {
                        return Err(ReadError::NoQuorum);
                    }
                    break;
                }
                Rounds::Hold => {
                    if timeout_at(deadline, changed).await.is_err() {
                        return Err(ReadError::NoQuorum);
                    }
                }
            }
        }
        let status = self.status.borrow();
        let leader = status.leader.ok_or(ReadError::NoLeader)?;
        let index = self.lock().last_index;
        Ok(Round { index, term: status.term, leader, started, ended: Instant::now() })
    }

    fn begin(&self, command: RouteCommand) -> oneshot::Receiver<Proposed> {
        let (reply, proposed) = oneshot::channel();
        let leader = self.status.borrow().leader;
        if leader != Some(self.status.borrow().node_id) {
            reply.send(Err(ProposeError::NotLeader { leader })).ok();
            return proposed;
        }
        let mode = {
            let mut state = self.lock();
            state.proposed.push(command.clone());
            state.proposals
        };
        match mode {
            Proposals::Apply => {
                reply.send(Ok(self.apply(command))).ok();
            }
            Proposals::Hold => self.lock().held.push(Held { command, reply }),
            Proposals::Overload => {
                reply.send(Err(ProposeError::Overloaded)).ok();
            }
            Proposals::ApplyAndForget => {
                self.apply(command);
                reply.send(Err(ProposeError::Unknown)).ok();
            }
        }
        proposed
    }
}

impl Log for FakeLog {
    fn propose(
        &self,
        command: RouteCommand,
        deadline: Instant,
    ) -> LogFuture<'_, Result<Applied<RouteOutcome>, ProposeError>> {
        let proposed = self.begin(command);
        Box::pin(async move {
            match timeout_at(deadline, proposed).await {
                Ok(Ok(proposed)) => proposed,
                _ => Err(ProposeError::Unknown),
            }
        })
    }

    fn propose_until_known(
        &self,
        command: RouteCommand,
    ) -> LogFuture<'_, Result<Applied<RouteOutcome>, ProposeError>> {
        let proposed = self.begin(command);
        Box::pin(async move { proposed.await.unwrap_or(Err(ProposeError::Unknown)) })
    }

    fn read_index(&self, deadline: Instant) -> LogFuture<'_, Result<Round, ReadError>> {
        Box::pin(self.confirm(deadline))
    }

    fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    fn call(
        &self,
        to: NodeId,
        request: Vec<u8>,
        deadline: Instant,
    ) -> LogFuture<'_, Result<Vec<u8>, CallError>> {
        let from = self.status.borrow().node_id;
        let (calls, peer) = {
            let state = self.lock();
            (state.calls, state.peers.get(&to).or(state.peer.as_ref()).cloned())
        };
        Box::pin(async move {
            let unreachable = || CallError::NotSent("connection refused".into());
            let peer = peer.filter(|_| calls != Calls::Refuse).ok_or_else(unreachable)?;
            let lost = || CallError::Unknown("connection lost".into());
            let answer = timeout_at(deadline, peer.handle(from, request)).await;
            match (calls, answer) {
                (Calls::Deliver, Ok(answer)) => Ok(answer),
                _ => Err(lost()),
            }
        })
    }

    fn add_learner(
        &self,
        id: NodeId,
        peer: String,
        _deadline: Instant,
    ) -> LogFuture<'_, Result<Index, MemberError>> {
        let index = self.append_blank();
        self.status.send_modify(|status| {
            let learner = member(id, &format!("http-{id}:8876"));
            status.members.push(Member { role: MemberRole::Learner, peer, ..learner });
        });
        Box::pin(async move { Ok(index) })
    }

    fn promote(&self, id: NodeId, _deadline: Instant) -> LogFuture<'_, Result<Index, MemberError>> {
        let mut found = false;
        self.status.send_modify(|status| {
            for member in status.members.iter_mut().filter(|member| member.id == id) {
                member.role = MemberRole::Voter;
                found = true;
            }
        });
        let index = self.append_blank();
        Box::pin(async move {
            if found { Ok(index) } else { Err(MemberError::Refused(format!("no member {id}"))) }
        })
    }

    fn remove(&self, id: NodeId, _deadline: Instant) -> LogFuture<'_, Result<Index, MemberError>> {
        self.status.send_modify(|status| status.members.retain(|member| member.id != id));
        let index = self.append_blank();
        Box::pin(async move { Ok(index) })
    }

    fn transfer(&self, to: NodeId, _deadline: Instant) -> LogFuture<'_, Result<(), MemberError>> {
        let term = self.status.borrow().term + 1;
        self.begin_term(term, to);
        Box::pin(async { Ok(()) })
    }

    fn snapshot(&self, _deadline: Instant) -> LogFuture<'_, Result<Index, MemberError>> {
        let index = self.last_index();
        Box::pin(async move { Ok(index) })
    }
}
