//! What every request passes on its way in and every answer on its way out: deadline, history,
//! `Signpost-*` headers, metrics and the debug log line.

use std::time::Duration;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use signpost_client::types::headers;
use tokio::time::Instant;
use uuid::Uuid;

use super::Api;
use super::excerpt::Excerpt;
use super::names::Invalid;
use super::problem::Fault;
use super::query::number;
use super::server::Peer;
use super::stamp::{Provenance, is_stamped};
use crate::errors::ServiceError;

const CLUSTER: HeaderName = HeaderName::from_static(headers::CLUSTER);
const DEADLINE_MS: HeaderName = HeaderName::from_static(headers::DEADLINE_MS);

/// When a request came and until when its caller waits; in the extensions of the router's
/// requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    /// When its head had arrived.
    pub(super) begun: Instant,
    /// `Signpost-Deadline-Ms`, bounded.
    pub(super) patience: Option<Duration>,
    /// When the answer must be there: by patience, else by the configured call timeout.
    pub(super) deadline: Instant,
}

impl<S: Sync> FromRequestParts<S> for Call {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fault> {
        // The frame around every route puts it there; a route without the frame has no deadline
        // to keep and must not be served.
        parts.extensions.get::<Self>().copied().ok_or(Fault::NoSuchPath)
    }
}

/// The decoded segments of a path.
pub(super) struct Segments<T>(pub(super) T);

impl<S, T> FromRequestParts<S> for Segments<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Send,
{
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        axum::extract::Path::<T>::from_request_parts(parts, state)
            .await
            .map(|path| Self(path.0))
            .map_err(|_| Invalid::new("path", "percent-encoded UTF-8").into())
    }
}

/// The frame around every route of the router, the unknown ones included.
pub(super) async fn frame(State(api): State<Api>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    let answer = |call: Call, mut request: Request| {
        request.extensions_mut().insert(call);
        next.run(request)
    };
    framed(&api, route, request, answer).await
}

/// Answers a request to a route as all requests are answered.
pub(super) async fn framed<B, F: Future<Output = Response>>(
    api: &Api,
    route: Option<&str>,
    request: axum::http::Request<B>,
    answer: impl FnOnce(Call, axum::http::Request<B>) -> F,
) -> Response {
    let begun = Instant::now();
    let line = tracing::enabled!(tracing::Level::DEBUG).then(|| Line::of(&request));
    let method = request.method().clone();
    let in_flight = api.metrics.enter();
    let mut response = match admit(api, &request, begun) {
        Ok(call) => answer(call, request).await,
        Err(fault) => fault.into_response(),
    };
    drop(in_flight);
    seal(api, &mut response);
    let status = response.status().as_u16();
    let elapsed = begun.elapsed();
    api.metrics.answered(&method, route, status, elapsed);
    if let Some(line) = line {
        line.log(&method, status, elapsed);
    }
    response
}

/// Refuses what no route should see.
fn admit<B>(api: &Api, request: &axum::http::Request<B>, begun: Instant) -> Result<Call, Fault> {
    let uri = request.uri();
    for (field, text) in [("path", Some(uri.path())), ("query", uri.query())] {
        if !is_percent_encoded(text.unwrap_or_default()) {
            return Err(Invalid::new(field, "percent-encoded: write % itself as %25").into());
        }
    }
    if let Some(theirs) = text_of(request.headers(), CLUSTER)? {
        let theirs = Uuid::try_parse(theirs)
            .map_err(|_| Invalid::new(headers::CLUSTER, "the uuid of a cluster"))?;
        let cluster = api.provenance().freshness.cluster;
        if cluster.is_some_and(|ours| ours != theirs) {
            return Err(ServiceError::OtherHistory { cluster }.into());
        }
    }
    let timings = &api.config.timings;
    let patience = match text_of(request.headers(), DEADLINE_MS)? {
        None => None,
        Some(text) => match number(headers::DEADLINE_MS, text)? {
            0 => return Err(Invalid::new(headers::DEADLINE_MS, "at least 1").into()),
            ms => Some(Duration::from_millis(ms)),
        },
    };
    let deadline = begun + patience.unwrap_or(timings.call_timeout).min(timings.call_timeout_max);
    Ok(Call { begun, patience, deadline })
}

/// A header's text, when it is given once and is ASCII.
fn text_of(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, Invalid> {
    let mut values = headers.get_all(&name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            value.to_str().map(Some).map_err(|_| Invalid::new(name.as_str(), "visible ASCII"))
        }
        (Some(_), Some(_)) => Err(Invalid::new(name.as_str(), "given once")),
    }
}

fn is_percent_encoded(text: &str) -> bool {
    let bytes = text.as_bytes();
    if !bytes.contains(&b'%') {
        return true;
    }
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(|(at, _)| {
        bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    })
}

/// An answer that nobody has stamped says how the replica stands at the moment.
fn seal(api: &Api, response: &mut Response) {
    match response.extensions_mut().remove::<Provenance>() {
        Some(provenance) => provenance.stamp(response.headers_mut()),
        None if is_stamped(response.headers()) => {}
        None => api.provenance().stamp(response.headers_mut()),
    }
}

/// What the debug log says of a request; made only when somebody listens.
struct Line {
    path: String,
    peer: Option<Peer>,
}

impl Line {
    fn of<B>(request: &axum::http::Request<B>) -> Self {
        Self {
            path: Excerpt(request.uri().path()).to_string(),
            peer: request.extensions().get::<Peer>().cloned(),
        }
    }

    fn log(&self, method: &Method, status: u16, elapsed: Duration) {
        tracing::debug!(
            method = %Excerpt(method.as_str()),
            path = self.path,
            peer = self.peer.as_ref().map(|peer| &*peer.0),
            status,
            elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            "request"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percent_sign_must_begin_an_escape() {
        for good in ["", "/v1/routes/%25RETRY%25g", "/a%2fb", "%41"] {
            assert!(is_percent_encoded(good), "{good}");
        }
        for bad in ["%", "%2", "/v1/routes/%RETRY%25g", "%zz", "a%%", "%+1"] {
            assert!(!is_percent_encoded(bad), "{bad}");
        }
    }
}
