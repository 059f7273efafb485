//! A broker's own calls. [`LeaseKeeper`](crate::LeaseKeeper) makes them for a live broker.

use std::fmt;

use hyper::Method;

use super::{CallResult, Client};
use crate::call::{Kind, Request};
use crate::types::headers::encode_name;
use crate::types::{
    Heartbeat, Patch, Patched, PermissionChanged, Registered, Registration, Renewed,
    WritePermission, Written,
};

/// Who a broker is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrokerIdentity {
    /// The RocketMQ cluster it belongs to.
    pub cluster: String,
    /// The name that it shares with its master or slaves.
    pub name: String,
    /// 0 is the master.
    pub id: u64,
}

impl fmt::Display for BrokerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.cluster, self.name, self.id)
    }
}

/// One process's one write: incarnations order processes, `seq` orders the writes of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// The process. Below 2^53.
    pub incarnation: u64,
    /// The write.
    pub seq: u64,
}

impl BrokerIdentity {
    fn path(&self, rest: &str) -> String {
        let (cluster, name) = (encode_name(&self.cluster), encode_name(&self.name));
        format!("/v1/brokers/{cluster}/{name}/{}{rest}", self.id)
    }
}

impl Client {
    /// `PUT /v1/brokers/…`: registers, replacing all topics. With incarnation and seq it is
    /// repeated freely; without, only while it surely did not happen.
    ///
    /// # Errors
    /// 409 by its reason; 410: this (incarnation, seq) has been removed since.
    pub async fn register(
        &self,
        broker: &BrokerIdentity,
        registration: &Registration,
        takeover: bool,
    ) -> CallResult<Registered> {
        let claimed = registration.incarnation.is_some() && registration.seq.is_some();
        let kind = if claimed { Kind::Idempotent } else { Kind::Once };
        let mut request = Request::write(Method::PUT, broker.path(""), kind).body(registration)?;
        if takeover {
            request = request.query("takeover", true);
        }
        self.json(&request).await
    }

    /// `PATCH /v1/brokers/…/topics`: merges topics, None deletes one. After an unknown outcome
    /// send a full registration with a higher seq.
    ///
    /// # Errors
    /// 409 by its reason; 410: register again.
    pub async fn patch_topics(
        &self,
        broker: &BrokerIdentity,
        patch: &Patch,
    ) -> CallResult<Patched> {
        let path = broker.path("/topics");
        let request = Request::write(Method::PATCH, path, Kind::Once).body(patch)?;
        self.json(&Request { history_bound: true, ..request }).await
    }

    /// `POST /v1/brokers/…/heartbeat`: renews the lease. Renewing twice does no harm.
    ///
    /// # Errors
    /// 410: register again; 409 `superseded`: stop.
    pub async fn heartbeat(&self, broker: &BrokerIdentity, beat: Heartbeat) -> CallResult<Renewed> {
        let path = broker.path("/heartbeat");
        let request = Request::write(Method::POST, path, Kind::Idempotent).body(&beat)?;
        self.json(&Request { history_bound: true, ..request }).await
    }

    /// `DELETE /v1/brokers/…`: unregisters. Without a claim: by hand, whichever is registered.
    ///
    /// # Errors
    /// 409: the registration has moved on, nothing was removed.
    pub async fn unregister(
        &self,
        broker: &BrokerIdentity,
        claim: Option<Claim>,
        epoch: Option<u64>,
    ) -> CallResult<Written> {
        let kind = if claim.is_some() { Kind::Idempotent } else { Kind::Once };
        let mut request = Request::write(Method::DELETE, broker.path(""), kind);
        if let Some(claim) = claim {
            request = request.query("incarnation", claim.incarnation).query("seq", claim.seq);
        }
        if let Some(epoch) = epoch {
            request = request.query("epoch", epoch);
        }
        self.json(&Request { history_bound: epoch.is_some(), ..request }).await
    }

    /// `POST /v1/brokers/{cluster}/{name}/write-permission`: wipes or restores it on all topics.
    ///
    /// # Errors
    /// 404: no such broker name in that cluster.
    pub async fn set_write_permission(
        &self,
        cluster: &str,
        name: &str,
        writable: bool,
    ) -> CallResult<PermissionChanged> {
        let (cluster, name) = (encode_name(cluster), encode_name(name));
        let path = format!("/v1/brokers/{cluster}/{name}/write-permission");
        let request = Request::write(Method::POST, path, Kind::Once);
        self.json(&request.body(&WritePermission { writable })?).await
    }
}
