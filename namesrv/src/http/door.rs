//! The door: the router, and before it the one call that nearly all requests are.
//!
//! Clients read routes, one topic at a time. Much of what such a read costs beside its socket is the
//! way through axum's router: a search for its path, extractors, boxed futures, and copies of what
//! they share. So `GET /v1/routes/{topic}` with a plain topic goes to
//! the same frame and the same function directly; everything else, and what is only nearly that,
//! goes through the router. A test holds the two ways against each other.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Method, Request};
use axum::response::{IntoResponse, Response};
use tower::{BoxError, Service, ServiceExt};

use super::{Api, ROUTE, frame, names};

/// Answers the calls of the HTTP contract. Cheap to clone.
#[derive(Clone)]
pub struct Door {
    pub(super) api: Api,
    pub(super) router: Router,
}

impl Door {
    /// Answers one request.
    pub(super) async fn answer<B>(&self, request: Request<B>) -> Response
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Some(topic) = plain_topic(&request) else {
            let Ok(response) = self.router.clone().oneshot(request.map(Body::new)).await;
            return response;
        };
        let topic = topic.to_owned();
        let answer = |call, request: Request<B>| async move {
            self.api.route(&call, topic, request.uri().query()).await.into_response()
        };
        frame::framed(&self.api, Some(ROUTE), request, answer).await
    }
}

/// The topic whose route is read, when it stands in the path as it is.
fn plain_topic<B>(request: &Request<B>) -> Option<&str> {
    let topic = request.uri().path().strip_prefix("/v1/routes/")?;
    let is_plain = !topic.contains('%') && names::topic("topic", topic).is_ok();
    (is_plain && *request.method() == Method::GET).then_some(topic)
}

impl<B> Service<Request<B>> for Door
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let door = self.clone();
        Box::pin(async move { Ok(door.answer(request).await) })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, header};
    use http_body_util::BodyExt as _;
    use signpost_client::types::headers;

    use super::*;
    use crate::config::NodeConfig;
    use crate::fake_log::{FakeLog, registration};
    use crate::http::{AdminToken, router};
    use crate::routes::command::{Register, RouteCommand};

    const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "DELETE"];
    const PATHS: [&str; 11] = [
        "/v1/routes/here",
        "/v1/routes/gone",
        "/v1/routes/%25RETRY%25g",
        "/v1/routes/he%72e",
        "/v1/routes/%RETRY%25g",
        "/v1/routes/a.b",
        "/v1/routes/",
        "/v1/routes/here/",
        "/v1/routes/here/more",
        "/v1/routes",
        "http://elsewhere/v1/routes/here",
    ];
    const QUERIES: [&str; 14] = [
        "",
        "?",
        "?consistency=local",
        "?consistency=lo%63al",
        "?consistency=linearizable&min_index=1",
        "?consistency=other",
        "?min_index=1000",
        "?min_index=x",
        "?min_indx=1",
        "?min_index=1&min_index=1",
        "?index=1000&wait=20ms",
        "?index=0&wait=1s&consistency=local",
        "?index=1",
        "?consistency=%zz",
    ];
    const HEADERS: [Option<(&str, &str)>; 6] = [
        None,
        Some((headers::DEADLINE_MS, "50")),
        Some((headers::DEADLINE_MS, "0")),
        Some((headers::CLUSTER, "not a uuid")),
        Some((headers::CLUSTER, "00000000-0000-0000-0000-0000000000ff")),
        Some(("content-type", "text/plain")),
    ];

    /// What a caller sees; but not how old the round was, nor what hyper adds by itself.
    async fn seen(response: Response) -> (u16, HeaderMap, Bytes) {
        let (mut parts, body) = response.into_parts();
        parts.headers.remove(headers::QUORUM_AGE_MS);
        parts.headers.remove(header::CONTENT_LENGTH);
        let body = body.collect().await.expect("a body in memory").to_bytes();
        (parts.status.as_u16(), parts.headers, body)
    }

    #[tokio::test(start_paused = true)]
    async fn both_ways_answer_alike() {
        let (log, service) = FakeLog::lead(NodeConfig::new(1, "tests"));
        // It outlives all the waits.
        let lease_ttl_ms = 24 * 3_600_000;
        let broker = registration("broker-a", 1, &["here", "%RETRY%g"]);
        log.apply(RouteCommand::Register(Register { lease_ttl_ms, ..broker }));
        let token = AdminToken::new("an-admin-token-for-tests").expect("long enough");
        let door = router(service, token);
        let mut shortcuts = 0;
        for method in METHODS {
            for (path, query) in PATHS.iter().flat_map(|path| QUERIES.map(|query| (path, query))) {
                for given in HEADERS {
                    let request = || {
                        let mut request = Request::builder().method(method);
                        request = request.uri(format!("{path}{query}"));
                        if let Some((name, value)) = given {
                            request = request.header(name, value);
                        }
                        request.body(Body::empty()).expect("a well-formed request")
                    };
                    shortcuts += usize::from(plain_topic(&request()).is_some());
                    let direct = seen(door.answer(request()).await).await;
                    let Ok(routed) = door.router.clone().oneshot(request()).await;
                    assert_eq!(direct, seen(routed).await, "{method} {path}{query} {given:?}");
                }
            }
        }
        assert_eq!(shortcuts, 3 * QUERIES.len() * HEADERS.len(), "GETs of plain topics");
    }

    #[tokio::test]
    async fn both_ways_are_counted_as_the_same_route() {
        let (_log, service) = FakeLog::lead(NodeConfig::new(1, "tests"));
        let token = AdminToken::new("an-admin-token-for-tests").expect("long enough");
        let door = router(service, token);
        for path in ["/v1/routes/here", "/v1/routes/he%72e"] {
            let request = Request::get(path).body(Body::empty()).expect("a well-formed request");
            door.answer(request).await;
        }
        let text = door.api.metrics.encode().expect("encodes");
        let line = r#"{method="GET",route="/v1/routes/{topic}",status="404"} 2"#;
        assert!(text.contains(line), "{text}");
    }
}
