//! The `Signpost-*` headers of every answer.
//!
//! Each read carries nine of them, and most of their values are those of the answer before. So
//! names are constants, and each thread keeps the values that it made last.

use std::cell::RefCell;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use signpost_client::types::headers;
use signpost_raft::machine::Index;
use uuid::Uuid;

use crate::reads::{Consistency, Freshness};

const INDEX: HeaderName = HeaderName::from_static(headers::INDEX);
const MODIFIED: HeaderName = HeaderName::from_static(headers::MODIFIED);
const LEADER: HeaderName = HeaderName::from_static(headers::LEADER);
const TERM: HeaderName = HeaderName::from_static(headers::TERM);
const NODE: HeaderName = HeaderName::from_static(headers::NODE);
const CLUSTER: HeaderName = HeaderName::from_static(headers::CLUSTER);
const CONSISTENCY: HeaderName = HeaderName::from_static(headers::CONSISTENCY);
const QUORUM_AGE_MS: HeaderName = HeaderName::from_static(headers::QUORUM_AGE_MS);

/// The contract's headers, and those that hyper adds.
const HEADERS_MAX: usize = 12;

/// Values that a thread keeps.
const KEPT: usize = 256;

/// How an answer came about.
#[derive(Debug, Clone)]
pub(super) struct Provenance {
    pub(super) freshness: Freshness,
    pub(super) consistency: Consistency,
    /// Of routes only.
    pub(super) modified: Option<Index>,
}

impl Provenance {
    /// Puts the contract's headers on an answer.
    pub(super) fn stamp(&self, headers: &mut HeaderMap) {
        let Provenance { freshness, consistency, modified } = self;
        headers.reserve(HEADERS_MAX);
        VALUES.with_borrow_mut(|values| {
            headers.insert(INDEX, values.number(freshness.index));
            headers.insert(TERM, values.number(freshness.term));
            headers.insert(NODE, values.number(freshness.node));
            if let Some(leader) = freshness.leader {
                headers.insert(LEADER, values.number(leader));
            }
            if let Some(modified) = *modified {
                headers.insert(MODIFIED, values.number(modified));
            }
            if let Some(age) = freshness.quorum_age {
                let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
                headers.insert(QUORUM_AGE_MS, values.number(age_ms));
            }
            if let Some(cluster) = freshness.cluster {
                headers.insert(CLUSTER, values.cluster(cluster));
            }
        });
        headers.insert(CONSISTENCY, HeaderValue::from_static(name_of(*consistency)));
    }
}

/// Whether an answer has its headers already.
pub(super) fn is_stamped(headers: &HeaderMap) -> bool {
    headers.contains_key(INDEX)
}

/// As the contract writes it.
pub(super) fn name_of(consistency: Consistency) -> &'static str {
    match consistency {
        Consistency::Linearizable => "linearizable",
        Consistency::Local => "local",
    }
}

thread_local! {
    static VALUES: RefCell<Values> =
        RefCell::new(Values { numbers: vec![None; KEPT], cluster: None });
}

/// Values made last.
struct Values {
    /// Each at its remainder by the length.
    numbers: Vec<Option<(u64, HeaderValue)>>,
    cluster: Option<(Uuid, HeaderValue)>,
}

impl Values {
    fn number(&mut self, number: u64) -> HeaderValue {
        let place = usize::try_from(number % KEPT as u64).unwrap_or_default();
        match &mut self.numbers[place] {
            Some((kept, value)) if *kept == number => value.clone(),
            slot => slot.insert((number, HeaderValue::from(number))).1.clone(),
        }
    }

    fn cluster(&mut self, cluster: Uuid) -> HeaderValue {
        match &mut self.cluster {
            Some((kept, value)) if *kept == cluster => value.clone(),
            slot => {
                let mut text = Uuid::encode_buffer();
                let text = cluster.hyphenated().encode_lower(&mut text);
                let value = HeaderValue::from_str(text).expect("hexadecimal digits and hyphens");
                slot.insert((cluster, value)).1.clone()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_values_are_those_asked_for() {
        let mut values = Values { numbers: vec![None; KEPT], cluster: None };
        for number in [7, 7, 7 + KEPT as u64, 7, 0, u64::MAX, 7] {
            assert_eq!(values.number(number), number.to_string());
        }
        for seed in [1, 1, 2, 1] {
            let cluster = Uuid::from_u128(seed);
            assert_eq!(values.cluster(cluster), cluster.to_string());
        }
    }
}
