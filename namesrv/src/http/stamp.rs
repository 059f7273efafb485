//! The `Signpost-*` headers of every answer.
//!
//! Each read carries nine of them, and most have the values of the answer before. So each thread
//! keeps the headers that it made last, and changes what differs.

use std::cell::RefCell;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use signpost_client::types::headers;
use signpost_raft::machine::Index;
use uuid::Uuid;

use crate::reads::{Consistency, Freshness};

const NUMBERS_COUNT: usize = 6;
/// Those whose values are numbers.
static NUMBERS: [HeaderName; NUMBERS_COUNT] = [
    HeaderName::from_static(headers::INDEX),
    HeaderName::from_static(headers::TERM),
    HeaderName::from_static(headers::NODE),
    HeaderName::from_static(headers::LEADER),
    HeaderName::from_static(headers::MODIFIED),
    HeaderName::from_static(headers::QUORUM_AGE_MS),
];
static CLUSTER: HeaderName = HeaderName::from_static(headers::CLUSTER);
static CONSISTENCY: HeaderName = HeaderName::from_static(headers::CONSISTENCY);

/// The contract's headers, and those that hyper adds.
const HEADERS_MAX: usize = 12;

/// How an answer came about.
#[derive(Debug, Clone)]
pub(super) struct Provenance {
    pub(super) freshness: Freshness,
    pub(super) consistency: Consistency,
    /// Of routes only.
    pub(super) modified: Option<Index>,
}

impl Provenance {
    /// An answer of this JSON, with the contract's headers.
    pub(super) fn json(&self, json: Bytes) -> Response {
        let mut response = Response::new(Body::from(json));
        *response.headers_mut() = self.headers();
        response
    }

    /// Puts the contract's headers on an answer.
    pub(super) fn stamp(&self, headers: &mut HeaderMap) {
        headers.reserve(HEADERS_MAX);
        for (name, value) in &self.headers() {
            // The content type is the answer's own.
            if name != header::CONTENT_TYPE {
                headers.insert(name, value.clone());
            }
        }
    }

    /// Those of a JSON answer.
    fn headers(&self) -> HeaderMap {
        LAST.with_borrow_mut(|last| {
            last.follow(self);
            last.headers.clone()
        })
    }
}

/// Whether an answer has its headers already.
pub(super) fn is_stamped(answer: &HeaderMap) -> bool {
    answer.contains_key(headers::INDEX)
}

/// As the contract writes it.
pub(super) fn name_of(consistency: Consistency) -> &'static str {
    match consistency {
        Consistency::Linearizable => "linearizable",
        Consistency::Local => "local",
    }
}

thread_local! {
    static LAST: RefCell<Last> = RefCell::default();
}

/// The headers made last, and of what.
struct Last {
    numbers: [Option<u64>; NUMBERS_COUNT],
    cluster: Option<Uuid>,
    consistency: Option<Consistency>,
    headers: HeaderMap,
}

impl Default for Last {
    fn default() -> Self {
        let mut headers = HeaderMap::with_capacity(HEADERS_MAX);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self { numbers: [None; NUMBERS_COUNT], cluster: None, consistency: None, headers }
    }
}

impl Last {
    /// Makes them those of this answer.
    fn follow(&mut self, Provenance { freshness, consistency, modified }: &Provenance) {
        let age_ms = |age: std::time::Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let numbers = [
            Some(freshness.index),
            Some(freshness.term),
            Some(freshness.node),
            freshness.leader,
            *modified,
            freshness.quorum_age.map(age_ms),
        ];
        for ((name, last), number) in NUMBERS.iter().zip(&mut self.numbers).zip(numbers) {
            if *last != number {
                set(&mut self.headers, name, number.map(HeaderValue::from));
                *last = number;
            }
        }
        if self.cluster != freshness.cluster {
            set(&mut self.headers, &CLUSTER, freshness.cluster.map(value_of));
            self.cluster = freshness.cluster;
        }
        if self.consistency != Some(*consistency) {
            let name = HeaderValue::from_static(name_of(*consistency));
            set(&mut self.headers, &CONSISTENCY, Some(name));
            self.consistency = Some(*consistency);
        }
    }
}

fn set(headers: &mut HeaderMap, name: &HeaderName, value: Option<HeaderValue>) {
    match value {
        Some(value) => drop(headers.insert(name, value)),
        None => drop(headers.remove(name)),
    }
}

fn value_of(cluster: Uuid) -> HeaderValue {
    let mut text = Uuid::encode_buffer();
    let text = cluster.hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).expect("hexadecimal digits and hyphens")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The headers of an answer, as text.
    fn text_of(headers: &HeaderMap) -> Vec<String> {
        let text = |value: &HeaderValue| value.to_str().expect("ASCII").to_owned();
        let lines = headers.iter().map(|(name, value)| format!("{name}: {}", text(value)));
        let mut lines: Vec<String> = lines.collect();
        lines.sort();
        lines
    }

    #[test]
    fn headers_follow_whatever_changes() {
        let at = |seed: u64| Provenance {
            freshness: Freshness {
                index: seed / 2,
                leader: (!seed.is_multiple_of(3)).then_some(seed % 4),
                term: seed / 5,
                node: 1,
                cluster: (!seed.is_multiple_of(7)).then(|| Uuid::from_u128(u128::from(seed / 4))),
                quorum_age: (!seed.is_multiple_of(5)).then(|| Duration::from_millis(seed % 3)),
            },
            consistency: match seed % 2 {
                0 => Consistency::Local,
                _ => Consistency::Linearizable,
            },
            modified: (!seed.is_multiple_of(4)).then_some(seed % 6),
        };
        let mut last = Last::default();
        for seed in (0..60).chain([7, 59, 0]) {
            let (answer, mut fresh) = (at(seed), Last::default());
            last.follow(&answer);
            fresh.follow(&answer);
            assert_eq!(text_of(&last.headers), text_of(&fresh.headers), "{answer:?}");
            let mut problem = HeaderMap::new();
            problem.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            answer.stamp(&mut problem);
            assert_eq!(problem[header::CONTENT_TYPE], "text/plain");
            assert_eq!(problem.len(), fresh.headers.len(), "{answer:?}");
        }
    }

    #[test]
    fn every_header_says_what_it_is_called_for() {
        let answer = Provenance {
            freshness: Freshness {
                index: 17,
                leader: Some(2),
                term: 3,
                node: 1,
                cluster: Some(Uuid::from_u128(0xabc)),
                quorum_age: Some(Duration::from_micros(4_999)),
            },
            consistency: Consistency::Linearizable,
            modified: Some(12),
        };
        let expected = [
            "content-type: application/json",
            "signpost-cluster: 00000000-0000-0000-0000-000000000abc",
            "signpost-consistency: linearizable",
            "signpost-index: 17",
            "signpost-leader: 2",
            "signpost-modified: 12",
            "signpost-node: 1",
            "signpost-quorum-age-ms: 4",
            "signpost-term: 3",
        ];
        assert_eq!(text_of(answer.json(Bytes::new()).headers()), expected);
    }
}
