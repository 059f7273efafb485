//! The HTTP door: the contract of docs/HTTP.md on axum.
//!
//! | module | holds |
//! | --- | --- |
//! | this file | the table of routes, and what they share |
//! | `door` | the router, and the short way past it |
//! | `server` | the listener's loop: bounded connections, an end that comes |
//! | `frame`, `stamp` | what every request and answer passes: deadline, history, headers, metrics, log |
//! | `brokers`, `topics`, `kv` | writes, and the tables as lists |
//! | `routes` | route reads, waiting ones too |
//! | `cluster` | operation: members, leadership, snapshot, alarms |
//! | `nsaddr` | `/rocketmq/nsaddr`: where stock clients find the name servers |
//! | `probes`, `metrics`, `standing` | `/livez`, `/readyz`, `/metrics` |
//! | `query`, `body`, `names`, `convert` | strict reading of what comes from outside |
//! | `reading`, `lists` | how fresh a read is to be; the tables as lists |
//! | `problem` | refusals as RFC 9457 problem details |
//! | `token` | the admin token |
//!
//! Handlers read strictly, call the name service, and answer; they decide nothing.

mod body;
mod brokers;
mod cluster;
mod convert;
mod door;
mod excerpt;
mod frame;
mod kv;
mod lists;
mod metrics;
mod names;
mod nsaddr;
mod probes;
mod problem;
mod query;
mod reading;
mod routes;
mod server;
mod stall;
mod stamp;
mod standing;
mod token;
mod topics;

use std::ops::Deref;
use std::sync::Arc;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use axum::{Json, Router, middleware};
use serde::Serialize;
use serde::de::DeserializeOwned;
use signpost_raft::machine::Index;
use tokio::time::Instant;

use self::body::{BodyBudget, BodyRules, Parsed};
pub use self::door::Door;
use self::frame::Call;
use self::metrics::Metrics;
use self::probes::Leaderless;
use self::problem::Fault;
pub use self::server::{ServeLimits, nodelay, serve};
use self::stamp::Provenance;
pub use self::standing::Storage;
use self::standing::{AskStorage, Standing};
pub use self::token::{ADMIN_TOKEN_FILE, AdminToken, admin_token};
use crate::config::NodeConfig;
use crate::errors::ServiceError;
use crate::reads::Consistency;
use crate::service::NameService;

/// The path of one topic's route.
const ROUTE: &str = "/v1/routes/{topic}";

/// Memory that all large bodies may take together: four of the largest.
const LARGE_BODIES: u64 = 4;

/// What the handlers share.
#[derive(Clone)]
struct Api(Arc<Shared>);

struct Shared {
    service: Arc<NameService>,
    config: NodeConfig,
    token: AdminToken,
    metrics: Metrics,
    bodies: BodyBudget,
    leaderless: Leaderless,
}

impl Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// The routes, all of them.
fn table() -> Vec<(&'static str, MethodRouter<Api>)> {
    vec![
        ("/v1/routes", get(routes::many)),
        (ROUTE, get(routes::one)),
        ("/v1/brokers", get(brokers::list)),
        ("/v1/brokers/{cluster}/{name}/{id}", put(brokers::register).delete(brokers::unregister)),
        ("/v1/brokers/{cluster}/{name}/{id}/topics", patch(brokers::patch)),
        ("/v1/brokers/{cluster}/{name}/{id}/heartbeat", post(brokers::heartbeat)),
        ("/v1/brokers/{cluster}/{name}/write-permission", post(brokers::write_permission)),
        ("/v1/clusters", get(brokers::clusters)),
        ("/v1/topics", get(topics::list)),
        ("/v1/topics/{topic}", put(topics::put).delete(topics::delete)),
        ("/v1/kv/{namespace}", get(kv::namespace)),
        ("/v1/kv/{namespace}/{key}", get(kv::get).put(kv::put).delete(kv::delete)),
        ("/v1/cluster", get(cluster::status)),
        ("/v1/cluster/members", post(cluster::add)),
        ("/v1/cluster/members/{id}", delete(cluster::remove)),
        ("/v1/cluster/members/{id}/promote", post(cluster::promote)),
        ("/v1/cluster/transfer", post(cluster::transfer)),
        ("/v1/cluster/snapshot", post(cluster::snapshot)),
        ("/v1/alarms", get(cluster::alarms)),
        ("/v1/alarms/{kind}/release", post(cluster::release)),
        ("/rocketmq/{subgroup}", get(nsaddr::addresses)),
        ("/livez", get(probes::live)),
        ("/readyz", get(probes::ready)),
        ("/metrics", get(probes::metrics)),
    ]
}

/// The HTTP contract over one replica's name service.
pub fn router(service: Arc<NameService>, token: AdminToken) -> Door {
    build(service, token, Box::new(|| None))
}

/// The same, with the log's and the disk's figures among the metrics: `storage` is asked at each
/// scrape.
pub fn router_with_storage(
    service: Arc<NameService>,
    token: AdminToken,
    storage: impl Fn() -> Storage + Send + Sync + 'static,
) -> Door {
    build(service, token, Box::new(move || Some(storage())))
}

fn build(service: Arc<NameService>, token: AdminToken, storage: AskStorage) -> Door {
    let table = table();
    let config = service.config().clone();
    let routes = table.iter().map(|(path, _)| *path).collect();
    let metrics = Metrics::new(routes, Standing { service: Arc::clone(&service), storage });
    let largest = config.limits.registration_bytes as u64;
    let bodies = BodyBudget::new(largest.saturating_mul(LARGE_BODIES));
    let leaderless = Leaderless::since_now();
    let api = Api(Arc::new(Shared { service, config, token, metrics, bodies, leaderless }));
    let mut router = Router::new();
    for (path, methods) in table {
        router = router.route(path, methods);
    }
    let router = router
        .fallback(|| async { Fault::NoSuchPath })
        .method_not_allowed_fallback(|| async { Fault::Method })
        .layer(middleware::from_fn_with_state(api.clone(), frame::frame))
        .with_state(api.clone());
    Door { api, router }
}

impl Shared {
    /// Reads a JSON body of at most `bytes_max`. The answer is due at the instant beside it: a
    /// caller that named no deadline gets the whole call timeout after its body.
    async fn json<T: DeserializeOwned>(
        &self,
        call: &Call,
        headers: &HeaderMap,
        body: Body,
        bytes_max: usize,
    ) -> Result<(Parsed<T>, Instant), Fault> {
        let parsed = body::json(headers, body, self.rules(call, bytes_max)).await?;
        Ok((parsed, self.due(call)))
    }

    /// The same of a call that takes no body.
    async fn no_body(
        &self,
        call: &Call,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Instant, Fault> {
        body::nothing(headers, body, self.rules(call, self.config.limits.body_bytes)).await?;
        Ok(self.due(call))
    }

    fn rules(&self, call: &Call, bytes_max: usize) -> BodyRules<'_> {
        let bytes_max = bytes_max as u64;
        let patience = body::patience(bytes_max);
        let deadline = call.begun + call.patience.unwrap_or(patience).min(patience);
        BodyRules { bytes_max, deadline, budget: &self.bodies }
    }

    fn due(&self, call: &Call) -> Instant {
        match call.patience {
            Some(_) => call.deadline,
            None => Instant::now() + self.config.timings.call_timeout,
        }
    }

    /// Only who holds the admin token goes on.
    fn admin(&self, headers: &HeaderMap) -> Result<(), Fault> {
        if self.token.admits(headers) {
            return Ok(());
        }
        Err(ServiceError::Unauthorized.into())
    }

    /// The answer of a write that took effect at `index`.
    fn written<T: Serialize>(&self, index: Index, body: T) -> Answer<T> {
        let freshness = self.service.freshness(index);
        let consistency = Consistency::Linearizable;
        Answer { body, provenance: Provenance { freshness, consistency, modified: None } }
    }

    /// An answer that is not read from the tables: it says how the replica stands now.
    fn now<T: Serialize>(&self, body: T) -> Answer<T> {
        Answer { body, provenance: self.provenance() }
    }

    fn provenance(&self) -> Provenance {
        let reads = self.service.reads();
        Provenance {
            freshness: reads.freshness(reads.applied()),
            consistency: Consistency::Local,
            modified: None,
        }
    }
}

/// A JSON answer and how it came about.
struct Answer<T> {
    body: T,
    provenance: Provenance,
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.body).into_response();
        response.extensions_mut().insert(self.provenance);
        response
    }
}
