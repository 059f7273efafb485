//! Operation: membership, leadership, snapshots and alarms.

use signpost_raft::machine::{Index, NodeId};
use tokio::time::Instant;

use super::call::{Answer, Reply, Request};
use super::{NameService, mismatch};
use crate::alarms::MASS_EXPIRY;
use crate::answers::{Alarm, Written};
use crate::errors::{Missing, ServiceError};

impl NameService {
    /// Adds a replica as a learner; the leader asks it for its disk's identity.
    ///
    /// # Errors
    /// When it cannot be asked, or the membership cannot change now.
    pub async fn add_member(
        &self,
        id: NodeId,
        peer: String,
        deadline: Instant,
    ) -> Result<Written, ServiceError> {
        self.write(Request::AddMember { id, peer }, deadline).await
    }

    /// Makes a learner a voter.
    ///
    /// # Errors
    /// When it is none, or the membership cannot change now.
    pub async fn promote_member(
        &self,
        id: NodeId,
        deadline: Instant,
    ) -> Result<Written, ServiceError> {
        self.write(Request::PromoteMember(id), deadline).await
    }

    /// Removes a member, for ever: its number is not given again.
    ///
    /// # Errors
    /// When it is none, or the membership cannot change now.
    pub async fn remove_member(
        &self,
        id: NodeId,
        deadline: Instant,
    ) -> Result<Written, ServiceError> {
        self.write(Request::RemoveMember(id), deadline).await
    }

    /// Hands the leadership over.
    ///
    /// # Errors
    /// When `to` is no voter, or did not take it in time.
    pub async fn transfer_leadership(
        &self,
        to: NodeId,
        deadline: Instant,
    ) -> Result<(), ServiceError> {
        match self.call(Request::TransferLeadership(to), deadline).await? {
            Answer::Done => Ok(()),
            other => Err(mismatch(&other)),
        }
    }

    /// Saves a snapshot of this replica's tables, and answers the index that it holds.
    ///
    /// # Errors
    /// When it could not be written in time.
    pub async fn save_snapshot(&self, deadline: Instant) -> Result<Index, ServiceError> {
        Ok(self.log.snapshot(deadline).await?)
    }

    /// The leader's alarms, sorted by kind.
    ///
    /// # Errors
    /// What any forwarded call can meet.
    pub async fn alarms(&self, deadline: Instant) -> Result<Vec<Alarm>, ServiceError> {
        match self.call(Request::Alarms, deadline).await? {
            Answer::Alarms(alarms) => Ok(alarms),
            other => Err(mismatch(&other)),
        }
    }

    /// An operator has seen an alarm. Releasing the mass-expiry alarm also releases the brake.
    ///
    /// # Errors
    /// NotFound when no such alarm is raised, and what any forwarded call can meet.
    pub async fn release_alarm(&self, kind: String, deadline: Instant) -> Result<(), ServiceError> {
        match self.call(Request::ReleaseAlarm(kind), deadline).await? {
            Answer::Done => Ok(()),
            other => Err(mismatch(&other)),
        }
    }

    /// The leader's part of these.
    pub(super) async fn execute_admin(&self, request: Request, deadline: Instant) -> Reply {
        let written = |index| Answer::Written(Written { index, changed: 1 });
        match request {
            Request::AddMember { id, peer } => {
                Ok(written(self.log.add_learner(id, peer, deadline).await?))
            }
            Request::PromoteMember(id) => Ok(written(self.log.promote(id, deadline).await?)),
            Request::RemoveMember(id) => Ok(written(self.log.remove(id, deadline).await?)),
            Request::TransferLeadership(to) => {
                self.log.transfer(to, deadline).await?;
                Ok(Answer::Done)
            }
            Request::Alarms => Ok(Answer::Alarms(self.alarms.list(self.config.node_id))),
            Request::ReleaseAlarm(kind) => {
                let released = if kind == MASS_EXPIRY {
                    self.lessor.release_brake()
                } else {
                    self.alarms.clear(&kind)
                };
                if released {
                    Ok(Answer::Done)
                } else {
                    Err(ServiceError::NotFound(Missing::Alarm(kind)))
                }
            }
            other => {
                Err(ServiceError::invalid("call", format!("an admin call, not {}", other.name())))
            }
        }
    }
}
