//! `/metrics`: what this replica has done and how it stands, for Prometheus (OpenMetrics text).
//!
//! Requests are counted as they are answered; everything else is asked of the name service when
//! somebody scrapes.

use std::sync::OnceLock;
use std::time::Duration;

use axum::http::Method;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// The content type of the exposition.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Route label of requests that match no route: a path from outside never becomes a label.
const UNMATCHED: &str = "unmatched";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Served {
    route: &'static str,
}

/// The HTTP door's own metrics, and the registry that all are encoded from.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    routes: Vec<Route>,
    requests: Family<Answered, Counter>,
    seconds: Family<Served, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
}

/// A route with the metrics of its reads at hand: a family looks each one up by its labels.
#[derive(Debug)]
struct Route {
    pattern: &'static str,
    reads: OnceLock<Counter>,
    seconds: OnceLock<Histogram>,
}

/// One request that is being answered.
pub(super) struct InFlight<'m>(&'m Metrics);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}

impl Metrics {
    /// Metrics of a door that serves these path patterns; `standing` is asked at each scrape.
    pub(super) fn new(routes: Vec<&'static str>, standing: impl Collector) -> Self {
        let mut registry = Registry::with_prefix("signpost");
        let requests = Family::<Answered, Counter>::default();
        // 50 µs to about 26 s: local reads at one end, waiting reads at the other.
        let seconds: Family<Served, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(exponential_buckets(5e-5, 2.0, 20)));
        let in_flight = Gauge::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register(
            "http_request_seconds",
            "Time from a request's head to its answer, waiting reads included",
            seconds.clone(),
        );
        registry.register("http_in_flight", "Requests being answered", in_flight.clone());
        registry.register_collector(Box::new(standing));
        let route = |pattern| Route { pattern, reads: OnceLock::new(), seconds: OnceLock::new() };
        let routes = routes.into_iter().chain([UNMATCHED]).map(route).collect();
        Self { registry, routes, requests, seconds, in_flight }
    }

    pub(super) fn enter(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(self)
    }

    pub(super) fn answered(
        &self,
        method: &Method,
        route: Option<&str>,
        status: u16,
        elapsed: Duration,
    ) {
        let (unmatched, known) = self.routes.split_last().expect("the unmatched are the last");
        let route = known.iter().find(|known| Some(known.pattern) == route).unwrap_or(unmatched);
        let count = || {
            let answered = Answered { method: label_of(method), route: route.pattern, status };
            self.requests.get_or_create_owned(&answered)
        };
        if *method == Method::GET && status == 200 {
            route.reads.get_or_init(count).inc();
        } else {
            count().inc();
        }
        let served = || self.seconds.get_or_create_owned(&Served { route: route.pattern });
        route.seconds.get_or_init(served).observe(elapsed.as_secs_f64());
    }

    /// The exposition.
    pub(super) fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Requests that are being answered.
    #[cfg(test)]
    pub(super) fn requests_in_flight(&self) -> i64 {
        self.in_flight.get()
    }
}

/// Methods are from outside too: only the known ones become labels.
fn label_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::DescriptorEncoder;

    use super::*;

    #[derive(Debug)]
    struct Nothing;

    impl Collector for Nothing {
        fn encode(&self, _: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
            Ok(())
        }
    }

    #[test]
    fn outside_strings_never_become_labels() {
        let metrics = Metrics::new(vec!["/v1/topics"], Nothing);
        let method = Method::from_bytes(b"BREW").expect("a token");
        for at in 0..100 {
            let path = format!("/{at}");
            metrics.answered(&method, Some(&path), 404, Duration::from_millis(1));
        }
        metrics.answered(&Method::GET, Some("/v1/topics"), 200, Duration::from_millis(1));
        let text = metrics.encode().expect("encodes");
        let requests: Vec<_> =
            text.lines().filter(|line| line.starts_with("signpost_http_requests_total{")).collect();
        assert_eq!(requests.len(), 2, "{text}");
        assert!(text.contains(r#"{method="other",route="unmatched",status="404"} 100"#), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_request_is_in_flight_until_it_is_dropped() {
        let metrics = Metrics::new(Vec::new(), Nothing);
        let request = metrics.enter();
        assert_eq!(metrics.requests_in_flight(), 1);
        drop(request);
        assert_eq!(metrics.requests_in_flight(), 0);
    }
}
