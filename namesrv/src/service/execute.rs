//! What the leader does with a call, its own door's or a forwarded one.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use signpost_raft::machine::NodeId;
use signpost_raft::replica::{CallFuture, CallHandler};
use tokio::time::Instant;

use super::NameService;
use super::call::{Answer, Envelope, Reply, Request, decode, encode};
use crate::answers::Written;
use crate::errors::{ServiceError, Unavailable};
use crate::log::{Applied, Role};
use crate::registrar::unexpected;
use crate::routes::command::{Register, RouteCommand, RouteOutcome};

impl NameService {
    /// Executes a call as the leader.
    pub(super) async fn execute(&self, request: Request, deadline: Instant) -> Reply {
        let command = match request {
            Request::Register(register) => {
                self.check(&register)?;
                return self.registrar.register(&register, deadline).await.map(Answer::Registered);
            }
            Request::Patch(patch) => {
                return self.registrar.patch(&patch, deadline).await.map(Answer::Patched);
            }
            Request::Heartbeat(heartbeat) => {
                return self.lessor.heartbeat(&heartbeat, deadline).await.map(Answer::Renewed);
            }
            Request::RegisterStock { register, former } => {
                self.check(&register)?;
                let compared = self.registrar.register_stock(&register, former, deadline).await?;
                return Ok(Answer::Compared(compared));
            }
            Request::RenewUnchanged(renewals) => {
                let renewed = self.lessor.renew_unchanged(&renewals, deadline).await?;
                return Ok(Answer::Renewals(renewed));
            }
            Request::Left(departures) => {
                self.lessor.left(&departures, deadline).await?;
                return Ok(Answer::Done);
            }
            Request::Standings(keys) => return Ok(Answer::Standings(self.standings(&keys))),
            Request::Alarms
            | Request::ReleaseAlarm(_)
            | Request::AddMember { .. }
            | Request::PromoteMember(_)
            | Request::RemoveMember(_)
            | Request::TransferLeadership(_) => {
                return self.execute_admin(request, deadline).await;
            }
            Request::Unregister(unregister) => RouteCommand::Unregister(unregister),
            Request::SetWritePermission { cluster, broker_name, writable } => {
                RouteCommand::SetWritePermission { cluster, broker_name, writable }
            }
            Request::PutTopic { topic, brokers } => RouteCommand::PutTopic { topic, brokers },
            Request::DeleteTopic { topic, cluster } => RouteCommand::DeleteTopic { topic, cluster },
            Request::PutKv { namespace, key, value, if_index } => {
                RouteCommand::PutKv { namespace, key, value, if_index }
            }
            Request::DeleteKv { namespace, key, if_index } => {
                RouteCommand::DeleteKv { namespace, key, if_index }
            }
        };
        let Applied { index, outcome } = self.proposals.propose(command, deadline).await?;
        match outcome {
            RouteOutcome::Written { changed } => Ok(Answer::Written(Written { index, changed })),
            RouteOutcome::Unregistered { removed } => {
                Ok(Answer::Written(Written { index, changed: u32::from(removed) }))
            }
            RouteOutcome::Refused(refusal) => Err(refusal.into()),
            other => Err(unexpected(&other)),
        }
    }

    /// What a registration may ask for; the doors check the rest, which needs no settings.
    fn check(&self, register: &Register) -> Result<(), ServiceError> {
        let limits = &self.config.limits;
        let ttl = Duration::from_millis(register.lease_ttl_ms);
        let (min, max) = (limits.lease_ttl_min, limits.lease_ttl_max);
        if !(min..=max).contains(&ttl) {
            let expected = format!("between {} and {} ms", min.as_millis(), max.as_millis());
            return Err(ServiceError::invalid("leaseTtlMs", expected));
        }
        if register.topics.len() > limits.topics_per_registration {
            let expected = format!("at most {} topics", limits.topics_per_registration);
            return Err(ServiceError::invalid("topics", expected));
        }
        if register.base.is_some() {
            return Err(ServiceError::invalid("base", "none: the leader compares"));
        }
        Ok(())
    }

    /// Answers a call that another replica forwarded. It is not forwarded again.
    async fn answer_forwarded(&self, from: NodeId, bytes: &[u8]) -> Reply {
        let _place = self.forwarded.enter()?;
        self.counters.forwarded.fetch_add(1, Ordering::Relaxed);
        let Envelope { remaining_ms, request } = decode(bytes)
            .map_err(|why| Unavailable::Refused(format!("the forwarded call is wrong: {why}")))?;
        let asked = Duration::from_millis(remaining_ms);
        let deadline = Instant::now() + asked.min(self.config.timings.call_timeout_max);
        tracing::debug!(from, call = request.name(), remaining_ms, "forwarded call");
        if self.stop.is_cancelled() {
            return Err(Unavailable::Stopping.into());
        }
        if let Request::Standings(keys) = &request {
            return Ok(Answer::Standings(self.standings(keys)));
        }
        let status = self.log.status();
        if status.role != Role::Leader {
            let leader = status.leader.filter(|leader| *leader != self.config.node_id);
            return Err(Unavailable::NotLeader { leader }.into());
        }
        self.execute(request, deadline).await
    }
}

/// Answers forwarded calls. Holds the service weakly, for the service holds the log that holds
/// this.
pub struct Forwarded(Weak<NameService>);

impl Forwarded {
    /// Answers for this service, as long as there is one.
    #[must_use]
    pub fn to(service: &Arc<NameService>) -> Self {
        Self(Arc::downgrade(service))
    }
}

impl CallHandler for Forwarded {
    fn handle(&self, from: NodeId, request: Vec<u8>) -> CallFuture {
        let service = self.0.upgrade();
        Box::pin(async move {
            let reply = match service {
                Some(service) => service.answer_forwarded(from, &request).await,
                None => Err(Unavailable::Stopping.into()),
            };
            encode(&reply).unwrap_or_else(|error| {
                tracing::error!(%error, "an answer is too large to be sent");
                Vec::new()
            })
        })
    }
}
