//! How a connection ended, with what it takes to judge what that says about its peer.

use std::fmt;
use std::time::Duration;

use crate::response;

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer closed it.
    ByPeer,
    /// The peer reset it: its program closed it with bytes unread, or its host knows it no more.
    ResetByPeer,
    /// We closed it.
    Requested,
    /// We are shutting down; what was in flight has been answered.
    Drained,
    /// Nothing was read or written for this long.
    Idle(Duration),
    /// The peer took none of the bytes waiting for it for this long.
    SlowReader(Duration),
    /// It took too long over one frame.
    SlowWriter(Duration),
    /// The peer sent what is not a frame.
    Protocol(String),
    /// Reading or writing failed.
    Failed(String),
    /// The handler panicked.
    Panicked,
}

impl CloseReason {
    /// What an error of the stream says. A broken pipe is how a write meets an earlier reset: we
    /// never shut one direction down ourselves.
    pub(super) fn of_error(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => {
                Self::ResetByPeer
            }
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByPeer => f.write_str("closed by the peer"),
            Self::ResetByPeer => f.write_str("reset by the peer"),
            Self::Requested => f.write_str("closed by us"),
            Self::Drained => f.write_str("drained at shutdown"),
            Self::Idle(time) => write!(f, "idle for {time:?}"),
            Self::SlowReader(time) => write!(f, "the peer read nothing for {time:?}"),
            Self::SlowWriter(time) => write!(f, "the peer did not end a frame in {time:?}"),
            Self::Protocol(error) => write!(f, "protocol error: {error}"),
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::Panicked => f.write_str("the handler panicked"),
        }
    }
}

/// The end of a connection: why, and in what state it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Why.
    pub reason: CloseReason,
    /// The peer's requests that have had no answer, one-way ones aside: begun and not answered,
    /// received and not begun, or answered with the answer still here.
    pub unanswered: usize,
    /// The code of the last answer, if there was any.
    pub last_answer_code: Option<i32>,
    /// Were we shutting down already?
    pub draining: bool,
}

impl Ended {
    /// Did the peer leave of its own accord: its FIN or RST, nothing that it still waited for, and
    /// no error of ours before it? Stock clients close a connection on which an answer did not come
    /// in time, and may on an error; that says nothing about them. "There is none" is no error.
    pub fn is_farewell(&self) -> bool {
        let by_peer = matches!(self.reason, CloseReason::ByPeer | CloseReason::ResetByPeer);
        let is_error = |code| {
            !matches!(
                code,
                response::SUCCESS | response::TOPIC_NOT_EXIST | response::QUERY_NOT_FOUND
            )
        };
        by_peer
            && !self.draining
            && self.unanswered == 0
            && !self.last_answer_code.is_some_and(is_error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_peer_ended_with_nothing_owed_is_a_farewell() {
        let left = Ended {
            reason: CloseReason::ByPeer,
            unanswered: 0,
            last_answer_code: None,
            draining: false,
        };
        let with = |change: &dyn Fn(&mut Ended)| {
            let mut ended = left.clone();
            change(&mut ended);
            ended.is_farewell()
        };
        assert!(left.is_farewell());
        assert!(with(&|ended| ended.reason = CloseReason::ResetByPeer));
        assert!(with(&|ended| ended.last_answer_code = Some(response::SUCCESS)));
        assert!(with(&|ended| ended.last_answer_code = Some(response::TOPIC_NOT_EXIST)));
        assert!(!with(&|ended| ended.last_answer_code = Some(response::SYSTEM_ERROR)));
        assert!(!with(&|ended| ended.unanswered = 1));
        assert!(!with(&|ended| ended.draining = true));
        for ours in [
            CloseReason::Requested,
            CloseReason::Drained,
            CloseReason::Idle(Duration::from_secs(120)),
            CloseReason::SlowReader(Duration::from_secs(15)),
            CloseReason::SlowWriter(Duration::from_secs(60)),
            CloseReason::Protocol("no frame".into()),
            CloseReason::Failed("timed out".into()),
            CloseReason::Panicked,
        ] {
            assert!(!with(&|ended| ended.reason = ours.clone()), "{ours}");
        }
    }
}
