//! `/v1/topics`: topics made and deleted by hand, and their list.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use signpost_client::types;

use super::frame::{Call, Segments};
use super::problem::Fault;
use super::query::Query;
use super::{Answer, Api, convert, lists, names};

/// `PUT /v1/topics/{topic}`: creates or changes a topic on the brokers that the body names.
pub(super) async fn put(
    State(api): State<Api>,
    call: Call,
    Segments(topic): Segments<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<types::Written>, Fault> {
    names::topic("topic", &topic)?;
    Query::parse(query.as_deref(), &[])?;
    let (body, due) = api.json(&call, &headers, body, api.config.limits.body_bytes).await?;
    let brokers = convert::topic_brokers(body.into_parts().0)?;
    let written = api.service.put_topic(topic, brokers, due).await?;
    Ok(api.written(written.index, types::Written { index: written.index }))
}

/// `DELETE /v1/topics/{topic}`: deletes it everywhere.
pub(super) async fn delete(
    State(api): State<Api>,
    call: Call,
    Segments(topic): Segments<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<types::Written>, Fault> {
    names::topic("topic", &topic)?;
    Query::parse(query.as_deref(), &[])?;
    let due = api.no_body(&call, &headers, body).await?;
    let written = api.service.delete_topic(topic, None, due).await?;
    Ok(api.written(written.index, types::Written { index: written.index }))
}

/// `GET /v1/topics`: all names.
pub(super) async fn list(
    State(api): State<Api>,
    call: Call,
    RawQuery(query): RawQuery,
) -> Result<Answer<types::TopicList>, Fault> {
    api.read(&call, query.as_deref(), lists::topics).await
}
