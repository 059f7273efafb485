//! The seam to the replicated log: what the name service needs of [`signpost_raft`]'s replica, so
//! that its own rules can be tested against a log that delays, refuses and forgets at will.

use std::future::Future;
use std::pin::Pin;

use signpost_raft::machine::{Index, NodeId};
pub use signpost_raft::members::MemberError;
use signpost_raft::replica::Replica;
pub use signpost_raft::replica::{Applied, CallError, ProposeError};
pub use signpost_raft::rounds::{ReadError, Round};
pub use signpost_raft::status::{Member, MemberRole, Role, Status};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::errors::{ServiceError, Unavailable};
use crate::machine::RouteMachine;
use crate::routes::command::{RouteCommand, RouteOutcome};

/// A boxed future of the log's operations.
pub type LogFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One replica's log. Every operation carries its deadline, but [`Log::propose_until_known`].
pub trait Log: Send + Sync + 'static {
    /// Proposes a command; resolves when it is applied, and published, here. Leader only.
    fn propose(
        &self,
        command: RouteCommand,
        deadline: Instant,
    ) -> LogFuture<'_, Result<Applied<RouteOutcome>, ProposeError>>;

    /// Proposes a command; resolves when it is applied here, or when a change of leadership has
    /// sealed or hidden its fate.
    fn propose_until_known(
        &self,
        command: RouteCommand,
    ) -> LogFuture<'_, Result<Applied<RouteOutcome>, ProposeError>>;

    /// A read-index round begun after this call (Raft thesis, section 6.4); answers once this
    /// replica has applied, and published, up to its index.
    fn read_index(&self, deadline: Instant) -> LogFuture<'_, Result<Round, ReadError>>;

    /// What this replica knows of itself and its cluster. Cheap.
    fn status(&self) -> Status;

    /// Changes of that.
    fn watch(&self) -> watch::Receiver<Status>;

    /// Asks the name service of another replica, one hop.
    fn call(
        &self,
        to: NodeId,
        request: Vec<u8>,
        deadline: Instant,
    ) -> LogFuture<'_, Result<Vec<u8>, CallError>>;

    /// Adds a learner.
    fn add_learner(
        &self,
        id: NodeId,
        peer: String,
        deadline: Instant,
    ) -> LogFuture<'_, Result<Index, MemberError>>;

    /// Makes a learner a voter.
    fn promote(&self, id: NodeId, deadline: Instant) -> LogFuture<'_, Result<Index, MemberError>>;

    /// Removes a member.
    fn remove(&self, id: NodeId, deadline: Instant) -> LogFuture<'_, Result<Index, MemberError>>;

    /// Hands the leadership over.
    fn transfer(&self, to: NodeId, deadline: Instant) -> LogFuture<'_, Result<(), MemberError>>;

    /// Saves a snapshot of this replica's tables.
    fn snapshot(&self, deadline: Instant) -> LogFuture<'_, Result<Index, MemberError>>;
}

impl Log for Replica<RouteMachine> {
    fn propose(
        &self,
        command: RouteCommand,
        deadline: Instant,
    ) -> LogFuture<'_, Result<Applied<RouteOutcome>, ProposeError>> {
        Box::pin(Replica::propose(self, command, deadline))
    }

    fn propose_until_known(
        &self,
        command: RouteCommand,
    ) -> LogFuture<'_, Result<Applied<RouteOutcome>, ProposeError>> {
        Box::pin(Replica::propose_until_known(self, command))
    }

    fn read_index(&self, deadline: Instant) -> LogFuture<'_, Result<Round, ReadError>> {
        Box::pin(Replica::read_index(self, deadline))
    }

    fn status(&self) -> Status {
        Replica::status(self)
    }

    fn watch(&self) -> watch::Receiver<Status> {
        Replica::watch(self)
    }

    fn call(
        &self,
        to: NodeId,
        request: Vec<u8>,
        deadline: Instant,
    ) -> LogFuture<'_, Result<Vec<u8>, CallError>> {
        Box::pin(Replica::call(self, to, request, deadline))
    }

    fn add_learner(
        &self,
        id: NodeId,
        peer: String,
        deadline: Instant,
    ) -> LogFuture<'_, Result<Index, MemberError>> {
        Box::pin(Replica::add_learner(self, id, peer, deadline))
    }

    fn promote(&self, id: NodeId, deadline: Instant) -> LogFuture<'_, Result<Index, MemberError>> {
        Box::pin(Replica::promote(self, id, deadline))
    }

    fn remove(&self, id: NodeId, deadline: Instant) -> LogFuture<'_, Result<Index, MemberError>> {
        Box::pin(Replica::remove(self, id, deadline))
    }

    fn transfer(&self, to: NodeId, deadline: Instant) -> LogFuture<'_, Result<(), MemberError>> {
        Box::pin(Replica::transfer(self, to, deadline))
    }

    fn snapshot(&self, deadline: Instant) -> LogFuture<'_, Result<Index, MemberError>> {
        Box::pin(Replica::snapshot(self, deadline))
    }
}

impl From<MemberError> for ServiceError {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::NotLeader { leader } => Unavailable::NotLeader { leader }.into(),
            MemberError::Refused(why) => Unavailable::Refused(why).into(),
            MemberError::Unknown(why) => Self::unknown(why),
            MemberError::Stopped => Unavailable::Stopping.into(),
        }
    }
}
