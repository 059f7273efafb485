//! `/v1/kv`: KV configuration, the order configuration of topics among it.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use signpost_client::types;

use super::frame::{Call, Segments};
use super::names::{self, Invalid, VALUE_BYTES_MAX};
use super::problem::Fault;
use super::query::Query;
use super::{Answer, Api, lists};
use crate::errors::{Missing, ServiceError};

fn names_of(Segments((namespace, key)): Item) -> Result<(String, String), Invalid> {
    names::kv_name("namespace", &namespace)?;
    names::kv_name("key", &key)?;
    Ok((namespace, key))
}

type Item = Segments<(String, String)>;

/// `GET /v1/kv/{namespace}`: all of its values; a namespace that never was is empty.
pub(super) async fn namespace(
    State(api): State<Api>,
    call: Call,
    Segments(namespace): Segments<String>,
    RawQuery(query): RawQuery,
) -> Result<Answer<types::KvNamespace>, Fault> {
    names::kv_name("namespace", &namespace)?;
    let look = |tables: &_| lists::kv_namespace(tables, &namespace);
    api.read(&call, query.as_deref(), look).await
}

/// `GET /v1/kv/{namespace}/{key}`: one value and its `modified`.
pub(super) async fn get(
    State(api): State<Api>,
    call: Call,
    item: Item,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    let (namespace, key) = names_of(item)?;
    let look = |tables: &_| lists::kv(tables, &namespace, &key);
    let Answer { body, provenance } = api.read(&call, query.as_deref(), look).await?;
    Ok(match body {
        Some(body) => Answer { body, provenance }.into_response(),
        None => {
            let missing = ServiceError::NotFound(Missing::KvKey { namespace, key });
            let mut response = Fault::from(missing).into_response();
            response.extensions_mut().insert(provenance);
            response
        }
    })
}

/// `PUT /v1/kv/{namespace}/{key}`: sets it; with `if_index` only when its `modified` is that.
pub(super) async fn put(
    State(api): State<Api>,
    call: Call,
    item: Item,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<types::Written>, Fault> {
    let (namespace, key) = names_of(item)?;
    let if_index = Query::parse(query.as_deref(), &["if_index"])?.number("if_index")?;
    let (body, due) = api.json(&call, &headers, body, api.config.limits.body_bytes).await?;
    let types::PutKv { value } = body.into_parts().0;
    if value.len() > VALUE_BYTES_MAX {
        let expected = format!("a string of at most {VALUE_BYTES_MAX} bytes");
        return Err(Invalid::new("value", expected).into());
    }
    let written = api.service.put_kv(namespace, key, value, if_index, due).await?;
    Ok(api.written(written.index, types::Written { index: written.index }))
}

/// `DELETE /v1/kv/{namespace}/{key}`: deletes it; 200 also when there is none.
pub(super) async fn delete(
    State(api): State<Api>,
    call: Call,
    item: Item,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<types::Written>, Fault> {
    let (namespace, key) = names_of(item)?;
    let if_index = Query::parse(query.as_deref(), &["if_index"])?.number("if_index")?;
    let due = api.no_body(&call, &headers, body).await?;
    let written = api.service.delete_kv(namespace, key, if_index, due).await?;
    Ok(api.written(written.index, types::Written { index: written.index }))
}
