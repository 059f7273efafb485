//! `/v1/brokers` and `/v1/clusters`: registrations and their leases, and the tables as lists.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use signpost_client::types;

use super::frame::{Call, Segments};
use super::names::{self, EXACT_MAX};
use super::problem::Fault;
use super::query::Query;
use super::{Answer, Api, convert, lists};
use crate::routes::command::BrokerKey;
use crate::service::Heartbeat;

type Broker = Segments<(String, String, String)>;

fn key_of(Segments((cluster, name, id)): Broker) -> Result<BrokerKey, Fault> {
    Ok(convert::broker_key(cluster, name, &id)?)
}

/// `PUT /v1/brokers/{cluster}/{name}/{id}`: registers, replacing the topics. Idempotent.
pub(super) async fn register(
    State(api): State<Api>,
    call: Call,
    broker: Broker,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<types::Registered>, Fault> {
    let key = key_of(broker)?;
    let takeover = Query::parse(query.as_deref(), &["takeover"])?.flag("takeover")?;
    let limits = &api.config.limits;
    let (body, due) = api.json(&call, &headers, body, limits.registration_bytes).await?;
    let (body, share) = body.into_parts();
    let register = convert::register(key, body, takeover, &api.config.timings, limits)?;
    let registered = api.service.register(register, due).await?;
    drop(share);
    let (master_address, ha_address) = registered.master.unzip();
    let body = types::Registered {
        epoch: registered.epoch,
        index: registered.index,
        lease_ttl_ms: registered.lease_ttl_ms,
        master_address,
        ha_address,
    };
    Ok(api.written(registered.index, body))
}

/// `PATCH /v1/brokers/{cluster}/{name}/{id}/topics`: merges topics; null deletes one.
pub(super) async fn patch(
    State(api): State<Api>,
    call: Call,
    broker: Broker,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<types::Patched>, Fault> {
    let key = key_of(broker)?;
    Query::parse(query.as_deref(), &[])?;
    let limits = &api.config.limits;
    let (body, due) = api.json(&call, &headers, body, limits.registration_bytes).await?;
    let (body, share) = body.into_parts();
    let patched = api.service.patch(convert::patch(key, body, limits)?, due).await?;
    drop(share);
    let body = types::Patched { epoch: patched.epoch, index: patched.index };
    Ok(api.written(patched.index, body))
}

/// `POST /v1/brokers/{cluster}/{name}/{id}/heartbeat`: renews the lease.
pub(super) async fn heartbeat(
    State(api): State<Api>,
    call: Call,
    broker: Broker,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<types::Renewed>, Fault> {
    let key = key_of(broker)?;
    Query::parse(query.as_deref(), &[])?;
    let (body, due) = api.json(&call, &headers, body, api.config.limits.body_bytes).await?;
    let types::Heartbeat { incarnation, epoch } = body.into_parts().0;
    if let Some(incarnation) = incarnation {
        names::within("incarnation", incarnation, 1, EXACT_MAX)?;
    }
    names::within("epoch", epoch, 1, EXACT_MAX)?;
    let renewed = api.service.heartbeat(Heartbeat { key, incarnation, epoch }, due).await?;
    let body = types::Renewed { epoch: renewed.epoch, lease_ttl_ms: renewed.lease_ttl_ms };
    Ok(api.written(renewed.index, body))
}

/// `DELETE /v1/brokers/{cluster}/{name}/{id}`: unregisters; 200 also when it was already gone.
pub(super) async fn unregister(
    State(api): State<Api>,
    call: Call,
    broker: Broker,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<types::Written>, Fault> {
    let key = key_of(broker)?;
    let query = Query::parse(query.as_deref(), &["incarnation", "seq", "epoch"])?;
    let unregister = convert::unregister(key, &query)?;
    let due = api.no_body(&call, &headers, body).await?;
    let written = api.service.unregister(unregister, due).await?;
    Ok(api.written(written.index, types::Written { index: written.index }))
}

/// `POST /v1/brokers/{cluster}/{name}/write-permission`: wipes or restores it on all topics.
pub(super) async fn write_permission(
    State(api): State<Api>,
    call: Call,
    Segments((cluster, name)): Segments<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<types::PermissionChanged>, Fault> {
    names::broker_or_cluster("cluster", &cluster)?;
    names::broker_or_cluster("name", &name)?;
    Query::parse(query.as_deref(), &[])?;
    let (body, due) = api.json(&call, &headers, body, api.config.limits.body_bytes).await?;
    let types::WritePermission { writable } = body.into_parts().0;
    let written = api.service.set_write_permission(Some(cluster), name, writable, due).await?;
    let body =
        types::PermissionChanged { index: written.index, changed_topics: written.changed.into() };
    Ok(api.written(written.index, body))
}

/// `GET /v1/brokers`: live registrations.
pub(super) async fn list(
    State(api): State<Api>,
    call: Call,
    RawQuery(query): RawQuery,
) -> Result<Answer<types::BrokerList>, Fault> {
    api.read(&call, query.as_deref(), lists::brokers).await
}

/// `GET /v1/clusters`: broker names by RocketMQ cluster.
pub(super) async fn clusters(
    State(api): State<Api>,
    call: Call,
    RawQuery(query): RawQuery,
) -> Result<Answer<types::ClusterList>, Fault> {
    api.read(&call, query.as_deref(), lists::clusters).await
}
