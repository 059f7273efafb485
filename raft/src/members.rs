//! Changes of membership, one at a time, and the other things that an operator asks of a replica.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::raft::ClientWriteResponse;
use tokio::sync::MutexGuard;
use tokio::time::{Instant, timeout, timeout_at};

use crate::machine::{Index, Machine, NodeId};
use crate::peer::hello::{Member, MemberRole, SelfPortrait};
use crate::replica::Replica;
use crate::status::members_of;
use crate::types::{Peer, TypeConfig};

/// A learner may lag so many entries and still be promoted.
const PROMOTE_LAG_MAX: u64 = 1_000;

/// How long a replica that is to be added may take to say who it is.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// How often a snapshot that is not being made is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Why an operator's request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// Only the leader can.
    #[error("this replica does not lead")]
    NotLeader {
        /// Who does, if known.
        leader: Option<NodeId>,
    },
    /// It makes no sense as things stand; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// It may still happen.
    #[error("it is not known whether the change was or will be made: {0}")]
    Unknown(String),
    /// This replica is stopping.
    #[error("this replica is stopping")]
    Stopped,
}

impl<M: Machine> Replica<M> {
    /// Adds an empty replica, started with `--join`, as a learner. It is asked for its disk, to
    /// which its number is bound from then on.
    ///
    /// # Errors
    /// See [`MemberError`].
    pub async fn add_learner(
        &self,
        id: NodeId,
        address: String,
        deadline: Instant,
    ) -> Result<Index, MemberError> {
        let _one = self.one_change(deadline).await?;
        let members = self.members();
        let highest = self.core().store.identity.get().highest_node_id;
        let highest = members.iter().map(|member| member.id).fold(highest, NodeId::max);
        if id <= highest {
            return Err(MemberError::Refused(format!(
                "number {id} is, or may have been, in use: expected one above {highest}, for a \
                 number is never given again"
            )));
        }
        let portrait =
            self.core().dialer.probe(&address, PROBE_TIMEOUT).await.map_err(|error| {
                MemberError::Refused(format!("replica {id} does not answer at {address}: {error}"))
            })?;
        if portrait.id != id {
            return Err(MemberError::Refused(format!(
                "replica {} answers at {address}, not {id}",
                portrait.id
            )));
        }
        // A leader that was deposed meanwhile may have counted it in, and to no avail.
        let ours = self.core().identity().cluster();
        if portrait.cluster.is_some() && (portrait.was_member || portrait.cluster != ours) {
            return Err(MemberError::Refused(format!(
                "replica {id} at {address} already belongs to a cluster: a new replica must be \
                 empty"
            )));
        }
        let SelfPortrait { http, remoting, disk_id, .. } = portrait;
        let peer = Peer { peer: address, http, remoting, disk_id };
        let change = ChangeMembers::AddNodes(BTreeMap::from([(id, peer)]));
        self.change(change, deadline).await
    }

    /// Lets a learner vote, once it has caught up.
    ///
    /// # Errors
    /// See [`MemberError`].
    pub async fn promote(&self, id: NodeId, deadline: Instant) -> Result<Index, MemberError> {
        let _one = self.one_change(deadline).await?;
        match self.members().iter().find(|member| member.id == id).map(|member| member.role) {
            None => return Err(MemberError::Refused(format!("replica {id} is no member"))),
            Some(MemberRole::Voter) => {
                return Err(MemberError::Refused(format!("replica {id} votes already")));
            }
            Some(MemberRole::Learner) => {}
        }
        if let Some(lag) = self.lag_of(id) {
            if lag > PROMOTE_LAG_MAX {
                return Err(MemberError::Refused(format!(
                    "replica {id} lags {lag} entries behind: wait until it has caught up"
                )));
            }
        } else {
            return Err(MemberError::Refused(format!("replica {id} has not been fed yet")));
        }
        self.change(ChangeMembers::AddVoterIds(BTreeSet::from([id])), deadline).await
    }

    /// Removes a replica, for ever: its number is not given again.
    ///
    /// # Errors
    /// See [`MemberError`].
    pub async fn remove(&self, id: NodeId, deadline: Instant) -> Result<Index, MemberError> {
        let _one = self.one_change(deadline).await?;
        let members = self.members();
        let Some(member) = members.iter().find(|member| member.id == id) else {
            return Err(MemberError::Refused(format!("replica {id} is no member")));
        };
        let voters = members.iter().filter(|member| member.role == MemberRole::Voter).count();
        let ids = BTreeSet::from([id]);
        match member.role {
            MemberRole::Voter if voters == 1 => {
                Err(MemberError::Refused(format!("replica {id} is the last one that votes")))
            }
            MemberRole::Voter => self.change(ChangeMembers::RemoveVoters(ids), deadline).await,
            MemberRole::Learner => self.change(ChangeMembers::RemoveNodes(ids), deadline).await,
        }
    }

    /// Hands leadership to another voter and waits until it has it.
    ///
    /// # Errors
    /// See [`MemberError`].
    pub async fn transfer(&self, to: NodeId, deadline: Instant) -> Result<(), MemberError> {
        let status = self.status();
        if status.leader != Some(status.node_id) {
            return Err(MemberError::NotLeader { leader: status.leader });
        }
        if to == status.node_id {
            return Ok(());
        }
        let votes = |id| status.members.iter().any(|m| m.id == id && m.role == MemberRole::Voter);
        if !votes(to) {
            return Err(MemberError::Refused(format!("replica {to} does not vote")));
        }
        let raft = &self.core().raft;
        raft.trigger().transfer_leader(to).await.map_err(|_| MemberError::Stopped)?;
        let mut watch = self.watch();
        let arrived = watch.wait_for(|status| status.leader == Some(to));
        match timeout_at(deadline, arrived).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(MemberError::Stopped),
            Err(_) => Err(MemberError::Unknown("it has not taken over in time".into())),
        }
    }

    /// Makes a snapshot of what is applied now and waits for it. Any replica can do it.
    ///
    /// # Errors
    /// See [`MemberError`].
    pub async fn snapshot(&self, deadline: Instant) -> Result<Index, MemberError> {
        let raft = &self.core().raft;
        let mut metrics = raft.metrics();
        let applied = metrics.borrow_watched().last_applied;
        let Some(applied) = applied else {
            return Err(MemberError::Refused("nothing has been applied yet".into()));
        };
        let mut asked_at: Option<Instant> = None;
        let made = async {
            loop {
                let snapshot = metrics.borrow_watched().snapshot;
                if let Some(snapshot) = snapshot.filter(|made| made.index() >= applied.index()) {
                    return Ok(snapshot.index());
                }
                // A wish that comes while another one is made, of less, is ignored.
                if asked_at.is_none_or(|at| at.elapsed() >= ASK_AGAIN) {
                    asked_at = Some(Instant::now());
                    raft.trigger().snapshot().await.map_err(|_| MemberError::Stopped)?;
                }
                if let Ok(changed) = timeout(ASK_AGAIN, metrics.changed()).await {
                    changed.map_err(|_| MemberError::Stopped)?;
                }
            }
        };
        match timeout_at(deadline, made).await {
            Ok(made) => made,
            Err(_) => Err(MemberError::Unknown("the snapshot is not ready in time".into())),
        }
    }

    /// The members as of the last committed membership, straight from the core.
    fn members(&self) -> Vec<Member> {
        let metrics = self.core().raft.server_metrics();
        members_of(&metrics.borrow_watched().committed_membership_config)
    }

    async fn one_change(&self, deadline: Instant) -> Result<MutexGuard<'_, ()>, MemberError> {
        let status = self.status();
        if status.leader != Some(status.node_id) {
            return Err(MemberError::NotLeader { leader: status.leader });
        }
        timeout_at(deadline, self.core().membership_lock.lock()).await.map_err(|_| {
            MemberError::Refused("another change of membership is still under way".into())
        })
    }

    fn lag_of(&self, id: NodeId) -> Option<u64> {
        let metrics = self.core().raft.metrics();
        let metrics = metrics.borrow_watched();
        let matched = metrics.replication.as_ref()?.get(&id)?.as_ref()?.index();
        Some(metrics.last_log_index.unwrap_or(0).saturating_sub(matched))
    }

    async fn change(
        &self,
        change: ChangeMembers<NodeId, Peer>,
        deadline: Instant,
    ) -> Result<Index, MemberError> {
        let changed = timeout_at(deadline, self.core().raft.change_membership(change, false)).await;
        match changed {
            Ok(Ok(ClientWriteResponse { log_id, .. })) => Ok(log_id.index()),
            Ok(Err(error)) => Err(explain(error)),
            Err(_) => Err(MemberError::Unknown("no quorum took it in time".into())),
        }
    }
}

fn explain(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> MemberError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
            MemberError::NotLeader { leader: forward.leader_id }
        }
        RaftError::APIError(ClientWriteError::ChangeMembershipError(
            ChangeMembershipError::InProgress(_),
        )) => MemberError::Refused("another change of membership is still under way".into()),
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => {
            MemberError::Refused(error.to_string())
        }
        RaftError::APIError(error) => MemberError::Unknown(error.to_string()),
        RaftError::Fatal(_) => MemberError::Stopped,
    }
}
