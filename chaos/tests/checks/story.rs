//! Short histories for the checkers' own tests: a true one to begin with, which each test breaks.

use std::time::Duration;

use signpost_namesrv::routes::command::{BrokerKey, Claim, Door, Register, RouteCommand};
use signpost_raft::codec;
use signpost_raft::machine::Index;
use signpost_raft::store::journal::JournalRecord;

use signpost_chaos::checks::truth::Truth;
use signpost_chaos::history::{Answer, Call, Operation, Outcome, Read, What};

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn put(key: &str, value: &str) -> RouteCommand {
    let (namespace, key, value) = ("n".to_owned(), key.to_owned(), value.to_owned());
    RouteCommand::PutKv { namespace, key, value, if_index: None }
}

pub(crate) fn register(name: &str, seq: u64) -> RouteCommand {
    RouteCommand::Register(Register {
        key: BrokerKey { cluster: "C".into(), name: name.into(), id: 0 },
        door: Door::Http,
        claim: Some(Claim { incarnation: 1, seq }),
        address: format!("{name}:1"),
        ha_address: String::new(),
        data_version: Default::default(),
        lease_ttl_ms: 1_000,
        filter_servers: None,
        enable_acting_master: None,
        zone: None,
        base: None,
        topics: Default::default(),
        gone: Vec::new(),
        takeover: false,
        mappings: Default::default(),
    })
}

pub(crate) fn truth(commands: &[(Index, RouteCommand)]) -> Truth {
    let mut truth = Truth::default();
    for (index, command) in commands {
        truth.apply(*index, command.clone());
    }
    truth
}

pub(crate) fn journal(commands: &[(Index, RouteCommand)]) -> Vec<JournalRecord> {
    let mut truth = Truth::default();
    let record = |(index, command): &(Index, RouteCommand)| {
        let (outcome, digest) = truth.apply(*index, command.clone());
        JournalRecord {
            index: *index,
            command: codec::encode(command).expect("small").into(),
            outcome: codec::encode(&outcome).expect("small").into(),
            digest,
        }
    };
    commands.iter().map(record).collect()
}

fn operation(call: Call, began: u64, ended: u64, outcome: Outcome) -> Operation {
    Operation { client: 1, replica: 1, began: ms(began), ended: ms(ended), call, outcome }
}

/// A write that was acknowledged at `index`.
pub(crate) fn wrote(command: RouteCommand, index: Index, began: u64, ended: u64) -> Operation {
    let epoch = matches!(command, RouteCommand::Register(_)).then_some(index);
    let answer = Answer { index, found: true, epoch, ..Answer::default() };
    operation(Call::Write(command), began, ended, Outcome::Answered(answer))
}

pub(crate) fn refused(command: RouteCommand) -> Operation {
    operation(Call::Write(command), 0, 1, Outcome::Refused("no".into()))
}

pub(crate) fn unknown(command: RouteCommand) -> Operation {
    operation(Call::Write(command), 0, 1, Outcome::Unknown("lost".into()))
}

/// A read of key `k`. `value` is what was answered, with its `modified`.
pub(crate) fn read(
    value: Option<(&str, Index)>,
    index: Index,
    began: u64,
    ended: u64,
) -> Operation {
    let what = What::Kv("n".into(), "k".into());
    let body = value.map(|(value, modified)| {
        serde_json::json!({ "value": value, "modified": modified }).to_string().into_bytes()
    });
    let found = body.is_some();
    let answer = Answer { index, found, body: body.unwrap_or_default(), ..Answer::default() };
    let read = Read { what, linearizable: true, min_index: None, after: None };
    operation(Call::Read(read), began, ended, Outcome::Answered(answer))
}

/// The same read, made locally with a `min_index`.
pub(crate) fn local(mut operation: Operation, min_index: Option<Index>) -> Operation {
    if let Call::Read(read) = &mut operation.call {
        read.linearizable = false;
        read.min_index = min_index;
    }
    operation
}
