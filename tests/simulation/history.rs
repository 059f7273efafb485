//! What clients did and what they were told: all that the checkers know of the outside.

use std::time::Duration;

use signpost_namesrv::routes::command::{RouteCommand, RouteOutcome};
use signpost_raft::machine::{Index, NodeId};

/// One call of one client at one replica.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    /// Who called.
    pub(crate) client: u64,
    /// The replica that was asked.
    pub(crate) replica: NodeId,
    /// Virtual time at which the call was made and at which its outcome was known.
    pub(crate) began: Duration,
    pub(crate) ended: Duration,
    pub(crate) call: Call,
    pub(crate) outcome: Outcome,
}

/// What was asked for.
#[derive(Debug, Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "a history is a few thousand calls, kept to the end anyway"
)]
pub(crate) enum Call {
    /// A write, as the log should hold it.
    Write(RouteCommand),
    Read(Read),
    /// Renews a lease; nothing in the tables shows it.
    Heartbeat,
}

/// A read.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) what: What,
    /// Linearizable or local.
    pub(crate) linearizable: bool,
    pub(crate) min_index: Option<Index>,
}

/// What is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Route(String),
    Routes(Vec<String>),
    Kv(String, String),
    Brokers,
}

/// What became of a call.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Answered(Answer),
    /// It surely was not done.
    Refused(String),
    /// It may have been done, once.
    Unknown(String),
}

/// The answer to a read, or to a write that was done.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) index: Index,
    /// `Signpost-Modified`.
    pub(crate) modified: Option<Index>,
    /// A read's 404 is an answer, too: it does not exist.
    pub(crate) found: bool,
    pub(crate) body: Vec<u8>,
    /// Of registrations and patches.
    pub(crate) epoch: Option<Index>,
    /// Another replica led, as far as the one that answered knew.
    pub(crate) at_follower: bool,
}

impl Operation {
    pub(crate) fn answer(&self) -> Option<&Answer> {
        match &self.outcome {
            Outcome::Answered(answer) => Some(answer),
            Outcome::Refused(_) | Outcome::Unknown(_) => None,
        }
    }

    pub(crate) fn write(&self) -> Option<&RouteCommand> {
        match &self.call {
            Call::Write(command) => Some(command),
            Call::Read(_) | Call::Heartbeat => None,
        }
    }

    pub(crate) fn read(&self) -> Option<&Read> {
        match &self.call {
            Call::Read(read) => Some(read),
            Call::Write(_) | Call::Heartbeat => None,
        }
    }

    /// In one line, for a person.
    pub(crate) fn line(&self) -> String {
        let outcome = match &self.outcome {
            Outcome::Answered(answer) => {
                let body = String::from_utf8_lossy(&answer.body);
                let body: String = body.chars().take(200).collect();
                format!("index {} modified {:?} {body}", answer.index, answer.modified)
            }
            Outcome::Refused(why) => format!("refused: {why}"),
            Outcome::Unknown(why) => format!("unknown: {why}"),
        };
        let call = format!("{:?}", self.call);
        let call: String = call.chars().take(300).collect();
        let (began, ended) = (self.began.as_micros(), self.ended.as_micros());
        format!(
            "[{began}..{ended} us] client {} at {}: {call} -> {outcome}",
            self.client, self.replica
        )
    }
}

/// Is this entry of the log that write? The leader may have narrowed a registration to what differs.
pub(crate) fn is_same_write(asked: &RouteCommand, logged: &RouteCommand) -> bool {
    match (asked, logged) {
        (RouteCommand::Register(asked), RouteCommand::Register(logged)) => {
            asked.key == logged.key
                && asked.claim == logged.claim
                && asked.address == logged.address
        }
        _ => asked == logged,
    }
}

/// Did applying it do something?
pub(crate) fn has_effect(outcome: &RouteOutcome) -> bool {
    match outcome {
        RouteOutcome::Registered { changed, .. } => *changed,
        RouteOutcome::Unregistered { removed } => *removed,
        RouteOutcome::Expired => true,
        RouteOutcome::Written { changed } => *changed > 0,
        RouteOutcome::Refused(_) => false,
    }
}

/// What tells a write from all others of a run, if it was made so.
pub(crate) fn identity(command: &RouteCommand) -> Option<String> {
    match command {
        RouteCommand::Register(write) => {
            let claim = write.claim?;
            Some(format!("register {}/{} {claim:?}", write.key.cluster, write.key.name))
        }
        RouteCommand::Patch(write) => {
            let claim = write.claim;
            Some(format!("patch {}/{} {claim:?}", write.key.cluster, write.key.name))
        }
        RouteCommand::Unregister(write) => {
            let claim = write.claim?;
            Some(format!("unregister {}/{} {claim:?}", write.key.cluster, write.key.name))
        }
        // The workload never writes a value twice.
        RouteCommand::PutKv { namespace, key, value, .. } => {
            Some(format!("put {namespace}/{key} {value}"))
        }
        _ => None,
    }
}
