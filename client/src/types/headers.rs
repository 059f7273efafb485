//! Header names of the contract, all lower case as `http` wants its constants.

/// Applied log index at which the answer was read.
pub const INDEX: &str = "signpost-index";
/// Log index of the last change of what was read (routes, their absence included).
pub const MODIFIED: &str = "signpost-modified";
/// Node id of the leader; absent while none is known.
pub const LEADER: &str = "signpost-leader";
/// Raft term of the answering replica.
pub const TERM: &str = "signpost-term";
/// Node id of the answering replica.
pub const NODE: &str = "signpost-node";
/// The cluster's uuid. In a request: refuse (409 `other-history`) if you are another.
pub const CLUSTER: &str = "signpost-cluster";
/// `linearizable` or `local`: what the answer is, which a waiting read may not know beforehand.
pub const CONSISTENCY: &str = "signpost-consistency";
/// Milliseconds since the start of the latest read-index round whose index this replica applied.
pub const QUORUM_AGE_MS: &str = "signpost-quorum-age-ms";
/// In a request: how many milliseconds the caller still waits; travels over the forward hop.
pub const DEADLINE_MS: &str = "signpost-deadline-ms";

/// Media type of [`super::Problem`] (RFC 9457).
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Percent-encodes one path segment or query value (RFC 3986: all but the unreserved ones).
/// RocketMQ's names contain `%` and `|` (`%RETRY%group`).
#[must_use]
pub fn encode_name(name: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(name.len());
    for &byte in name.as_bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}
