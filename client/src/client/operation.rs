//! Operation: members, leadership, snapshots, alarms, probes. All but the reads need
//! [`Options::admin_token`](crate::Options::admin_token).

use hyper::{Method, StatusCode};
use tokio::time::Instant;

use super::{CallResult, Client, parse};
use crate::call::{Floor, Kind, Request, Verdict};
use crate::outcome::{Answer, CallError, Cause};
use crate::types::{AddMember, Alarms, ClusterStatus, Probe, TransferLeader, Written};

impl Client {
    /// `GET /v1/cluster`: the view of whichever replica answers. To ask a certain one, make a
    /// client of it alone.
    ///
    /// # Errors
    /// See [`CallError`]; always definite.
    pub async fn cluster_status(&self) -> CallResult<ClusterStatus> {
        self.json(&Request::read("/v1/cluster".to_owned(), Floor::Apart)).await
    }

    /// `POST /v1/cluster/members`: adds a learner.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn add_member(&self, id: u64, peer: &str) -> CallResult<Written> {
        let body = AddMember { id, peer: peer.to_owned() };
        self.json(&admin(Method::POST, "/v1/cluster/members".to_owned()).body(&body)?).await
    }

    /// `POST /v1/cluster/members/{id}/promote`: makes a learner a voter.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn promote_member(&self, id: u64) -> CallResult<Written> {
        self.json(&admin(Method::POST, format!("/v1/cluster/members/{id}/promote"))).await
    }

    /// `DELETE /v1/cluster/members/{id}`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn remove_member(&self, id: u64) -> CallResult<Written> {
        self.json(&admin(Method::DELETE, format!("/v1/cluster/members/{id}"))).await
    }

    /// `POST /v1/cluster/transfer`: hands leadership to `leader`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn transfer_leadership(&self, leader: u64) -> CallResult<serde_json::Value> {
        let request = admin(Method::POST, "/v1/cluster/transfer".to_owned());
        self.json(&request.body(&TransferLeader { leader })?).await
    }

    /// `POST /v1/cluster/snapshot`: has a snapshot built; answers the index it holds.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn snapshot(&self) -> CallResult<Written> {
        self.json(&admin(Method::POST, "/v1/cluster/snapshot".to_owned())).await
    }

    /// `GET /v1/alarms`.
    ///
    /// # Errors
    /// See [`CallError`]; always definite.
    pub async fn alarms(&self) -> CallResult<Alarms> {
        let request = Request::read("/v1/alarms".to_owned(), Floor::Apart);
        self.json(&Request { admin: true, ..request }).await
    }

    /// `POST /v1/alarms/{kind}/release`: an operator confirms, e.g. that brokers may be removed.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn release_alarm(&self, kind: &str) -> CallResult<serde_json::Value> {
        let kind = crate::types::headers::encode_name(kind);
        self.json(&admin(Method::POST, format!("/v1/alarms/{kind}/release"))).await
    }

    /// `GET /readyz`, with `quorum` `GET /readyz?quorum`, of one replica (the preferred one): not
    /// ready is an answer here.
    ///
    /// # Errors
    /// When the replica does not answer.
    pub async fn ready(&self, quorum: bool) -> CallResult<Probe> {
        let mut request = Request::read("/readyz".to_owned(), Floor::Apart);
        request.also_an_answer = Some(StatusCode::SERVICE_UNAVAILABLE);
        if quorum {
            request.query.push("quorum".to_owned());
        }
        let now = Instant::now();
        let Some((at, endpoint)) = self.shared.replicas().next(now, &[]) else {
            return Err(CallError::Failed(Cause::Unreachable("no replica is known".to_owned())));
        };
        let deadline = now + self.shared.options.attempt_timeout;
        match self.shared.attempt(&request, at, endpoint, deadline).await {
            Verdict::Done(raw, freshness) => {
                let value = parse(&raw, &freshness.replica).map_err(CallError::Failed)?;
                Ok(Answer { value, freshness })
            }
            Verdict::Retry { cause, .. } => Err(CallError::Failed(cause)),
            Verdict::Stop(error) => Err(error),
        }
    }
}

fn admin(method: Method, path: String) -> Request {
    Request { admin: true, ..Request::write(method, path, Kind::Once) }
}
