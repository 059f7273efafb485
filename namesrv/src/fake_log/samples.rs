//! Registrations and replicas as tests have them.

use std::collections::BTreeMap;

use signpost_raft::machine::NodeId;
use uuid::Uuid;

use crate::log::{Member, MemberRole, Role, Status};
use crate::routes::command::{BrokerKey, Claim, DataVersion, Door, QueueConfig, Register};

/// The master of this name.
#[must_use]
pub fn master(name: &str) -> BrokerKey {
    BrokerKey { cluster: "C".into(), name: name.into(), id: 0 }
}

/// RocketMQ's default queues.
#[must_use]
pub fn queues() -> QueueConfig {
    QueueConfig { read_queues: 16, write_queues: 16, perm: 6, sys_flag: 0, order: false }
}

/// A registration over HTTP by incarnation 1, with a ttl of 120 s.
#[must_use]
pub fn registration(name: &str, seq: u64, topics: &[&str]) -> Register {
    Register {
        key: master(name),
        door: Door::Http,
        claim: Some(Claim { incarnation: 1, seq }),
        address: format!("{name}:10911"),
        ha_address: String::new(),
        data_version: DataVersion::default(),
        lease_ttl_ms: 120_000,
        filter_servers: None,
        enable_acting_master: None,
        zone: None,
        base: None,
        topics: topics
            .iter()
            .map(|topic| ((*topic).to_owned(), queues()))
            .collect::<BTreeMap<_, _>>(),
        gone: Vec::new(),
        takeover: false,
        mappings: BTreeMap::new(),
    }
}

/// A voter whose HTTP is served there, and RocketMQ's protocol at `door-<id>`.
pub(crate) fn member(id: NodeId, http: &str) -> Member {
    Member {
        id,
        role: MemberRole::Voter,
        peer: format!("peer-{id}:7876"),
        http: http.to_owned(),
        remoting: format!("door-{id}:9876"),
        disk_id: Uuid::from_u128(u128::from(id)),
    }
}

/// A follower in term 1 of a cluster whose members, from 1 on, serve HTTP there. It knows no leader.
pub(crate) fn status(node_id: NodeId, http: &[&str]) -> Status {
    Status {
        node_id,
        cluster_name: "test".into(),
        cluster: Some(Uuid::from_u128(0xC1)),
        role: Role::Follower,
        term: 1,
        leader: None,
        members: (1..).zip(http).map(|(id, http)| member(id, http)).collect(),
        membership_index: 1,
        fed: true,
        caught_up: true,
        removed: false,
        disk_ok: true,
        stopped: false,
    }
}
