//! What an answer means for the call: status by status, and the index that must not go back.

use std::time::Duration;

use hyper::{StatusCode, header};

use super::{Kind, Raw, Request, Verdict};
use crate::outcome::{CallError, Cause, Freshness};
use crate::session::Seen;
use crate::types::{Conflict, Problem, headers};

/// How long to stay away after a 429 that does not say.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_millis(200);
/// Text of an answer that is no problem details, kept in an error.
const MAX_EXCERPT_CHARS: usize = 256;

/// Judges one answer. `floor` is the index that it must have reached.
pub(super) fn judge(
    request: &Request,
    raw: Raw,
    freshness: Freshness,
    seen: Seen,
    floor: u64,
) -> Verdict {
    let reads = request.kind == Kind::Read;
    // Only a replica says at which index something is absent; a 404 of anything else is no answer.
    let also =
        Some(raw.status) == request.also_an_answer && raw.headers.contains_key(headers::INDEX);
    if raw.status.is_success() || also {
        // The replica has done what was asked, in whatever history: a write is not undone by
        // being refused here, but a read can be had anew.
        let of_other_history = match seen {
            Seen::Same => false,
            Seen::Changed => request.history_bound,
            Seen::Outdated => true,
        };
        if reads && of_other_history {
            let why = format!("{} answered from another history", freshness.replica);
            return retry_or_stop(request, Cause::Malformed(why));
        }
        if reads && seen == Seen::Same && freshness.index < floor {
            let Freshness { replica, index, .. } = freshness;
            let why = format!("{replica} answered at index {index}, below {floor} seen before");
            return Verdict::Retry { cause: Cause::Malformed(why), maybe_done: false, pause: None };
        }
        return Verdict::Done(raw, freshness);
    }
    let retry_after = (raw.status == StatusCode::TOO_MANY_REQUESTS).then(|| retry_after(&raw));
    let status = raw.status;
    let problem = Box::new(problem(&raw));
    let other_history = problem.conflict() == Some(Conflict::OtherHistory);
    let cause = Cause::Refused { problem, retry_after, replica: freshness.replica };
    match status {
        StatusCode::CONFLICT if other_history => retry_or_stop(request, cause),
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::MISDIRECTED_REQUEST
        | StatusCode::SERVICE_UNAVAILABLE => {
            Verdict::Retry { cause, maybe_done: false, pause: retry_after }
        }
        status if status.is_server_error() => {
            Verdict::Retry { cause, maybe_done: !reads, pause: None }
        }
        status if status.is_client_error() => Verdict::Stop(CallError::Failed(cause)),
        _ => Verdict::Stop(match request.kind {
            Kind::Read => CallError::Failed(cause),
            Kind::Idempotent | Kind::Once => CallError::Unknown(cause),
        }),
    }
}

/// In another history a request that names an epoch or index means nothing; others do.
fn retry_or_stop(request: &Request, cause: Cause) -> Verdict {
    if request.history_bound {
        Verdict::Stop(CallError::Failed(cause))
    } else {
        Verdict::Retry { cause, maybe_done: false, pause: None }
    }
}

/// The answer's problem details, or what can be said without.
fn problem(raw: &Raw) -> Problem {
    let mut problem = serde_json::from_slice::<Problem>(&raw.body).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(&raw.body[..raw.body.len().min(4 * MAX_EXCERPT_CHARS)]);
        let title = raw.status.canonical_reason().unwrap_or("unexpected status").to_owned();
        let detail = text.trim().chars().take(MAX_EXCERPT_CHARS).collect();
        Problem { title, detail, ..Problem::default() }
    });
    // The status line decides; a body that contradicts it must not.
    problem.status = raw.status.as_u16();
    problem
}

fn retry_after(raw: &Raw) -> Duration {
    raw.headers
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse::<u32>().ok())
        .map_or(DEFAULT_RETRY_AFTER, |seconds| {
            Duration::from_secs(u64::from(seconds)).max(DEFAULT_RETRY_AFTER)
        })
}
