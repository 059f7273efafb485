//! `/livez`, `/readyz` and `/metrics`: for whoever runs this replica.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use signpost_client::types::Probe;
use tokio::time::Instant;

use super::Api;
use super::frame::Call;
use super::problem::Fault;
use super::query::Query;
use crate::errors::{ServiceError, Unavailable};
use crate::log::Status;
use crate::reads::{Consistency, Read};

/// So long a replica that has not caught up waits for a leader before it serves what it has.
const LEADERLESS_PATIENCE: Duration = Duration::from_secs(10);

/// Since when no leader has been known, as far as the probes have seen.
#[derive(Debug)]
pub(super) struct Leaderless(Mutex<Option<Instant>>);

impl Leaderless {
    /// A replica starts without a leader.
    pub(super) fn since_now() -> Self {
        Self(Mutex::new(Some(Instant::now())))
    }

    fn lasts(&self, leader_known: bool, now: Instant) -> Duration {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if leader_known {
            *since = None;
            return Duration::ZERO;
        }
        now.saturating_duration_since(*since.get_or_insert(now))
    }
}

/// `GET /livez`: the process answers.
pub(super) async fn live(RawQuery(query): RawQuery) -> Result<Response, Fault> {
    Query::parse(query.as_deref(), &[])?;
    Ok(answer(Vec::new()))
}

/// `GET /readyz`: it may be sent requests. With `?quorum`: and a quorum stands behind it.
pub(super) async fn ready(
    State(api): State<Api>,
    call: Call,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    let quorum = Query::parse(query.as_deref(), &["quorum"])?.flag("quorum")?;
    let status = api.service.status();
    let leaderless = api.leaderless.lasts(status.leader.is_some(), Instant::now());
    let mut reasons = reasons(&status, leaderless);
    if quorum {
        let consistency = Consistency::Linearizable;
        let read = Read { consistency, min_index: None, deadline: call.deadline };
        if let Err(error) = api.service.reads().read(&read).await {
            reasons.push(error.to_string());
        }
    }
    Ok(answer(reasons))
}

/// `GET /metrics`.
pub(super) async fn metrics(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    Query::parse(query.as_deref(), &[])?;
    let text = api.metrics.encode().map_err(|_| {
        ServiceError::from(Unavailable::Refused("metrics cannot be encoded".into()))
    })?;
    Ok(([(header::CONTENT_TYPE, super::metrics::CONTENT_TYPE)], text).into_response())
}

fn reasons(status: &Status, leaderless: Duration) -> Vec<String> {
    let mut reasons = Vec::new();
    if status.removed {
        reasons.push("this replica was removed from its cluster".to_owned());
    }
    if !status.fed {
        reasons.push("it has never been fed: founding, or joining, is not complete".to_owned());
    }
    if !status.disk_ok {
        reasons.push("its disk cannot be written; see its log".to_owned());
    }
    if !status.caught_up && leaderless < LEADERLESS_PATIENCE {
        reasons.push("it has not caught up with a leader since it started".to_owned());
    }
    reasons
}

fn answer(reasons: Vec<String>) -> Response {
    let ok = reasons.is_empty();
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Probe { ok, reasons })).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_leader_ends_the_count() {
        let leaderless = Leaderless::since_now();
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(leaderless.lasts(false, Instant::now()), Duration::from_secs(9));
        assert_eq!(leaderless.lasts(true, Instant::now()), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(leaderless.lasts(false, Instant::now()), Duration::ZERO);
    }
}
