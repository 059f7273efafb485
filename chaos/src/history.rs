//! What clients did and what they were told: all that the checkers know of the outside.
//!
//! [`Operation`] is made to be kept as JSON, one a line, too.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use signpost_namesrv::routes::command::{BrokerKey, RouteCommand, RouteOutcome};
use signpost_raft::machine::{Index, NodeId};

/// One call of one client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Operation {
    /// Who called. A client makes one call at a time.
    pub client: u64,
    /// The replica that was asked; of a send, 0.
    pub replica: NodeId,
    /// When the call was made, since the run began, by a clock that all clients share.
    pub began: Duration,
    /// When its outcome was known, by the same clock.
    pub ended: Duration,
    /// What was asked for.
    pub call: Call,
    /// What the client was told.
    pub outcome: Outcome,
}

/// What was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(
    clippy::large_enum_variant,
    reason = "a history is a list of calls that are kept to the end anyway"
)]
pub enum Call {
    /// A write, as the log should hold it.
    Write(RouteCommand),
    /// A read of the tables.
    Read(Read),
    /// Renews a lease; nothing in the tables shows it.
    Heartbeat(Heartbeat),
    /// A message to a broker: no business of the name cluster's, but it led the producer there.
    Send(Message),
}

/// A read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Read {
    /// What is read.
    pub what: What,
    /// Linearizable or local.
    pub linearizable: bool,
    /// The index below which no answer is good enough.
    pub min_index: Option<Index>,
    /// Of a waiting read: it waits for a change above this index, which is a `min_index`, too.
    pub after: Option<Index>,
}

/// What is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// One topic's route.
    Route(String),
    /// The routes of some topics, at one index.
    Routes(Vec<String>),
    /// The value of a key: its namespace and name.
    Kv(String, String),
    /// All live brokers.
    Brokers,
}

/// A renewal of a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The broker.
    pub key: BrokerKey,
    /// The process that holds the registration.
    pub incarnation: u64,
    /// The registration.
    pub epoch: Index,
}

/// A message that a producer sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Where to.
    pub topic: String,
    /// What tells it from all others of the run: its body.
    pub id: String,
}

/// What became of a call (docs/GUARANTEES.md, "Outcomes").
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Outcome {
    /// It was done.
    Answered(Answer),
    /// It surely was not done.
    Refused(String),
    /// It may have been done, once, at any time since.
    Unknown(String),
}

/// The answer to a read, or to a write that was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Of a write, the index of its entry as its body says; of a read, `Signpost-Index`. Of
    /// heartbeats and sends it means nothing.
    pub index: Index,
    /// `Signpost-Modified`.
    pub modified: Option<Index>,
    /// A read's 404 is an answer, too: it does not exist.
    pub found: bool,
    /// As it came: JSON.
    #[serde(with = "text")]
    pub body: Vec<u8>,
    /// Of registrations and patches.
    pub epoch: Option<Index>,
    /// Of registrations and heartbeats: the ttl that was granted, in milliseconds.
    pub lease_ttl_ms: Option<u64>,
    /// Another replica led, as far as the one that answered knew.
    pub at_follower: bool,
    /// `Signpost-Consistency`: was it a linearizable answer?
    pub linearizable: Option<bool>,
    /// `Signpost-Cluster`, the history that all indices belong to.
    pub cluster: Option<String>,
}

/// A body in a file of JSON: as text.
mod text {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(body: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&String::from_utf8_lossy(body))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        Ok(String::deserialize(from)?.into_bytes())
    }
}

impl Operation {
    /// What it was answered, if it was done.
    #[must_use]
    pub fn answer(&self) -> Option<&Answer> {
        match &self.outcome {
            Outcome::Answered(answer) => Some(answer),
            Outcome::Refused(_) | Outcome::Unknown(_) => None,
        }
    }

    /// The write that it is.
    #[must_use]
    pub fn write(&self) -> Option<&RouteCommand> {
        match &self.call {
            Call::Write(command) => Some(command),
            Call::Read(_) | Call::Heartbeat(_) | Call::Send(_) => None,
        }
    }

    /// The read that it is.
    #[must_use]
    pub fn read(&self) -> Option<&Read> {
        match &self.call {
            Call::Read(read) => Some(read),
            Call::Write(_) | Call::Heartbeat(_) | Call::Send(_) => None,
        }
    }

    /// In one line, for a person.
    #[must_use]
    pub fn line(&self) -> String {
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
#[must_use]
pub fn is_same_write(asked: &RouteCommand, logged: &RouteCommand) -> bool {
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
#[must_use]
pub fn has_effect(outcome: &RouteOutcome) -> bool {
    match outcome {
        RouteOutcome::Registered { changed, .. } => *changed,
        RouteOutcome::Unregistered { removed } => *removed,
        RouteOutcome::Expired => true,
        RouteOutcome::Written { changed } => *changed > 0,
        RouteOutcome::Refused(_) => false,
    }
}

/// What tells a write from all others of a run, if it was made so.
#[must_use]
pub fn identity(command: &RouteCommand) -> Option<String> {
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
        // No workload writes a value twice.
        RouteCommand::PutKv { namespace, key, value, .. } => {
            Some(format!("put {namespace}/{key} {value}"))
        }
        _ => None,
    }
}
