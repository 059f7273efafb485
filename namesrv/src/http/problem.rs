//! Refusals as RFC 9457 problem details.
//!
//! What a status, a code and a reason are is decided in [`crate::errors`]; here they get their
//! JSON, and the few refusals that only HTTP knows get theirs.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use signpost_client::types::Problem;
use signpost_client::types::headers::PROBLEM_JSON;
use signpost_remoting::response;

use super::excerpt::Excerpt;
use super::names::Invalid;
use crate::errors::{Missing, ServiceError};

/// Seconds after which an overloaded replica may be asked again.
const RETRY_AFTER_S: u64 = 1;

/// Why a request is not answered with a success.
#[derive(Debug)]
pub(super) enum Fault {
    /// The name service refused it.
    Service(ServiceError),
    /// No such path.
    NoSuchPath,
    /// The path has no such method.
    Method,
    /// A body that is not called JSON.
    MediaType,
    /// The body did not arrive in time.
    SlowBody,
    /// The body ended before its length, or its chunks were malformed.
    CutBody,
}

impl From<ServiceError> for Fault {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl From<Invalid> for Fault {
    fn from(Invalid { field, expected }: Invalid) -> Self {
        Self::Service(ServiceError::Invalid { field, expected })
    }
}

impl Fault {
    /// The problem details.
    pub(super) fn problem(&self) -> Problem {
        match self {
            Self::Service(error) => of_service(error),
            Self::NoSuchPath => of_http(404, "no-such-path", "there is nothing at this path"),
            Self::Method => {
                of_http(405, "method", "this path has other methods; the Allow header lists them")
            }
            Self::MediaType => Problem {
                field: Some("content-type".to_owned()),
                ..of_http(415, "media-type", "content-type: expected application/json")
            },
            Self::SlowBody => of_http(408, "slow-body", "the body did not arrive in time"),
            Self::CutBody => Problem {
                field: Some("body".to_owned()),
                ..of_http(400, "invalid", "body: expected as many bytes as were announced")
            },
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let problem = self.problem();
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        match status {
            StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}

fn of_http(status: u16, reason: &str, detail: &str) -> Problem {
    Problem {
        kind: kind(reason),
        title: title(status).to_owned(),
        status,
        detail: detail.to_owned(),
        code: Some(response::REQUEST_CODE_NOT_SUPPORTED),
        reason: Some(reason.to_owned()),
        ..Problem::default()
    }
}

fn of_service(error: &ServiceError) -> Problem {
    let wire = error.wire();
    let mut problem = Problem {
        kind: wire.reason.map_or_else(|| "about:blank".to_owned(), kind),
        title: title(wire.status).to_owned(),
        status: wire.status,
        detail: Excerpt(&error.to_string()).to_string(),
        code: Some(wire.code),
        field: wire.field.map(|field| Excerpt(field).to_string()),
        reason: wire.reason.map(ToOwned::to_owned),
        ..Problem::default()
    };
    match error {
        ServiceError::Superseded { highest } | ServiceError::Stale { highest } => {
            problem.highest_incarnation = Some(highest.incarnation);
            problem.highest_seq = Some(highest.seq);
        }
        ServiceError::LiveElsewhere { address } => problem.address = Some(address.clone()),
        ServiceError::Moved { epoch } => problem.epoch = Some(*epoch),
        ServiceError::IndexMismatch { modified } => problem.index = Some(*modified),
        ServiceError::NotFound(Missing::Topic { modified, .. }) => problem.index = Some(*modified),
        ServiceError::Removed { peers } => problem.peers.clone_from(peers),
        _ => {}
    }
    problem
}

fn kind(reason: &str) -> String {
    format!("urn:signpost:problem:{reason}")
}

/// One title for each status, as RFC 9457 asks.
fn title(status: u16) -> &'static str {
    match status {
        400 => "The request is invalid",
        401 => "The admin token is missing or wrong",
        404 => "It does not exist",
        405 => "The path has no such method",
        408 => "The request took too long to arrive",
        409 => "It conflicts with what is known",
        410 => "The registration has expired",
        412 => "The precondition does not hold",
        413 => "The request is too large",
        415 => "The body's media type is not supported",
        421 => "This replica was removed from its cluster",
        429 => "This replica is overloaded",
        503 => "It was surely not done",
        504 => "The outcome is unknown",
        _ => "Internal error",
    }
}

#[cfg(test)]
mod tests {
    use signpost_client::types::problem::Conflict;

    use super::*;
    use crate::routes::command::Claim;

    #[test]
    fn facts_of_a_conflict_stand_beside_its_reason() {
        let highest = Claim { incarnation: 9, seq: 2 };
        let stale = Fault::from(ServiceError::Stale { highest }).problem();
        assert_eq!(stale.conflict(), Some(Conflict::Stale));
        assert_eq!((stale.highest_incarnation, stale.highest_seq), (Some(9), Some(2)));
        let elsewhere =
            Fault::from(ServiceError::LiveElsewhere { address: "a:1".into() }).problem();
        assert_eq!(elsewhere.address.as_deref(), Some("a:1"));
        let moved = Fault::from(ServiceError::Moved { epoch: 7 }).problem();
        assert_eq!((moved.conflict(), moved.epoch), (Some(Conflict::Moved), Some(7)));
        let removed = Fault::from(ServiceError::Removed { peers: vec!["h:1".into()] }).problem();
        assert_eq!((removed.status, removed.peers), (421, vec!["h:1".to_owned()]));
    }

    #[test]
    fn rocketmqs_code_stands_beside_the_status() {
        let missing = Missing::Topic { topic: "T".into(), modified: 3 };
        assert_eq!(Fault::from(ServiceError::NotFound(missing)).problem().code, Some(17));
        assert_eq!(response::TOPIC_NOT_EXIST, 17);
        let busy = Fault::from(ServiceError::overloaded("proposals")).into_response();
        assert_eq!(busy.status(), 429);
        assert_eq!(busy.headers()[header::RETRY_AFTER], "1");
        assert_eq!(busy.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
        let code = Fault::from(ServiceError::overloaded("proposals")).problem().code;
        assert_eq!(code, Some(response::SYSTEM_BUSY));
    }

    #[test]
    fn outside_strings_are_cut_and_escaped() {
        let hostile = "\u{1b}[31m".repeat(1_000);
        let problem = Fault::from(ServiceError::invalid(hostile, "a name")).problem();
        assert!(problem.field.as_ref().is_some_and(|field| field.len() < 300));
        assert!(problem.detail.len() < 300);
        assert!(!problem.detail.contains('\u{1b}'));
    }
}
