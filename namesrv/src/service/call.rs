//! A call on its way to the leader: what crosses the one forward hop.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use signpost_raft::codec::{self, CodecError};
use signpost_raft::machine::{Index, NodeId};

use crate::answers::{
    Alarm, Compared, Heartbeat, Patched, Registered, Renewal, RenewalAnswer, Renewed, Written,
};
use crate::errors::ServiceError;
use crate::lessor::presence::Standing;
use crate::routes::command::{
    BrokerKey, BrokerName, ClusterName, Patch, QueueConfig, Register, Topic, Unregister,
};

/// What only the leader can do. Sent between replicas: variants are only ever appended.
///
/// The operators' writes look like those of [`RouteCommand`](crate::routes::command::RouteCommand),
/// and are not: that enum holds what only a leader may propose, too (an expiry, a difference with
/// its base, the cluster's version), which no other replica can ask for as long as this one has no
/// word for it; and each of the two is kept readable for another reader, the log and the peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Request {
    Register(Register),
    Patch(Patch),
    Heartbeat(Heartbeat),
    Unregister(Unregister),
    SetWritePermission {
        cluster: Option<ClusterName>,
        broker_name: BrokerName,
        writable: bool,
    },
    PutTopic {
        topic: Topic,
        brokers: BTreeMap<BrokerName, QueueConfig>,
    },
    DeleteTopic {
        topic: Topic,
        cluster: Option<ClusterName>,
    },
    PutKv {
        namespace: String,
        key: String,
        value: String,
        if_index: Option<Index>,
    },
    DeleteKv {
        namespace: String,
        key: String,
        if_index: Option<Index>,
    },
    AddMember {
        id: NodeId,
        peer: String,
    },
    PromoteMember(NodeId),
    RemoveMember(NodeId),
    TransferLeadership(NodeId),
    Alarms,
    ReleaseAlarm(String),
    RegisterStock {
        register: Register,
        former: Option<Index>,
    },
    RenewUnchanged(Vec<Renewal>),
    Left(Vec<(BrokerKey, Index)>),
    /// The one call that the leader makes, and that every replica answers of itself.
    Standings(Vec<BrokerKey>),
}

/// What the leader answers. In the order of [`Request`] where there is a choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    Registered(Registered),
    Patched(Patched),
    Renewed(Renewed),
    Written(Written),
    Alarms(Vec<Alarm>),
    Done,
    Compared(Compared),
    Renewals(Vec<RenewalAnswer>),
    Standings(Vec<Standing>),
}

/// A request with the time that is left for it. Clocks differ between replicas; durations do not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Envelope {
    pub(super) remaining_ms: u64,
    pub(super) request: Request,
}

/// A reply, as it crosses.
pub(super) type Reply = Result<Answer, ServiceError>;

/// The first byte of each call: another one is another format.
const FORMAT: u8 = 1;

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    codec::encode(&(FORMAT, value))
}

/// Decodes what [`encode`] made of one `T`.
pub(super) fn decode<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Result<T, String> {
    match bytes.first() {
        Some(&FORMAT) => codec::decode(&bytes[1..]).map_err(|error| error.to_string()),
        Some(other) => Err(format!("format {other} of calls is not known here; upgrade")),
        None => Err("an empty call".into()),
    }
}

impl Request {
    /// For logs.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Register(_) => "register",
            Self::Patch(_) => "patch",
            Self::Heartbeat(_) => "heartbeat",
            Self::Unregister(_) => "unregister",
            Self::SetWritePermission { .. } => "write-permission",
            Self::PutTopic { .. } => "put-topic",
            Self::DeleteTopic { .. } => "delete-topic",
            Self::PutKv { .. } => "put-kv",
            Self::DeleteKv { .. } => "delete-kv",
            Self::AddMember { .. } => "add-member",
            Self::PromoteMember(_) => "promote-member",
            Self::RemoveMember(_) => "remove-member",
            Self::TransferLeadership(_) => "transfer-leadership",
            Self::Alarms => "alarms",
            Self::ReleaseAlarm(_) => "release-alarm",
            Self::RegisterStock { .. } => "register-stock",
            Self::RenewUnchanged(_) => "renew-unchanged",
            Self::Left(_) => "left",
            Self::Standings(_) => "standings",
        }
    }
}

/// What is left until `deadline`, rounded down.
pub(super) fn milliseconds(left: Duration) -> u64 {
    u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_round_trip_and_other_formats_are_refused() {
        let envelope = Envelope {
            remaining_ms: 250,
            request: Request::DeleteTopic { topic: "t".into(), cluster: None },
        };
        let mut bytes = encode(&envelope).expect("small");
        assert_eq!(decode::<Envelope>(&bytes).expect("own encoding"), envelope);
        bytes.push(0);
        decode::<Envelope>(&bytes).expect_err("trailing bytes");
        bytes[0] = 9;
        let refused = decode::<Envelope>(&bytes).expect_err("another format");
        assert!(refused.contains("format 9"), "{refused}");
        decode::<Envelope>(&[]).expect_err("nothing");
    }
}
