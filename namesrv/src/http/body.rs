//! Request bodies: bounded before they are read, JSON only, and every refusal names its field.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::excerpt::Excerpt;
use super::problem::Fault;
use crate::errors::ServiceError;

/// Bodies up to this size are bounded by the number of connections alone.
const SMALL_BYTES_MAX: u64 = 64 * 1024;
/// The budget's unit.
const UNIT_BYTES: u64 = 1024;

/// The memory that large bodies may take together. Without it a few hundred connections, each
/// within its own limit, would fill the machine.
#[derive(Debug, Clone)]
pub(super) struct BodyBudget(Arc<Semaphore>);

impl BodyBudget {
    pub(super) fn new(total_bytes: u64) -> Self {
        let units = usize::try_from(total_bytes / UNIT_BYTES).unwrap_or(usize::MAX);
        Self(Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))))
    }

    fn reserve(&self, bytes: u64) -> Result<Option<OwnedSemaphorePermit>, Fault> {
        if bytes <= SMALL_BYTES_MAX {
            return Ok(None);
        }
        u32::try_from(bytes.div_ceil(UNIT_BYTES))
            .ok()
            .and_then(|units| Arc::clone(&self.0).try_acquire_many_owned(units).ok())
            .map(Some)
            .ok_or_else(|| ServiceError::overloaded("large request bodies at once").into())
    }
}

/// What a body may be.
pub(super) struct BodyRules<'a> {
    /// Its largest size.
    pub(super) bytes_max: u64,
    /// When it must have arrived.
    pub(super) deadline: Instant,
    /// What large ones share.
    pub(super) budget: &'a BodyBudget,
}

/// A share of the budget, given back when it is dropped.
pub(super) struct Share(
    #[expect(dead_code, reason = "held, not read")] Option<OwnedSemaphorePermit>,
);

/// A parsed body and its share of the budget.
pub(super) struct Parsed<T> {
    value: T,
    share: Share,
}

impl<T> Parsed<T> {
    /// The body, and its share, to be kept for as long as the body's content is.
    pub(super) fn into_parts(self) -> (T, Share) {
        (self.value, self.share)
    }
}

/// Reads a JSON object.
pub(super) async fn json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    rules: BodyRules<'_>,
) -> Result<Parsed<T>, Fault> {
    if !is_json(headers) {
        return Err(Fault::MediaType);
    }
    let (bytes, share) = read(headers, body, &rules).await?;
    let value = parse(&bytes)?;
    Ok(Parsed { value, share: Share(share) })
}

/// Reads the body of a call that takes none: nothing, or an empty JSON object.
pub(super) async fn nothing(
    headers: &HeaderMap,
    body: Body,
    rules: BodyRules<'_>,
) -> Result<(), Fault> {
    let (bytes, _) = read(headers, body, &rules).await?;
    let text = bytes.trim_ascii();
    if text.is_empty() || text == b"{}" {
        return Ok(());
    }
    Err(ServiceError::invalid("body", "left out: this call takes none").into())
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

async fn read(
    headers: &HeaderMap,
    body: Body,
    rules: &BodyRules<'_>,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Fault> {
    let too_large = || {
        Fault::from(ServiceError::TooLarge {
            what: "the body, in bytes,".to_owned(),
            limit: rules.bytes_max,
        })
    };
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok());
    if declared.is_some_and(|declared| declared > rules.bytes_max) {
        return Err(too_large());
    }
    // A chunked body tells its size only at its end, so it reserves all that it may become.
    let share = rules.budget.reserve(declared.unwrap_or(rules.bytes_max))?;
    let collect = async {
        let mut body = body;
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Fault::CutBody)?;
            let Ok(data) = frame.into_data() else { continue };
            if (bytes.len() as u64).saturating_add(data.len() as u64) > rules.bytes_max {
                return Err(too_large());
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes.freeze())
    };
    let bytes =
        tokio::time::timeout_at(rules.deadline, collect).await.unwrap_or(Err(Fault::SlowBody))?;
    Ok((bytes, share))
}

/// How long a body of at most this size may take: five seconds, and one more for each 64 KiB.
pub(super) fn patience(bytes_max: u64) -> Duration {
    Duration::from_secs(5 + bytes_max.div_ceil(64 * 1024).min(60))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    // serde would take an array for a struct, its elements in the order of the fields.
    match bytes.trim_ascii_start().first() {
        Some(b'{') => {}
        Some(_) => return Err(ServiceError::invalid("body", "a JSON object").into()),
        None => {
            return Err(ServiceError::invalid("body", "a JSON object; the body is empty").into());
        }
    }
    // Keeping track of the path costs as much as parsing: only a refusal pays for it.
    serde_json::from_slice(bytes).map_err(|error| explain::<T>(bytes, &error).into())
}

/// Which field was wrong, and what serde expected there.
fn explain<T: DeserializeOwned>(bytes: &[u8], error: &serde_json::Error) -> ServiceError {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let Err(traced) = serde_path_to_error::deserialize::<_, T>(&mut json) else {
        // What follows a whole object.
        return ServiceError::invalid("body", format!("one JSON object: {error}"));
    };
    let message = traced.inner().to_string();
    let expected = format!("what the contract says: {}", Excerpt(&message));
    let mut path = match traced.path().to_string() {
        root if root == "." => String::new(),
        path => path,
    };
    if let Some(name) = absent_or_doubled(&message) {
        // serde reports these at the object that should hold the field once.
        path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    }
    if path.is_empty() || !traced.inner().is_data() {
        return ServiceError::invalid("body", expected);
    }
    ServiceError::invalid(Excerpt(&path).to_string(), expected)
}

/// The field's name in serde's ``missing field `x` `` and ``duplicate field `x` ``.
fn absent_or_doubled(message: &str) -> Option<&str> {
    let rest =
        message.strip_prefix("missing field `").or(message.strip_prefix("duplicate field `"))?;
    rest.split_once('`').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use signpost_client::types;

    use super::*;

    fn budget_rules(budget: &BodyBudget, bytes_max: u64) -> BodyRules<'_> {
        BodyRules { bytes_max, deadline: Instant::now() + Duration::from_secs(5), budget }
    }

    fn json_headers(length: Option<u64>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/json".parse().expect("a value"));
        if let Some(length) = length {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        headers
    }

    #[test]
    fn refusals_name_the_field() {
        for (json, field) in [
            (r#"{"epoch":1,"epoch":2}"#, "epoch"),
            (r#"{"incarnation":1}"#, "epoch"),
            (r#"{"epoch":"1"}"#, "epoch"),
            (r#"{"epoch":1,"x":2}"#, "x"),
            (r#"{"epoch":1"#, "body"),
            (r#"{"epoch":1}]"#, "body"),
            ("[1,1]", "body"),
            ("", "body"),
        ] {
            let Err(Fault::Service(error)) = parse::<types::Heartbeat>(json.as_bytes()) else {
                panic!("{json} was taken");
            };
            assert_eq!(error.wire().field, Some(field), "{json}: {error}");
        }
        let nested = r#"{"address":"a:1","topics":{"T":{"perm":1,"perm":2}}}"#;
        let Err(Fault::Service(error)) = parse::<types::Registration>(nested.as_bytes()) else {
            panic!("{nested} was taken");
        };
        assert_eq!(error.wire().field, Some("topics.T.perm"));
    }

    #[tokio::test]
    async fn large_bodies_share_a_budget_and_give_it_back() {
        const MIB: u64 = 1024 * 1024;
        let budget = BodyBudget::new(2 * MIB);
        let ask = |length: Option<u64>| {
            let rules = budget_rules(&budget, 2 * MIB);
            async move {
                let body = Body::from(r#"{"value":"v"}"#);
                json::<types::PutKv>(&json_headers(length), body, rules).await
            }
        };
        let held = ask(Some(MIB)).await.expect("there is room").into_parts();
        let chunked = ask(None).await.err().expect("it may become 2 MiB");
        assert_eq!(chunked.problem().status, 429);
        ask(Some(13)).await.expect("small ones need no room");
        drop(held);
        ask(None).await.expect("there is room again");
    }
}
