//! One replica's HTTP door over a fake log, and a caller who checks every answer.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use signpost_client::types::{Problem, headers};
use signpost_namesrv::config::NodeConfig;
use signpost_namesrv::fake_log::FakeLog;
use signpost_namesrv::http::{self, AdminToken, router};
use signpost_namesrv::service::NameService;
use tower::ServiceExt;

pub(crate) const TOKEN: &str = "an-admin-token-for-tests";

/// A replica that leads a founded cluster.
pub(crate) struct Door {
    pub(crate) log: Arc<FakeLog>,
    pub(crate) service: Arc<NameService>,
    pub(crate) router: http::Door,
}

/// An answer, already checked for what every answer must carry.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

/// A request in the making.
pub(crate) struct Ask<'d> {
    door: &'d Door,
    request: axum::http::request::Builder,
    body: Body,
}

impl Door {
    pub(crate) fn open() -> Self {
        Self::open_with(|_| ())
    }

    pub(crate) fn open_with(change: impl FnOnce(&mut NodeConfig)) -> Self {
        let mut config = NodeConfig::new(1, "tests");
        change(&mut config);
        let (log, service) = FakeLog::lead(config);
        let token = AdminToken::new(TOKEN).expect("long enough");
        let router = router(Arc::clone(&service), token);
        Self { log, service, router }
    }

    pub(crate) fn ask(&self, method: Method, uri: &str) -> Ask<'_> {
        let request = Request::builder().method(method).uri(uri);
        Ask { door: self, request, body: Body::empty() }
    }

    pub(crate) async fn get(&self, uri: &str) -> Reply {
        self.ask(Method::GET, uri).send().await
    }

    pub(crate) async fn put(&self, uri: &str, json: &str) -> Reply {
        self.ask(Method::PUT, uri).json(json).send().await
    }

    pub(crate) async fn post(&self, uri: &str, json: &str) -> Reply {
        self.ask(Method::POST, uri).json(json).send().await
    }

    pub(crate) async fn patch(&self, uri: &str, json: &str) -> Reply {
        self.ask(Method::PATCH, uri).json(json).send().await
    }

    pub(crate) async fn delete(&self, uri: &str) -> Reply {
        self.ask(Method::DELETE, uri).send().await
    }

    /// Registers master `name` of cluster C with these topics; answers its epoch.
    pub(crate) async fn register(&self, name: &str, topics: &[&str]) -> u64 {
        let topics: Vec<String> = topics.iter().map(|topic| format!(r#""{topic}":{{}}"#)).collect();
        let json = format!(
            r#"{{"incarnation":7,"seq":1,"address":"{name}:10911","topics":{{{}}}}}"#,
            topics.join(",")
        );
        let reply = self.put(&format!("/v1/brokers/C/{name}/0"), &json).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["epoch"].as_u64().expect("an epoch")
    }
}

impl Ask<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub(crate) fn token(self) -> Self {
        self.header("authorization", &format!("Bearer {TOKEN}"))
    }

    pub(crate) fn json(self, json: &str) -> Self {
        let mut ask = self.header("content-type", "application/json");
        ask.body = Body::from(json.to_owned());
        ask
    }

    pub(crate) fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    pub(crate) async fn send(self) -> Reply {
        let request = self.request.body(self.body).expect("a well-formed request");
        let what = format!("{} {}", request.method(), request.uri());
        let Ok(response) = self.door.router.clone().oneshot(request).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body in memory").to_bytes();
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let reply = Reply { status: parts.status.as_u16(), headers: parts.headers, text };
        reply.check(&what);
        reply
    }
}

impl Reply {
    /// What every answer carries, errors too.
    fn check(&self, what: &str) {
        for name in [headers::INDEX, headers::TERM, headers::NODE] {
            assert!(self.number(name).is_some(), "{what}: {name} is missing: {self:?}");
        }
        let consistency = self.header(headers::CONSISTENCY);
        assert!(matches!(consistency, Some("linearizable" | "local")), "{what}: {self:?}");
        if self.status >= 400 && !what.contains("/readyz") {
            let json = self.header(header::CONTENT_TYPE.as_str());
            assert_eq!(json, Some(headers::PROBLEM_JSON), "{what}: {self:?}");
            let problem = self.problem();
            assert_eq!(problem.status, self.status, "{what}: {self:?}");
            assert!(problem.kind.starts_with("urn:signpost:problem:"), "{what}: {self:?}");
            assert!(!problem.title.is_empty() && !problem.detail.is_empty(), "{what}: {self:?}");
            assert!(problem.code.is_some(), "{what}: RocketMQ's code is missing: {self:?}");
            let status = StatusCode::from_u16(self.status).expect("a status");
            if status == StatusCode::TOO_MANY_REQUESTS {
                assert!(self.number("retry-after").is_some(), "{what}: {self:?}");
            }
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn problem(&self) -> Problem {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn reason(&self) -> String {
        self.problem().reason.unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.header(name).map(|value| value.parse().expect("a number"))
    }

    pub(crate) fn index(&self) -> u64 {
        self.number(headers::INDEX).expect("checked")
    }

    pub(crate) fn modified(&self) -> u64 {
        self.number(headers::MODIFIED).unwrap_or_else(|| panic!("no modified: {self:?}"))
    }
}
