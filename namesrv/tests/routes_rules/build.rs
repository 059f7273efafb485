//! Commands with defaults, and tables that count their own log index.

use signpost_namesrv::fake_log::registration;
use signpost_namesrv::routes::command::*;
use signpost_namesrv::routes::{RouteTables, RouteView};

/// Tables at the end of a log, which are checked after each command.
pub(crate) struct Log {
    pub(crate) tables: RouteTables,
    pub(crate) index: u64,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { tables: RouteTables::new(), index: 0 }
    }

    pub(crate) fn apply(&mut self, command: RouteCommand) -> RouteOutcome {
        self.index += 1;
        let outcome = self.tables.apply(self.index, command);
        self.tables.check().expect("tables that agree with each other");
        outcome
    }

    pub(crate) fn register(&mut self, register: &Register) -> RouteOutcome {
        self.apply(RouteCommand::Register(register.clone()))
    }

    /// Registers, and answers the new epoch.
    pub(crate) fn begin(&mut self, register: &Register) -> u64 {
        match self.register(register) {
            RouteOutcome::Registered { epoch, new_epoch: true, changed: true, .. } => epoch,
            other => panic!("no new epoch: {other:?}"),
        }
    }

    /// Registers, which must be a change of the live epoch.
    pub(crate) fn change(&mut self, register: &Register) {
        match self.register(register) {
            RouteOutcome::Registered { new_epoch: false, changed: true, .. } => {}
            other => panic!("no change: {other:?}"),
        }
    }

    /// Registers, which must change nothing at all.
    pub(crate) fn repeat(&mut self, register: &Register) {
        let digest = self.tables.digest();
        match self.register(register) {
            RouteOutcome::Registered { new_epoch: false, changed: false, .. } => {}
            other => panic!("no retry: {other:?}"),
        }
        assert_eq!(self.tables.digest(), digest, "a retry changed the tables");
    }

    /// Applies a command that must be refused and change nothing.
    pub(crate) fn refused(&mut self, command: RouteCommand) -> Refusal {
        let digest = self.tables.digest();
        let outcome = self.apply(command);
        assert_eq!(self.tables.digest(), digest, "a refusal changed the tables");
        match outcome {
            RouteOutcome::Refused(refusal) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    pub(crate) fn register_refused(&mut self, register: &Register) -> Refusal {
        self.refused(RouteCommand::Register(register.clone()))
    }

    pub(crate) fn unregister(&mut self, key: &BrokerKey, claim: Option<Claim>) -> RouteOutcome {
        let unregister = Unregister { key: key.clone(), claim, epoch: None };
        self.apply(RouteCommand::Unregister(unregister))
    }

    pub(crate) fn expire(&mut self, key: &BrokerKey, epoch: u64) -> RouteOutcome {
        self.apply(RouteCommand::Expire(expire(key, epoch)))
    }

    pub(crate) fn wipe(&mut self, name: &str, writable: bool) -> RouteOutcome {
        let broker_name = name.to_owned();
        self.apply(RouteCommand::SetWritePermission { cluster: None, broker_name, writable })
    }

    pub(crate) fn delete_topic(&mut self, topic: &str) -> RouteOutcome {
        self.apply(RouteCommand::DeleteTopic { topic: topic.into(), cluster: None })
    }

    pub(crate) fn put_topic(&mut self, topic: &str, broker: &str) -> RouteOutcome {
        let brokers = [(broker.to_owned(), queues(4))].into();
        self.apply(RouteCommand::PutTopic { topic: topic.into(), brokers })
    }

    pub(crate) fn route(&self, topic: &str) -> RouteView {
        self.tables.route(topic, false).unwrap_or_else(|| panic!("no route of {topic}"))
    }

    pub(crate) fn has(&self, topic: &str) -> bool {
        self.tables.route(topic, false).is_some()
    }

    /// The permission of this topic's first queue data.
    pub(crate) fn perm(&self, topic: &str) -> u32 {
        self.route(topic).queue_datas[0].perm
    }

    /// id → address of a broker name.
    pub(crate) fn addresses(&self, name: &str) -> Vec<(u64, String)> {
        let row = self.tables.broker(name);
        let slots = row.into_iter().flat_map(|row| row.addresses.iter());
        slots.map(|(id, slot)| (*id, slot.address.to_string())).collect()
    }

    pub(crate) fn clusters(&self) -> Vec<(String, Vec<String>)> {
        let clusters = self.tables.clusters();
        clusters.map(|(c, names)| (c.to_string(), names.map(|n| n.to_string()).collect())).collect()
    }
}

pub(crate) fn key(name: &str, id: u64) -> BrokerKey {
    BrokerKey { cluster: "C".into(), name: name.into(), id }
}

pub(crate) fn claim(incarnation: u64, seq: u64) -> Claim {
    Claim { incarnation, seq }
}

pub(crate) fn queues(number: u32) -> QueueConfig {
    QueueConfig { read_queues: number, write_queues: number, perm: 6, sys_flag: 0, order: false }
}

pub(crate) fn expire(key: &BrokerKey, epoch: u64) -> Expire {
    Expire { key: key.clone(), epoch, cause: ExpiryCause::Silent }
}

/// A whole registration over HTTP, at `<name>-<id>:10911`, incarnation 1, seq 1.
pub(crate) fn broker(name: &str, id: u64, topics: &[&str]) -> Register {
    Register {
        key: key(name, id),
        address: format!("{name}-{id}:10911"),
        ha_address: format!("{name}-{id}:10912"),
        topics: topics.iter().map(|topic| ((*topic).to_owned(), queues(4))).collect(),
        ..registration(name, 1, &[])
    }
}

/// The same through 9876: no claim, a data version.
pub(crate) fn stock(name: &str, id: u64, counter: i64, topics: &[&str]) -> Register {
    Register {
        door: Door::Remoting,
        claim: None,
        data_version: DataVersion { timestamp: 1_000 + counter, counter, state_version: 0 },
        ..broker(name, id, topics)
    }
}

pub(crate) fn with_claim(register: &Register, incarnation: u64, seq: u64) -> Register {
    Register { claim: Some(claim(incarnation, seq)), ..register.clone() }
}
