//! `GET /metrics` over HTTP, for Prometheus.

use std::sync::{Arc, Weak};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::service::Service;

/// The content type of the exposition.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves until told to stop.
pub(crate) async fn serve(listener: TcpListener, service: Arc<Service>, stop: CancellationToken) {
    let app = Router::new().route("/metrics", get(answer)).with_state(Arc::downgrade(&service));
    // Connections that outlive this keep nothing of the broker.
    drop(service);
    let served = axum::serve(listener, app);
    tokio::select! {
        ended = served => {
            if let Err(error) = ended {
                tracing::error!(%error, "metrics are served no more");
            }
        }
        () = stop.cancelled() => {}
    }
}

async fn answer(State(service): State<Weak<Service>>) -> Response {
    let Some(service) = service.upgrade() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "the broker has stopped").into_response();
    };
    let text = service.blocking(|service| {
        service.exposition().map_err(|error| crate::refused::Refused::system(error.to_string()))
    });
    match text.await {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(refused) => (StatusCode::SERVICE_UNAVAILABLE, refused.remark).into_response(),
    }
}
