//! `/v1/cluster` and `/v1/alarms`: operation. Everything but looking needs the admin token.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use serde::Serialize;
use signpost_client::types;

use super::frame::{Call, Segments};
use super::names::{self, EXACT_MAX};
use super::problem::Fault;
use super::query::{Query, number};
use super::stamp::Provenance;
use super::{Answer, Api};
use crate::log::{Member, MemberRole, Role};
use crate::reads::Consistency;

/// The answer of an operation that has nothing to tell.
#[derive(Debug, Serialize)]
pub(super) struct Done {}

/// `GET /v1/cluster`: how this replica stands, as it sees it itself.
pub(super) async fn status(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Answer<types::ClusterStatus>, Fault> {
    Query::parse(query.as_deref(), &[])?;
    let view = api.service.reads().peek();
    let status = api.service.status();
    let freshness = api.service.freshness(view.applied);
    let body = types::ClusterStatus {
        cluster: status.cluster.map(|cluster| cluster.to_string()),
        cluster_name: Some(status.cluster_name),
        node_id: status.node_id,
        role: role(status.role).to_owned(),
        term: status.term,
        leader: status.leader,
        applied: view.applied,
        digest: format!("{:032x}", view.tables.digest()),
        members: status.members.into_iter().map(member).collect(),
    };
    let consistency = Consistency::Local;
    Ok(Answer { body, provenance: Provenance { freshness, consistency, modified: None } })
}

/// `POST /v1/cluster/members`: adds a learner.
pub(super) async fn add(
    State(api): State<Api>,
    call: Call,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<types::Written>, Fault> {
    api.admin(&headers)?;
    Query::parse(query.as_deref(), &[])?;
    let (body, due) = api.json(&call, &headers, body, api.config.limits.body_bytes).await?;
    let types::AddMember { id, peer } = body.into_parts().0;
    names::within("id", id, 1, EXACT_MAX)?;
    names::address("peer", &peer)?;
    let written = api.service.add_member(id, peer, due).await?;
    Ok(api.written(written.index, types::Written { index: written.index }))
}

/// `POST /v1/cluster/members/{id}/promote`: makes a learner a voter.
pub(super) async fn promote(
    State(api): State<Api>,
    call: Call,
    Segments(id): Segments<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<types::Written>, Fault> {
    api.admin(&headers)?;
    let id = number("id", &id)?;
    Query::parse(query.as_deref(), &[])?;
    let due = api.no_body(&call, &headers, body).await?;
    let written = api.service.promote_member(id, due).await?;
    Ok(api.written(written.index, types::Written { index: written.index }))
}

/// `DELETE /v1/cluster/members/{id}`: removes a replica for ever.
pub(super) async fn remove(
    State(api): State<Api>,
    call: Call,
    Segments(id): Segments<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<types::Written>, Fault> {
    api.admin(&headers)?;
    let id = number("id", &id)?;
    Query::parse(query.as_deref(), &[])?;
    let due = api.no_body(&call, &headers, body).await?;
    let written = api.service.remove_member(id, due).await?;
    Ok(api.written(written.index, types::Written { index: written.index }))
}

/// `POST /v1/cluster/transfer`: hands the leadership over.
pub(super) async fn transfer(
    State(api): State<Api>,
    call: Call,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<types::TransferLeader>, Fault> {
    api.admin(&headers)?;
    Query::parse(query.as_deref(), &[])?;
    let (body, due) = api.json(&call, &headers, body, api.config.limits.body_bytes).await?;
    let types::TransferLeader { leader } = body.into_parts().0;
    names::within("leader", leader, 1, EXACT_MAX)?;
    api.service.transfer_leadership(leader, due).await?;
    Ok(api.now(types::TransferLeader { leader }))
}

/// `POST /v1/cluster/snapshot`: saves a snapshot of this replica's tables.
pub(super) async fn snapshot(
    State(api): State<Api>,
    call: Call,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<types::Written>, Fault> {
    api.admin(&headers)?;
    Query::parse(query.as_deref(), &[])?;
    let due = api.no_body(&call, &headers, body).await?;
    let index = api.service.save_snapshot(due).await?;
    Ok(api.now(types::Written { index }))
}

/// `GET /v1/alarms`: those that stand on the leader.
pub(super) async fn alarms(
    State(api): State<Api>,
    call: Call,
    RawQuery(query): RawQuery,
) -> Result<Answer<types::Alarms>, Fault> {
    Query::parse(query.as_deref(), &[])?;
    let alarms = api.service.alarms(call.deadline).await?;
    let alarms = alarms
        .into_iter()
        .map(|alarm| types::Alarm {
            kind: alarm.kind,
            detail: alarm.detail,
            age_ms: Some(alarm.age_ms),
        })
        .collect();
    Ok(api.now(types::Alarms { alarms }))
}

/// `POST /v1/alarms/{kind}/release`: an operator has seen it; the mass-expiry brake lets go.
pub(super) async fn release(
    State(api): State<Api>,
    call: Call,
    Segments(kind): Segments<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<Done>, Fault> {
    api.admin(&headers)?;
    names::broker_or_cluster("kind", &kind)?;
    Query::parse(query.as_deref(), &[])?;
    let due = api.no_body(&call, &headers, body).await?;
    api.service.release_alarm(kind, due).await?;
    Ok(api.now(Done {}))
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Learner => "learner",
        Role::Removed => "removed",
        Role::Waiting => "waiting",
    }
}

fn member(member: Member) -> types::Member {
    let role = match member.role {
        MemberRole::Voter => "voter",
        MemberRole::Learner => "learner",
    };
    types::Member {
        id: member.id,
        role: role.to_owned(),
        peer: member.peer,
        http: member.http,
        remoting: member.remoting,
        disk_id: member.disk_id.to_string(),
    }
}
